/** The keeper's part in the node plugin, put together: what this process holds is kept, and what an earlier one held is taken over. */
import type { Logger } from "#core/log.ts";
import type { Deposit, Keeper } from "#keeper/client.ts";
import type { CredentialSource } from "#s3/store-config.ts";
import { MountAdopter } from "./adoption.ts";
import { KeeperLink } from "./keeper-link.ts";
import { depositOf } from "./kept-mount.ts";
import type { Custody, StagedVolumes } from "./staged-volumes.ts";
import type { VolumeGate } from "./volume-gate.ts";
import type { VolumeRecords } from "./volume-records.ts";

export interface KeepingOptions {
  readonly keeper: Keeper;
  /** Asked when there is something to do, so that it may be made after this. */
  readonly staged: () => StagedVolumes;
  readonly records: VolumeRecords;
  readonly gate: VolumeGate;
  /** The driver's own keys. */
  readonly defaults: { readonly credentials: CredentialSource };
  readonly log: Logger;
}

export interface Keeping {
  readonly link: KeeperLink;
  readonly custody: Custody;
  /** Ends both; the mounts stay as they are. */
  close(): void;
}

export function createKeeping({ keeper, staged, records, gate, defaults, log }: KeepingOptions): Keeping {
  const withdraw: Keeper["withdraw"] = (name) => keeper.withdraw(name);
  const adopter = new MountAdopter({ staged, records, gate, credentials: defaults.credentials, withdraw, log });
  const held = (): Deposit[] => {
    const supervised = staged().all().map(depositOf);
    return [...supervised.filter((deposit) => deposit !== undefined), ...adopter.waiting()];
  };
  const link = new KeeperLink({ keeper, held, take: (found) => adopter.take(found), log });
  return {
    link,
    custody: {
      async keep(supervised) {
        const deposit = depositOf(supervised);
        if (deposit !== undefined) await link.keep(deposit);
      },
      letGo: (name) => link.letGo(name),
    },
    close() {
      link.close();
      adopter.close();
    },
  };
}
