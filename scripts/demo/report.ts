/** What the demo prints: a progress bar while a step runs, a line after it, and a closing table of all steps with times and rates. */

export interface Amount {
  readonly entries: number;
  readonly bytes: number;
}

interface Step {
  readonly name: string;
  readonly seconds: number;
  readonly amount: Amount | undefined;
}

export interface Reporter {
  /** Runs one step, measures it and prints how it ended. A step that answers an amount gets rates in the table. */
  step<Result extends Amount | undefined | unknown>(
    name: string,
    work: (progress: (done: Amount, of: Amount) => void) => Promise<Result>,
  ): Promise<Result>;
  say(text: string): void;
  table(): string;
}

const BAR = 30;
const NAME_WIDTH = 44;

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** `[=====     ]  50 %  5,000 of 10,000  12.0 MiB` */
export function bar(done: Amount, of: Amount): string {
  const share = of.bytes + of.entries === 0 ? 1 : (done.bytes / Math.max(of.bytes, 1) + done.entries / Math.max(of.entries, 1)) / 2;
  const filled = Math.round(Math.min(share, 1) * BAR);
  const percent = Math.floor(Math.min(share, 1) * 100);
  return `[${"=".repeat(filled)}${" ".repeat(BAR - filled)}] ${String(percent).padStart(3)} %  ${count(done.entries)} of ${count(of.entries)}  ${formatBytes(done.bytes)}`;
}

export function count(n: number): string {
  return n.toLocaleString("en-US");
}

function isAmount(value: unknown): value is Amount {
  return typeof value === "object" && value !== null && "entries" in value && "bytes" in value;
}

function row({ name, seconds, amount }: Step): string {
  const rates =
    amount === undefined
      ? []
      : [
          `${count(amount.entries)} entries`,
          formatBytes(amount.bytes),
          `${count(Math.round(amount.entries / seconds))}/s`,
          `${formatBytes(amount.bytes / seconds)}/s`,
        ];
  return [name.padEnd(NAME_WIDTH), `${seconds.toFixed(2)} s`.padStart(9), ...rates.map((rate) => rate.padStart(14))].join(" ").trimEnd();
}

export function createReporter(out: NodeJS.WriteStream): Reporter {
  const steps: Step[] = [];
  const started = performance.now();
  const show = (name: string) => (done: Amount, of: Amount) => {
    if (out.isTTY) out.write(`\r${name.padEnd(NAME_WIDTH)} ${bar(done, of)}  `);
  };
  const clear = () => {
    if (out.isTTY) out.write("\r\x1b[K");
  };
  return {
    step: async (name, work) => {
      const begun = performance.now();
      if (out.isTTY) out.write(name);
      try {
        const result = await work(show(name));
        const step = { name, seconds: (performance.now() - begun) / 1000, amount: isAmount(result) ? result : undefined };
        steps.push(step);
        clear();
        out.write(`${row(step)}\n`);
        return result;
      } catch (error) {
        clear();
        out.write(`${name.padEnd(NAME_WIDTH)} FAILED\n`);
        throw error;
      }
    },
    say: (text) => {
      out.write(`${text}\n`);
    },
    table: () => {
      const total: Step = { name: "total", seconds: (performance.now() - started) / 1000, amount: undefined };
      const line = "-".repeat(NAME_WIDTH + 70);
      return [line, ...steps.map(row), line, row(total)].join("\n");
    },
  };
}
