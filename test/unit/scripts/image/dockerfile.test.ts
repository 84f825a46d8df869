/** What the Dockerfile says and what the tests' image is made of, where both can be read here. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ENTRY_POINT } from "../../../../scripts/image/app-tree.ts";
import { IMAGE_USER, nodeVersion } from "../../../../scripts/image/root-tree.ts";

const PROJECT = join(import.meta.dirname, "../../../..");
const dockerfile = readFileSync(join(PROJECT, "Dockerfile"), "utf8");

describe("Dockerfile", () => {
  it("has the Node.js that the tests run on", () => {
    expect(/^ARG NODE_VERSION=(.*)$/m.exec(dockerfile)?.[1]).toBe(nodeVersion());
  });

  it("makes /app by the function that the tests call", () => {
    expect(dockerfile).toContain("RUN node scripts/image.ts app /app ");
  });

  it("starts the program and the user that the tests' image has", () => {
    expect(JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? "")).toEqual(ENTRY_POINT);
    expect(/^USER (.*)$/m.exec(dockerfile)?.[1]).toBe(IMAGE_USER);
  });

  it("gets each file that the build reads, and the ignore file lets no other in", () => {
    const allowed = readFileSync(join(PROJECT, ".dockerignore"), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(allowed.shift()).toBe("*");
    const names = allowed.map((line) => line.replace(/^!/, ""));
    expect(names.filter((name) => !existsSync(join(PROJECT, name)))).toEqual([]);
    expect(names.toSorted()).toEqual(
      ["LICENSE", "package-lock.json", "package.json", "proto", "scripts", "src", "tsconfig.build.json", "tsconfig.json"].toSorted(),
    );
  });
});
