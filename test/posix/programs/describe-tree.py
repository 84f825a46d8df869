"""
All that a file system keeps of a tree, a line an entry: describe-tree.py DIR [--as-stored].
Owner, mode, mtime in ns, content or target, the first of the names that a file has, xattrs. --as-stored leaves out what a mount
does not keep beyond its end: the directories' times, which move with each change in them, and which names are one file.
"""
import hashlib
import os
import stat
import sys


def content(path, info):
    if stat.S_ISLNK(info.st_mode):
        return "-> " + os.readlink(path)
    if not stat.S_ISREG(info.st_mode):
        return ""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return f"{info.st_size} {digest.hexdigest()[:20]}"


def xattrs(path):
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(os.listxattr(path, follow_symlinks=False))}


def lines(root, stored):
    first_names = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in [".", *sorted(files + [f for f in folders if os.path.islink(os.path.join(folder, f))])]:
            path = os.path.normpath(os.path.join(folder, name))
            info = os.lstat(path)
            is_directory = stat.S_ISDIR(info.st_mode)
            shown = os.path.relpath(path, root)
            time = info.st_mtime_ns if not stored or not is_directory else "-"
            # A directory's size and link count are its file system's own affair.
            names = "" if stored or is_directory or info.st_nlink == 1 else f"={info.st_nlink} {first_names.setdefault(info.st_ino, shown)!r}"
            yield (
                f"{shown!r} {info.st_mode:o} {info.st_uid}:{info.st_gid} {time} {names} {content(path, info)} {xattrs(path) or ''}".rstrip()
            )


print("\n".join(lines(sys.argv[1], "--as-stored" in sys.argv)))
