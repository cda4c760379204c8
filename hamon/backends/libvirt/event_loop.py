"""libvirt's own event loop, in a thread of its own: it carries events and keepalives."""

from __future__ import annotations

import threading

import libvirt

_TURN_MS = 500


class EventLoop:
    """The one event loop of this process; must be started before the first connection is made."""

    _started: EventLoop | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        libvirt.virEventRegisterDefaultImpl()
        # With a timer the loop wakes by itself, so that one added from another thread is seen.
        libvirt.virEventAddTimeout(_TURN_MS, lambda *_: None, None)
        self._thread = threading.Thread(target=self._run, name="libvirt-events", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls) -> None:
        """Start the loop. Idempotent: libvirt has one for each process, for its whole life."""
        with cls._lock:
            if cls._started is None:
                cls._started = cls()
                # libvirt would print each error to stderr, beside the one that is raised.
                libvirt.registerErrorHandler(lambda *_: None, None)

    @staticmethod
    def _run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()
