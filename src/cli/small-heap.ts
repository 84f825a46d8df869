/** For processes that wait most of the time: the CSI plugins and the supervisors of mounts. An engine wants its speed instead. */
import { setFlagsFromString } from "node:v8";

/**
 * Bounds the young generation at 2 MiB a half-space instead of 16, so that it is collected often and stays small. Measured on the controller
 * after 11 volumes made and deleted: 106 MiB RSS instead of 128. Before modules are loaded: it does not shrink what has grown.
 */
export function keepHeapSmall(): void {
  setFlagsFromString("--max-semi-space-size=2");
  setFlagsFromString("--semi-space-growth-factor=1");
}

/**
 * Leaves everything to V8's interpreter. For the keeper, which has next to nothing to do: 60 MiB RSS instead of 62 when it has started (15 of
 * them its own), 66 instead of 82 after thousands of deposits. Before modules are loaded, as above.
 */
export function compileNothing(): void {
  for (const tier of ["--no-sparkplug", "--no-maglev", "--no-opt"]) setFlagsFromString(tier);
}
