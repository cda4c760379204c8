"""Write this host's heartbeat on one shared storage: a program of its own, standard library only.

    python -I -S storage_writer.py --parent PID FOLDER HOST BOOT_ID PERIOD

Storage may hang for minutes, and whoever writes to it hangs too, beyond the reach of any time-out.
So the writing is done by this child, one for each storage, and the guests process only notes when
its last line came:

1. Every period ``FOLDER/HOST`` is written whole, in place and through to the storage, then one line
   is printed: ``ok SEQUENCE`` or ``failed REASON``.
2. The file is opened anew each time: it may have been removed, and the storage been mounted again.
3. The folder is never made: where it is missing the storage is not mounted.
4. The file is made whole under another name and renamed. One that is no heartbeat's is left alone.
5. It dies with its parent (PR_SET_PDEATHSIG): a heartbeat must not outlive what it speaks for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import sys
import time

SIZE = 256
PR_SET_PDEATHSIG = 1
MODE = 0o644
"""Whatever the umask: the controllers read the file, and are not root."""


def line_of(host: str, boot_id: str, sequence: int) -> bytes:
    """Return the whole content of the file."""
    return f"hamon-beat 1 {host} {boot_id} {sequence}".ljust(SIZE - 1).encode() + b"\n"


def last_sequence(path: str, host: str, boot_id: str) -> int:
    """Return the sequence that the file has of this boot; 0: it has none.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    try:
        words = os.read(file, SIZE).decode(errors="replace").split()
    finally:
        os.close(file)
    is_own = words[:4] == ["hamon-beat", "1", host, boot_id]
    return int(words[4]) if is_own and len(words) > 4 and words[4].isdecimal() else 0  # noqa: PLR2004 - the format


def write(path: str, line: bytes) -> None:
    """Write the file through to the storage; make it if it is not there.

    Raises:
        OSError: it was not written, or that is not known.
    """
    try:
        # No link is followed: this is root, in a folder that other hosts write to.
        file = os.open(path, os.O_WRONLY | os.O_DSYNC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        make(path, line)
        return
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > SIZE:
            raise OSError(0, f"{path} is no heartbeat: remove it")
        is_whole = found.st_size == SIZE
        if is_whole and os.pwrite(file, line, 0) != SIZE:
            raise OSError(0, "it was written in part")
    finally:
        os.close(file)
    if not is_whole:
        # What a crash of the storage left of it.
        make(path, line)


def make(path: str, line: bytes) -> None:
    """Make the file, whole or not at all.

    Raises:
        OSError: it was not made, or that is not known.
    """
    folder, _, name = path.rpartition("/")
    new = f"{folder}/.{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)  # noqa: PTH108  pathlib loads slowly
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    try:
        os.fchmod(file, MODE)
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(new, path)  # noqa: PTH104  pathlib loads slowly
    above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def say(line: str) -> None:
    """Tell the parent, unless its pipe is full: it may be stopped, and the beat goes on."""
    with contextlib.suppress(BlockingIOError):
        os.write(1, line.encode() + b"\n")


def beat_for_ever(path: str, host: str, boot_id: str, period_s: float) -> None:
    """Beat until the parent is gone.

    Raises:
        BrokenPipeError: it is.
    """
    sequence: int | None = None
    while True:
        due_s = time.monotonic() + period_s
        try:
            if sequence is None:
                sequence = last_sequence(path, host, boot_id)
            # Also when the write before failed: it may have been done.
            sequence += 1
            write(path, line_of(host, boot_id, sequence))
            said = f"ok {sequence}"
        except OSError as error:
            said = f"failed {error.strerror or error}"
        say(said)
        time.sleep(max(0.0, due_s - time.monotonic()))


def die_with(parent: int) -> bool:
    """Have the kernel end this process with its parent; False: the parent is gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def main(arguments: list[str]) -> int:
    """Run as a program; see the module's docstring."""
    match arguments:
        case ["--parent", parent, folder, host, boot_id, period]:
            if not die_with(int(parent)):
                return 1
            os.set_blocking(1, False)
            with contextlib.suppress(BrokenPipeError):
                beat_for_ever(f"{folder}/{host}", host, boot_id, float(period))
            return 1
        case _:
            sys.stderr.write("storage_writer.py --parent PID FOLDER HOST BOOT_ID PERIOD\n")
            return 64


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
