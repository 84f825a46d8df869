// Adds to package-lock.json the optional packages of other platforms that npm left out: node scripts/complete-lock.ts [FILE]
//
// npm records only the optional packages whose metadata it could read. Behind a registry that mirrors some platforms, or over an
// existing node_modules, it writes a lock without the rest, and then its own `npm ci` refuses that lock as out of date. The entries
// added here carry version and platform, which is all that npm needs to know that it must not install them.
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  dev?: true;
  optional?: true;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

export interface Lock {
  packages: Record<string, LockEntry>;
}

const OS = ["android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "aix", "win32"];
const CPU = ["x64", "arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "riscv32", "s390x", "wasm32", "universal"];

/** What a platform package's name says of where it belongs: `@x/y-linux-arm64-musl` is linux, arm64, musl. */
export function platformOf(name: string): Pick<LockEntry, "os" | "cpu" | "libc"> {
  const words = name.split(/[-/_]/);
  const os = OS.filter((one) => words.includes(one));
  const cpu = CPU.filter((one) => words.includes(one));
  const libc = words.includes("musl") ? ["musl"] : words.includes("gnu") ? ["glibc"] : undefined;
  return { ...(os.length > 0 && { os }), ...(cpu.length > 0 && { cpu }), ...(libc && os.includes("linux") && { libc }) };
}

/** Optional dependencies that some package asks for by an exact version, and that the lock has nowhere. */
export function missingOptionals(lock: Lock): { name: string; version: string; dev: boolean }[] {
  return Object.values(lock.packages).flatMap((entry) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !Object.keys(lock.packages).some((path) => path.endsWith(`node_modules/${name}`)))
      .map(([name, version]) => ({ name, version: version.replace(/^[\^~]/, ""), dev: entry.dev === true })),
  );
}

/** The lock with an entry for each missing optional package, in npm's order. */
export function completeLock<L extends Lock>(lock: L): L {
  const packages = { ...lock.packages };
  for (const { name, version, dev } of missingOptionals(lock)) {
    packages[`node_modules/${name}`] = { version, ...(dev && { dev: true }), optional: true, ...platformOf(name) };
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, "en"));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

if (import.meta.main) {
  const file = process.argv[2] ?? "package-lock.json";
  const lock = JSON.parse(readFileSync(file, "utf8")) as Lock;
  writeFileSync(file, `${JSON.stringify(completeLock(lock), null, 2)}\n`);
  console.log(`${file}: ${missingOptionals(lock).length} entries added`);
}
