/** What tests of stores keep doing: list all, read all, expect a fault. */
import { expect } from "vitest";
import { DriverError, type Fault } from "#core/errors.ts";
import type { ListedObject, ObjectBody, ObjectStore } from "#s3/object-store.ts";

/** All keys under a prefix. */
export async function listAll(store: ObjectStore, prefix: string): Promise<readonly ListedObject[]> {
  const found: ListedObject[] = [];
  for (let next: string | undefined, first = true; first || next !== undefined; first = false) {
    const page = await store.list({ prefix, ...(next === undefined ? {} : { continuation: next }) });
    found.push(...page.objects);
    next = page.next;
  }
  return found;
}

/** All bytes of a body. */
export async function bytesOf(body: ObjectBody): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The same as text. */
export async function textOf(body: ObjectBody): Promise<string> {
  return (await bytesOf(body)).toString();
}

/** The promise rejects with a DriverError of this fault. */
export async function fails(promise: Promise<unknown>, fault: Fault): Promise<DriverError> {
  const thrown = await promise.then(
    (value) => new Error(`succeeded with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!(thrown instanceof DriverError)) throw thrown;
  expect(thrown.fault, thrown.message).toBe(fault);
  return thrown;
}
