"""The permits and other small files of a compute host that the libvirt hook and the agent share.

docs/protocol.md, "Files on a compute host", says what each of them is for.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hamon.model.names import BootId, GuestId, guest_id

LOCK_WITHIN_S = 0.5
"""For how long the hook may hold the lock before a withdrawal goes on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFolders:
    """Where the files are: ``run_dir`` on tmpfs (one boot), ``state_dir`` kept across boots."""

    run_dir: Path
    state_dir: Path

    def make(self) -> None:
        """Make every folder that is missing. Idempotent.

        Raises:
            OSError: one cannot be made.
        """
        for folder in (
            *(
                self.run_dir / name
                for name in ("permits", "passed", "refused", "incoming", "forget")
            ),
            self.state_dir / "protected",
        ):
            folder.mkdir(parents=True, exist_ok=True)


class FilePermits:
    """:class:`hamon.ports.Permits` as files that the hook reads."""

    def __init__(self, folders: HostFolders, boot_id: BootId) -> None:
        folders.make()
        self._boot_id = boot_id
        self._permits = folders.run_dir / "permits"
        self._passed = folders.run_dir / "passed"
        self._refused = folders.run_dir / "refused"
        self._protected = folders.state_dir / "protected"

    def protect(self, guests: frozenset[GuestId]) -> None:
        """Write down, durably across boots, which guests are protected. Idempotent."""
        before = self.protected()
        for guest in guests - before:
            (self._protected / guest).touch()
        for guest in before - guests:
            (self._protected / guest).unlink(missing_ok=True)
        if guests != before:
            _sync_folder(self._protected)

    def protected(self) -> frozenset[GuestId]:
        """Tell which guests are protected."""
        return guests_in(self._protected)

    def give(self, guest: GuestId, generation: int) -> None:
        """Allow starts of the guest in this boot and forget earlier passages. Idempotent."""
        permit = json.dumps({"generation": generation, "boot_id": self._boot_id})
        path = self._permits / guest
        with self._locked() as is_locked:
            if _read(path) == permit:
                return
            if is_locked:
                # Without the lock a passage could be noted just now; an old note only makes a
                # later withdrawal less certain, never more.
                (self._passed / guest).unlink(missing_ok=True)
            replace_file(path, permit)

    def withdraw(self, guest: GuestId) -> bool:
        """Allow no more starts of the guest.

        Returns:
            True when no start has passed the gate since the permit was given: none ever will.
            False when one has, or when the hook could not be locked out: only libvirt can tell what
            became of it.
        """
        with self._locked() as is_locked:
            (self._permits / guest).unlink(missing_ok=True)
            # safety: with the lock no hook stands between reading its permit and noting that it
            # passed. Without it one may: then this answers False, which allows nothing.
            return is_locked and not (self._passed / guest).exists()

    def held(self) -> frozenset[GuestId]:
        """Tell which guests have a permit now."""
        return frozenset(
            guest
            for guest in guests_in(self._permits)
            if _boot_id_in(self._permits / guest) == self._boot_id
        )

    def take_refused(self) -> frozenset[GuestId]:
        """Tell the guests a start of which was refused, and forget it: each is told once."""
        refused = guests_in(self._refused)
        for guest in refused:
            (self._refused / guest).unlink(missing_ok=True)
        return refused

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Take the lock of the hook; False when it stays taken (a hook that was stopped)."""
        with (self._permits / ".lock").open("w") as lock:
            deadline_s = time.monotonic() + LOCK_WITHIN_S
            while not (is_locked := _try_lock(lock.fileno())) and time.monotonic() < deadline_s:
                time.sleep(0.01)
            yield is_locked


def replace_file(path: Path, text: str, mode: int | None = None) -> None:
    """Put ``text`` at ``path`` in one step and durably: a reader sees the old one or the new one.

    Args:
        path: the file.
        text: all that is to be in it.
        mode: its permissions, for a file that other users read; None: as the umask has it.

    Raises:
        OSError: it could not be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file durably. Idempotent.

    Raises:
        OSError: it could not be removed.
    """
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def guests_in(folder: Path) -> frozenset[GuestId]:
    """Tell which guests have a file of their name in a folder."""
    guests = set()
    for path in folder.iterdir():
        try:
            guests.add(guest_id(path.name))
        except ValueError:
            continue
    return frozenset(guests)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _boot_id_in(path: Path) -> str | None:
    try:
        permit = json.loads(path.read_text())
        return str(permit["boot_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
