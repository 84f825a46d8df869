"""Processes count in one file under a lock: locked-counter.py DIR KIND PROCESSES ROUNDS, KIND being flock, fcntl or ofd."""
import fcntl
import os
import struct
import subprocess
import sys

F_OFD_SETLKW = 38


def take(kind, fd):
    if kind == "flock":
        fcntl.flock(fd, fcntl.LOCK_EX)
    elif kind == "fcntl":
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, 7)
    else:
        fcntl.fcntl(fd, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 7, 1, 0))


def give(kind, fd):
    if kind == "flock":
        fcntl.flock(fd, fcntl.LOCK_UN)
    elif kind == "fcntl":
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, 7)
    else:
        fcntl.fcntl(fd, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 7, 1, 0))


def count(folder, kind, rounds):
    lock = os.open(os.path.join(folder, f"{kind}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    data = os.path.join(folder, f"{kind}.count")
    for _ in range(rounds):
        take(kind, lock)
        # Opened anew under the lock, as Maven opens _remote.repositories.
        with open(data, "r+") as file:
            value = int(file.read())
            file.seek(0)
            file.write(str(value + 1))
        give(kind, lock)
    os.close(lock)


def refused(kind, folder):
    """A lock that another process holds is refused at once when asked for without waiting."""
    path = os.path.join(folder, f"{kind}.lock")
    ask = "fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)" if kind == "flock" else "fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 7)"
    return subprocess.run(
        [sys.executable, "-c", f"import fcntl\nf = open({path!r}, 'r+')\ntry:\n  {ask}\nexcept BlockingIOError:\n  raise SystemExit(7)"],
        check=False,
    ).returncode


def main(folder, kind, processes, rounds):
    with open(os.path.join(folder, f"{kind}.count"), "w") as file:
        file.write("0")
    users = [subprocess.Popen([sys.executable, __file__, "count", folder, kind, str(rounds)]) for _ in range(processes)]
    assert [user.wait() for user in users] == [0] * processes, "a process failed"
    with open(os.path.join(folder, f"{kind}.count")) as file:
        value = int(file.read())
    assert value == processes * rounds, f"counted {value}, not {processes * rounds}"
    held = os.open(os.path.join(folder, f"{kind}.lock"), os.O_RDWR)
    take(kind, held)
    assert refused(kind, folder) == 7, "a held lock was given to another process"
    give(kind, held)
    assert refused(kind, folder) == 0, "a lock that was given back is still held"
    print(f"{kind}: {value}")


if sys.argv[1] == "count":
    count(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
