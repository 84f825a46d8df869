/**
 * What surrounds every handler: the deadline as an AbortSignal, errors as statuses, one log line a call, and word of its end to
 * whoever measures calls or tells people of them.
 *
 * A handler is an async function of the request; it throws DriverErrors and need not think of gRPC. When the caller's
 * deadline nears or the caller goes away, `signal` aborts with a DriverError as its reason, so that
 * `signal.throwIfAborted()` says the right thing.
 */
import type { handleUnaryCall, ServerErrorResponse, ServerUnaryCall } from "@grpc/grpc-js";
import { DriverError } from "#core/errors.ts";
import { isSecretName, type Logger, redactSecrets } from "#core/log.ts";
import { goCodeName, statusOf, withoutSecrets } from "./status.ts";

export interface CallContext {
  /** Such as "CreateVolume". */
  readonly method: string;
  /** Aborts shortly before the caller's deadline, and when the caller goes away. */
  readonly signal: AbortSignal;
  /** When `signal` will abort at the latest, in milliseconds since the epoch. */
  readonly deadlineAt: number;
  readonly log: Logger;
}

export type Handler<Request, Response> = (request: Request, call: CallContext) => Promise<Response>;

/** The handlers of one service by RPC name, as the proto has it: `CreateVolume`. What is left out answers UNIMPLEMENTED. */
// biome-ignore lint/suspicious/noExplicitAny: each handler has its own message types; the wire contract checks them.
export type Handlers = Readonly<Record<string, Handler<any, object>>>;

export interface InterceptorOptions {
  readonly log: Logger;
  /** For callers that give no deadline. */
  readonly defaultDeadlineMs: number;
  /** Called after each call's answer is decided. What it throws is logged and has no effect on the answer. */
  readonly onCall?: ((call: FinishedCall) => void) | undefined;
}

/** A call that was answered. */
export interface FinishedCall {
  /** Such as "CreateVolume". */
  readonly method: string;
  /** As on the wire: "/csi.v1.Controller/CreateVolume". */
  readonly path: string;
  /** As it came, with its secrets. */
  readonly request: unknown;
  readonly seconds: number;
  /** "OK", "NotFound" ... */
  readonly code: string;
  readonly failure?: CallFailure;
}

export interface CallFailure {
  readonly error: DriverError;
  /** What the caller is told: without secrets, and with what to do where that is known. */
  readonly details: string;
}

/** Asked all the time by probes and sidecars: worth no line at info. */
const QUIET = /^(Probe|GetPlugin\w+|\w*GetCapabilities|NodeGetInfo|NodeGetVolumeStats|GetInfo)$/;

/** Kept back from the caller's deadline so that our own answer, which names the cause, arrives before it. */
const ANSWER_MARGIN_MS = 300;

/** `handler` as grpc-js takes it. */
export function unaryHandler(
  method: string,
  handler: Handler<unknown, object>,
  options: InterceptorOptions,
): handleUnaryCall<unknown, object> {
  return (call, callback) => {
    void answer(method, handler, options, call).then(({ error, response }) => (error ? callback(error) : callback(null, response)));
  };
}

interface Answer {
  readonly error?: ServerErrorResponse;
  readonly response?: object;
}

/** Never rejects. */
async function answer(
  method: string,
  handler: Handler<unknown, object>,
  options: InterceptorOptions,
  call: ServerUnaryCall<unknown, object>,
): Promise<Answer> {
  const startedAt = performance.now();
  const limit = limitOf(method, call, options.defaultDeadlineMs);
  const log = options.log.child({ method, ...subjectOf(call.request) });
  try {
    const response = await handler(call.request, { method, signal: limit.signal, deadlineAt: limit.deadlineAt, log });
    logSuccess(log, method, call.request, startedAt);
    tell(options, log, { method, call, startedAt, code: 0 });
    return { response };
  } catch (caught) {
    // What an aborted request throws says less than why it was aborted.
    const thrown = limit.signal.aborted && DriverError.from(caught).fault === "interrupted" ? limit.signal.reason : caught;
    const status = statusOf(thrown, secretsOf(call.request));
    logFailure(log, thrown, status.code, call.request, startedAt);
    const failure = { error: DriverError.from(thrown), details: status.details };
    tell(options, log, { method, call, startedAt, code: status.code, failure });
    return { error: Object.assign(new Error(status.details), status) };
  } finally {
    limit.end();
  }
}

