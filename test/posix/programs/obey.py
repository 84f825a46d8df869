"""
A process that does what it is told: a line of JSON in, a line of JSON out. {"do": "enter", "root": DIR, "uid": N} first.

Each answer has "result": "ok", what a call gave, or the name of its errno. With "watch" it has also what lstat and fstat show of everything
that the call names, after the call, and which of the times moved by it.
"""
import ctypes
import errno
import json
import mmap
import os
import re
import stat
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}
# Times before this were set by somebody, and are told exactly.
LONG_AGO_NS = 1_500_000_000 * 10**9

# Files of this process, by slot.
files = {}


def told(data):
    """Bytes as runs: b"aab" is "a*2 b*1"."""
    return " ".join(f"{chr(m[0][0]) if 32 < m[0][0] < 127 else m[0][0]}*{len(m[0])}" for m in re.finditer(rb"(.)\1*", data, re.DOTALL)) or "nothing"


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "ok"


def kind_of(info):
    return KINDS.get(stat.S_IFMT(info.st_mode), "?")


def shown(info):
    kind = kind_of(info)
    # A directory's size and link count are its file system's own affair.
    size = f" size={info.st_size} links={info.st_nlink}" if kind != "dir" else ""
    set_time = f" mtime={info.st_mtime_ns}" if info.st_mtime_ns < LONG_AGO_NS and kind != "fifo" else ""
    return f"{kind} {info.st_mode & 0o7777:o} {info.st_uid}:{info.st_gid}{size}{set_time}"


def read_all(path, flags=0):
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def do_open(told_to):
    close({"slot": told_to["slot"]})
    flags = 0
    for name in told_to["flags"]:
        flags |= getattr(os, name)
    # A fifo must not hold this process.
    files[told_to["slot"]] = os.open(told_to["path"], flags | os.O_NONBLOCK, told_to.get("mode", 0))
    return "ok"


def fd_of(told_to, name="slot"):
    if told_to[name] not in files:
        raise OSError(errno.EBADF, "nothing is open")
    return files[told_to[name]]


def close(told_to):
    if told_to["slot"] not in files:
        return "not open"
    os.close(files.pop(told_to["slot"]))
    return "ok"


def bytes_of(told_to):
    return told_to["letter"].encode() * told_to["size"]


def size_of(fd):
    """A directory's is its file system's own affair."""
    info = os.fstat(fd)
    return info.st_size if stat.S_ISREG(info.st_mode) else 0


def seek(told_to):
    fd = fd_of(told_to)
    return "a directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else str(os.lseek(fd, told_to["offset"], told_to["whence"]))


def map_write(told_to):
    fd = fd_of(told_to)
    end = size_of(fd)
    if told_to["offset"] >= end:
        return "beyond"
    mapped = mmap.mmap(fd, end)
    try:
        last = min(end, told_to["offset"] + told_to["size"])
        mapped[told_to["offset"] : last] = told_to["letter"].encode() * (last - told_to["offset"])
        mapped.flush()
    finally:
        mapped.close()
    return "ok"


def map_read(told_to):
    fd = fd_of(told_to)
    end = size_of(fd)
    if end == 0:
        return "beyond"
    mapped = mmap.mmap(fd, end, prot=mmap.PROT_READ)
    try:
        return told(mapped[:])
    finally:
        mapped.close()



