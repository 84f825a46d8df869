"""
open(2) with every combination of flags on every kind of target: open-flags.py DIR. A line a case: flags, kind and what came of it.

Run as an ordinary user, whom a file's mode binds. What came of it is the errno; or the kind and size of what was opened, fcntl's flags,
the position, what one read and one write of a page gave, and the position after them; and, in any case, what the directory holds then.
"""
import errno
import fcntl
import itertools
import mmap
import os
import shutil
import stat
import sys

PAGE = 4096
USER = 65534
ACCESS = {"O_RDONLY": os.O_RDONLY, "O_WRONLY": os.O_WRONLY, "O_RDWR": os.O_RDWR, "O_ACCMODE": 3}
FLAGS = {
    "O_CREAT": os.O_CREAT,
    "O_EXCL": os.O_EXCL,
    "O_TRUNC": os.O_TRUNC,
    "O_APPEND": os.O_APPEND,
    "O_DIRECTORY": os.O_DIRECTORY,
    "O_NOFOLLOW": os.O_NOFOLLOW,
    "O_PATH": os.O_PATH,
    # Without the O_DIRECTORY that is a part of it, so that each bit is tried alone too.
    "__O_TMPFILE": os.O_TMPFILE & ~os.O_DIRECTORY,
    "O_DIRECT": os.O_DIRECT,
}
KINDS = {
    "missing": "missing",
    "file": "file",
    "directory": "directory",
    "link to a file": "to-file",
    "link to a directory": "to-directory",
    "dangling link": "dangling",
    "link to itself": "loop",
    "read-only file": "read-only",
    "missing in a read-only directory": "sealed/missing",
    "missing in a missing directory": "missing/missing",
    "below a file": "file/missing",
    "missing, with a slash": "missing/",
    "file, with a slash": "file/",
    "link to a directory, with a slash": "to-directory/",
}
FIRST = b"a" * PAGE + b"b" * PAGE
# Aligned in memory and in size, as O_DIRECT wants it; so all I/O is alike.
BUFFER = mmap.mmap(-1, PAGE)


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def tried(action):
    try:
        return str(action())
    except OSError as error:
        return name_of(error)


def make(root):
    """The targets, anew."""
    if os.path.lexists(root):
        os.chmod(os.path.join(root, "sealed"), 0o755)
        shutil.rmtree(root)
    os.mkdir(root, 0o755)
    at = lambda name: os.path.join(root, name)
    os.mkdir(at("directory"), 0o755)
    os.mkdir(at("sealed"), 0o555)
    for name in ("file", "read-only"):
        fd = os.open(at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, FIRST)
        os.close(fd)
    os.chmod(at("read-only"), 0o444)
    for name, target in (("to-file", "file"), ("to-directory", "directory"), ("dangling", "made"), ("loop", "loop")):
        os.symlink(target, at(name))


def state(root):
    """Every name below the root, with its type, mode and size."""
    found = []
    for folder, prefix in ((root, ""), (os.path.join(root, "directory"), "directory/")):
        for name in sorted(os.listdir(folder)):
            info = os.lstat(os.path.join(folder, name))
            size = info.st_size if stat.S_ISREG(info.st_mode) else ""
            found.append(f"{prefix}{name}:{info.st_mode:o}:{size}")
    return " ".join(found)


def content(root, name):
    """The first letter of each page of a file; "." for a zero."""
    with open(os.path.join(root, name), "rb") as file:
        data = file.read()
    return "".join(chr(data[at] or ord(".")) for at in range(0, len(data), PAGE))


def effects(fd):
    info = os.fstat(fd)
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}[stat.S_IFMT(info.st_mode)]
    size = info.st_size if kind == "file" else "-"
    # O_LARGEFILE is the library's.
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & ~0o100000
    at = lambda: tried(lambda: os.lseek(fd, 0, os.SEEK_CUR))
    steps = [f"{kind} {size} links={info.st_nlink} mode={info.st_mode & 0o7777:o} flags={flags:o} at={at()}"]
    steps.append("read=" + tried(lambda: os.readv(fd, [BUFFER])) + " at=" + at())
    BUFFER[:] = b"N" * PAGE
    steps.append("write=" + tried(lambda: os.writev(fd, [BUFFER])) + " at=" + at())
    return ", ".join(steps)


def attempt(root, path, flags):
    try:
        fd = os.open(path, flags, 0o640)
    except OSError as error:
        return name_of(error)
    try:
        return effects(fd)
    finally:
        os.close(fd)


def main(parent):
    os.umask(0o022)
    os.chown(parent, USER, USER)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    root = os.path.join(parent, "case")
    make(root)
    first = state(root)
    for kind, name in KINDS.items():
        for access, *chosen in itertools.product(ACCESS, *((None, flag) for flag in FLAGS)):
            names = [access, *filter(None, chosen)]
            flags = ACCESS[access] | sum(FLAGS[flag] for flag in names[1:])
            result = attempt(root, os.path.join(root, name), flags)
            after = state(root)
            changed = sorted(set(after.split()) ^ set(first.split()))
            touched = [each for each in ("file", "read-only", "made", "missing") if f" {each}:" in f" {after}" and result[:1] in "fdl"]
            contents = " ".join(f"{each}={content(root, each)}" for each in touched if content(root, each) != "ab")
            print(f"{'|'.join(names)}\t{kind}\t{result}" + (f" [{' '.join(changed)}] {contents}".rstrip() if changed or contents else ""))
            if changed or contents:
                make(root)
    make(root)
    os.chmod(os.path.join(root, "sealed"), 0o755)
    shutil.rmtree(root)


main(sys.argv[1])
