/**
 * An engine without a store: speaks as much of the FUSE protocol as the supervisor's tests need, and the supervisor's IPC
 * protocol. One file, `hello`, whose reads are answered 20 ms late. The bucket's name says how to behave:
 *   refused  reports `failed`;  crash  exits before it is ready;  silent  never reports;  dirty  exits with 3 at the end;
 *   unflushable  answers a flush with an error;  slow-flush  answers a flush after 500 ms
 * Numbers are those of <linux/fuse.h>.
 */
import fs from "node:fs";

const FUSE = 3;
const HELLO = 2;
const CONTENT = Buffer.from("hello from the fake engine\n");
const ENOENT = -2;
const ENOSYS = -38;
let config;
let reads = 0;

function reply(unique, error, ...parts) {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + parts.reduce((n, part) => n + part.length, 0), 0);
  header.writeInt32LE(error, 4);
  header.writeBigUInt64LE(unique, 8);
  try {
    fs.writevSync(FUSE, [header, ...parts]);
  } catch (error) {
    // ENOENT: the request was interrupted; ENODEV: unmounted.
    if (!["ENOENT", "ENODEV"].includes(error.code)) throw error;
  }
}

function attributes(node) {
  const attr = Buffer.alloc(88);
  attr.writeBigUInt64LE(BigInt(node), 0);
  attr.writeBigUInt64LE(BigInt(node === HELLO ? CONTENT.length : 0), 8);
  attr.writeUInt32LE(node === HELLO ? 0o100644 : 0o40755, 60);
  attr.writeUInt32LE(1, 64);
  return attr;
}

const handlers = {
  // INIT
  26(unique) {
    const out = Buffer.alloc(64);
    out.writeUInt32LE(7, 0);
    out.writeUInt32LE(41, 4);
    out.writeUInt32LE(((1 << 0) | (1 << 22) | (1 << 30)) >>> 0, 12);
    out.writeUInt16LE(64, 16);
    out.writeUInt16LE(48, 18);
    out.writeUInt32LE(1 << 20, 20);
    out.writeUInt32LE(1, 24);
    out.writeUInt16LE(256, 28);
    out.writeUInt32LE(1 << 7, 32); // flags2: HAS_RESEND
    reply(unique, 0, out);
    process.send?.({ type: "ready" });
  },
  // LOOKUP
  1(unique, _node, body) {
    if (body.subarray(0, body.indexOf(0)).toString() !== "hello") return reply(unique, ENOENT);
    const entry = Buffer.alloc(40);
    entry.writeBigUInt64LE(BigInt(HELLO), 0);
    reply(unique, 0, entry, attributes(HELLO));
  },
  // GETATTR
  3: (unique, node) => reply(unique, 0, Buffer.alloc(16), attributes(node)),
  // OPEN, with FOPEN_DIRECT_IO: every read comes to us
  14(unique) {
    const out = Buffer.alloc(16);
    out.writeUInt32LE(1, 8);
    reply(unique, 0, out);
  },
  // READ
  15(unique, _node, body) {
    reads += 1;
    const from = Number(body.readBigUInt64LE(8));
    setTimeout(() => reply(unique, 0, CONTENT.subarray(from, from + body.readUInt32LE(16))), 20);
  },
  // STATFS
  17(unique) {
    const out = Buffer.alloc(80);
    out.writeBigUInt64LE(1000n, 0);
    out.writeBigUInt64LE(900n, 8);
    out.writeBigUInt64LE(900n, 16);
    out.writeUInt32LE(4096, 40);
    out.writeUInt32LE(255, 44);
    out.writeUInt32LE(4096, 48);
    reply(unique, 0, out);
  },
  // RELEASE, FLUSH, OPENDIR, RELEASEDIR
  18: (unique) => reply(unique, 0),
  25: (unique) => reply(unique, 0),
  27: (unique) => reply(unique, 0, Buffer.alloc(16)),
  29: (unique) => reply(unique, 0),
  // FORGET, INTERRUPT, BATCH_FORGET have no answer
  2() {},
  36() {},
  42() {},
};

function serve() {
  const buffer = Buffer.allocUnsafe((1 << 20) + 8192);
  fs.read(FUSE, buffer, 0, buffer.length, null, (error, n) => {
    if (error?.code === "ENODEV") process.exit(config.store.bucket === "dirty" ? 3 : 0);
    if (error && !["EINTR", "ENOENT", "EAGAIN"].includes(error.code)) throw error;
    if (!error) {
      const request = Buffer.from(buffer.subarray(0, n));
      const handler = handlers[request.readUInt32LE(4)];
      if (handler) handler(request.readBigUInt64LE(8), Number(request.readBigUInt64LE(16)), request.subarray(40));
      else reply(request.readBigUInt64LE(8), ENOSYS);
    }
    serve();
  });
}

function status() {
  return {
    bucket: config.store.bucket,
    prefix: config.store.prefix,
    mountPoint: config.mountPoint,
    pid: process.pid,
    startedAt: new Date().toISOString(),
    takeovers: config.takeover ? 1 : 0,
    passthrough: false,
    dirtyFiles: 0,
    dirtyBytes: 0,
    openHandles: 0,
    inodes: 1,
    cache: { bytes: 0, limitBytes: config.cacheSizeBytes, files: 0, hits: 3, misses: 1 },
    requests: { Read: reads },
    errors: {},
    retries: 0,
    rssBytes: process.memoryUsage.rss(),
    store: {},
    // Only here: what the supervisor must not hand on.
    environment: Object.keys(process.env).filter((name) => name.startsWith("AWS_") || name === "UV_THREADPOOL_SIZE"),
    cwd: process.cwd(),
    argv: process.argv.slice(2),
  };
}

function begin() {
  const behaviour = config.store.bucket;
  if (behaviour === "crash") process.exit(9);
  if (behaviour === "silent") return;
  if (behaviour === "refused") {
    process.send({ type: "failed", fault: "no_bucket", message: "there is no such bucket" }, () => process.exit(1));
    return;
  }
  if (config.takeover) {
    const resend = Buffer.alloc(16);
    resend.writeUInt32LE(16, 0);
    resend.writeInt32LE(7, 4); // FUSE_NOTIFY_RESEND
    try {
      fs.writeSync(FUSE, resend);
    } catch {}
    process.send({ type: "ready" });
  }
  for (let i = 0; i < 3; i++) serve();
}

function answer(request) {
  if (request.type === "status") return process.send?.({ type: "status", id: request.id, status: status() });
  const error = config.store.bucket === "unflushable" ? { error: "2 files are left" } : {};
  setTimeout(() => process.send?.({ type: "flushed", id: request.id, ...error }), config.store.bucket === "slow-flush" ? 500 : 0);
}

process.on("message", (message) => {
  if (config !== undefined) return answer(message);
  config = message;
  begin();
});
// A supervisor that went away is no reason to end.
process.on("disconnect", () => undefined);
