/** The value of --http-endpoint. Apart from the server, which the keeper has no room for. */
import { DriverError } from "#core/errors.ts";

export interface HttpEndpoint {
  /** Empty: all addresses. */
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `:PORT` or `[IPV6]:PORT`. Fault `bad_argument`. */
export function parseHttpEndpoint(text: string): HttpEndpoint {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    throw new DriverError("bad_argument", `--http-endpoint must be HOST:PORT, such as 0.0.0.0:9808, not ${JSON.stringify(text)}`);
  }
  return { host: bracketed ?? plain ?? "", port };
}
