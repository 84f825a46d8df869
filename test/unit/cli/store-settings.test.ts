import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findCredentials, locateStore } from "#cli/store-settings.ts";

const KEYS = { AWS_ACCESS_KEY_ID: "ENVKEY", AWS_SECRET_ACCESS_KEY: "ENVSECRET" };
let dir: string;
let file: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "store-settings-"));
  file = join(dir, "passwd");
  await writeFile(file, "FILEKEY:FILESECRET\n", { mode: 0o600 });
});
afterAll(() => rm(dir, { recursive: true }));

describe("locateStore", () => {
  test("`locateStore` takes the command line first, then AWS's names from the special to the general", () => {
    const env = { AWS_ENDPOINT_URL_S3: "http://s3", AWS_ENDPOINT_URL: "http://all", AWS_REGION: "r1", AWS_DEFAULT_REGION: "r2" };
    expect(locateStore({ endpoint: "http://given", region: "r0" }, env)).toEqual({ endpoint: "http://given", region: "r0" });
    expect(locateStore({}, env)).toEqual({ endpoint: "http://s3", region: "r1" });
    expect(locateStore({}, { ...env, AWS_ENDPOINT_URL_S3: "", AWS_REGION: "" })).toEqual({ endpoint: "http://all", region: "r2" });
  });

  test("`locateStore` leaves AWS's region to the SDK and gives any to others when none is known", () => {
    expect(locateStore({}, {})).toEqual({});
    expect(locateStore({ endpoint: "http://x", pathStyle: false }, {})).toEqual({
      ...{ endpoint: "http://x", region: "us-east-1", pathStyle: false },
    });
  });

  test("`locateStore` reads the CA file, and names it when it is not there", () => {
    expect(locateStore({}, { AWS_CA_BUNDLE: file })).toEqual({ caBundle: "FILEKEY:FILESECRET\n" });
    expect(() => locateStore({ caFile: join(dir, "none") }, {})).toThrow(join(dir, "none"));
  });
});

describe("findCredentials", () => {
  const find = (wishes: Parameters<typeof findCredentials>[0], env: NodeJS.ProcessEnv, files: readonly string[] = [file]) =>
    findCredentials(wishes, "b", env, files);

  test("`findCredentials` takes the passwd file before all else when one is named", async () => {
    const wanted = { kind: "static", accessKeyId: "FILEKEY", secretAccessKey: "FILESECRET" };
    expect(await find({ passwdFile: file }, { ...KEYS, AWS_PROFILE: "p" })).toEqual(wanted);
  });

  test("`findCredentials` takes a profile before keys in the environment, as AWS's tools do", async () => {
    expect(await find({}, { ...KEYS, AWS_PROFILE: "p" })).toEqual({ kind: "chain", profile: "p" });
    expect(await find({ profile: "q" }, { AWS_PROFILE: "p" })).toEqual({ kind: "chain", profile: "q" });
  });

  test("`findCredentials` takes keys of the environment, then s3fs's files, then the chain", async () => {
    expect(await find({}, { ...KEYS, AWS_SESSION_TOKEN: "T" })).toEqual({
      ...{ kind: "static", accessKeyId: "ENVKEY", secretAccessKey: "ENVSECRET", sessionToken: "T" },
    });
    expect(await find({}, {}, [join(dir, "none"), file])).toMatchObject({ accessKeyId: "FILEKEY" });
    expect(await find({}, {}, [])).toEqual({ kind: "chain" });
  });

  test("`findCredentials` passes the keys over when the instance's role is wanted", async () => {
    expect(await find({ instanceRole: true }, KEYS)).toEqual({ kind: "chain" });
  });

  test("`findCredentials` names a default file that others may read, instead of passing it over", async () => {
    const open = join(dir, "open");
    await writeFile(open, "A:B\n");
    await chmod(open, 0o644);
    await expect(find({}, {}, [open])).rejects.toThrow(`chmod 600 ${open}`);
  });
});
