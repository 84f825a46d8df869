/** The commands and their flags. Each action loads its own file, so a command costs what it uses. */
import { Command, CommanderError, Option } from "commander";
import { MOUNT_OPTIONS, type MountOptionName } from "#core/options.ts";
import type { ControllerFlags } from "./controller.ts";
import type { KeeperFlags } from "./keeper.ts";
import type { MountFlags } from "./mount-request.ts";
import type { NodeFlags } from "./node.ts";
import type { ProcessContext } from "./process-context.ts";
import { UsageError } from "./usage-error.ts";

/** Runs one command line; resolves with the exit code. Throws a usage error when it is wrong. */
export async function runProgram(args: readonly string[], context: ProcessContext): Promise<number> {
  let code = 0;
  const finish = (result: number) => {
    code = result;
  };
  const program = createProgram(args, context, finish);
  try {
    await program.parseAsync(args[0] === "--version" ? ["version"] : args, { from: "user" });
    return code;
  } catch (error) {
    // --help is thrown too, with exit code 0.
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    throw new UsageError(
      error.code === "commander.help" ? "which command? `bucketmount --help` lists them" : oneLine(error.message),
      error,
    );
  }
}

type Finish = (code: number) => void;

/** All commands. Apart from `runProgram` for those who ask only whether an argument list is right. */
export function createProgram(args: readonly string[], context: ProcessContext, finish: Finish): Command {
  const program = newCommand("bucketmount", context).description("S3 buckets as file systems, for Kubernetes (CSI) and for one machine.");
  for (const command of [
    mountCommand(args, context, finish),
    umountCommand(context, finish),
    statusCommand(context, finish),
    controllerCommand(context, finish),
    nodeCommand(context, finish),
    keeperCommand(context, finish),
    versionCommand(context),
  ]) {
    program.addCommand(command);
  }
  return program;
}

function newCommand(name: string, context: ProcessContext): Command {
  return new Command(name)
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.out(text.trimEnd()), writeErr: () => undefined, outputError: () => undefined })
    .helpCommand(false)
    .allowExcessArguments(false);
}

/** commander's "error: unknown option '--x'\n(Did you mean --y?)". */
function oneLine(message: string): string {
  return message.replace(/^error: /, "").replaceAll(/\s*\n\s*/g, " ");
}

/** The flags of `mount` that are mount options too, from the table. */
function tableFlags(): { readonly name: MountOptionName; readonly option: Option }[] {
  return Object.entries(MOUNT_OPTIONS).flatMap(([name, row]) => {
    if (!("flag" in row)) return [];
    const option = new Option(row.kind === "flag" ? row.flag : `${row.flag} <value>`, row.doc);
    return [{ name: name as MountOptionName, option }];
  });
}

function mountCommand(args: readonly string[], context: ProcessContext, finish: Finish): Command {
  const command = newCommand("mount", context)
    .description("Mount a bucket, or a prefix of one. Returns when the mount answers.")
    .argument("<source>", "s3://BUCKET or s3://BUCKET/PREFIX")
    .argument("<dir>", "an empty directory")
    .option("-o <options>", "mount options, separated by commas (docs/OPTIONS.md)", (list, all: string[]) => [...all, list], [])
    .option("--foreground", "stay; log to standard error; SIGTERM and Ctrl-C unmount");
  const flags = tableFlags();
  for (const { option } of flags) command.addOption(option);
  // The background half of `mount`, and mount(8)'s -s and -f.
  for (const hidden of ["--detached", "--sloppy", "--fake"]) command.addOption(new Option(hidden).hideHelp());
  return command.action(async (source: string, dir: string, values: Record<string, unknown>) => {
    const { runMount } = await import("./mount.ts");
    const given = new Map(flags.map(({ name, option }) => [name, values[option.attributeName()] as string | boolean | undefined]));
    finish(await runMount({ source, dir, ...(values as unknown as MountFlags), given, args: args.slice(1) }, context));
  });
}

