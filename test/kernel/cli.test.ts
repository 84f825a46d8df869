// The command line as users have it: real processes, real mounts, a real S3 server. All of a test's processes carry its folder as a
// mark in their environment, so that "nothing is left" can be asked.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MountStatus } from "#cli/mount-status.ts";
import { pollUntil } from "#node/deadline.ts";
import { processesOf } from "../../scripts/demo/program.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { isMounted } from "../support/mounted-bucket.ts";
import { availableServers, type S3Server, startServer } from "../support/s3-servers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAMS = {
  source: ["-C", "source", join(ROOT, "src/cli/main.ts")],
  built: [join(ROOT, "dist/cli/main.js")],
} as const;
type Form = keyof typeof PROGRAMS;

/** Slow machines must not fail a test: nothing here takes seconds where nothing is wrong. */
const LONG_MS = 60_000;
const IDLE_BYTES = 120 * 2 ** 20;
const BUCKET = "command-line";

let server: S3Server;
let client: S3Client;
let home: string;
let mnt: string;

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("AWS_"));
  return {
    ...Object.fromEntries(inherited),
    ...{ AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey, BUCKETMOUNT_CLUSTER: home, HOME: home },
    ...extra,
  };
}

/** Runs one command to its end. */
async function run(args: readonly string[], { form = "built", env = {} }: { form?: Form; env?: NodeJS.ProcessEnv } = {}): Promise<Result> {
  return resultOf(spawn(process.execPath, [...PROGRAMS[form], ...args], { env: environment(env), stdio: ["ignore", "pipe", "pipe"] }));
}

function resultOf(child: ChildProcess): Promise<Result> {
  const said = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    said.stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    said.stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve({ code, ...said }));
  });
}

function mountArguments(source = `s3://${BUCKET}`): string[] {
  return ["mount", source, mnt, "--endpoint", server.endpoint, "--cache-dir", join(home, "cache")];
}

async function mount(more: readonly string[] = [], form: Form = "built"): Promise<void> {
  expect(await run([...mountArguments(), ...more], { form })).toEqual({ code: 0, stdout: "", stderr: "" });
}

async function statusOf(form: Form = "built"): Promise<MountStatus> {
  const { stdout, code, stderr } = await run(["status", mnt, "--json"], { form });
  expect([code, stderr]).toEqual([0, ""]);
  const all = JSON.parse(stdout) as MountStatus[];
  expect(all).toHaveLength(1);
  return all[0]!;
}

async function keys(): Promise<string[]> {
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  return (Contents ?? []).map(({ Key }) => Key ?? "");
}

/** After a test that failed. */
function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

/** No mount and no process; the processes may still be on their last lines. */
async function expectNothingLeft(): Promise<void> {
  await pollUntil(LONG_MS, 20, () => processesOf(home).length === 0);
  expect(processesOf(home)).toEqual([]);
  expect(await isMounted(mnt)).toBe(false);
  const entries = await readdir("/run/bucketmount").catch(() => []);
  const texts = await Promise.all(entries.map((name) => readFile(join("/run/bucketmount", name), "utf8").catch(() => "")));
  expect(texts.filter((text) => text.includes(mnt))).toEqual([]);
}

