/**
 * The real logger: JSON lines by pino, or short text for a person at a terminal. Both write synchronously, so that the last line
 * before a crash is there, and both drop secrets first.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { type Logger as PinoLogger, pino } from "pino";
import { LOG_LEVELS, type LogFields, type Logger, type LogLevel, redactSecrets } from "#core/log.ts";

export interface LoggerOptions {
  readonly level: LogLevel;
  /** An open descriptor; 2 is standard error. */
  readonly fd: number;
}

/** JSON lines, or text when the descriptor is a terminal. A reader that went away ends the log, never the process. */
export function createLogger({ level, fd }: LoggerOptions): Logger {
  return isatty(fd) ? textLogger(level, (line) => writeQuietly(fd, line)) : jsonLogger({ level, fd });
}

function jsonLogger({ level, fd }: LoggerOptions): Logger {
  const destination = pino.destination({ dest: fd, sync: true });
  // Nobody is left to tell.
  destination.on("error", () => undefined);
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return wrap(pino(options, destination));
}

function wrap(logger: PinoLogger): Logger {
  const safe = (fields: LogFields) => redactSecrets(fields) as LogFields;
  return {
    debug: (fields, message) => logger.debug(safe(fields), message),
    info: (fields, message) => logger.info(safe(fields), message),
    warn: (fields, message) => logger.warn(safe(fields), message),
    error: (fields, message) => logger.error(safe(fields), message),
    child: (fields) => wrap(logger.child(safe(fields))),
  };
}

/** `bucketmount: message (field=value ...)`. */
export function textLogger(level: LogLevel, write: (line: string) => void, context: LogFields = {}): Logger {
  const most = LOG_LEVELS.indexOf(level);
  const at = (of: LogLevel) => (fields: LogFields, message: string) => {
    if (LOG_LEVELS.indexOf(of) <= most) write(textLine({ ...context, ...fields }, message));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => textLogger(level, write, { ...context, ...fields }),
  };
}

function textLine(fields: LogFields, message: string): string {
  const shown = Object.entries(redactSecrets(fields) as LogFields).map(([name, value]) => `${name}=${textValue(value)}`);
  return `bucketmount: ${message}${shown.length === 0 ? "" : ` (${shown.join(" ")})`}\n`;
}

function textValue(value: unknown): string {
  // Of an error, a person wants the sentence.
  const plain = (value as { message?: unknown } | null | undefined)?.message ?? value;
  return typeof plain === "string" ? plain : JSON.stringify(plain);
}

function writeQuietly(fd: number, line: string): void {
  try {
    writeSync(fd, line);
  } catch {
    // The terminal was closed.
  }
}
