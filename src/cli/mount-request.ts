/** What the command line of `mount` asks for, checked as far as words can be: nothing here looks at the machine. */
import { type GivenOptions, type MountOptionName, parseMountOptions, parseOptionValue, resolveMountOptions } from "#core/options.ts";
import { parsing, UsageError } from "./usage-error.ts";

/** As commander hands them over. */
export interface MountFlags {
  /** `-o`, each a comma-separated list. */
  readonly o: readonly string[];
  readonly foreground?: boolean;
  /** We are the background half of a `mount` that waits for our word on the IPC channel. */
  readonly detached?: boolean;
  /** mount(8)'s -s: unknown options are no error. */
  readonly sloppy?: boolean;
  /** mount(8)'s -f: check everything, mount nothing. */
  readonly fake?: boolean;
}

export interface MountCommandLine extends MountFlags {
  readonly source: string;
  readonly dir: string;
  /** Flags that are mount options too; they win over `-o`. */
  readonly given: ReadonlyMap<MountOptionName, string | boolean | undefined>;
  /** The arguments after `mount`, to start the background half with. */
  readonly args: readonly string[];
}

export interface MountSource {
  readonly bucket: string;
  /** "" or ends in "/". */
  readonly prefix: string;
}

export interface MountRequest extends MountSource {
  readonly dir: string;
  readonly given: GivenOptions;
}

/** Throws a usage error that names the word. */
export function parseMountRequest(line: Pick<MountCommandLine, "source" | "dir" | "o" | "sloppy" | "given">): MountRequest {
  return parsing(() => {
    const given = { ...parseMountOptions(line.o, { sloppy: line.sloppy ?? false }), ...parseFlags(line.given) };
    // What the options may not say together, and what is not supported yet, is wrong whoever mounts.
    resolveMountOptions(given, { uid: 0, gid: 0 });
    if (line.dir === "") throw new UsageError("the directory to mount on is empty");
    return { ...parseSource(line.source), dir: line.dir, given };
  });
}

/** `s3://BUCKET[/PREFIX]`. A prefix is taken byte for byte, but for the "/" at its end. */
export function parseSource(source: string): MountSource {
  const match = /^s3:\/\/([^/\s]+)(?:\/(.*))?$/s.exec(source);
  if (match === null) throw new UsageError(`"${source}" is not of the form s3://BUCKET or s3://BUCKET/PREFIX`);
  const [, bucket = "", prefix = ""] = match;
  return { bucket, prefix: prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/` };
}

function parseFlags(flags: MountCommandLine["given"]): GivenOptions {
  const given = [...flags].filter((flag): flag is [MountOptionName, string | boolean] => flag[1] !== undefined);
  return Object.fromEntries(
    given.map(([name, value]) => [name, parseOptionValue(name, value === true ? "yes" : value === false ? "no" : value)]),
  ) as GivenOptions;
}
