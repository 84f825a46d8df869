/**
 * The image's `/app`: the compiled program and the packages that it needs. The Dockerfile and the tests, which have no image builder,
 * make it by this one function.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTools } from "../tools-path.ts";
import { isNeeded } from "./needed.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The program inside the image; the Dockerfile's ENTRYPOINT says the same. */
export const ENTRY_POINT = ["/usr/local/bin/node", "/app/dist/cli/main.js"] as const;

/** Processors by npm's names. */
export const CPUS = ["x64", "arm64"] as const;
export type Cpu = (typeof CPUS)[number];

/** npm names what it installs for; a tree for another processor than this machine's is made the same way. */
const NPM_FLAGS = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--os=linux", "--libc=glibc"];

/** Needs libfuse, which the image has not; volumes are always served through the other channel. */
const LEFT_OUT = "fuse-native";

/** Fills the new folder `app`. Needs this project's own packages to be installed, and the npm registry. Throws when a step fails. */
export function makeAppTree(app: string, cpu: Cpu): void {
  mkdirSync(app, { recursive: true });
  for (const file of ["package.json", "package-lock.json", "LICENSE"]) copyFileSync(join(PROJECT, file), join(app, file));
  run("npm", ["ci", ...NPM_FLAGS, `--cpu=${cpu}`], app);
  run("npm", ["uninstall", LEFT_OUT, ...NPM_FLAGS, `--cpu=${cpu}`], app);
  // npm's own caches and the list of what it installed.
  for (const name of [".bin", ".package-lock.json"]) rmSync(join(app, "node_modules", name), { recursive: true, force: true });
  rmSync(join(app, "package-lock.json"));
  prune(join(app, "node_modules"));
  run("tsc", ["-p", "tsconfig.build.json", "--outDir", join(app, "dist"), "--sourceMap", "false"], PROJECT);
  cpSync(join(PROJECT, "proto"), join(app, "proto"), { recursive: true });
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"], env: withTools(process.env) });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}`);
}

/** Removes what is not needed, and the folders that this empties. */
function prune(modules: string): void {
  const entries = readdirSync(modules, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }));
  for (const { entry, path } of paths) {
    if (!entry.isDirectory() && !isNeeded(path.slice(modules.length + 1))) unlinkSync(path);
  }
  const folders = paths.filter(({ entry }) => entry.isDirectory()).map(({ path }) => path);
  // The deepest first: a folder's own folders are longer than it.
  for (const path of folders.sort((a, b) => b.length - a.length)) if (readdirSync(path).length === 0) rmdirSync(path);
}

/** Bytes of all files below a folder. */
export function sizeOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
