/** What of an installed production tree the program needs when it runs; the image leaves out the rest, about two thirds of the bytes. */

interface Rule {
  readonly pattern: RegExp;
  /** What the pattern finds, and why the program never reads it. */
  readonly reason: string;
}

/** Paths are relative to `node_modules`, with `/` between the names. A package's own folder may be at any depth. */
const PACKAGE = "(?:^|/node_modules/)(?:@[^/]+/)?[^/@]+";

const UNNEEDED: readonly Rule[] = [
  { pattern: /\.[mc]?ts$|\.map$|\.tsbuildinfo$/, reason: "types and source maps are for compilers and debuggers" },
  { pattern: /\.(?:cc?|h|hh|inc|S|asm|o)$/, reason: "sources of native add-ons: the prebuilt file is used" },
  { pattern: /\.(?:md|markdown|html|yml|yaml|ico)$|\/\.[^/]+$/, reason: "documentation and settings of the package's own tools" },
  { pattern: new RegExp(`${PACKAGE}/(?:tests?|__tests__|bench(?:mark)?s?|examples?|docs)/`), reason: "not part of the package's code" },
  { pattern: /^@(?:aws-sdk|smithy)\/[^/]+\/dist-(?:es|types)\//, reason: "on Node.js these packages load dist-cjs" },
  { pattern: /^@koromix\/[^/]+\/musl_/, reason: "the image has glibc" },
  { pattern: /^koffi\/(?:vendor|lib)\//, reason: "for building the add-on" },
];

/** Packages that are nothing at run time: types, and add-ons for the Bare runtime, which are optional on Node.js. */
const UNNEEDED_PACKAGE = /(?:^|\/)(?:@types|undici-types|bare-[^/]+)\//;

/** The manifest of each package tells Node.js where its code is, and a licence has to come with the code. */
const KEPT = /(?:^|\/)(?:package\.json|licen[cs]e[^/]*|notice[^/]*)$/i;

/** Whether a file below `node_modules` belongs into the image. */
export function isNeeded(path: string): boolean {
  if (UNNEEDED_PACKAGE.test(path)) return false;
  return KEPT.test(path) || !UNNEEDED.some(({ pattern }) => pattern.test(path));
}
