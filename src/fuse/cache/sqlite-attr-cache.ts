/**
 * `createAttrCache`: the attribute cache in an SQLite file, with the entries used last in memory.
 *
 * Puts are collected and written in one transaction, since a transaction costs several times what a row does. It is only a cache:
 * nothing is synced, what a power loss damages is detected by SQLite and begun anew, and a row is believed only
 * when its ETag, size and time are those that a LIST shows.
 */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { LRUCache } from "lru-cache";
import type { Etag } from "#core/brand.ts";
import { DriverError } from "#core/errors.ts";
import type { AttrCache, CachedAttr } from "./attr-cache.ts";

export interface AttrCacheOptions {
  /** The database file; its folder is made when missing. */
  readonly path: string;
  /** Oldest rows go beyond this many. */
  readonly maxRows?: number;
  /** Entries kept in memory as well, at about half a KiB each. */
  readonly maxInMemory?: number;
  readonly log?: (message: string, error: unknown) => void;
}

/** An attribute cache in the file `path`. Throws a DriverError when the file cannot be made. */
export function createAttrCache(options: AttrCacheOptions): AttrCache {
  return new SqliteAttrCache(options);
}

const FLUSH_DELAY_MS = 100;
const FLUSH_ROWS = 500;
/** Rows deleted in one transaction at most, beyond what it adds: pruning must not hold up the event loop. */
const PRUNE_ROWS = 1000;
const DEFAULT_MAX_ROWS = 1_000_000;
const DEFAULT_MAX_IN_MEMORY = 8192;

/** `fromPut`: lastModified is the server's Date at our own put, not yet confirmed by a LIST. */
interface Entry extends CachedAttr {
  readonly fromPut: boolean;
}

/** A small page cache: the kernel has the file's pages anyway. `rowid` grows with each put, so it is the age. */
const SETUP = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  PRAGMA cache_size = -1024;
  PRAGMA mmap_size = 0;
  PRAGMA journal_size_limit = 4194304;
  CREATE TABLE IF NOT EXISTS attr (
    rowid INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    last_modified REAL NOT NULL,
    from_put INTEGER NOT NULL,
    details TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY, rows INTEGER NOT NULL) STRICT;
