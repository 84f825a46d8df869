"""A tree with every attribute that tar and rsync carry: make-tree.py DIR"""
import os
import struct
import sys

root = sys.argv[1]
os.umask(0)
TIME = 1_700_000_000_123_456_789


def finish(path, mode=None, owner=(0, 0), time=TIME):
    os.chown(path, *owner, follow_symlinks=False)
    if mode is not None:
        os.chmod(path, mode)
    os.utime(path, ns=(time, time), follow_symlinks=False)


def write(name, data, **rest):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    finish(path, **rest)
    return path


for n in range(120):
    write(f"many/{n % 7}/file {n}", os.urandom(n * 37), mode=0o600 + n % 64, owner=(n % 3, 1000 + n % 5), time=TIME + n)
write("setuid", b"#!/bin/sh\n", mode=0o4755, owner=(1234, 4321))
write("setgid", b"x", mode=0o2711)
write("none", b"secret", mode=0o000, owner=(65534, 65534))
write("empty", b"", mode=0o644)
write("old", b"1970", mode=0o644, time=1)
write("large", os.urandom(1 << 20) * 11, mode=0o644)
labelled = write("labelled", b"xattr", mode=0o644)
os.setxattr(labelled, "user.plain", b"value")
os.setxattr(labelled, "user.binary", bytes(range(256)))
os.setxattr(labelled, "user.empty", b"")
os.utime(labelled, ns=(TIME, TIME))
# The owner reads and writes, user 1234 reads, the group nothing, the mask is read.
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1234, 4, 0, 2**32 - 1, 16, 4, 2**32 - 1, 32, 0, 2**32 - 1)
listed = write("listed", b"acl", mode=0o640)
os.setxattr(listed, "system.posix_acl_access", ACL)
os.utime(listed, ns=(TIME, TIME))
os.link(labelled, os.path.join(root, "labelled-too"))
os.link(os.path.join(root, "many/3/file 3"), os.path.join(root, "many/5/other name"))
sparse = os.path.join(root, "sparse")
with open(sparse, "wb") as file:
    file.seek(3 << 20)
    file.write(b"end")
    file.truncate(5 << 20)
finish(sparse, 0o640)
for name, target in (("relative", "many/0/file 0"), ("dangling", "../no where/ü"), ("directory", "many"), ("absolute", "/etc/hostname")):
    link = os.path.join(root, f"link-{name}")
    os.symlink(target, link)
    finish(link, owner=(1234, 4321))
os.mkfifo(os.path.join(root, "pipe"))
finish(os.path.join(root, "pipe"), 0o620, (7, 8))
os.makedirs(os.path.join(root, "empty-directory"))
for folder, mode, owner in (("empty-directory", 0o1777, (5, 6)), ("many/1", 0o2775, (0, 50)), ("many/2", 0o700, (9, 9)), ("many", 0o755, (0, 0)), (".", 0o755, (0, 0))):
    path = os.path.join(root, folder)
    if folder == "many/1":
        os.setxattr(path, "user.folder", b"also here")
    finish(path, mode, owner)
for n in (0, 3, 4, 5, 6):
    finish(os.path.join(root, f"many/{n}"), 0o755)
finish(os.path.join(root, "many"), 0o755)
finish(root, 0o755)
