/**
 * `mount.bucketmount`, as mount(8) calls the helper of a file system type: `mount.TYPE DEVICE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
 * An fstab line `s3://bucket /mnt/x bucketmount _netdev,allow_other 0 0` comes in as
 * `mount.bucketmount s3://bucket /mnt/x -o rw,_netdev,allow_other`.
 */
import { UsageError } from "./usage-error.ts";

/** The same request as arguments of the program. Throws a usage error for what mount(8) never passes. */
export function mountArguments(args: readonly string[]): string[] {
  if (args.some((word) => word === "-h" || word === "--help")) return ["mount", "--help"];
  if (args.some((word) => word === "-V" || word === "--version")) return ["version"];
  const options: string[] = [];
  const operands: string[] = [];
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const letters = /^-([A-Za-z]+)(.*)$/s.exec(word);
    if (letters === null) operands.push(word);
    else options.push(...translate(letters[1] ?? "", rest, word));
  }
  if (operands.length !== 2) throw new UsageError("usage: mount.bucketmount s3://BUCKET[/PREFIX] DIR [-sfnv] [-o OPTIONS]");
  return ["mount", ...options, "--", ...operands];
}

/** One word of short options; the last letter may take the next word as its value. */
function translate(letters: string, rest: string[], word: string): string[] {
  return [...letters].flatMap((letter) => {
    switch (letter) {
      case "o":
        return ["-o", rest.shift() ?? ""];
      case "t": // the type: it is what brought mount(8) here
        rest.shift();
        return [];
      case "s":
        return ["--sloppy"];
      case "f":
        return ["--fake"];
      case "n": // no /etc/mtab: nobody writes one
      case "v":
        return [];
      default:
        throw new UsageError(`mount.bucketmount does not know the option ${word}`);
    }
  });
}
