"""QEMU processes of this host, found and ended without libvirt."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hamon.model.names import GuestId


def kill_guests(run_dir: Path, guests: frozenset[GuestId]) -> frozenset[GuestId]:
    """End the QEMU processes of ``guests`` at once. Idempotent.

    Args:
        run_dir: libvirt's, with ``qemu/<name>.pid``.
        guests: only these are touched.

    Returns:
        The guests whose process was found and killed.
    """
    killed = set()
    for pid_file in sorted((run_dir / "qemu").glob("*.pid")):
        try:
            pid = int(pid_file.read_text())
        except (OSError, ValueError):
            continue
        guest = _kill_if_among(pid, guests)
        if guest is not None:
            killed.add(guest)
    return frozenset(killed)


def _kill_if_among(pid: int, guests: frozenset[GuestId]) -> GuestId | None:
    """Kill the process if its command line says that it is one of the guests.

    The descriptor is taken before the command line is read, so that the process that is killed is
    the one that was read, even if its number was given to another one since.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        guest = _guest_of(pid)
        if guest not in guests:
            return None
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return guest


def _guest_of(pid: int) -> GuestId | None:
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "-uuid" not in arguments:
        return None
    return GuestId(arguments[arguments.index("-uuid") + 1].lower())
