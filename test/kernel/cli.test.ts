import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pollUntil } from "#node/deadline.ts";
import { connect } from "../../scripts/demo/csi-client.ts";
import { processesOf } from "../../scripts/demo/program.ts";
import {
  BUCKET,
  environment,
  expectNothingLeft,
  expectSmall,
  home,
  keys,
  LONG_MS,
  mnt,
  mount,
  mountArguments,
  PROGRAMS,
  resultOf,
  run,
  server,
  statusOf,
  useCommandLine,
} from "../support/command-line.ts";
import { skipMounts } from "../support/kernel-gate.ts";
import { isMounted } from "../support/mounted-bucket.ts";

describe.skipIf(skipMounts("test/kernel/cli"))("bucketmount", () => {
  useCommandLine();

  test.each(["source", "built"] as const)("`mount` serves, `status` tells and `umount` leaves nothing when run from %s", async (form) => {
    await mount([], form);
    await writeFile(join(mnt, `hello-${form}`), "hello");
    expect(await readFile(join(mnt, `hello-${form}`), "utf8")).toBe("hello");
    const status = await statusOf(form);
    expect(status).toMatchObject({
      bucket: BUCKET,
      mountPoint: mnt,
      source: `s3://${BUCKET}`,
      state: "serving",
      restarts: 0,
      dirtyFiles: 0,
    });
    expect(status.requests?.["PutObject"]).toBeGreaterThan(0);
    expect((await run(["status"], { form })).stdout).toContain(`${mnt}  s3://${BUCKET}  serving`);
    expect(await keys()).toContain(`hello-${form}`);
    expect(await run(["umount", mnt], { form })).toEqual({ code: 0, stdout: "", stderr: "" });
    // Not polled: when umount returns, they are gone.
    expect(processesOf(home)).toEqual([]);
    await expectNothingLeft();
    expect((await run(["status", mnt], { form })).code).toBe(1);
  });

  test("`mount` needs less than 120 MiB for an idle engine and for its supervisor", async () => {
    await mount();
    const { pid, supervisorPid } = await statusOf();
    await expectSmall("engine", pid);
    await expectSmall("supervisor", supervisorPid);
    expect((await run(["umount", mnt])).code).toBe(0);
  });

  test("`controller` and `node` serve their socket, need less than 120 MiB and end with 0 when they get SIGTERM", async () => {
    for (const [name, flags] of Object.entries({ Controller: [], Node: ["--node-id", "n", "--state-dir", join(home, "state")] })) {
      const socket = join(home, `${name}.sock`);
      const args = [name.toLowerCase(), ...flags, "--endpoint", `unix://${socket}`, "--s3-endpoint", server.endpoint];
      const plugin = spawn(process.execPath, [...PROGRAMS.built, ...args], { env: environment(), stdio: "pipe" });
      const result = resultOf(plugin);
      expect(await pollUntil(LONG_MS, 20, () => existsSync(socket))).toBe(true);
      const csi = connect(`csi.v1.${name as "Controller" | "Node"}`, socket);
      if (name === "Controller") {
        const capability = { mount: { fsType: "", mountFlags: [] }, accessMode: { mode: "MULTI_NODE_MULTI_WRITER" } };
        for (const volume of ["one", "two", "three"]) {
          const reply = await csi.call<{ volume: { volumeId: string } }>("createVolume", {
            name: volume,
            volumeCapabilities: [capability],
          });
          await csi.call("deleteVolume", { volumeId: reply.volume.volumeId });
        }
      } else {
        expect(await csi.call("nodeGetInfo", {})).toMatchObject({ nodeId: "n" });
      }
      await expectSmall(`${name.toLowerCase()} after its first calls`, plugin.pid);
      csi.close();
      plugin.kill("SIGTERM");
      expect((await result).code).toBe(0);
      expect(existsSync(socket)).toBe(false);
    }
  });

  test("`mount` puts no secret into an argument or into the engine's environment", async () => {
    await mount();
    const { pid } = await statusOf();
    for (const process of processesOf(home)) {
      expect(await readFile(`/proc/${process}/cmdline`, "utf8")).not.toContain(server.secretAccessKey);
    }
    expect(await readFile(`/proc/${pid}/environ`, "utf8")).not.toContain(server.secretAccessKey);
    expect(await readFile(join((await statusOf()).logFile ?? "", ""), "utf8")).not.toContain(server.secretAccessKey);
    await run(["umount", mnt]);
  });

  test("plain umount(8) ends the mount's processes when everything is uploaded", async () => {
    await mount();
    await writeFile(join(mnt, "plain"), "x");
    execFileSync("umount", [mnt]);
    await expectNothingLeft();
    expect(await keys()).toContain("plain");
  });

  test("`mount --foreground` uploads, unmounts and ends with 0 when it gets SIGTERM", async () => {
    const child = spawn(process.execPath, [...PROGRAMS.built, ...mountArguments(), "--foreground"], { env: environment(), stdio: "pipe" });
    const result = resultOf(child);
    expect(await pollUntil(LONG_MS, 50, async () => (await run(["status", mnt])).code === 0)).toBe(true);
    await writeFile(join(mnt, "foreground"), "x");
    child.kill("SIGTERM");
    const { code, stderr } = await result;
    expect(code).toBe(0);
    expect(stderr).toContain('"msg":"mounted"');
    await expectNothingLeft();
    expect(await keys()).toContain("foreground");
  });

  test("`mount` shows the prefix alone when one is given", async () => {
    await mount();
    await mkdir(join(mnt, "some/prefix"), { recursive: true });
    await writeFile(join(mnt, "some/prefix/inside"), "x");
    await run(["umount", mnt]);
    expect((await run(mountArguments(`s3://${BUCKET}/some/prefix`))).code).toBe(0);
    expect(await readdir(mnt)).toEqual(["inside"]);
    expect((await statusOf()).source).toBe(`s3://${BUCKET}/some/prefix`);
    await run(["umount", mnt]);
  });

  test("`mount.bucketmount` mounts what an fstab line says when mount(8) calls it", async () => {
    const helper = join(home, "mount.bucketmount");
    await symlink(PROGRAMS.built[0], helper);
    const options = `rw,_netdev,allow_other,x-systemd.automount,url=${server.endpoint},use_cache=${join(home, "cache")}`;
    const child = spawn(process.execPath, [helper, `s3://${BUCKET}`, mnt, "-n", "-o", options], { env: environment(), stdio: "pipe" });
    expect(await resultOf(child)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await isMounted(mnt)).toBe(true);
    execFileSync("umount", [mnt]);
    await expectNothingLeft();
  });

  test("`umount` refuses while a process works there and names the way out; `--force` detaches it", async () => {
    await mount();
    const user = spawn("sleep", ["1000"], { cwd: mnt, env: environment() });
    await once(user, "spawn");
    const refused = await run(["umount", mnt]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`^bucketmount: .*${mnt}.*--force.*\n$`));
    expect((await statusOf()).state).toBe("serving");
    const forced = run(["umount", mnt, "--force"]);
    expect(await pollUntil(LONG_MS, 20, async () => !(await isMounted(mnt)))).toBe(true);
    user.kill("SIGKILL");
    expect(await forced).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
  });

  test("a killed engine has a successor, and readers by path see no error", async () => {
    await mount();
    const files = Array.from({ length: 20 }, (_, i) => join(mnt, `file-${i}`));
    await Promise.all(files.map((path, i) => writeFile(path, `content ${i}`)));
    // Another process: one that starts no engine may hold files of the mount, and its threads may wait.
    const readers = spawn(process.execPath, ["-e", READER, mnt, String(files.length)], {
      env: environment(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(readers.stdout, "data");
    const report = once(readers.stdout, "data");
    const exit = once(readers, "exit");
    for (let kill = 1; kill <= 3; kill++) {
      process.kill((await statusOf()).pid ?? 0, "SIGKILL");
      expect(
        await pollUntil(LONG_MS, 50, async () => {
          const { restarts, state } = await statusOf();
          return restarts === kill && state === "serving";
        }),
      ).toBe(true);
      await writeFile(join(mnt, `after-${kill}`), "written after the kill");
    }
    readers.stdin.end();
    expect(String((await report)[0])).toMatch(/^right [1-9]\d*, wrong or failed 0\n$/);
    expect(await Promise.all([1, 2, 3].map((kill) => readFile(join(mnt, `after-${kill}`), "utf8")))).toEqual(
      Array(3).fill("written after the kill"),
    );
    await exit;
    expect((await run(["umount", mnt])).code).toBe(0);
    await expectNothingLeft();
  });

  test("a mount without its supervisor serves on, is shown as such, and `umount` ends it", async () => {
    await mount();
    process.kill((await statusOf()).supervisorPid ?? 0, "SIGKILL");
    expect(await pollUntil(LONG_MS, 20, async () => (await statusOf()).state === "unsupervised")).toBe(true);
    await writeFile(join(mnt, "orphan"), "x");
    expect(await keys()).toContain("orphan");
    expect(await run(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
  });

  test("a mount without any process is shown as dead, and `umount` takes it away", async () => {
    await mount();
    const { pid = 0, supervisorPid = 0 } = await statusOf();
    process.kill(supervisorPid, "SIGKILL");
    process.kill(pid, "SIGKILL");
    expect(await pollUntil(LONG_MS, 20, async () => (await statusOf()).state === "dead")).toBe(true);
    const again = await run(mountArguments());
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining(`first run: bucketmount umount ${mnt}\n`) });
    expect(await run(["umount", mnt])).toEqual({ code: 0, stdout: "", stderr: "" });
    await expectNothingLeft();
    await mount();
    await run(["umount", mnt]);
  });

  test("`mount` leaves nothing when its caller is killed while it waits", async () => {
    // Takes connections and never answers.
    const deaf = createServer().listen(0, "127.0.0.1");
    await once(deaf, "listening");
    const { port } = deaf.address() as { port: number };
    const args = ["mount", `s3://${BUCKET}`, mnt, "--endpoint", `http://127.0.0.1:${port}`, "--cache-dir", join(home, "cache")];
    const child = spawn(process.execPath, [...PROGRAMS.built, ...args], { env: environment(), stdio: "ignore" });
    await once(deaf, "connection");
    child.kill("SIGINT");
    await once(child, "exit");
    await expectNothingLeft();
    expect(await readdir(home)).toEqual(["mnt"]);
    deaf.close();
  });
});

/** Reads files by path, four at a time, until its input ends. Says when the first was right, and at the end how many were. */
const READER = `
  const { readFile } = require("node:fs/promises");
  const [dir, count] = process.argv.slice(1);
  let reading = true, right = 0, wrong = 0;
  process.stdin.on("end", () => { reading = false; }).resume();
  async function read(i) {
    for (; reading; i = (i + 1) % count) {
      const text = await readFile(dir + "/file-" + i, "utf8").catch((error) => error.code);
      if (text === "content " + i) { if (right++ === 0) console.log("reading"); } else { wrong++; console.error(text); }
    }
  }
  Promise.all([0, 1, 2, 3].map(read)).then(() => console.log("right " + right + ", wrong or failed " + wrong));
`;
