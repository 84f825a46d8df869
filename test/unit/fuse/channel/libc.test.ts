import { describe, expect, test } from "vitest";
import { errnoName, ioctl, systemError, umount2 } from "../../../../src/fuse/channel/libc.ts";

describe("libc", () => {
  test("calls give the errno they failed with, off this thread too", async () => {
    expect(await umount2("/nonexistent/for/sure", 0)).not.toBe(0);
    expect(errnoName(-ioctl(-1, 0, new Uint8Array(8)))).toBe("EBADF");
  });

  test("`systemError` names what was tried, the errno, and what to do", () => {
    const error = systemError("mounting x on /y", 1);
    expect([error.fault, error.message]).toEqual(["denied", "mounting x on /y: EPERM (needs root (CAP_SYS_ADMIN))"]);
    expect(systemError("unmounting /y", 16).fault).toBe("in_use");
    expect(systemError("unmounting /y", 22, { EINVAL: "nothing is mounted there" }).message).toBe(
      "unmounting /y: EINVAL (nothing is mounted there)",
    );
    expect(systemError("x", 200).message).toBe("x: errno 200");
  });
});
