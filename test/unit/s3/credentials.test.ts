import { describe, expect, it } from "vitest";
import { DriverError } from "#core/errors.ts";
import { type Credentials, cachedCredentials, createCredentialProvider, environmentCredentials } from "#s3/credentials.ts";

const MINUTE = 60_000;

/** Each fetch answers A1, A2, ... that live for an hour; `fail` makes the next ones fail. */
function world() {
  const state = { now: 0, fetches: 0, fail: false };
  const fetch = async (): Promise<Credentials> => {
    state.fetches += 1;
    if (state.fail) throw new DriverError("unavailable", "no answer");
    return { accessKeyId: `A${state.fetches}`, secretAccessKey: "s", expiresAtMs: state.now + 60 * MINUTE };
  };
  return { state, provider: cachedCredentials(fetch, { now: () => state.now }) };
}

describe("cachedCredentials", () => {
  it("fetches once for all who ask at once, and keeps it", async () => {
    const { state, provider } = world();
    const [a, b] = await Promise.all([provider.get(), provider.get()]);
    expect([a.accessKeyId, b.accessKeyId, state.fetches]).toEqual(["A1", "A1", 1]);
    expect(provider.get()).toBe(a);
  });

  it("fetches ahead of the end while the old ones serve", async () => {
    const { state, provider } = world();
    const first = await provider.get();
    state.now = 56 * MINUTE;
    expect(provider.get()).toBe(first);
    await new Promise(setImmediate);
    expect((await provider.get()).accessKeyId).toBe("A2");
  });

  it("keeps the old ones when fetching ahead fails, and waits before the next try", async () => {
    const { state, provider } = world();
    const first = await provider.get();
    state.now = 56 * MINUTE;
    state.fail = true;
    for (let i = 0; i < 5; i++) {
      expect(provider.get()).toBe(first);
      await new Promise(setImmediate);
    }
    expect(state.fetches).toBe(2);
    state.now += 11_000;
    void provider.get();
    await new Promise(setImmediate);
    expect(state.fetches).toBe(3);
  });

  it("does not hand out what is about to expire", async () => {
    const { state, provider } = world();
    await provider.get();
    state.now = 60 * MINUTE - 1000;
    expect((await provider.get()).accessKeyId).toBe("A2");
    state.now = 200 * MINUTE;
    state.fail = true;
    await expect(provider.get()).rejects.toMatchObject({ fault: "unavailable" });
  });

  it("fetches anew after a refresh", async () => {
    const { provider } = world();
    await provider.get();
    expect(provider.refresh()).toBe(true);
    expect((await provider.get()).accessKeyId).toBe("A2");
  });
});

describe("createCredentialProvider", () => {
  it("gives fixed keys at once, for which there is no refresh", () => {
    const provider = createCredentialProvider({ kind: "static", accessKeyId: "A", secretAccessKey: "s", sessionToken: "t" });
    expect(provider.get()).toEqual({ accessKeyId: "A", secretAccessKey: "s", sessionToken: "t" });
    expect(provider.refresh()).toBe(false);
  });
});

describe("environmentCredentials", () => {
  const keys = { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "s" };
  it("takes keys and token, unless a profile or an end is named or one is missing", () => {
    expect(environmentCredentials({ ...keys, AWS_SESSION_TOKEN: "t" })).toEqual({
      accessKeyId: "A",
      secretAccessKey: "s",
      sessionToken: "t",
    });
    expect(environmentCredentials(keys)).toEqual({ accessKeyId: "A", secretAccessKey: "s" });
    expect(environmentCredentials({ ...keys, AWS_PROFILE: "p" })).toBeUndefined();
    expect(environmentCredentials({ ...keys, AWS_CREDENTIAL_EXPIRATION: "2026-01-01T00:00:00Z" })).toBeUndefined();
    expect(environmentCredentials({ AWS_ACCESS_KEY_ID: "A" })).toBeUndefined();
  });
});
