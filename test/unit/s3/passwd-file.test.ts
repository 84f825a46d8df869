import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { parsePasswd, readPasswdFile } from "#s3/passwd-file.ts";
import { fails } from "../../support/store-assertions.ts";

describe("parsePasswd", () => {
  const source = (accessKeyId: string, secretAccessKey: string) => ({ kind: "static", accessKeyId, secretAccessKey });

  it("takes the bucket's own line before the line for all", () => {
    const text = "# comment\n\nAKALL:sall\nother:AKO:so\nmine:AKM:sm+/=\r\n";
    expect(parsePasswd(text, "mine", "f")).toEqual(source("AKM", "sm+/="));
    expect(parsePasswd(text, "third", "f")).toEqual(source("AKALL", "sall"));
  });

  it.each([
    ["", /no line for the bucket "b"/],
    ["other:A:hidden\n", /no line for the bucket "b"/],
    ["onlyhidden\n", /f: line 1 is neither KEY:SECRET nor BUCKET:KEY:SECRET/],
    ["# x\na:b:c:hidden\n", /f: line 2/],
    ["A:\n", /f: line 1/],
    ["A hidden:x\n", /f: line 1/],
    ["A:hidden\nB:hidden\n", /f: line 2 is a second/],
    ["b:A:hidden\nb:B:hidden\n", /f: line 2 is a second/],
  ])("refuses %j with the line and without its content", (text, message) => {
    const parse = () => parsePasswd(text, "b", "f");
    expect(parse).toThrow(message);
    expect(parse).toThrow(DriverError);
    expect(parse).not.toThrow(/hidden/);
  });
});

describe("readPasswdFile", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "bucketmount-passwd-"));
  });
  afterAll(() => rm(dir, { recursive: true }));

  it("reads a file that is its owner's alone", async () => {
    const path = join(dir, "good");
    await writeFile(path, "A:s\n", { mode: 0o600 });
    expect(await readPasswdFile(path, "b")).toMatchObject({ accessKeyId: "A" });
    await chmod(path, 0o400);
    expect(await readPasswdFile(path, "b")).toMatchObject({ accessKeyId: "A" });
  });

  it.each([0o640, 0o604, 0o620, 0o644, 0o660, 0o601])("refuses mode %o and says how to mend it", async (mode) => {
    const path = join(dir, "open");
    await writeFile(path, "A:s\n");
    await chmod(path, mode);
    const error = await fails(readPasswdFile(path, "b"), "bad_argument");
    expect(error.message).toBe(`the passwd file ${path} has mode 0${mode.toString(8)} and must be its owner's alone: chmod 600 ${path}`);
  });

  it("names a file that is missing or no file", async () => {
    expect((await fails(readPasswdFile(join(dir, "none"), "b"), "bad_argument")).message).toContain(`${join(dir, "none")} does not exist`);
    expect((await fails(readPasswdFile(dir, "b"), "bad_argument")).message).toContain("not a regular file");
  });
});
