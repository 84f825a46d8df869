import { describe, expect, test } from "vitest";
import type { ProcessContext } from "#cli/process-context.ts";
import { runProgram } from "#cli/program.ts";
import { exitCodeOf } from "#cli/usage-error.ts";

async function run(...args: readonly string[]) {
  const out: string[] = [];
  const context: ProcessContext = {
    env: {},
    self: { file: "false", args: [] },
    out: (text) => out.push(text),
    err: (text) => out.push(text),
    onStopSignal: () => undefined,
  };
  const error = await runProgram(args, context).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { out: out.join("\n"), code: error === undefined ? 0 : exitCodeOf(error), message: (error as Error | undefined)?.message ?? "" };
}

describe("runProgram", () => {
  test.each([
    [["frob"], "frob"],
    [[], "--help"],
    [["mount"], "source"],
    [["mount", "s3://b"], "dir"],
    [["mount", "b", "/x"], "s3://BUCKET"],
    [["mount", "s3://b", "/x", "/y"], "too many arguments"],
    [["mount", "s3://b", "/x", "--cachedir", "y"], "--cache-dir"],
    [["mount", "s3://b", "/x", "-o", "allow_othr"], "allow_other"],
    [["mount", "s3://b", "/x", "--cache-size", "much"], "much"],
    [["mount", "s3://b", "/x", "--log-level", "loud"], "loud"],
    [["umount"], "dir"],
    [["controller"], "--endpoint"],
    [["node", "--endpoint", "unix:///x"], "--node-id"],
    [["keeper"], "--socket"],
    [["keeper", "--socket", "/no/such/dir/s", "--http-endpoint", "9808"], "9808"],
    [["node", "--endpoint", "unix:///x", "--node-id", "n", "--cache-size", "much"], "--cache-size"],
  ])("`runProgram` gives 2 and one line that names the word when the command line is %j", async (args, name) => {
    const { code, message } = await run(...args);
    expect(code).toBe(2);
    expect(message).toContain(name);
    expect(message).not.toContain("\n");
  });

  test.each([
    [["mount", "--foreground", "s3://b", "/no/such/dir"]],
    [["mount", "--fake", "s3://b", "/no/such/dir"]],
    [["umount", "/no/such/dir"]],
    [["status", "/no/such/dir"]],
  ])("`runProgram` gives 1 and names the directory when it is not there: %j", async (args) => {
    expect(await run(...args)).toMatchObject({ code: 1, message: expect.stringContaining("/no/such") });
  });

  test("`runProgram` prints the version when asked in either form", async () => {
    const [version, flag] = [await run("version"), await run("--version")];
    expect(version.out).toMatch(/^bucketmount \d+\.\d+\.\d+/);
    expect(flag).toEqual(version);
  });

  test("`runProgram` lists every command when asked for help", async () => {
    const { out, code } = await run("--help");
    expect(code).toBe(0);
    for (const command of ["mount", "umount", "status", "controller", "node", "keeper", "version"]) expect(out).toContain(`  ${command}`);
  });
});
