/** Why what goes through libfuse is skipped on this machine. */
import { createRequire } from "node:module";

/** True, and said on the console, when `fuse-native` does not load here. */
export function skipLibfuse(what: string): boolean {
  try {
    createRequire(import.meta.url)("fuse-native");
    return false;
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    console.log(`${what}: not tested, fuse-native does not load (${reason}); apt-get install libfuse2, npm install`);
    return true;
  }
}
