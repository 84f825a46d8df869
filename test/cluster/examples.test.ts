/** The examples, applied as they stand. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { loadMavenImage, loadNpmImage } from "./build-images.ts";
import { serveMavenMirror, serveNpmRegistry, stopMirror } from "./mirrors.ts";
import { useScenario } from "./scenario.ts";

const EXAMPLES = join(import.meta.dirname, "../../examples");
/** The one that the examples name where they name one. */
const { cluster, kubectl, store } = useScenario("default");

type Change = (object: object) => object;

/** Applies files of an example. */
async function apply(files: readonly string[], change: Change = (object) => object): Promise<void> {
  for (const file of files) {
    const text = await readFile(join(EXAMPLES, file), "utf8");
    await kubectl.apply(...parseAllDocuments(text).map((document) => change(document.toJS() as object)));
  }
}

async function remove(files: readonly string[]): Promise<void> {
  await kubectl.run("delete", ...files.map((file) => `--filename=${join(EXAMPLES, file)}`), "--ignore-not-found", "--timeout=5m");
}

/** Waits for a Job's end, which has to be a good one for each pod at its first try, and resolves with what one of them wrote. */
async function completed(job: string): Promise<string> {
  const { spec, status } = await kubectl.untilObject("job", job, ({ status: now }) => now?.conditions?.some(isEnd) ?? false);
  const log = await kubectl.run("logs", `job/${job}`);
  const good = { succeeded: spec?.completions, failed: 0 };
  expect({ succeeded: status?.succeeded, failed: status?.failed ?? 0 }, log.slice(-3000)).toEqual(good);
  return log;
}

function isEnd({ type, status }: { readonly type: string; readonly status: string }): boolean {
  return (type === "Complete" || type === "Failed") && status === "True";
}

describe("examples/maven-cache", () => {
  const files = (...names: string[]) => names.map((name) => `maven-cache/kubernetes/${name}.yaml`);
  let settings = "";

  beforeAll(async () => {
    await loadMavenImage(cluster);
    settings = await serveMavenMirror(cluster, join(EXAMPLES, "maven-cache"));
  });

  it("builds in four pods at once, and then offline", async () => {
    await kubectl.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "maven-settings" }, data: { "settings.xml": settings } });
    await apply(files("claim", "project", "builds"));
    expect(await completed("maven-build")).toContain("BUILD SUCCESS");
    // Maven notes by the mirror's name where a file came from, so the settings stay; whatever is used comes from the volume.
    await stopMirror(cluster);
    await apply(files("offline"));
    expect(await completed("maven-build-offline")).toContain("BUILD SUCCESS");
    await kubectl.remove("configmap", "maven-settings");
    await remove(files("offline", "builds", "project", "claim"));
  });
});

describe("examples/npm-cache", () => {
  const files = (...names: string[]) => names.map((name) => `npm-cache/${name}.yaml`);
  let registry = "";

  beforeAll(async () => {
    await loadNpmImage(cluster);
    registry = await serveNpmRegistry(cluster, join(EXAMPLES, "npm-cache/project.yaml"));
  });

  /** There is no way to npm's own registry from here. */
  function withRegistry(object: object): object {
    const text = JSON.stringify(object);
    return JSON.parse(text.replace('"env":[', `"env":[{"name":"npm_config_registry","value":"${registry}"},`)) as object;
  }

  it("builds in four pods at once, and then offline", async () => {
    await apply(files("claim", "project"));
    await apply(files("builds"), withRegistry);
    await completed("npm-build");
    await stopMirror(cluster);
    await apply(files("offline"));
    await completed("npm-build-offline");
    await remove(files("offline", "builds", "project", "claim"));
  });
});

describe("examples with a bucket of somebody's own", () => {
  const BUCKET = "my-bucket";

  beforeAll(async () => {
    if (!(await store.buckets()).includes(BUCKET)) await store.createBucket(BUCKET);
    await store.put(BUCKET, "models/small.bin", "a model");
  });

  it("static-bucket reads the bucket and cannot write", async () => {
    const files = ["static-bucket/volume.yaml", "static-bucket/reader.yaml"];
    await apply(files);
    const log = await completed("reader");
    expect(log).toContain("small.bin");
    expect(log).toContain("read-only, as it should be");
    await remove(files.toReversed());
    expect(await store.get(BUCKET, "models/small.bin")).toBe("a model");
  });

  it("shared-prefix gives each claim a folder of its own", async () => {
    const files = ["class", "claims", "writer"].map((name) => `shared-prefix/${name}.yaml`);
    await apply(files);
    await completed("writer");
    expect(await store.get(BUCKET, "default/alpha/who")).toBe("alpha\n");
    expect(await store.get(BUCKET, "default/beta/who")).toBe("beta\n");
    await remove(files.toReversed());
  });
});
