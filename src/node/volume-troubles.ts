/** What is wrong with each mounted volume now, from its engine's and supervisor's reports. */
import type { Cause } from "#core/causes.ts";
import type { TroubleReport } from "#core/trouble-watch.ts";

export interface Trouble {
  readonly cause: Cause;
  readonly message: string;
}

export class VolumeTroubles {
  readonly #troubles = new Map<string, Map<Cause, string>>();

  note(volumeId: string, report: TroubleReport): void {
    const causes = this.#troubles.get(volumeId) ?? new Map<Cause, string>();
    // What a dead engine said is void: its successor says what is wrong with it.
    if (report.type === "trouble" && report.cause === "engine_crashed") causes.clear();
    if (report.type === "trouble") causes.set(report.cause, report.message);
    else causes.delete(report.cause);
    if (causes.size === 0) this.#troubles.delete(volumeId);
    else this.#troubles.set(volumeId, causes);
  }

  of(volumeId: string): readonly Trouble[] {
    return [...(this.#troubles.get(volumeId) ?? [])].map(([cause, message]) => ({ cause, message }));
  }

  /** Forgets volumes that are not mounted any more. */
  keepOnly(volumeIds: readonly string[]): void {
    for (const volumeId of this.#troubles.keys()) if (!volumeIds.includes(volumeId)) this.#troubles.delete(volumeId);
  }
}
