// What is wrong with a command line, a machine or a bucket is said in one line that names it, and nothing is left behind.
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  BUCKET,
  expectNothingLeft,
  home,
  mnt,
  mount,
  mountArguments,
  run,
  server,
  statusOf,
  useCommandLine,
} from "../support/command-line.ts";
import { skipMounts } from "../support/kernel-gate.ts";

describe.skipIf(skipMounts("test/kernel/cli-bad-input"))("bucketmount, given bad input", () => {
  useCommandLine();

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
