// Programs that people use every day, on one mount, as they are: what a local disk runs, this has to run.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { skipMounts } from "../support/kernel-gate.ts";
import { skipLibfuse } from "../support/libfuse-gate.ts";
import { missingCommand, type PosixMount, posixServers, runProgram, runScript, startPosixMount } from "../support/posix-mount.ts";
import { APPLICATIONS, UNSTEADY_APPLICATIONS } from "./libfuse-known-differences.ts";

const PROGRAMS = join(import.meta.dirname, "programs");
/** Nothing here takes as long where nothing is wrong: the sum of all is about two minutes. */
const LIMIT_MS = 900_000;

type Channel = "dev-fuse" | "fuse-native";

const isFull = process.env["POSIX_FULL"] === "1";

/** Through libfuse by default: those that use the most of a file system in the least time. */
const CHOSEN = /^(?:sqlite.* delete|fcntl|rsync|tar|vim|make|shared|open|four)/;

/** `test`, or a skipped one with a printed reason where a command is missing. What is known not to work on the channel must not. */
function applicationOn(channel: Channel, name: string, commands: readonly string[], work: (folder: string) => Promise<void>): void {
  if (channel === "fuse-native" && (UNSTEADY_APPLICATIONS[name] !== undefined || (!isFull && !CHOSEN.test(name)))) return;
  const missing = missingCommand(commands);
  if (missing !== undefined) console.warn(`SKIPPED ${name}: no ${missing} on this machine`);
  const known = channel === "fuse-native" && APPLICATIONS[name] !== undefined;
  (missing !== undefined ? test.skip : known ? test.fails : test)(
    name,
    async () => {
      const folder = join(mounted.path, name.replaceAll(/\W+/g, "-"));
      await mkdir(folder);
      await work(folder);
    },
    LIMIT_MS,
  );
}

let mounted: PosixMount;
/** On a local disk: what the programs start from. */
let local: string;

const python = (program: string, ...args: string[]) => runProgram(["python3", join(PROGRAMS, program), ...args], { cwd: local });
const describeTree = (root: string, ...flags: string[]) => python("describe-tree.py", root, ...flags);

const skip = skipMounts("applications on a mount");
const throughLibfuse = skip || skipLibfuse("applications on a mount through libfuse") ? [] : posixServers().slice(-1);
const mounts = [
  ...posixServers().flatMap((kind) => (["remote", "local"] as const).map((durability) => [kind, durability, "dev-fuse"] as const)),
  ...throughLibfuse.map((kind) => [kind, "remote", "fuse-native"] as const),
];

