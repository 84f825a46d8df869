/**
 * What a scrape of the metrics asks the engines. All at once, and none for longer than a second: an engine that hangs is a `silent`
 * volume, and the others are told as ever.
 */
import type { VolumeSample, VolumeStatus } from "#csi/metrics.ts";
import { within } from "./deadline.ts";
import type { Supervised } from "./staged-volumes.ts";
import type { MountHealth } from "./supervisor.ts";

/** Prometheus gives a scrape 10 s. */
const ANSWER_MS = 1_000;
/** An engine that was asked is not asked again before it answered, or for this long. */
const QUESTION_MS = 60_000;

export interface SampleOptions {
  readonly troublesOf: (volumeId: string) => VolumeSample["troubles"];
  readonly claimOf?: ((volumeId: string) => VolumeSample["claim"]) | undefined;
  readonly answerMs?: number;
}

/** What is sampled of a volume. */
export type SampledVolume = Pick<Supervised, "mount"> & {
  readonly supervisor: { readonly health: MountHealth; status(ms: number): Promise<VolumeStatus> };
};

/** Questions that are under way. A hung engine would else collect one of each scrape. */
const questions = new WeakMap<SampledVolume["supervisor"], Promise<VolumeStatus>>();

/** One sample a volume. Never rejects. */
export function sampleVolumes(volumes: readonly SampledVolume[], options: SampleOptions): Promise<readonly VolumeSample[]> {
  return Promise.all(volumes.map((volume) => sample(volume, options)));
}

async function sample({ mount, supervisor }: SampledVolume, options: SampleOptions): Promise<VolumeSample> {
  const { volumeId, config } = mount;
  const { engine, restarts } = supervisor.health;
  const status = engine === "serving" ? await ask(supervisor, options.answerMs ?? ANSWER_MS) : undefined;
  return {
    ...{ volumeId, restarts, bucket: config.store.bucket, prefix: config.store.prefix },
    ...{ claim: options.claimOf?.(volumeId), troubles: options.troublesOf(volumeId) },
    ...{ status, state: engine === "serving" && status === undefined ? "silent" : engine },
  };
}

function ask(supervisor: SampledVolume["supervisor"], ms: number): Promise<VolumeStatus | undefined> {
  let question = questions.get(supervisor);
  if (question === undefined) {
    question = supervisor.status(QUESTION_MS).finally(() => questions.delete(supervisor));
    questions.set(supervisor, question);
  }
  return within(ms, "the engine", question).catch(() => undefined);
}