interface Ended {
  readonly method: string;
  readonly call: ServerUnaryCall<unknown, object>;
  readonly startedAt: number;
  readonly code: number;
  readonly failure?: CallFailure;
}

function tell({ onCall }: InterceptorOptions, log: Logger, { method, call, startedAt, code, failure }: Ended): void {
  if (onCall === undefined) return;
  try {
    onCall({
      ...{ method, path: call.getPath(), request: call.request },
      ...{ seconds: (performance.now() - startedAt) / 1000, code: goCodeName(code) },
      ...(failure === undefined ? {} : { failure }),
    });
  } catch (error) {
    log.error({ error }, "what should be told of the call could not be");
  }
}

/** The signal of one call. */
function limitOf(method: string, call: ServerUnaryCall<unknown, object>, defaultDeadlineMs: number) {
  const controller = new AbortController();
  const asked = Number(call.getDeadline());
  const left = Number.isFinite(asked) ? asked - Date.now() : defaultDeadlineMs;
  const allowed = Math.max(0, left - Math.min(ANSWER_MARGIN_MS, left / 5));
  const timer = setTimeout(
    () =>
      controller.abort(new DriverError("timed_out", `${method} did not end within its deadline; the next call goes on where it stopped`)),
    // Node runs a timer of more than 2^31-1 ms at once.
    Math.min(allowed, 2 ** 31 - 1),
  );
  const gone = () => controller.abort(new DriverError("interrupted", `the caller gave up on ${method}`));
  call.on("cancelled", gone);
  return {
    signal: controller.signal,
    deadlineAt: Date.now() + allowed,
    end: () => {
      clearTimeout(timer);
      call.removeListener("cancelled", gone);
    },
  };
}

function logSuccess(log: Logger, method: string, request: unknown, startedAt: number): void {
  const fields = { ms: Math.round(performance.now() - startedAt), request: redactSecrets(request) };
  if (QUIET.test(method)) log.debug(fields, "call done");
  else log.info(fields, "call done");
}

function logFailure(log: Logger, thrown: unknown, code: number, request: unknown, startedAt: number): void {
  const error = DriverError.from(thrown);
  const fields = {
    ms: Math.round(performance.now() - startedAt),
    code,
    fault: error.fault,
    request: redactSecrets(request),
    // The thrown thing itself: redactSecrets keeps the stack of what nobody foresaw.
    error: scrub(redactSecrets(thrown instanceof Error ? thrown : error), secretsOf(request)),
  };
  // A refused call is news to whoever made it, at least.
  const level = error.row.log === "debug" ? "info" : error.row.log;
  log[level](fields, "call failed");
}

/** A secret may have got into a message, such as that of a parser. */
function scrub(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === "string") return withoutSecrets(value, secrets);
  if (typeof value !== "object" || value === null || secrets.length === 0) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, scrub(item, secrets)]));
}

/** What a call is about, for its log line. */
function subjectOf(request: unknown): Record<string, string> {
  const { volumeId, name } = (request ?? {}) as { volumeId?: unknown; name?: unknown };
  if (typeof volumeId === "string" && volumeId !== "") return { volumeId };
  return typeof name === "string" && name !== "" ? { name } : {};
}

/**
 * Values that must not come back in an error: not the endpoint and region, which may stand beside them, but a password in a URL, such
 * as a proxy's.
 */
function secretsOf(request: unknown): readonly string[] {
  const { secrets, volumeContext } = (request ?? {}) as { secrets?: Record<string, string>; volumeContext?: Record<string, string> };
  return [...Object.entries(secrets ?? {}), ...Object.entries(volumeContext ?? {})].flatMap(([name, value]) => {
    const password = URL.parse(value)?.password ?? "";
    return [...(isSecretName(name) ? [value] : []), ...(password === "" ? [] : [password, decoded(password)])];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
