/**
 * The directories that mounts go on: found under their real names, made with what leads to them, and taken away again when empty.
 * Nothing here removes anything but empty directories.
 */
import { lstat, mkdir, realpath, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { within } from "./deadline.ts";

/** These are local directories: who waits longer waits for a dead network disk. */
const LOCAL_MS = 10_000;

/**
 * The path as the kernel's mount table has it: without symbolic links in what leads to it (the kubelet's folder is often one). The
 * last part is not touched: an engine may have to answer for it. Parts that do not exist stay as they are.
 */
export async function canonicalPath(path: string): Promise<string> {
  const plain = path.replace(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
  return join(await within(LOCAL_MS, dirname(plain), realParent(dirname(plain))), basename(plain));
}

async function realParent(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path === "/") throw pathError(path, error);
    return join(await realParent(dirname(path)), basename(path));
  }
}

/** Faults `precondition`: it is not there; `not_dir` in words: it is something else. Only for a path that is no mount. */
export async function requireDirectory(path: string, field: string): Promise<void> {
  const found = await within(LOCAL_MS, path, lstat(path)).catch((error: unknown) => {
    throw new DriverError("precondition", `${field} "${path}": ${describe(error)}`, { cause: error });
  });
  if (!found.isDirectory()) throw new DriverError("precondition", `${field} "${path}" is not a directory`);
}

/** Makes the directory and what leads to it; the answer removes what was made, as far as it is empty. Fault `precondition`. */
export async function makeDirectory(path: string): Promise<() => Promise<void>> {
  const first = await within(LOCAL_MS, path, mkdir(path, { recursive: true, mode: 0o750 })).catch((error: unknown) => {
    throw pathError(path, error);
  });
  await requireDirectory(path, "target_path");
  return async () => {
    if (first === undefined) return;
    for (let made = path; made.startsWith(first); made = dirname(made)) {
      if (
        !(await rmdir(made).then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  };
}

/** Removes an empty directory; nothing there is fine. Fault `precondition` for anything else: it is left as it is. */
export async function removeDirectory(path: string): Promise<void> {
  await within(LOCAL_MS, path, rmdir(path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return;
    const what = error.code === "ENOTEMPTY" || error.code === "EEXIST" ? "holds local files and is left as it is" : describe(error);
    throw new DriverError("precondition", `target_path "${path}" ${what}`, { cause: error });
  });
}

function pathError(path: string, error: unknown): DriverError {
  return new DriverError("precondition", `"${path}": ${describe(error)}`, { cause: error });
}

function describe(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return "does not exist";
  if (code === "ENOTDIR") return "a part of it is not a directory";
  return code ?? DriverError.from(error).message;
}
