/**
 * `bucketmount mount`. Three forms of one thing: in the foreground (this process is the supervisor), in the background (this process
 * starts the foreground form detached and waits for its word), and mount(8)'s fake (everything is checked, nothing done).
 */
import { openSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { DriverError, isFault } from "#core/errors.ts";
import type { LogFields, Logger } from "#core/log.ts";
import { StateFolder } from "#node/state-folder.ts";
import { type MountEnd, type MountSupervisor, superviseMount } from "#node/supervisor.ts";
import { startDetached, tellParent } from "./detach.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { createLogger } from "./logger.ts";
import { type MountPlan, planMount } from "./mount-plan.ts";
import { type Registration, registerMount } from "./mount-registration.ts";
import { type MountCommandLine, type MountRequest, parseMountRequest } from "./mount-request.ts";
import type { ProcessContext } from "./process-context.ts";
import { openRegistry } from "./registry.ts";

const STDERR_FD = 2;
/** A log that is larger when a mount begins becomes `.old`, and the `.old` before it goes. */
const LOG_BYTES = 10 << 20;
/** After a signal: whoever sent it waits, but unsent data is worth more. */
const STOP_MS = { flushMs: 10 * 60_000, endMs: 10 * 60_000 };

/** Resolves with the exit code. Throws the one thing that is wrong; nothing is left behind then. */
export async function runMount(line: MountCommandLine, context: ProcessContext): Promise<number> {
  const request = parseMountRequest(line);
  if (line.fake) {
    await planMount(request, context.env);
    return 0;
  }
  if (!line.foreground) return startDetached(line.args, context);
  if (!line.detached) return superviseToTheEnd(request, context, undefined);
  return tellParent((ready) => superviseToTheEnd(request, context, ready));
}

/** Mounts, serves and ends. `ready` is given for the background form: called when the mount answers; it throws when nobody waits any more. */
async function superviseToTheEnd(request: MountRequest, context: ProcessContext, ready: Ready | undefined): Promise<number> {
  const plan = await planMount(request, context.env);
  const { mountPoint, stateDir } = plan.config;
  const folder = await StateFolder.claim(stateDir, mountPoint);
  const logFile = ready === undefined ? undefined : join(stateDir, "bucketmount.log");
  const logFd = logFile === undefined ? STDERR_FD : await openLog(logFile, folder);
  const log = createLogger({ level: plan.config.logLevel, fd: logFd });
  if (ready !== undefined) process.chdir("/"); // holds no directory of the caller's busy
  const stop = stopOnSignals(context, log);
  const supervisor = await superviseMount({
    ...{ config: plan.config, folder, log, logFd, env: context.env, mounts: kernelMounts, signal: stop.starting },
    command: { file: context.self.file, args: [...context.self.args, "engine"] },
  });
  stop.watch(supervisor);
  const registration = await announce(plan, supervisor, { logFile, context, ready });
  log.info({ ...describe(plan), stateDir }, "mounted");
  const end = await supervisor.ended;
  await registration.withdraw();
  return reportEnd(end, plan, context);
}

type Ready = () => Promise<void>;

function describe({ config: { store, mountPoint } }: MountPlan): LogFields {
  return { bucket: store.bucket, prefix: store.prefix, mountPoint };
}

interface Announcement {
  readonly logFile: string | undefined;
  readonly context: ProcessContext;
  readonly ready: Ready | undefined;
}

/** Makes the mount known. When that fails there is no mount. */
async function announce(plan: MountPlan, supervisor: MountSupervisor, { logFile, context, ready }: Announcement): Promise<Registration> {
  let registration: Registration | undefined;
  try {
    registration = await registerMount(openRegistry(context.env), {
      id: plan.id,
      supervisor,
      ...(logFile === undefined ? {} : { logFile }),
    });
    await ready?.();
    return registration;
  } catch (error) {
    await supervisor.stop({ ...STOP_MS, force: true }).catch(() => undefined);
    await registration?.withdraw();
    throw error;
  }
}

async function openLog(path: string, folder: StateFolder): Promise<number> {
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) renameSync(path, `${path}.old`);
    return openSync(path, "a", 0o600);
  } catch (error) {
    await folder.discard();
    throw DriverError.from(error);
  }
}

/**
 * Signals, from the first moment: before the mount answers they give it up, afterwards they end it. So does, before that, the end of
 * whoever waits for the background form.
 */
function stopOnSignals(context: ProcessContext, log: Logger): { readonly starting: AbortSignal; watch(supervisor: MountSupervisor): void } {
  const start = new AbortController();
  let watched: MountSupervisor | undefined;
  process.once("disconnect", () => start.abort());
  context.onStopSignal((signal) => {
    if (watched === undefined) start.abort();
    else void endMount(signal, watched, log);
  });
  return {
    starting: start.signal,
    watch: (supervisor) => {
      watched = supervisor;
    },
  };
}

/** What is in use is detached: it ends with its last user. What cannot be uploaded keeps the mount, until the next signal. */
async function endMount(signal: string, supervisor: MountSupervisor, log: Logger): Promise<void> {
  log.info({ signal }, "uploading what is left, then unmounting");
  try {
    await supervisor.stop(STOP_MS);
  } catch (error) {
    if (!isFault(error, "in_use")) return log.error({ error }, "the mount stays: its data could not be uploaded");
    log.warn({}, "the mount is in use: it is detached and ends with its last user");
    await supervisor.stop({ ...STOP_MS, force: true }).catch((failure: unknown) => log.error({ error: failure }, "cannot unmount"));
  }
}

function reportEnd({ uploaded }: MountEnd, { config }: MountPlan, context: ProcessContext): number {
  if (uploaded) return 0;
  context.err(
    `not everything of "${config.mountPoint}" could be uploaded; it is kept in ${join(config.stateDir, "spool")} and goes to the bucket at the next mount`,
  );
  return 1;
}
