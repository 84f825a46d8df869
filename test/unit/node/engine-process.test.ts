import { expect, test } from "vitest";
import { describeExit, engineEnvironment } from "#node/engine-process.ts";

test("`engineEnvironment` keeps AWS's variables from an engine with keys of its own, and gives them to one that needs the chain", () => {
  const env = { PATH: "/bin", AWS_SECRET_ACCESS_KEY: "s", AWS_PROFILE: "p", UV_THREADPOOL_SIZE: "4" };
  expect(engineEnvironment(env, "static")).toEqual({ PATH: "/bin", UV_THREADPOOL_SIZE: "64" });
  expect(engineEnvironment(env, "chain")).toEqual({ ...env, UV_THREADPOOL_SIZE: "64" });
});

test("`describeExit` tells a signal from an exit code", () => {
  expect(describeExit({ code: null, signal: "SIGKILL" })).toBe("signal SIGKILL");
  expect(describeExit({ code: 9, signal: null })).toBe("exit code 9");
});
