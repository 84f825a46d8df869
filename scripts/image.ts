// Parts of the container image:
//   node scripts/image.ts app FOLDER [x64|arm64]   the folder /app (what the Dockerfile calls); default this machine's processor
//   node scripts/image.ts root FOLDER              the whole root file system, for tests: test/cluster/image.sh makes an image of it
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { CPUS, type Cpu, makeAppTree, sizeOf } from "./image/app-tree.ts";
import { makeRootTree } from "./image/root-tree.ts";

const MB = 1_000_000;

function main([part, folder, cpu = process.arch]: readonly string[]): number {
  if (folder === undefined || !(CPUS as readonly string[]).includes(cpu) || (part !== "app" && part !== "root")) {
    console.error(`usage: image.ts app FOLDER [${CPUS.join("|")}]   image.ts root FOLDER`);
    return 2;
  }
  const out = resolve(folder);
  if (existsSync(out)) throw new Error(`${out} is there already: give a new folder`);
  if (part === "app") makeAppTree(out, cpu as Cpu);
  else makeRootTree(out);
  const app = part === "app" ? out : join(out, "app");
  const sizes = { app, ...(part === "root" ? { whole: out } : {}) };
  for (const [name, path] of Object.entries(sizes)) console.log(`${name}: ${(sizeOf(path) / MB).toFixed(1)} MB`);
  return 0;
}

process.exitCode = main(process.argv.slice(2));