describe.skipIf(skip).each(mounts)("on one mount of a bucket of %s with durability=%s, channel=%s", (kind, durability, channel) => {
  const application = applicationOn.bind(undefined, channel);
  beforeAll(async () => {
    mounted = await startPosixMount(kind, "applications", ["-o", `durability=${durability},channel=${channel}`]);
    local = await mkdtemp(join(tmpdir(), "applications-"));
    await python("make-tree.py", join(local, "tree"));
  });
  afterAll(async () => {
    await mounted?.end();
    await rm(local, { recursive: true, force: true });
  });

  let started = 0;
  beforeEach(() => {
    started = performance.now();
  });
  afterEach(({ task }) => {
    if (task.result?.state !== "skip") console.log(`${task.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  });

  application("git clones, commits, merges, packs and checks a repository of 2,000 files", ["git"], async (folder) => {
    const script = `
      export HOME=${local} GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git init -q --initial-branch=main ${local}/origin
      (cd ${local}/origin
       for d in $(seq 40); do mkdir dir$d; for f in $(seq 50); do echo "file $f of $d" > dir$d/file$f; done; done
       ln -s dir1/file1 link; echo '#!/bin/sh' > run; chmod +x run
       git add -A; git commit -q -m first)
      git clone -q --no-local ${local}/origin repo
      cd repo
      [ -z "$(git status --porcelain)" ]
      git switch -q -c work
      for d in $(seq 40); do echo changed >> dir$d/file$d; done
      git mv dir3 moved; git rm -q -r -f dir4; echo new > new
      git add -A; git commit -q -m second
      git switch -q main
      echo other > other; git add other; git commit -q -m third
      git merge -q --no-edit work
      git stash list; echo dirty >> new; git stash -q; git stash pop -q; git checkout -q -- new
      [ -z "$(git status --porcelain)" ]
      git tag -a -m v1 v1
      git gc -q --prune=now
      git fsck --full --strict --no-progress
      [ "$(git count-objects -v | sed -n 's/^count: //p')" = 0 ]
      git push -q origin main:pushed
      [ "$(git -C ${local}/origin rev-parse pushed)" = "$(git rev-parse HEAD)" ]
      git worktree add -q ../tree2 work
      [ -z "$(git -C ../tree2 status --porcelain)" ]
      [ "$(git ls-files | wc -l)" = "$(find . -path ./.git -prune -o -not -type d -print | wc -l)" ]
      git clean -fdx; git reset -q --hard HEAD~1
      [ -z "$(git status --porcelain)" ]`;
    await runScript(script, { cwd: folder });
  });

  for (const mode of ["delete", "wal"]) {
    application(`sqlite keeps a database of two writers and a killed one with journal mode ${mode}`, ["python3"], async (folder) => {
      expect(await python("sqlite-users.py", folder, mode, "25")).toContain("50 rows, total 50, integrity ok");
    });
  }

  application("npm ci installs from tarballs, and node runs what was installed", ["npm", "node"], async (folder) => {
    const script = `
      mkdir -p ${local}/packages/{one,two}/lib; cd ${local}/packages
      echo '{"name":"one","version":"1.0.0","main":"lib/index.js","bin":{"one-tool":"cli.js"},"dependencies":{"two":"1.0.0"}}' > one/package.json
      echo 'module.exports = () => require("two")(20) + require("./part-7").value + 15' > one/lib/index.js
      printf '#!/usr/bin/env node\\nconsole.log("tool", require("./lib")())\\n' > one/cli.js
      for n in $(seq 200); do echo "exports.value = $n" > one/lib/part-$n.js; done
      echo '{"name":"two","version":"1.0.0","main":"index.mjs"}' > two/package.json
      echo '{"name":"two","version":"1.0.0","main":"index.js"}' > two/package.json
      echo 'module.exports = (n) => n' > two/index.js
      npm pack --silent ./one ./two >/dev/null
      cd "$TARGET"
      cp ${local}/packages/*.tgz .
      echo '{"name":"app","version":"1.0.0","dependencies":{"one":"file:one-1.0.0.tgz","two":"file:two-1.0.0.tgz"}}' > package.json
      npm install --package-lock-only --offline --silent --no-audit --no-fund
      npm ci --offline --no-audit --no-fund --silent
      [ "$(node -p 'require("one")()')" = 42 ]
      [ "$(npx --offline one-tool)" = "tool 42" ]
      npm ci --offline --no-audit --no-fund --silent
      [ "$(find node_modules/one/lib -name 'part-*' | wc -l)" = 200 ]
      [ "$(./node_modules/.bin/one-tool)" = "tool 42" ]
      rm -rf node_modules
      [ ! -e node_modules ]`;
    // The cache is on the mount too: npm writes it by temporary files and renames.
    await runScript(script, { cwd: folder, env: { TARGET: folder, npm_config_cache: join(folder, ".npm"), HOME: local } });
  });

  application("python makes a virtual environment and pip installs a wheel into it", ["python3"], async (folder) => {
    const script = `
      python3 - <<'PY'
import zipfile
with zipfile.ZipFile("${local}/greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting/__init__.py", "def main():\\n    print('hello from the wheel')\\n")
    for n in range(60):
        wheel.writestr(f"greeting/part_{n}.py", f"VALUE = {n}\\n")
    info = "greeting-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\\ngreet = greeting:main\\n")
    wheel.writestr(info + "RECORD", "")
PY
      python3 -m venv --without-pip env
      python3 -m pip --python env/bin/python install -q --no-index --no-deps --disable-pip-version-check ${local}/greeting-1.0-py3-none-any.whl
      [ "$(env/bin/greet)" = "hello from the wheel" ]
      [ "$(env/bin/python -c 'import greeting.part_59 as p; print(p.VALUE)')" = 59 ]
      [ "$(find env -name '*.pyc' | grep -c greeting)" = 61 ]
      python3 -m pip --python env/bin/python uninstall -q -y greeting
      ! env/bin/python -c 'import greeting' 2>/dev/null`;
    await runScript(script, { cwd: folder, env: { PIP_CACHE_DIR: join(folder, ".pip"), PYTHONDONTWRITEBYTECODE: "" } });
  });

  for (const kind of ["flock", "fcntl", "ofd"]) {
    application(`${kind} locks keep three processes apart`, ["python3"], async (folder) => {
      expect(await python("locked-counter.py", folder, kind, "3", "25")).toContain(`${kind}: 75`);
    });
  }

  application("two Java processes share a repository with the locks and moves of Maven and Gradle", ["java"], async (folder) => {
    await mkdir(join(folder, ".locks"));
    const build = (name: string) => runProgram(["java", join(PROGRAMS, "LockedRepository.java"), folder, name, "20"], { cwd: local });
    await Promise.all([build("first"), build("second")]);
    const counts = `grep -q '^count=40$' _remote.repositories; od -An -tu1 -j1 -N8 journal-1.lock; ls`;
    const [gradle, ...names] = (await runScript(counts, { cwd: folder })).trimEnd().split("\n");
    expect(gradle?.trim().split(/\s+/)).toEqual(["0", "0", "0", "0", "0", "0", "0", "40"]);
    expect(names).toEqual(["_remote.repositories", "artifact.jar", "journal-1.lock"]);
  });

  application("rsync -aHAX copies a tree with all attributes, and moves nothing the second time", ["rsync", "python3"], async (folder) => {
    const copy = (...more: string[]) =>
      runProgram(["rsync", "-aHAX", "--itemize-changes", ...more, `${local}/tree/`, `${folder}/copy/`], { cwd: local });
    await copy();
    expect(await copy()).toBe("");
    expect(await copy("--checksum")).toBe("");
    expect(await describeTree(join(folder, "copy"))).toBe(await describeTree(join(local, "tree")));
  });

  application("tar carries all attributes in and out", ["tar", "python3"], async (folder) => {
    const keep = "--xattrs --xattrs-include='*' --acls --numeric-owner --format=posix";
    const script = `
      tar -C ${local}/tree ${keep} -cf ${local}/in.tar .
      mkdir in; tar -C in ${keep} --same-owner -xpf ${local}/in.tar
      tar -C in ${keep} --compare -f ${local}/in.tar
      tar -C in ${keep} -cf out.tar .
      mkdir ${local}/out; tar -C ${local}/out ${keep} --same-owner -xpf out.tar`;
    await runScript(script, { cwd: folder });
    const original = await describeTree(join(local, "tree"));
    expect(await describeTree(join(folder, "in"))).toBe(original);
    expect(await describeTree(join(local, "out"))).toBe(original);
  });

  for (const copy of ["no", "yes"]) {
    application(`vim saves with a backup, backupcopy=${copy}`, ["vim"], async (folder) => {
      const save = (n: number) => `
        vim -es -u NONE -i NONE -c 'set nocompatible backup writebackup backupskip= backupcopy=${copy} backupext=.bak backupdir=. directory=. swapfile' \
          -c '%s/version.*/version ${n}/' -c 'w' -c 'q' text`;
      const script = `
        printf 'a line\\nversion 0\\n' > text; chmod 640 text; chown 1234:4321 text
        ${[1, 2, 3].map(save).join("\n")}
        [ "$(stat -c '%a %u:%g' text)" = "640 1234:4321" ]
        [ "$(cat text)" = "$(printf 'a line\\nversion 3')" ]
        [ "$(cat text.bak)" = "$(printf 'a line\\nversion 2')" ]
        [ "$(ls -A)" = "$(printf 'text\\ntext.bak')" ]`;
      await runScript(script, { cwd: folder, env: { HOME: local } });
    });
  }

  application("make and gcc build a program, and only once", ["make", "gcc"], async (folder) => {
    const script = `
      for n in $(seq 24); do printf '#include "all.h"\\nint part%d(void) { return %d + ONE - 1; }\\n' $n $n > part$n.c; done
      { echo '#define ONE 1'; for n in $(seq 24); do echo "int part$n(void);"; done; } > all.h
      { echo '#include "all.h"'; echo '#include <stdio.h>'; echo 'int main(void) { int sum = 0;'
        for n in $(seq 24); do echo "sum += part$n();"; done; echo 'printf("%d\\n", sum); return 0; }'; } > main.c
      { echo 'PARTS = $(patsubst %.c,%.o,$(wildcard part*.c))'
        printf 'sum: main.o libparts.a\\n\\tgcc -o $@ main.o -L. -lparts\\n'
        printf 'libparts.a: $(PARTS)\\n\\trm -f $@\\n\\tar rcs $@ $(PARTS)\\n'
        printf '%%.o: %%.c all.h\\n\\tgcc -O -g -c -o $@ $<\\n'; } > Makefile
      make -s -j2
      [ "$(./sum)" = 300 ]
      make -q
      echo '#define ONE 2' > all.h.new; tail -n +2 all.h >> all.h.new; mv all.h.new all.h
      ! make -q
      make -s -j2
      [ "$(./sum)" = 324 ]
      make -q
      strip sum; [ "$(./sum)" = 324 ]`;
    await runScript(script, { cwd: folder });
  });

  for (const [habit, name] of [
    ["mapped", "shared mappings of two processes, read and write see the same bytes"],
    ["removed", "open files whose name is removed, replaced or moved go on"],
    ["append", "four processes append to one file without losing or mixing lines"],
    ["replaced", "readers of a file that is replaced by renames see whole versions in order"],
  ] as const) {
    application(name, ["python3"], async (folder) => {
      await python("file-habits.py", habit, folder);
    });
  }

  test("all of it is in the bucket: a mount with nothing cached shows the same", { timeout: LIMIT_MS }, async () => {
    const before = await describeTree(mounted.path, "--as-stored");
    mounted = await mounted.again();
    expect((await describeTree(mounted.path, "--as-stored")).split("\n")).toEqual(before.split("\n"));
    expect(before.split("\n").length).toBeGreaterThan(channel === "dev-fuse" ? 1000 : 100);
  });
});