`;

interface Database {
  readonly db: DatabaseSync;
  readonly select: StatementSync;
  readonly insert: StatementSync;
  readonly remove: StatementSync;
  readonly setRows: StatementSync;
  readonly prune: StatementSync;
  rows: number;
}

class SqliteAttrCache implements AttrCache {
  readonly #path: string;
  readonly #maxRows: number;
  readonly #log: (message: string, error: unknown) => void;
  readonly #recent: LRUCache<string, Entry>;
  /** Not in the database yet; null: to be deleted. */
  #pending = new Map<string, Entry | null>();
  #timer: NodeJS.Timeout | undefined;
  #database: Database | undefined;

  constructor({ path, maxRows = DEFAULT_MAX_ROWS, maxInMemory = DEFAULT_MAX_IN_MEMORY, log }: AttrCacheOptions) {
    this.#path = path;
    this.#maxRows = maxRows;
    this.#log = log ?? (() => undefined);
    this.#recent = new LRUCache({ max: maxInMemory });
    this.#database = this.#openOrRecreate();
  }

  get(key: string, listed: { etag: Etag; lastModified: number; size: number }): CachedAttr | undefined {
    const entry = this.#find(key);
    if (entry === undefined || entry.etag !== listed.etag || entry.size !== listed.size) return undefined;
    if (!agrees(entry, listed.lastModified)) return undefined;
    if (!entry.fromPut) return entry;
    // From now on the listed time is the version's: a later change of metadata alone will show.
    const confirmed = { ...entry, lastModified: listed.lastModified, fromPut: false };
    this.#set(key, confirmed);
    return confirmed;
  }

  put(key: string, attr: CachedAttr, options?: { fromPut: boolean }): void {
    const { etag, size, lastModified, headers, metadata } = attr;
    this.#set(key, { etag, size, lastModified, headers, metadata, fromPut: options?.fromPut ?? false });
  }

  drop(key: string): void {
    this.#recent.delete(key);
    this.#pending.set(key, null);
    this.#flushSoon();
  }

  async close(): Promise<void> {
    this.#flush();
    this.#database?.db.close();
    this.#database = undefined;
  }

  #find(key: string): Entry | undefined {
    const recent = this.#recent.get(key);
    if (recent !== undefined) return recent;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending ?? undefined;
    const stored = this.#guarded((database) => decodeRow(database.select.get(key)));
    if (stored !== undefined) this.#recent.set(key, stored);
    return stored;
  }

  #set(key: string, entry: Entry): void {
    this.#recent.set(key, entry);
    this.#pending.set(key, entry);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#pending.size >= FLUSH_ROWS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_DELAY_MS).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.size === 0) return;
    const pending = this.#pending;
    this.#pending = new Map();
    this.#guarded((database) => {
      database.db.exec("BEGIN");
      for (const [key, entry] of pending) writeRow(database, key, entry);
      const excess = Math.min(database.rows - this.#maxRows, PRUNE_ROWS + pending.size);
      if (excess > 0) database.rows -= Number(database.prune.run(excess).changes);
      database.setRows.run(database.rows);
      database.db.exec("COMMIT");
    });
  }

  /** Does `work` on the database. One that fails is begun anew, and the answer is undefined: a miss. */
  #guarded<T>(work: (database: Database) => T): T | undefined {
    if (this.#database === undefined) return undefined;
    try {
      return work(this.#database);
    } catch (error) {
      this.#log(`the attribute cache ${this.#path} failed and is begun anew`, error);
      this.#database = this.#recreate();
      return undefined;
    }
  }

  #openOrRecreate(): Database {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      return openDatabase(this.#path);
    } catch (error) {
      this.#log(`the attribute cache ${this.#path} cannot be opened and is begun anew`, error);
    }
    const database = this.#recreate();
    if (database === undefined) throw new DriverError("internal", `cannot make the attribute cache ${this.#path}`);
    return database;
  }

  /** Undefined when that fails too: the cache then works in memory only. */
  #recreate(): Database | undefined {
    try {
      if (this.#database?.db.isOpen === true) this.#database.db.close();
    } catch {
      // It is being thrown away.
    }
    try {
      for (const suffix of ["", "-wal", "-shm"]) rmSync(this.#path + suffix, { force: true });
      return openDatabase(this.#path);
    } catch (error) {
      this.#log(`the attribute cache ${this.#path} cannot be made`, error);
      return undefined;
    }
  }
}

/**
 * HEAD tells seconds where LIST may tell milliseconds, so the same second is the same time. Our own put knows the server's Date
 * only, which is within a second of the time that the object got.
 */
function agrees(entry: Entry, listedMs: number): boolean {
  if (entry.fromPut) return Math.abs(entry.lastModified - listedMs) <= 1000;
  return Math.floor(entry.lastModified / 1000) === Math.floor(listedMs / 1000);
}

function openDatabase(path: string): Database {
  const db = new DatabaseSync(path);
  try {
    db.exec(SETUP);
    return {
      db,
      select: db.prepare("SELECT etag, size, last_modified, from_put, details FROM attr WHERE key = ?"),
      insert: db.prepare("INSERT INTO attr (key, etag, size, last_modified, from_put, details) VALUES (?, ?, ?, ?, ?, ?)"),
      remove: db.prepare("DELETE FROM attr WHERE key = ?"),
      setRows: db.prepare("INSERT OR REPLACE INTO totals (id, rows) VALUES (1, ?)"),
      prune: db.prepare("DELETE FROM attr WHERE rowid IN (SELECT rowid FROM attr ORDER BY rowid LIMIT ?)"),
      rows: storedRows(db),
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Kept in a row of its own: counting would read the whole index. */
function storedRows(db: DatabaseSync): number {
  const row = db.prepare("SELECT rows FROM totals").get();
  return typeof row?.["rows"] === "number" ? row["rows"] : 0;
}

/** A row that is written again is a new one, so that it counts as young. */
function writeRow(database: Database, key: string, entry: Entry | null): void {
  database.rows -= Number(database.remove.run(key).changes);
  if (entry === null) return;
  const details = JSON.stringify([entry.headers, entry.metadata]);
  database.insert.run(key, entry.etag, entry.size, entry.lastModified, entry.fromPut ? 1 : 0, details);
  database.rows++;
}

function decodeRow(row: Record<string, unknown> | undefined): Entry | undefined {
  if (row === undefined) return undefined;
  const [headers, metadata] = JSON.parse(String(row["details"]));
  return {
    etag: String(row["etag"]) as Etag,
    size: Number(row["size"]),
    lastModified: Number(row["last_modified"]),
    fromPut: row["from_put"] === 1,
    headers,
    metadata,
  };
}
