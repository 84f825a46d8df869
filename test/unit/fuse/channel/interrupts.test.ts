import { describe, expect, test } from "vitest";
import { LiveRequest, RequestsUnderWay } from "../../../../src/fuse/channel/interrupts.ts";

function request(unique: number, uniqueHigh = 0): LiveRequest {
  return new LiveRequest({ opcode: 1, uniqueLow: unique, uniqueHigh, nodeid: 1, uid: 0, gid: 0, pid: 0, bodyEnd: 40 });
}

describe("LiveRequest", () => {
  test("`signal` is aborted whether it was asked for before the abort or after", () => {
    const early = request(2);
    const { signal } = early;
    expect(signal.aborted).toBe(false);
    early.abort();
    expect(signal.aborted).toBe(true);
    const late = request(4);
    late.abort();
    expect(late.signal.aborted).toBe(true);
  });

  test("a repeated request says so and has its number without the mark", () => {
    expect([request(6, 0x8000_0000).resent, request(6, 0x8000_0000).unique, request(6).resent]).toEqual([true, 6, false]);
  });
});

describe("RequestsUnderWay", () => {
  test("`interrupt` aborts the request of that number alone", () => {
    const underWay = new RequestsUnderWay();
    const [one, two] = [request(2), request(4)];
    underWay.add(one);
    underWay.add(two);
    expect(underWay.interrupt(4)).toBe("aborted");
    expect([one.signal.aborted, two.signal.aborted]).toEqual([false, true]);
  });

  test("an INTERRUPT that overtook its request aborts it when it comes", () => {
    const underWay = new RequestsUnderWay();
    underWay.add(request(2));
    expect(underWay.interrupt(4)).toBe("early");
    const late = request(4);
    underWay.add(late);
    expect(late.signal.aborted).toBe(true);
    const next = request(6);
    underWay.add(next);
    expect(next.signal.aborted).toBe(false);
  });

  test("an INTERRUPT for a request older than all seen here is of a predecessor's", () => {
    const underWay = new RequestsUnderWay();
    expect(underWay.interrupt(98)).toBe("lost");
    underWay.add(request(100));
    expect([underWay.interrupt(98), underWay.interrupt(102)]).toEqual(["lost", "early"]);
  });

  test("`size` counts what is not answered", () => {
    const underWay = new RequestsUnderWay();
    const one = request(2);
    underWay.add(one);
    expect(underWay.size).toBe(1);
    underWay.delete(one);
    expect(underWay.size).toBe(0);
  });
});
