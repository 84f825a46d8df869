// POSIX ACLs with `-o acl`: what the kernel lets whom do, by setfacl(1) and getfacl(1) and users without rights.
import { chmod, stat } from "node:fs/promises";
import { HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { missingCommand, type PosixMount, posixServers, runScript, startPosixMount } from "../support/posix-mount.ts";
import { createSdkClient } from "../support/sdk-client.ts";

const missing = missingCommand(["setfacl", "getfacl", "setpriv", "python3"]);
if (missing !== undefined) console.warn(`SKIPPED POSIX ACLs on a mount: ${missing} is not installed`);

const LIMIT_MS = 300_000;
const [KIND = "s3rver"] = posixServers();

/** `as UID GID COMMAND...`, with no rights of root's; `refused` is its opposite. */
const PRELUDE = `
umask 022
as() { setpriv --reuid "$1" --regid "$2" --clear-groups --inh-caps=-all --bounding-set=-all -- "\${@:3}"; }
refused() { if as "$@" 2>/dev/null; then echo "not refused: $*"; exit 1; fi; }
shows() { local got; got=$(getfacl -cnE "$1" | paste -sd ' ' | sed 's/ *$//'); [ "$got" = "$2" ] || { echo "$1: $got, not $2"; exit 1; }; }
`;

describe.skipIf(missing !== undefined || skipMounts("POSIX ACLs on a mount"))("POSIX ACLs with -o acl", { timeout: LIMIT_MS }, () => {
  let mounted: PosixMount;
  beforeAll(async () => {
    mounted = await startPosixMount(KIND, "acls", ["-o", "acl,metadata_ttl=0.2"]);
    await chmod(mounted.path, 0o777);
  }, LIMIT_MS);
  afterAll(() => mounted?.end(), LIMIT_MS);

  const script = (body: string) => runScript(`${PRELUDE}\n${body}`, { cwd: mounted.path });

  it("a named user gets what his entry says, and nobody else does", async () => {
    await script(`
echo secret > named; chmod 600 named
refused 1001 1001 cat named
setfacl -m u:1001:r named
as 1001 1001 cat named >/dev/null
refused 1001 1001 sh -c 'echo x >> named'
refused 1002 1001 cat named
setfacl -m u:1001:rw,g:500:r named
as 1001 1001 sh -c 'echo more >> named'
as 1002 500 cat named >/dev/null
refused 1002 500 sh -c 'echo x >> named'
shows named 'user::rw- user:1001:rw- group::--- group:500:r-- mask::rw- other::---'
[ "$(stat -c %a named)" = 660 ]
setfacl -b named
refused 1001 1001 cat named
shows named 'user::rw- group::--- other::---'`);
  });

  it("an entry for a user denies what the mode would allow to all", async () => {
    await script(`
echo open > denied; chmod 644 denied
setfacl -m u:1001:0 denied
refused 1001 1001 cat denied
as 1002 1002 cat denied >/dev/null`);
  });

  it("chmod moves the mask, and the mask limits named users", async () => {
    await script(`
echo x > masked; setfacl -m u:1001:rw masked
as 1001 1001 sh -c 'echo y >> masked'
chmod 640 masked
shows masked 'user::rw- user:1001:rw- group::r-- mask::r-- other::---'
refused 1001 1001 sh -c 'echo z >> masked'
as 1001 1001 cat masked >/dev/null
chmod 660 masked
as 1001 1001 sh -c 'echo z >> masked'`);
  });

  it("files and directories inherit a default ACL, and the umask has no part in it", async () => {
    await script(`
mkdir inheriting; setfacl -m d:u:1001:rwx,d:g::rx,d:o::0 inheriting
umask 077
cd inheriting
echo x > file; mkdir sub; mkfifo pipe
shows file 'user::rw- user:1001:rwx group::r-x mask::rw- other::---'
[ "$(stat -c %a file)" = 660 ]
shows sub 'user::rwx user:1001:rwx group::r-x mask::rwx other::--- default:user::rwx default:user:1001:rwx default:group::r-x default:mask::rwx default:other::---'
as 1001 1001 sh -c 'echo y >> file; echo z > sub/theirs; mkdir sub/dir'
refused 1002 1002 cat file
as 1001 1001 getfacl -cn sub/dir | grep -q default:user:1001:rwx
python3 -c 'import os; fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666); print(oct(os.fstat(fd).st_mode), len(os.getxattr(fd, "system.posix_acl_access")))' | grep -qx '0o100660 44'
cd ..
umask 027; echo x > plain; [ "$(stat -c %a plain)" = 640 ]; mkdir plaindir; [ "$(stat -c %a plaindir)" = 750 ]
setfacl -k inheriting; echo x > inheriting/after; [ "$(stat -c %a inheriting/after)" = 640 ]`);
  });

  it("who sets an ACL and is not in the file's group loses its set-group-id bit", async () => {
    await script(`
echo x > setgid; chown 1001:500 setgid; chmod 2775 setgid
as 1001 1001 setfacl -m u:1002:r setgid
[ "$(stat -c %a setgid)" = 775 ]
refused 1002 1002 setfacl -m u:1002:rwx setgid`);
  });

  it("ACLs are in the object, in s3fs's form, and hold in the next mount", async () => {
    await script("mkdir kept; echo x > kept/file; chmod 600 kept/file; setfacl -m u:1001:r kept/file; setfacl -m d:u:1001:r kept");
    mounted = await mounted.again();
    await script(`
as 1001 1001 cat kept/file >/dev/null
refused 1002 1002 cat kept/file
shows kept/file 'user::rw- user:1001:r-- group::--- mask::r-- other::---'
echo y > kept/second; getfacl -cn kept/second | grep -q '^user:1001:r--'`);
    const client = createSdkClient(mounted.server);
    const { Metadata } = await client.send(new HeadObjectCommand({ Bucket: mounted.bucket, Key: "kept/file" }));
    client.destroy();
    expect(decodeURIComponent(Metadata?.["xattr"] ?? "")).toMatch(/^\{"system\.posix_acl_access":"/);
  });

  it("a chmod by somebody who knows no ACLs decides", async () => {
    await script("echo x > elsewhere; setfacl -m u:1001:rw elsewhere");
    const client = createSdkClient(mounted.server);
    const at = { Bucket: mounted.bucket, Key: "elsewhere" };
    const { Metadata = {} } = await client.send(new HeadObjectCommand(at));
    await client.send(new PutObjectCommand({ ...at, Body: "y\n", Metadata: { ...Metadata, mode: String(0o100600) } }));
    client.destroy();
    const seen = async () => ((await stat(`${mounted.path}/elsewhere`)).mode & 0o777).toString(8);
    await expect.poll(seen, { timeout: 60_000 }).toBe("600");
    await script("refused 1001 1001 cat elsewhere; getfacl -cn elsewhere | grep -q '^mask::---'");
  });
});

describe.skipIf(missing !== undefined || skipMounts("POSIX ACLs on a mount without the option"))("POSIX ACLs without -o acl", () => {
  it("are kept and not enforced", { timeout: LIMIT_MS }, async () => {
    const mounted = await startPosixMount(KIND, "acls");
    try {
      await chmod(mounted.path, 0o777);
      await runScript(
        `${PRELUDE}
echo x > f; chmod 600 f; setfacl -m u:1001:r f
getfacl -cn f | grep -q user:1001:r--
[ "$(stat -c %a f)" = 640 ]
refused 1001 1001 cat f
mkdir d; setfacl -m d:u:1001:r d; echo x > d/f
[ "$(getfacl -cn d/f | wc -l)" = 4 ]; [ "$(stat -c %a d/f)" = 644 ]`,
        { cwd: mounted.path },
      );
    } finally {
      await mounted.end();
    }
  });
});
