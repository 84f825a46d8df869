/** One operation per volume at a time: the orchestrator repeats calls that it lost patience with. */
import { DriverError } from "#core/errors.ts";

export interface InFlight {
  /**
   * Runs `operation` unless one with this key runs already: then it throws `conflict` (ABORTED) at once, and the caller comes
   * back later, as the CSI specification asks for.
   */
  run<T>(key: string, operation: () => Promise<T>): Promise<T>;
}

export function createInFlight(): InFlight {
  const running = new Set<string>();
  return {
    async run(key, operation) {
      if (running.has(key)) {
        throw new DriverError("conflict", `an operation for volume ${key} is in progress; try again later`, { context: { volume: key } });
      }
      running.add(key);
      try {
        return await operation();
      } finally {
        running.delete(key);
      }
    },
  };
}
