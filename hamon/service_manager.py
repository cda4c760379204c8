"""Word to the service manager (systemd's ``sd_notify``): ready, alive, stopping."""

from __future__ import annotations

import os
import socket
import time


def notify(state: str) -> None:
    """Tell the service manager ``state`` (``READY=1``, ``WATCHDOG=1``, ``STOPPING=1``).

    Does nothing when no manager asked for it (no NOTIFY_SOCKET). Never raises: a manager that does
    not listen must not stop the daemon.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return


RELOAD_WITHIN_S = 300


def notify_reloading() -> None:
    """Tell the service manager that this process starts anew with other settings.

    ``READY=1`` ends it. Until then nothing feeds its watchdog, so it is given longer:
    :func:`notify_ready` gives it its time back.
    """
    since_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify(f"RELOADING=1\nMONOTONIC_USEC={since_us}\nWATCHDOG_USEC={RELOAD_WITHIN_S * 1_000_000}")


def notify_ready() -> None:
    """Tell the service manager that this process does its work."""
    watchdog = os.environ.get("WATCHDOG_USEC", "")
    notify("READY=1" + (f"\nWATCHDOG_USEC={watchdog}" if watchdog.isdecimal() else ""))
