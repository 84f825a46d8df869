/**
 * Requests under way, and INTERRUPT. The kernel sends INTERRUPT when a signal reaches the process that waits for a request;
 * it goes on waiting until that request is answered, so aborting the work is a courtesy that makes Ctrl-C quick.
 */
import type { RequestHeader } from "#fuse/wire/decode.ts";
import { isResent, uniqueNumber } from "#fuse/wire/decode.ts";
import type { OpRequest } from "#fuse/wire/ops.ts";

/** INTERRUPTs remembered for requests not seen yet. Such a request follows within moments, so few are ever kept. */
const MAX_EARLY = 256;

/** A request as handlers see it. The abort controller is made when somebody asks for the signal: most handlers never do. */
export class LiveRequest implements OpRequest {
  readonly unique: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly opcode: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(header: RequestHeader) {
    this.unique = uniqueNumber(header.uniqueLow, header.uniqueHigh);
    this.uniqueLow = header.uniqueLow;
    this.uniqueHigh = header.uniqueHigh;
    this.opcode = header.opcode;
    this.nodeid = header.nodeid;
    this.uid = header.uid;
    this.gid = header.gid;
    this.pid = header.pid;
  }

  get resent(): boolean {
    return isResent(this.uniqueHigh);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }
}

/** The requests that are read and not answered, by `unique`. */
export class RequestsUnderWay {
  readonly #requests = new Map<number, LiveRequest>();
  readonly #early = new Set<number>();
  #first: number | undefined;

  get size(): number {
    return this.#requests.size;
  }

  add(request: LiveRequest): void {
    this.#first ??= request.unique;
    this.#requests.set(request.unique, request);
    if (this.#early.delete(request.unique)) request.abort();
  }

  delete(request: LiveRequest): void {
    this.#requests.delete(request.unique);
  }

  /**
   * Aborts the request. One that is not known yet may be still to come, since the kernel hands out interrupts before the requests that it
   * sends again after a take-over: it is aborted when it comes.
   * Answers "lost" for a request older than every one that came here: a predecessor read it.
   */
  interrupt(unique: number): "aborted" | "early" | "lost" {
    const request = this.#requests.get(unique);
    if (request !== undefined) {
      request.abort();
      return "aborted";
    }
    if (this.#first === undefined || unique < this.#first) return "lost";
    if (this.#early.size >= MAX_EARLY) this.#early.clear();
    this.#early.add(unique);
    return "early";
  }
}
