"""Word to the service manager (systemd's ``sd_notify``): ready, alive, stopping."""

from __future__ import annotations

import os
import socket


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
