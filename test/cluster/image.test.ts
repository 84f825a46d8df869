/** The image: small, and whole although most of what npm installs is left out of it. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inject, it } from "vitest";
import { ENTRY_POINT, sizeOf } from "../../scripts/image/app-tree.ts";
import { Cluster } from "./cluster.ts";
import { rootTree } from "./images.ts";

const MB = 1_000_000;
/** What the program does without where it is not there, as in the image. */
const { optionalDependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  optionalDependencies: Readonly<Record<string, string>>;
};
const root = rootTree(new Cluster(inject("cluster")));

/** Runs Node.js with only the image's files. */
function inImage(...args: readonly string[]) {
  return spawnSync("chroot", [root, ENTRY_POINT[0], ...args], { encoding: "utf8", env: { PATH: process.env["PATH"] } });
}

it("starts as the Dockerfile's entry point does", ({ expect }) => {
  const { stdout, stderr } = inImage(ENTRY_POINT[1], "version");
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^bucketmount \d+\.\d+\.\d+\n$/);
});

it("has every module that the program imports, with what those import", ({ expect }) => {
  const files = readdirSync(join(root, "app/dist"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
  const imports = files.flatMap((name) => {
    const text = readFileSync(join(root, "app/dist", name), "utf8");
    return [...text.matchAll(/(?:from|import\()\s*"([^"#./\s][^":\s]*)"/g)].map(([, specifier = ""]) => specifier);
  });
  const packages = [...new Set(imports)].filter((name) => !(name in optionalDependencies)).toSorted();
  expect(packages).toContain("@aws-sdk/client-s3");
  // Resolved from where the program is, not from the script given here.
  const script = `for (const name of ${JSON.stringify(packages)}) await import(import.meta.resolve(name, "file:///app/dist/cli/main.js"));`;
  const { stderr, status } = inImage("--experimental-import-meta-resolve", "--input-type=module", "--eval", script);
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
});

it("has nothing of the channel that needs libfuse", ({ expect }) => {
  expect(readdirSync(join(root, "app/node_modules"))).not.toContain("fuse-native");
});

it("is at most 100 MB besides Node.js, and has no shell", ({ expect }) => {
  const bytes = sizeOf(root) - sizeOf(join(root, "usr/local/bin"));
  console.log(`  the image without Node.js: ${(bytes / MB).toFixed(1)} MB`);
  expect(bytes).toBeLessThan(100 * MB);
  expect(readdirSync(root)).not.toContain("bin");
});
