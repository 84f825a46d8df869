// What the documents point to is there: files by link, scripts by `npm run`, source files by path, flags by name.
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

const DOCUMENTS = globSync(["*.md", "docs/**/*.md", "examples/**/*.md", "test/bench/**/*.md"]).toSorted();
const SCRIPTS = Object.keys((JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }).scripts);

function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? "");
}

describe.each(DOCUMENTS)("%s", (document) => {
  const text = readFileSync(document, "utf8");

  it("links to files that exist", () => {
    const links = found(text, /\]\(([^)#\s]+)[^)]*\)/g).filter((link) => !/^[a-z]+:/.test(link));
    expect(links.filter((link) => !existsSync(join(dirname(document), link)))).toEqual([]);
  });

  it("names npm scripts that exist", () => {
    expect(found(text, /npm run ([\w:-]+)/g).filter((script) => !SCRIPTS.includes(script))).toEqual([]);
  });

  it("names source files that exist", () => {
    const paths = found(text, /`((?:src|scripts|test|examples|proto)\/[\w./-]+)`/g);
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });
});

it("README.md uses only flags that `bucketmount mount --help` knows", () => {
  const help = execFileSync(process.execPath, ["-C", "source", "src/cli/main.ts", "mount", "--help"], { encoding: "utf8" });
  const lines = readFileSync("README.md", "utf8")
    .split("\n")
    .filter((line) => line.includes("$ bucketmount mount"));
  const flags = lines.flatMap((line) => found(line, /(--[\w-]+)/g));
  expect(flags.length).toBeGreaterThan(0);
  expect(flags.filter((flag) => !help.includes(flag))).toEqual([]);
});
