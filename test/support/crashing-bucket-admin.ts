/** A `BucketAdmin` whose process dies at a chosen request: before it reaches the store, or after the store has done it. */
import type { BucketAdmin } from "#s3/bucket-admin.ts";

export class Crash extends Error {}

export interface CrashPoint {
  /** Which request, counted from 0. */
  readonly at: number;
  readonly when: "before" | "after";
}

/** Every request from the crash on fails, as it would in a dead process: no clean-up code gets through. */
export function crashingBucketAdmin(
  admin: BucketAdmin,
  point: CrashPoint,
): { readonly admin: BucketAdmin; readonly requests: () => number } {
  let requests = 0;
  const crashing = new Proxy(admin, {
    get(target, property) {
      const member = Reflect.get(target, property, target);
      if (typeof member !== "function") return member;
      return async (...parameters: unknown[]) => {
        const number = requests++;
        if (number > point.at || (number === point.at && point.when === "before")) throw new Crash(`died before request ${number}`);
        const [result] = await Promise.allSettled([member.apply(target, parameters)]);
        if (number === point.at) throw new Crash(`died after request ${number}`);
        if (result.status === "rejected") throw result.reason;
        return result.value;
      };
    },
  });
  return { admin: crashing, requests: () => requests };
}

/** `admin` with some calls replaced, as seen by the code under test alone. */
export function overridingBucketAdmin(admin: BucketAdmin, overrides: Partial<BucketAdmin>): BucketAdmin {
  return new Proxy(admin, {
    get(target, property) {
      const member = Reflect.get(overrides, property) ?? Reflect.get(target, property, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}