def write_file(told_to):
    fd = os.open(told_to["path"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
    try:
        return str(os.write(fd, bytes_of(told_to)))
    finally:
        os.close(fd)


def append(told_to):
    fd = os.open(told_to["path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
    try:
        return str(os.write(fd, bytes_of(told_to)))
    finally:
        os.close(fd)


def fallocate(told_to):
    fd = fd_of(told_to)
    checked(libc.fallocate(fd, told_to["mode"], told_to["offset"], told_to["size"]))
    # ext4 moves the times also where nothing changes, which SEMANTICS.md says we do not: so they are moved on both.
    os.utime(fd)
    return "ok"


def copy_range(told_to):
    source, target = fd_of(told_to), fd_of(told_to, "to")
    return str(os.copy_file_range(source, target, told_to["size"], told_to["offset"], told_to["at"]))


def rename2(told_to):
    return checked(libc.renameat2(AT_FDCWD, os.fsencode(told_to["path"]), AT_FDCWD, os.fsencode(told_to["to"]), told_to["flags"]))


def link_open(told_to):
    return checked(libc.linkat(fd_of(told_to), b"", AT_FDCWD, os.fsencode(told_to["to"]), AT_EMPTY_PATH))


def times_of(told_to):
    return (946_684_800_123_456_789, told_to["mtime"] * 1_000_000_001)


def utimens(told_to):
    os.utime(told_to["path"], ns=times_of(told_to), follow_symlinks=told_to["follow"])
    return "ok"


def sync_directory(told_to):
    fd = os.open(told_to["path"], os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def names(told_to):
    return " ".join(sorted(f"{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else '@' if entry.is_symlink() else ''}" for entry in os.scandir(told_to["path"])))


def quiet(work):
    """Of a call that gives nothing worth telling."""

    def done(told_to):
        work(told_to)
        return "ok"

    return done


CALLS = {
    "open": do_open,
    "close": close,
    "read": lambda c: told(os.read(fd_of(c), c["size"])),
    "pread": lambda c: told(os.pread(fd_of(c), c["size"], c["offset"])),
    "write": lambda c: str(os.write(fd_of(c), bytes_of(c))),
    "pwrite": lambda c: str(os.pwrite(fd_of(c), bytes_of(c), c["offset"])),
    "seek": seek,
    "ftruncate": quiet(lambda c: os.ftruncate(fd_of(c), c["size"])),
    "fallocate": fallocate,
    "fsync": quiet(lambda c: os.fsync(fd_of(c))),
    "fdatasync": quiet(lambda c: os.fdatasync(fd_of(c))),
    "flush": quiet(lambda c: os.close(os.dup(fd_of(c)))),
    "fstat": lambda c: shown(os.fstat(fd_of(c))),
    "fchmod": quiet(lambda c: os.fchmod(fd_of(c), c["mode"])),
    "futimens": quiet(lambda c: os.utime(fd_of(c), ns=times_of(c))),
    "mapWrite": map_write,
    "mapRead": map_read,
    "copyRange": copy_range,
    "linkOpen": link_open,
    "writeFile": write_file,
    "append": append,
    "readFile": lambda c: told(read_all(c["path"], os.O_NONBLOCK)),
    "truncate": quiet(lambda c: os.truncate(c["path"], c["size"])),
    "stat": lambda c: shown(os.stat(c["path"])),
    "lstat": lambda c: shown(os.lstat(c["path"])),
    "readlink": lambda c: os.readlink(c["path"]),
    "access": lambda c: str(os.access(c["path"], c["mode"], effective_ids=True)),
    "readdir": names,
    "mkdir": quiet(lambda c: os.mkdir(c["path"], c["mode"])),
    "rmdir": quiet(lambda c: os.rmdir(c["path"])),
    "unlink": quiet(lambda c: os.unlink(c["path"])),
    "rename": rename2,
    "link": quiet(lambda c: os.link(c["path"], c["to"], follow_symlinks=False)),
    "symlink": quiet(lambda c: os.symlink(c["to"], c["path"])),
    "mkfifo": quiet(lambda c: os.mkfifo(c["path"], c["mode"])),
    "chmod": quiet(lambda c: os.chmod(c["path"], c["mode"])),
    "chown": quiet(lambda c: os.chown(c["path"], c["uid"], c["gid"], follow_symlinks=False)),
    "utimens": utimens,
    "touch": quiet(lambda c: os.utime(c["path"])),
    "setxattr": quiet(lambda c: os.setxattr(c["path"], c["name"], c["letter"].encode() * c["size"], c["flags"])),
    "removexattr": quiet(lambda c: os.removexattr(c["path"], c["name"])),
    "xattrs": lambda c: " ".join(f"{name}={told(os.getxattr(c['path'], name))}" for name in sorted(os.listxattr(c["path"]))),
    "fsyncdir": quiet(sync_directory),
}


def result_of(call, told_to):
    try:
        return call(told_to)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def looks(told_to):
    """What the call names, as lstat and fstat show it, by the word that it has in the answer."""
    found = {}
    for word in ("path", "to"):
        place = told_to.get(word)
        if not isinstance(place, str) or (word == "to" and told_to["do"] == "symlink"):
            continue
        for shown_word, at in ((place, place), (f"over {place}", os.path.dirname(place.rstrip("/")) or ".")):
            try:
                found[shown_word] = os.lstat(at)
            except OSError as error:
                found[shown_word] = errno.errorcode[error.errno]
    for word in ("slot", "to"):
        if isinstance(told_to.get(word), int) and told_to[word] in files:
            found[f"[{told_to[word]}]"] = os.fstat(files[told_to[word]])
    return found


def difference(before, after):
    """After the call: what is shown of each, and which of its times moved."""
    lines = []
    for word, info in after.items():
        if isinstance(info, str):
            lines.append(f"{word}: {info}")
            continue
        old = before.get(word)
        moved = ""
        # What goes through a pipe is the kernel's affair, and SEMANTICS.md says that it moves no time.
        if isinstance(old, os.stat_result) and old.st_ino == info.st_ino and not stat.S_ISFIFO(info.st_mode):
            moved = (" mtime moved" if old.st_mtime_ns != info.st_mtime_ns else "") + (" ctime moved" if old.st_ctime_ns != info.st_ctime_ns else "")
        lines.append(f"{word}: {shown(info)}{moved}")
    return lines


def content_of(path, kind):
    if kind == "link":
        return " : " + told(os.fsencode(os.readlink(path)))
    return " : " + told(read_all(path)) if kind == "file" else ""


def tree(stored):
    """Every path below the working directory, with all that it has. `stored`: as another host sees it, who knows no hard links."""
    found, first = {}, {}
    for folder, folders, others in os.walk("."):
        for name in sorted(folders + others) + ["."]:
            path = os.path.normpath(os.path.join(folder, name))
            info = os.lstat(path)
            kind = kind_of(info)
            line = [kind, f"{info.st_mode & 0o7777:o}", f"{info.st_uid}:{info.st_gid}"]
            if kind == "dir":
                line += [] if stored else [f"links={info.st_nlink}"]
            else:
                line += [] if stored else [f"links={info.st_nlink}", f"same as {first.setdefault(info.st_ino, path)}"]
                line += [f"size={info.st_size}"]
            if info.st_mtime_ns < LONG_AGO_NS and not (stored and kind == "dir") and kind != "fifo":
                line.append(f"mtime={info.st_mtime_ns}")
            line += [f"{each}={told(os.getxattr(path, each))}" for each in sorted(os.listxattr(path))] if kind in ("dir", "file") else []
            found[path] = " ".join(line) + content_of(path, kind)
    return found


def become(uid):
    os.seteuid(0)
    os.setegid(0)
    os.setegid(uid)
    os.seteuid(uid)


def leave():
    results = {slot: result_of(close, {"slot": slot}) for slot in sorted(files)}
    files.clear()
    become(0)
    return results


def enter(told_to):
    leave()
    os.chdir(told_to["root"])
    os.umask(0)
    become(told_to["uid"])


def obey(told_to):
    if told_to["do"] == "enter":
        return {"result": str(enter(told_to))}
    if told_to["do"] == "leave":
        closed = leave()
        os.chdir("/")
        return {"result": json.dumps(closed)}
    if told_to["do"] == "tree":
        return {"result": "ok", "tree": tree(told_to["stored"])}
    before = looks(told_to) if told_to.get("watch") else {}
    if told_to["do"] == "open":
        # What was open there before may have had the same inode.
        before.pop(f"[{told_to['slot']}]", None)
    if told_to.get("watch"):
        # Beyond what a clock of the kernel's ticks.
        time.sleep(0.005)
    result = result_of(CALLS[told_to["do"]], told_to)
    return {"result": result, "seen": difference(before, looks(told_to)) if told_to.get("watch") else []}


os.setgroups([])
for line in sys.stdin:
    print(json.dumps(obey(json.loads(line))), flush=True)
