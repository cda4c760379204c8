"""The dead man's switch: a daemon whose loop no longer comes round must not keep the office.

ZooKeeper's client pings from a thread of its own, so a wedged loop would hold its session, and with
it the leadership, for ever (zookeeper.md 8). This thread ends the process instead: the session then
expires, and a standby takes over.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

EXIT_STALLED = 70
"""Exit code of a daemon that ended itself because its loop stood still (EX_SOFTWARE)."""


class DeadMan:
    """Watches the loop from outside.

    Args:
        now_s: the clock.
        limit_s: how long the loop may stay away: three deadlines of a round (DESIGN §3).
        end: ends the process; the default leaves at once, without clean-up that could hang.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        limit_s: float,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._now_s = now_s
        self._limit_s = limit_s
        self._end = end
        self._seen_s = now_s()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deadman", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._seen_s = self._now_s()
        self._thread.start()

    def came_round(self) -> None:
        """Note that the loop came round."""
        self._seen_s = self._now_s()

    @property
    def stands_still(self) -> bool:
        """Whether the loop has been away for longer than it may."""
        return self._thread.is_alive() and self._now_s() - self._seen_s > self._limit_s

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._limit_s / 10):
            away_s = self._now_s() - self._seen_s
            if away_s > self._limit_s:
                sys.stderr.write(f"hamon: the loop stood still for {away_s:.1f} s; ending\n")
                sys.stderr.flush()
                self._end(EXIT_STALLED)
                return
