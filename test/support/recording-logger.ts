/** A logger that keeps its lines, as they would be written. */
import type { LogFields, Logger, LogLevel } from "#core/log.ts";

export interface RecordedLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export function recordingLogger(lines: RecordedLine[] = [], base: LogFields = {}): Logger & { readonly lines: readonly RecordedLine[] } {
  const write = (level: LogLevel) => (fields: LogFields, message: string) =>
    void lines.push({ level, message, fields: { ...base, ...fields } });
  return {
    lines,
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields) => recordingLogger(lines, { ...base, ...fields }),
  };
}