describe.skipIf(skipMounts("test/kernel/cli"))("bucketmount", () => {
  beforeAll(async () => {
    const kind = availableServers().includes("versitygw") ? "versitygw" : "s3rver";
    if (kind !== "versitygw") console.warn("versitygw is not installed: the command line is tested on s3rver");
    server = await startServer(kind);
    const credentials = { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey };
    client = new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials });
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    // Type errors are the business of `npm run check`: what was emitted is tested all the same.
    spawnSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", join(ROOT, "tsconfig.build.json")]);
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), "bucketmount-cli-")));
    mnt = join(home, "mnt");
    await mkdir(mnt);
  });
  afterEach(async () => {
    if (await isMounted(mnt)) execFileSync("umount", ["-l", mnt]);
    for (const pid of processesOf(home)) end(pid);
    await rm(home, { recursive: true });
  });

  test.each(["source", "built"] as const)("`mount` serves, `status` tells and `umount` leaves nothing when run from %s", async (form) => {
    await mount([], form);
    await writeFile(join(mnt, `hello-${form}`), "hello");
    expect(await readFile(join(mnt, `hello-${form}`), "utf8")).toBe("hello");
    const status = await statusOf(form);
    expect(status).toMatchObject({
      bucket: BUCKET,
      mountPoint: mnt,
      source: `s3://${BUCKET}`,
      state: "serving",
      restarts: 0,
      dirtyFiles: 0,
    });
    expect(status.requests?.["PutObject"]).toBeGreaterThan(0);
    expect((await run(["status"], { form })).stdout).toContain(`${mnt}  s3://${BUCKET}  serving`);
    expect(await keys()).toContain(`hello-${form}`);
    expect(await run(["umount", mnt], { form })).toEqual({ code: 0, stdout: "", stderr: "" });
    // Not polled: when umount returns, they are gone.
    expect(processesOf(home)).toEqual([]);
    await expectNothingLeft();
    expect((await run(["status", mnt], { form })).code).toBe(1);
  });

  test("`mount` needs less than 120 MiB for an idle engine and for its supervisor", async () => {
    await mount();
    const { pid, supervisorPid } = await statusOf();
    for (const [name, of] of Object.entries({ engine: pid, supervisor: supervisorPid })) {
      const rss = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${of}/status`, "utf8"))?.[1]) * 1024;
      console.log(`memory of an idle ${name}: ${(rss / 2 ** 20).toFixed(1)} MiB RSS`);
      expect(rss).toBeLessThan(IDLE_BYTES);
    }
    expect((await run(["umount", mnt])).code).toBe(0);
  });

  test("`mount` puts no secret into an argument or into the engine's environment", async () => {
    await mount();
    const { pid } = await statusOf();
    for (const process of processesOf(home)) {
      expect(await readFile(`/proc/${process}/cmdline`, "utf8")).not.toContain(server.secretAccessKey);
    }
    expect(await readFile(`/proc/${pid}/environ`, "utf8")).not.toContain(server.secretAccessKey);
    expect(await readFile(join((await statusOf()).logFile ?? "", ""), "utf8")).not.toContain(server.secretAccessKey);
    await run(["umount", mnt]);
  });

  test("plain umount(8) ends the mount's processes when everything is uploaded", async () => {
    await mount();
    await writeFile(join(mnt, "plain"), "x");
    execFileSync("umount", [mnt]);
    await expectNothingLeft();
    expect(await keys()).toContain("plain");
  });

  test("`mount --foreground` uploads, unmounts and ends with 0 when it gets SIGTERM", async () => {
    const child = spawn(process.execPath, [...PROGRAMS.built, ...mountArguments(), "--foreground"], { env: environment(), stdio: "pipe" });
    const result = resultOf(child);
    expect(await pollUntil(LONG_MS, 50, async () => (await run(["status", mnt])).code === 0)).toBe(true);
    await writeFile(join(mnt, "foreground"), "x");
    child.kill("SIGTERM");
    const { code, stderr } = await result;
    expect(code).toBe(0);
    expect(stderr).toContain('"msg":"mounted"');
    await expectNothingLeft();
    expect(await keys()).toContain("foreground");
  });

  test("`mount` shows the prefix alone when one is given", async () => {
    await mount();
    await mkdir(join(mnt, "some/prefix"), { recursive: true });
    await writeFile(join(mnt, "some/prefix/inside"), "x");
    await run(["umount", mnt]);
    expect((await run(mountArguments(`s3://${BUCKET}/some/prefix`))).code).toBe(0);
    expect(await readdir(mnt)).toEqual(["inside"]);
    expect((await statusOf()).source).toBe(`s3://${BUCKET}/some/prefix`);
    await run(["umount", mnt]);
  });

  test("`mount.bucketmount` mounts what an fstab line says when mount(8) calls it", async () => {
    const helper = join(home, "mount.bucketmount");
    await symlink(PROGRAMS.built[0], helper);
    const options = `rw,_netdev,allow_other,x-systemd.automount,url=${server.endpoint},use_cache=${join(home, "cache")}`;
    const child = spawn(process.execPath, [helper, `s3://${BUCKET}`, mnt, "-n", "-o", options], { env: environment(), stdio: "pipe" });
    expect(await resultOf(child)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await isMounted(mnt)).toBe(true);
    execFileSync("umount", [mnt]);
    await expectNothingLeft();
  });

  test("`umount` refuses while a process works there and names the way out; `--force` detaches it", async () => {
    await mount();
    const user = spawn("sleep", ["1000"], { cwd: mnt, env: environment() });
    await once(user, "spawn");
    const refused = await run(["umount", mnt]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`^bucketmount: .*${mnt}.*--force.*\n$`));
    expect((await statusOf()).state).toBe("serving");
    const forced = run(["umount", mnt, "--force"]);
    expect(await pollUntil(LONG_MS, 20, async () => !(await isMounted(mnt)))).toBe(true);
    user.kill("SIGKILL");
    expect(await forced).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
  });

  test("a killed engine has a successor, and readers by path see no error", async () => {
    await mount();
    const files = Array.from({ length: 20 }, (_, i) => join(mnt, `file-${i}`));
    await Promise.all(files.map((path, i) => writeFile(path, `content ${i}`)));
    // Another process: one that starts no engine may hold files of the mount, and its threads may wait.
    const readers = spawn(process.execPath, ["-e", READER, mnt, String(files.length)], {
      env: environment(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(readers.stdout, "data");
    const report = once(readers.stdout, "data");
    const exit = once(readers, "exit");
    for (let kill = 1; kill <= 3; kill++) {
      process.kill((await statusOf()).pid ?? 0, "SIGKILL");
      expect(
        await pollUntil(LONG_MS, 50, async () => {
          const { restarts, state } = await statusOf();
          return restarts === kill && state === "serving";
        }),
      ).toBe(true);
      await writeFile(join(mnt, `after-${kill}`), "written after the kill");
    }
    readers.stdin.end();
    expect(String((await report)[0])).toMatch(/^right [1-9]\d*, wrong or failed 0\n$/);
    expect(await Promise.all([1, 2, 3].map((kill) => readFile(join(mnt, `after-${kill}`), "utf8")))).toEqual(
      Array(3).fill("written after the kill"),
    );
    await exit;
    expect((await run(["umount", mnt])).code).toBe(0);
    await expectNothingLeft();
  });

  test("a mount without its supervisor serves on, is shown as such, and `umount` ends it", async () => {
    await mount();
    process.kill((await statusOf()).supervisorPid ?? 0, "SIGKILL");
    expect(await pollUntil(LONG_MS, 20, async () => (await statusOf()).state === "unsupervised")).toBe(true);
    await writeFile(join(mnt, "orphan"), "x");
    expect(await keys()).toContain("orphan");
    expect(await run(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
  });

  test("a mount without any process is shown as dead, and `umount` takes it away", async () => {
    await mount();
    const { pid = 0, supervisorPid = 0 } = await statusOf();
    process.kill(supervisorPid, "SIGKILL");
    process.kill(pid, "SIGKILL");
    expect(await pollUntil(LONG_MS, 20, async () => (await statusOf()).state === "dead")).toBe(true);
    const again = await run(mountArguments());
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining(`first run: bucketmount umount ${mnt}\n`) });
    expect(await run(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
    await mount();
    await run(["umount", mnt]);
  });

  test("`mount` leaves nothing when its caller is killed while it waits", async () => {
    // Takes connections and never answers.
    const deaf = createServer().listen(0, "127.0.0.1");
    await once(deaf, "listening");
    const { port } = deaf.address() as { port: number };
    const args = ["mount", `s3://${BUCKET}`, mnt, "--endpoint", `http://127.0.0.1:${port}`, "--cache-dir", join(home, "cache")];
    const child = spawn(process.execPath, [...PROGRAMS.built, ...args], { env: environment(), stdio: "ignore" });
    await once(deaf, "connection");
    child.kill("SIGINT");
    await once(child, "exit");
    await expectNothingLeft();
    expect(await readdir(home)).toEqual(["mnt"]);
    deaf.close();
  });

  describe("bad input", () => {
    interface Bad {
      readonly what: string;
      /** What the one line must name. */
      readonly names: () => string;
      readonly args: () => readonly string[];
      readonly env?: () => NodeJS.ProcessEnv;
      readonly code?: number;
      readonly before?: () => Promise<unknown>;
    }
    const good = () => mountArguments();
    const at = (dir: string) => mountArguments().with(2, join(home, dir));
    const CASES: readonly Bad[] = [
      { what: "a bucket that is not there", names: () => "no-such-bucket", args: () => mountArguments("s3://no-such-bucket") },
      { what: "a source of another form", names: () => '"bucket"', args: () => mountArguments("bucket"), code: 2 },
      { what: "an endpoint that is no URL", names: () => "ftp://there", args: () => good().with(4, "ftp://there") },
      { what: "an endpoint nobody knows", names: () => "http://nobody.invalid", args: () => good().with(4, "http://nobody.invalid") },
      { what: "a key nobody knows", names: () => server.endpoint, args: good, env: () => ({ AWS_ACCESS_KEY_ID: "nobody" }) },
      { what: "a wrong secret", names: () => "secret access key", args: good, env: () => ({ AWS_SECRET_ACCESS_KEY: "wrong" }) },
      { what: "a directory that is not there", names: () => join(home, "none"), args: () => at("none") },
      {
        what: "a file for a directory",
        names: () => join(home, "file"),
        args: () => at("file"),
        before: () => writeFile(join(home, "file"), ""),
      },
      { what: "a full directory", names: () => home, args: () => at(".") },
      { what: "an unknown option", names: () => "allow_othr", args: () => [...good(), "-o", "allow_othr"], code: 2 },
      { what: "an unknown flag", names: () => "--cachedir", args: () => [...good(), "--cachedir", "x"], code: 2 },
      { what: "a wrong size", names: () => "much", args: () => [...good(), "--cache-size", "much"], code: 2 },
      { what: "a cache inside the mount", names: () => join(mnt, "c"), args: () => [...good(), "--cache-dir", join(mnt, "c")] },
      { what: "a passwd file that is not there", names: () => "/no/passwd", args: () => [...good(), "--passwd-file", "/no/passwd"] },
      {
        what: "a passwd file that others may read",
        names: () => `chmod 600 ${join(home, "passwd")}`,
        args: () => [...good(), "--passwd-file", join(home, "passwd")],
        before: () => writeFile(join(home, "passwd"), "A:B\n").then(() => chmod(join(home, "passwd"), 0o644)),
      },
      { what: "a CA file that is not there", names: () => "/no/ca.pem", args: () => [...good(), "--ca-bundle", "/no/ca.pem"] },
    ];

    test.each(CASES)(
      "`mount` names it in one line, fails and leaves nothing when given $what",
      async ({ names, args, env, code = 1, before }) => {
        await before?.();
        const there = await readdir(home);
        const result = await run(args(), { env: env?.() ?? {} });
        expect(result.stderr).toContain(names());
        expect(result.stderr).toMatch(/^bucketmount: [^\n]+\n$/);
        expect(result).toMatchObject({ code, stdout: "" });
        expect(await readdir(home)).toEqual(there);
        await expectNothingLeft();
      },
    );

    test("`mount` names the region that is right when given another", async () => {
      if (server.name !== "versitygw") return console.warn(`SKIPPED a wrong region: ${server.name} takes any`);
      const result = await run([...good(), "--region", "mars-1"]);
      expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/^bucketmount: [^\n]*"us-east-1", not "mars-1"[^\n]*\n$/) });
      await expectNothingLeft();
    });

    test("`mount` refuses a directory that is mounted already and leaves that mount alone", async () => {
      await mount();
      const second = await run(mountArguments());
      expect(second).toMatchObject({ code: 1, stderr: `bucketmount: cannot mount on "${mnt}": s3://${BUCKET} is already mounted there\n` });
      expect((await statusOf()).state).toBe("serving");
      expect((await run(["umount", mnt])).code).toBe(0);
    });

    test("`mount` refuses a state folder that another mount has", async () => {
      await mount(["--state-dir", join(home, "state")]);
      await mkdir(join(home, "other"));
      const second = await run([...mountArguments().with(2, join(home, "other")), "--state-dir", join(home, "state")]);
      expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`in use by the mount on "${mnt}"`) });
      expect((await run(["umount", mnt])).code).toBe(0);
    });

    test("`umount` and `status` name a directory that is no mount of ours", async () => {
      for (const command of ["umount", "status"]) {
        const { code, stderr } = await run([command, mnt]);
        expect([code, stderr]).toEqual([1, `bucketmount: "${mnt}" is not a mount of bucketmount: nothing is mounted there\n`]);
        expect(await run([command, "/proc"])).toMatchObject({ code: 1, stderr: expect.stringContaining("proc (proc) is mounted there") });
      }
    });
  });
});

/** Reads files by path, four at a time, until its input ends. Says when the first was right, and at the end how many were. */
const READER = `
  const { readFile } = require("node:fs/promises");
  const [dir, count] = process.argv.slice(1);
  let reading = true, right = 0, wrong = 0;
  process.stdin.on("end", () => { reading = false; }).resume();
  async function read(i) {
    for (; reading; i = (i + 1) % count) {
      const text = await readFile(dir + "/file-" + i, "utf8").catch((error) => error.code);
      if (text === "content " + i) { if (right++ === 0) console.log("reading"); } else { wrong++; console.error(text); }
    }
  }
  Promise.all([0, 1, 2, 3].map(read)).then(() => console.log("right " + right + ", wrong or failed " + wrong));
`;
