import { expect, test } from "vitest";
import { parseHttpEndpoint } from "#csi/http-endpoint.ts";

test.each([
  ["0.0.0.0:9808", { host: "0.0.0.0", port: 9808 }],
  [":9808", { host: "", port: 9808 }],
  ["localhost:1", { host: "localhost", port: 1 }],
  ["[::1]:9808", { host: "::1", port: 9808 }],
])("`parseHttpEndpoint` takes %s", (text, endpoint) => {
  expect(parseHttpEndpoint(text)).toEqual(endpoint);
});

test.each(["9808", "", "host:", "host:65536", "::1:9808", "http://host:80", "host:9x"])(
  "`parseHttpEndpoint` refuses %j and names the flag",
  (text) => {
    expect(() => parseHttpEndpoint(text)).toThrow("--http-endpoint must be HOST:PORT");
  },
);
