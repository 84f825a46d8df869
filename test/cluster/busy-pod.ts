/** A pod that creates, renames and reads files by path for as long as it lives, and tells of each error. */
import type { Kubectl } from "./kubectl.ts";
import { pod } from "./manifests.ts";
import { until } from "./until.ts";

/** About ten rounds a second: enough to meet every moment of a restart, little for the machine. */
const SCRIPT = `
round=0
wrong() { echo "error in round $round: $1"; }
mkdir -p /volume/busy
while :; do
  round=$((round + 1)); file=/volume/busy/$((round % 10))
  echo $round > $file.new || wrong "create: $?"
  mv $file.new $file || wrong "rename: $?"
  read=$(cat $file) || wrong "read: $?"
  [ "$read" = $round ] || wrong "read '$read'"
  echo "round $round"
  usleep 50000
done`;

/** Rounds that prove that a mount works after something. */
const ENOUGH_ROUNDS = 20;

export class BusyPod {
  readonly name: string;
  readonly #kubectl: Kubectl;

  constructor(kubectl: Kubectl, name: string) {
    this.#kubectl = kubectl;
    this.name = name;
  }

  /** Starts it on a claim and waits until it works. */
  async start(claim: string): Promise<void> {
    await this.#kubectl.apply(pod(this.name, { claim, script: SCRIPT }));
    await this.#kubectl.ready(this.name);
    await this.goesOn();
  }

  /** Waits until it has made more rounds from now on, all of them without an error. */
  async goesOn(): Promise<void> {
    const before = (await this.#lines()).length;
    await until(`more rounds of ${this.name}`, async () => (await this.#lines()).length > before + ENOUGH_ROUNDS);
    const errors = await this.errors();
    if (errors.length > 0) throw new Error(`${this.name}: ${errors.length} errors, the first: ${errors[0]}`);
  }

  async errors(): Promise<readonly string[]> {
    return (await this.#lines()).filter((line) => !/^\S+ round \d+$/.test(line));
  }

  /** The longest time between two rounds, in ms: what the application saw of a restart. */
  async longestPauseMs(): Promise<number> {
    const times = (await this.#lines()).map((line) => Date.parse(line.split(" ", 1)[0] ?? ""));
    return times.slice(1).reduce((longest, time, index) => Math.max(longest, time - (times[index] ?? time)), 0);
  }

  /** Each line begins with its time. */
  async #lines(): Promise<readonly string[]> {
    return (await this.#kubectl.run("logs", this.name, "--timestamps")).split("\n").filter(Boolean);
  }
}
