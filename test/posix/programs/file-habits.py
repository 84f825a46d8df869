"""What programs do with files without asking whether that is wise, a function each: file-habits.py HABIT DIR"""
import errno
import mmap
import os
import subprocess
import sys
import tempfile
import time

PAGE = 4096


def processes(habit, folder, *lists):
    """One process of this program for each of `lists`, all at once; every one must end well."""
    running = [subprocess.Popen([sys.executable, __file__, habit, folder, *map(str, args)]) for args in lists]
    codes = [process.wait() for process in running]
    assert codes == [0] * len(running), f"{habit}: exit codes {codes}"


def mapped(folder):
    """Two processes write every other page of one shared mapping; both see all of it, and so does read(2)."""
    path = os.path.join(folder, "mapped")
    with open(path, "wb") as file:
        file.truncate(256 * PAGE)
    processes("mapped-half", folder, [0], [1])
    expected = b"".join(bytes([1 + page % 251]) * PAGE for page in range(256))
    with open(path, "rb") as file:
        assert file.read() == expected, "read(2) does not see what was written through the mapping"
    with open(path, "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
        assert view[:] == expected
        os.pwrite(file.fileno(), b"through write", 10 * PAGE)
        assert view[10 * PAGE : 10 * PAGE + 13] == b"through write", "the mapping does not see write(2)"
        view[11 * PAGE : 11 * PAGE + 7] = b"mapping"
        assert os.pread(file.fileno(), 7, 11 * PAGE) == b"mapping", "read(2) does not see the mapping"
        os.unlink(path)
        view[12 * PAGE] = 77
        view.flush()
        assert os.pread(file.fileno(), 1, 12 * PAGE) == b"M", "the mapping of a removed file is lost"
        view.close()
    # A private mapping changes nothing; one of a file that was closed goes on.
    path = os.path.join(folder, "mapped-kept")
    with open(path, "w+b") as file:
        file.write(b"a" * PAGE * 3)
        file.flush()
        private = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        shared = mmap.mmap(file.fileno(), 0)
    private[0:3] = b"bbb"
    shared[PAGE : PAGE + 3] = b"ccc"
    shared.flush()
    shared[2 * PAGE : 2 * PAGE + 3] = b"ddd"
    shared.close()
    private.close()
    with open(path, "rb") as file:
        assert file.read() == b"a" * PAGE + b"ccc" + b"a" * (PAGE - 3) + b"ddd" + b"a" * (PAGE - 3)


def mapped_half(folder, half):
    with open(os.path.join(folder, "mapped"), "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    for page in range(int(half), 256, 2):
        view[page * PAGE : (page + 1) * PAGE] = bytes([1 + page % 251]) * PAGE
    view.flush()
    view.close()


def removed(folder):
    """Open files whose name is gone, or is another file's by now."""
    path = os.path.join(folder, "removed")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    os.write(fd, b"first ")
    os.unlink(path)
    assert not os.path.exists(path)
    os.write(fd, b"second")
    assert os.pread(fd, 100, 0) == b"first second"
    assert os.fstat(fd).st_nlink == 0, f"nlink {os.fstat(fd).st_nlink} of a removed file"
    os.fchmod(fd, 0o600)
    os.ftruncate(fd, 5)
    assert os.fstat(fd).st_size == 5
    os.fsync(fd)
    with open(path, "w") as other:
        other.write("another file")
    os.close(fd)
    with open(path) as file:
        assert file.read() == "another file", "the close of a removed file wrote over its successor"

    reader = open(path)
    replacement = os.path.join(folder, "replacement")
    with open(replacement, "w") as file:
        file.write("the new one, longer than the old")
    os.rename(replacement, path)
    assert reader.read() == "another file", "a replaced file's reader sees the new one"
    reader.close()

    written = open(path, "r+")
    os.rename(path, path + "-moved")
    written.write("THE")
    written.close()
    with open(path + "-moved") as file:
        assert file.read() == "THE new one, longer than the old"
    assert not os.path.exists(path), "the close of a moved file made it again under its old name"

    # tempfile's own: a file without a name from the start.
    with tempfile.TemporaryFile(dir=folder) as nameless:
        nameless.write(b"x" * 100_000)
        nameless.seek(0)
        assert len(nameless.read()) == 100_000
    os.mkdir(os.path.join(folder, "gone"))
    inside = os.open(os.path.join(folder, "gone"), os.O_DIRECTORY)
    os.rmdir(os.path.join(folder, "gone"))
    assert os.listdir(inside) == []
    try:
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
        raise AssertionError("a file was made in a removed directory")
    except OSError as error:
        assert error.errno == errno.ENOENT, error
    os.close(inside)


def append(folder):
    """Four processes append to one file; every line is whole, none is lost, each writer's are in order."""
    path = os.path.join(folder, "log")
    processes("append-lines", folder, *[[who] for who in range(4)])
    with open(path) as file:
        lines = file.read().splitlines()
    assert len(lines) == 4 * 150, f"{len(lines)} lines, not {4 * 150}"
    for who in range(4):
        mine = [line for line in lines if line.startswith(f"{who} ")]
        assert mine == [f"{who} {n} " + "=" * (n * 13 % 900) for n in range(150)], f"writer {who}'s lines are lost, torn or out of order"


def append_lines(folder, who):
    fd = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for n in range(150):
        line = f"{who} {n} ".encode() + b"=" * (n * 13 % 900) + b"\n"
        assert os.write(fd, line) == len(line)
        if n % 50 == 49:
            # A new open file description, as a shell's `>>` has for each command.
            os.close(fd)
            fd = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND)
    os.close(fd)


def replaced(folder):
    """One process saves a file 60 times by a rename over it; readers see one version or another, whole, and never an older one again."""
    path = os.path.join(folder, "saved")
    with open(path, "wb") as file:
        file.write(b"%06d" % 0 * 5000)
    processes("replace-often", folder, ["write"], ["read"], ["read"])
    assert sorted(os.listdir(folder)) == ["saved"], f"left over: {os.listdir(folder)}"


def replace_often(folder, what):
    path = os.path.join(folder, "saved")
    if what == "write":
        for n in range(1, 61):
            fd, name = tempfile.mkstemp(dir=folder, prefix=".saved.")
            os.write(fd, b"%06d" % n * 5000)
            os.fsync(fd)
            os.close(fd)
            os.replace(name, path)
        return
    seen = 0
    deadline = time.monotonic() + 600
    while seen < 60 and time.monotonic() < deadline:
        with open(path, "rb") as file:
            data = file.read()
        version = int(data[:6])
        assert data == b"%06d" % version * 5000, f"a mixture of versions, or a part: {len(data)} bytes, beginning with {version}"
        assert version >= seen, f"version {version} after {seen}"
        seen = version
    assert seen == 60, f"the last version was never seen, {seen} was"


HABITS = {
    "mapped": mapped,
    "mapped-half": mapped_half,
    "removed": removed,
    "append": append,
    "append-lines": append_lines,
    "replaced": replaced,
    "replace-often": replace_often,
}
HABITS[sys.argv[1]](*sys.argv[2:])
