"""Read hosts' heartbeats on one shared storage: a program of its own, standard library only.

    python -I -S storage_reader.py --parent PID FOLDER

Storage may hang, and whoever reads it hangs too; so a controller has this child read, one for each
storage. Each line of standard input is ``{"id": N, "hosts": [NAME, ...]}``, each line of output
``{"id": N, "files": {NAME: TEXT, ...}}`` with the hosts whose files could be read, or
``{"id": N, "error": REASON}`` when the folder cannot be opened.

Each file is opened anew, which makes an NFS client ask its server for changes, and read past the
page cache (O_DIRECT) or, where that cannot be done, after the cached pages were dropped.

It dies with its parent (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import stat
import sys

READ_MAX = 4096
"""Longer than a heartbeat, and a size that O_DIRECT accepts everywhere."""
PR_SET_PDEATHSIG = 1

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# safety: no link is followed and no other kind of file read: other hosts write to the folder, and
# must not make a controller read its own secrets or wait at a pipe.


def text_of(folder: int, name: str, buffer: mmap.mmap) -> str | None:
    """Return what a file holds now, without its padding; None: it cannot be read."""
    if "/" in name or name.startswith("."):
        return None
    for flags in (_FLAGS | os.O_DIRECT, _FLAGS):
        try:
            return _read(folder, name, flags, buffer)
        except OSError as error:
            if error.errno != errno.EINVAL:
                return None
    return None


def _read(folder: int, name: str, flags: int, buffer: mmap.mmap) -> str | None:
    """Read one file.

    Raises:
        OSError: it cannot be read; EINVAL: not in this way.
    """
    file = os.open(name, flags, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        if not flags & os.O_DIRECT:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        count = os.preadv(file, [buffer], 0)
    finally:
        os.close(file)
    return buffer[:count].decode("ascii", errors="replace").rstrip(" \n")


def answer(path: str, request: dict[str, object], buffer: mmap.mmap) -> dict[str, object]:
    """Read what a request asks for."""
    hosts = request["hosts"]
    assert isinstance(hosts, list)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return {"id": request["id"], "error": error.strerror}
    try:
        texts = {name: text_of(folder, name, buffer) for name in hosts}
    finally:
        os.close(folder)
    return {"id": request["id"], "files": {n: t for n, t in texts.items() if t is not None}}


def die_with(parent: int) -> bool:
    """Have the kernel end this process with its parent; False: the parent is gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def main(arguments: list[str]) -> int:
    """Run as a program; see the module's docstring."""
    match arguments:
        case ["--parent", parent, folder]:
            if not die_with(int(parent)):
                return 1
        case _:
            sys.stderr.write("storage_reader.py --parent PID FOLDER\n")
            return 64
    # Anonymous memory is aligned to a page, as O_DIRECT wants it.
    with mmap.mmap(-1, READ_MAX) as buffer:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(folder, json.loads(line), buffer)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
