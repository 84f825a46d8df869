import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { completeLock, type Lock, missingOptionals, platformOf } from "../../../scripts/complete-lock.ts";

const lock: Lock = {
  packages: {
    "": {},
    "node_modules/tool": { version: "1.0.0", dev: true, optionalDependencies: { "@t/linux-x64": "1.0.0", "@t/win32-arm64": "1.0.0" } },
    "node_modules/@t/linux-x64": { version: "1.0.0", dev: true, optional: true },
  },
};

describe("platformOf", () => {
  it("reads system, processor and C library from the name", () => {
    expect(platformOf("@x/binding-linux-arm64-musl")).toEqual({ os: ["linux"], cpu: ["arm64"], libc: ["musl"] });
    expect(platformOf("@x/darwin-x64")).toEqual({ os: ["darwin"], cpu: ["x64"] });
    expect(platformOf("@x/binding-android-arm-eabi")).toEqual({ os: ["android"], cpu: ["arm"] });
  });
});

describe("completeLock", () => {
  it("adds an entry for a platform that npm left out, and keeps the others", () => {
    const complete = completeLock(lock);
    expect(missingOptionals(lock).map(({ name }) => name)).toEqual(["@t/win32-arm64"]);
    expect(missingOptionals(complete)).toEqual([]);
    expect(complete.packages["node_modules/@t/win32-arm64"]).toEqual({
      version: "1.0.0",
      dev: true,
      optional: true,
      os: ["win32"],
      cpu: ["arm64"],
    });
    expect(complete.packages["node_modules/@t/linux-x64"]).toEqual(lock.packages["node_modules/@t/linux-x64"]);
  });

  it("is not needed on this project's lock: run `npm run lock` when this fails", () => {
    expect(missingOptionals(JSON.parse(readFileSync("package-lock.json", "utf8")) as Lock)).toEqual([]);
  });
});
