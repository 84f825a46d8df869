/** Where the store is and as whom to go there: what the command line says, else AWS's environment names, else s3fs's files. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { DriverError } from "#core/errors.ts";
import { environmentCredentials, readPasswdFile } from "#s3/index.ts";
import type { CredentialSource } from "#s3/store-config.ts";

export interface StoreLocation {
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  /** PEM. */
  readonly caBundle?: string;
}

export interface GivenLocation {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
  readonly caFile?: string | undefined;
}

/** Stores other than AWS's take any region, and this one the most. */
const DEFAULT_REGION = "us-east-1";

/** Empty variables count as absent. Throws `bad_argument` for a CA file that cannot be read. */
export function locateStore(given: GivenLocation, env: NodeJS.ProcessEnv): StoreLocation {
  const endpoint = given.endpoint ?? firstSet(env, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  const region = given.region ?? firstSet(env, "AWS_REGION", "AWS_DEFAULT_REGION") ?? (endpoint && DEFAULT_REGION);
  const caFile = given.caFile ?? firstSet(env, "AWS_CA_BUNDLE");
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(given.pathStyle === undefined ? {} : { pathStyle: given.pathStyle }),
    ...(caFile === undefined ? {} : { caBundle: readCaFile(caFile) }),
  };
}

function firstSet(env: NodeJS.ProcessEnv, ...names: readonly string[]): string | undefined {
  return names.map((name) => env[name]).find((value) => value !== undefined && value !== "");
}

function readCaFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new DriverError("bad_argument", `the CA file ${path} cannot be read (${code})`, { cause });
  }
}

export interface CredentialWishes {
  readonly passwdFile?: string | undefined;
  readonly profile?: string | undefined;
  /** Keys of the instance's role are wanted, whatever else is there. */
  readonly instanceRole?: boolean;
}

/** s3fs(1)'s places, in its order. */
const PASSWD_FILES = (home: string) => [join(home, ".passwd-s3fs"), "/etc/passwd-s3fs"];

/**
 * The first of: the passwd file or profile that was asked for; AWS_PROFILE; keys in the environment; s3fs's own passwd files; AWS's chain.
 * Keys are read here and travel to the engine over its IPC channel; the chain is walked by the engine.
 * Throws `bad_argument` naming the file that is missing, readable by others, or without a line for the bucket.
 */
export async function findCredentials(
  wishes: CredentialWishes,
  bucket: string,
  env: NodeJS.ProcessEnv,
  defaultFiles: readonly string[] = PASSWD_FILES(homedir()),
): Promise<CredentialSource> {
  if (wishes.passwdFile !== undefined) return readPasswdFile(wishes.passwdFile, bucket);
  const profile = wishes.profile ?? firstSet(env, "AWS_PROFILE");
  if (profile !== undefined) return { kind: "chain", profile };
  if (wishes.instanceRole) return { kind: "chain" };
  const keys = environmentCredentials(env);
  if (keys !== undefined) {
    const { accessKeyId, secretAccessKey, sessionToken } = keys;
    return { kind: "static", accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  }
  const file = defaultFiles.find((path) => existsSync(path));
  return file === undefined ? { kind: "chain" } : readPasswdFile(file, bucket);
}
