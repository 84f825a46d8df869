// Each statement of docs/SEMANTICS.md names tests that run it, in comments that the shown page does not have.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

interface Statement {
  readonly text: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
}

/** The list items, each with the lines that belong to it. */
function statements(page: string): Statement[] {
  const items = page.split(/^(?=- |#|$)/m).filter((block) => block.startsWith("- "));
  return items.map((text) => ({
    text: text.split("\n", 1)[0] ?? "",
    tests: [...text.matchAll(/<!-- (test\/\S+) "(.+)" -->/g)].map(([, file = "", title = ""]) => ({ file, title })),
  }));
}

describe("docs/SEMANTICS.md", () => {
  const found = statements(readFileSync("docs/SEMANTICS.md", "utf8"));

  it("is a list of statements", () => {
    expect(found.length).toBeGreaterThan(30);
  });

  it.each(found)("$text", ({ tests }) => {
    expect(tests, "tests that run it").not.toEqual([]);
    for (const { file, title } of tests) {
      expect(existsSync(file), `${file} is there`).toBe(true);
      expect(readFileSync(file, "utf8").includes(title), `${file} has a test "${title}"`).toBe(true);
    }
  });
});
