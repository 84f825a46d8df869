/**
 * Who may work on a volume at once: staging and unstaging alone; publishing at several targets side by side, since the pods of a
 * node start together. Whoever may not is told to come back (ABORTED), as the CSI specification asks for.
 */
import { DriverError } from "#core/errors.ts";

export class VolumeGate {
  /** Per volume: the targets that are being worked on, or "alone". */
  readonly #running = new Map<string, Set<string> | "alone">();

  /** Fault `conflict` while anything runs for the volume. */
  async alone<T>(volumeId: string, operation: () => Promise<T>): Promise<T> {
    if (this.#running.has(volumeId)) throw inProgress(volumeId);
    this.#running.set(volumeId, "alone");
    try {
      return await operation();
    } finally {
      this.#running.delete(volumeId);
    }
  }

  /** Fault `conflict` while somebody is alone with the volume, or something runs for the same target. */
  async atTarget<T>(volumeId: string, target: string, operation: () => Promise<T>): Promise<T> {
    const targets = this.#running.get(volumeId) ?? new Set<string>();
    if (targets === "alone" || targets.has(target)) throw inProgress(volumeId);
    this.#running.set(volumeId, targets.add(target));
    try {
      return await operation();
    } finally {
      targets.delete(target);
      if (targets.size === 0) this.#running.delete(volumeId);
    }
  }
}

function inProgress(volumeId: string): DriverError {
  return new DriverError("conflict", `an operation for volume ${volumeId} is in progress; try again later`, {
    context: { volume: volumeId },
  });
}
