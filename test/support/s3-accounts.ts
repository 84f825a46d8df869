/** Further users of a versitygw: what a rotated key needs. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findBinary, type S3Server } from "./s3-servers.ts";

const run = promisify(execFile);

/** The two halves of a key under the names that a CSI secret has for them. */
export interface Account {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** An admin may do everything, a user nothing in buckets of others. */
export async function createAccount(s3: S3Server, accessKeyId: string, role: "admin" | "user" = "admin"): Promise<Account> {
  const secretAccessKey = `secret-of-${accessKeyId}`;
  await admin(s3, "create-user", "--access", accessKeyId, "--secret", secretAccessKey, "--role", role);
  return { accessKeyId, secretAccessKey };
}

/** From now on the store refuses the key. */
export async function removeAccount(s3: S3Server, { accessKeyId }: Account): Promise<void> {
  await admin(s3, "delete-user", "--access", accessKeyId);
}

async function admin({ endpoint, accessKeyId, secretAccessKey }: S3Server, ...args: readonly string[]): Promise<void> {
  const account = ["--access", accessKeyId, "--secret", secretAccessKey, "--endpoint-url", endpoint];
  await run(findBinary("versitygw") ?? "versitygw", ["admin", ...account, ...args]);
}