function umountCommand(context: ProcessContext, finish: Finish): Command {
  return newCommand("umount", context)
    .description("Unmount; returns when everything is uploaded and the mount's processes have ended.")
    .argument("<dir>")
    .option("--force", "unmount even if it is in use or not everything can be uploaded; what is unsent stays in the state folder")
    .action(async (dir: string, { force = false }: { force?: boolean }) => {
      const { runUmount } = await import("./umount.ts");
      finish(await runUmount({ dir, force }, context));
    });
}

function statusCommand(context: ProcessContext, finish: Finish): Command {
  return newCommand("status", context)
    .description("Show the mounts: unsent data, cache, requests by kind, errors.")
    .argument("[dir]", "only the mount on this directory")
    .option("--json", "as a JSON array, one element a mount")
    .action(async (dir: string | undefined, { json = false }: { json?: boolean }) => {
      const { runStatus } = await import("./status.ts");
      finish(await runStatus({ dir, json }, context));
    });
}

/** What controller and node have in common. */
function pluginCommand(name: string, context: ProcessContext): Command {
  return newCommand(name, context)
    .requiredOption("--endpoint <url>", "the CSI socket: unix:///PATH")
    .option("--s3-endpoint <url>", "URL of the S3 endpoint; default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS's own")
    .option("--region <name>", "default AWS_REGION, AWS_DEFAULT_REGION")
    .option("--path-style", "put the bucket into the URL's path; default for endpoints other than AWS's")
    .option("--ca-file <path>", "PEM file of further certificate authorities; default AWS_CA_BUNDLE")
    .option("--driver-name <name>", "default s3.csi.bucketmount.dev")
    .option("--http-endpoint <host:port>", "serve /healthz, /readyz and /metrics there, over plain HTTP")
    .option("--kube-events", "record Kubernetes Events on pods and claims (in a cluster, or with KUBECONFIG)")
    .addOption(new Option("--log-level <level>").choices(["error", "warn", "info", "debug"]).default("info"));
}

function controllerCommand(context: ProcessContext, finish: Finish): Command {
  return pluginCommand("controller", context)
    .description("Serve CSI Identity and Controller: buckets for volumes.")
    .action(async (flags: ControllerFlags) => {
      const { runController } = await import("./controller.ts");
      finish(await runController(flags, context));
    });
}

function nodeCommand(context: ProcessContext, finish: Finish): Command {
  return pluginCommand("node", context)
    .description("Serve CSI Identity and Node: mounts on this machine.")
    .requiredOption("--node-id <id>", "this node's name in the cluster")
    .option("--registration-dir <dir>", "the kubelet's plugins_registry; without it nobody is told of the plugin")
    .option("--state-dir <dir>", "cache, spool and journal of all volumes", "/var/lib/bucketmount")
    .option("--cache-size <bytes>", "most bytes of cached content per volume, such as 20GiB")
    .option("--keeper <path>", "socket of `bucketmount keeper`: mounts then outlive the end of this process and its engines")
    .action(async (flags: NodeFlags) => {
      const { runNode } = await import("./node.ts");
      finish(await runNode(flags, context));
    });
}

function keeperCommand(context: ProcessContext, finish: Finish): Command {
  return newCommand("keeper", context)
    .description("Hold copies of the mounts' descriptors, so that mounts outlive the end of the node plugin.")
    .requiredOption("--socket <path>", "where the node plugin finds it; in a folder of its own, which is made (0700)")
    .option("--http-endpoint <host:port>", "serve /healthz and /readyz")
    .addOption(new Option("--log-level <level>").choices(["error", "warn", "info", "debug"]).default("info"))
    .action(async (flags: KeeperFlags) => {
      const { runKeeper } = await import("./keeper.ts");
      finish(await runKeeper(flags, context));
    });
}

function versionCommand(context: ProcessContext): Command {
  return newCommand("version", context)
    .description("Print the version.")
    .action(async () => {
      const { DRIVER_VERSION } = await import("#csi/identity.ts");
      context.out(`bucketmount ${DRIVER_VERSION}`);
    });
}
