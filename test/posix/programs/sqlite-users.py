"""Two processes write into one sqlite database, a third is killed in the middle of a transaction: sqlite-users.py DIR JOURNAL_MODE ROUNDS"""
import os
import signal
import sqlite3
import subprocess
import sys
import time


def connect(path):
    # isolation_level None: transactions are begun here, not by the module.
    db = sqlite3.connect(path, timeout=120, isolation_level=None)
    db.execute("PRAGMA synchronous=FULL")
    return db


def write_rows(path, who, rounds):
    db = connect(path)
    for n in range(rounds):
        db.execute("BEGIN IMMEDIATE")
        # Read, then write what was read plus one: a lost lock or a stale page shows as a wrong sum.
        (total,) = db.execute("SELECT value FROM total").fetchone()
        db.execute("UPDATE total SET value = ?", (total + 1,))
        db.execute("INSERT INTO rows (who, n, fill) VALUES (?, ?, ?)", (who, n, os.urandom(400)))
        db.execute("COMMIT")
    db.close()


def die_in_transaction(path, ready):
    db = connect(path)
    db.execute("PRAGMA cache_size=5")  # so that pages of the open transaction are written to the database before its end
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE total SET value = -1")
    db.execute("UPDATE rows SET fill = randomblob(900)")
    open(ready, "w").close()
    time.sleep(3600)


def spawn(*args):
    return subprocess.Popen([sys.executable, __file__, *map(str, args)])


def main(folder, mode, rounds):
    path = os.path.join(folder, f"{mode}.db")
    db = connect(path)
    (got,) = db.execute(f"PRAGMA journal_mode={mode}").fetchone()
    assert got == mode, f"journal mode {got}, not {mode}"
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, who TEXT, n INTEGER, fill BLOB)")
    db.execute("CREATE INDEX by_fill ON rows (fill)")
    db.execute("CREATE TABLE total (value INTEGER)")
    db.execute("INSERT INTO total VALUES (0)")
    writers = [spawn("rows", path, who, rounds) for who in ("one", "two")]
    for writer in writers:
        assert writer.wait() == 0, f"a writer ended with {writer.returncode}"

    ready = os.path.join(folder, f"{mode}.ready")
    doomed = spawn("die", path, ready)
    while not os.path.exists(ready):
        assert doomed.poll() is None, "the process that was to be killed ended by itself"
        time.sleep(0.02)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    os.unlink(ready)

    (total,) = db.execute("SELECT value FROM total").fetchone()
    assert total == 2 * rounds, f"total {total}, not {2 * rounds}"
    (count,) = db.execute("SELECT count(*) FROM rows").fetchone()
    assert count == 2 * rounds, f"{count} rows, not {2 * rounds}"
    (check,) = db.execute("PRAGMA integrity_check").fetchone()
    assert check == "ok", check
    db.execute("VACUUM")
    db.close()
    again = connect(path)
    assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert again.execute("SELECT count(*) FROM rows").fetchone() == (2 * rounds,)
    again.close()
    print(f"{mode}: {count} rows, total {total}, integrity {check}")


if sys.argv[1] == "rows":
    write_rows(sys.argv[2], sys.argv[3], int(sys.argv[4]))
elif sys.argv[1] == "die":
    die_in_transaction(sys.argv[2], sys.argv[3])
else:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
