#!/usr/bin/env node
/**
 * The program's entry, and the one place that knows the process: signals, exit codes, standard streams. Every mode is
 * loaded when it is asked for and not before: an engine holds no gRPC, a controller no kernel bindings.
 *
 * Reading on: program.ts (the commands), engine.ts -> fuse/engine/index.ts (a mount), controller.ts, node.ts (the CSI driver).
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { DriverError } from "#core/errors.ts";
import type { ProcessContext } from "./process-context.ts";
import { compileNothing, keepHeapSmall } from "./small-heap.ts";
import { exitCodeOf } from "./usage-error.ts";

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** The name by which mount(8) calls us for fstab's type `bucketmount`. */
const MOUNT_HELPER = "mount.bucketmount";

/** libfuse's mount.fuse, which mount(8) calls to remount what is of type `fuse.bucketmount`, calls us as `bucketmount s3://BUCKET DIR -o ...`. */
function isMountHelper(script: string, args: readonly string[]): boolean {
  return basename(script) === MOUNT_HELPER || (args[0]?.startsWith("s3://") ?? false);
}

const context: ProcessContext = {
  env: process.env,
  self: { file: process.execPath, args: [...process.execArgv, fileURLToPath(import.meta.url)] },
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`bucketmount: ${text}\n`),
  onStopSignal: (handler) => {
    for (const signal of STOP_SIGNALS) process.on(signal, handler);
  },
};

async function main([, script = "", ...args]: readonly string[]): Promise<number> {
  if (args[0] === "engine") {
    const { runEngineCommand } = await import("./engine.ts");
    return runEngineCommand(context);
  }
  keepHeapSmall();
  if (args[0] === "keeper") compileNothing();
  const { runProgram } = await import("./program.ts");
  if (!isMountHelper(script, args)) return runProgram(args, context);
  const { mountArguments } = await import("./mount-helper.ts");
  const { remount, remountRequest } = await import("./remount.ts");
  const translated = mountArguments(args);
  const request = remountRequest(translated);
  if (request === undefined) return runProgram(translated, context);
  remount(request);
  return 0;
}

process.exit(
  await main(process.argv).catch((error: unknown) => {
    context.err(DriverError.from(error).message);
    return exitCodeOf(error);
  }),
);
