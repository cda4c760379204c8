"""SIGHUP over event loops that come and go: none is lost, and none ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from types import FrameType


class HangUp:
    """Listens for SIGHUP from now on; make it once, in the main thread.

    A loop's own signal handlers go with the loop, and the next signal would end the process.
    """

    def __init__(self) -> None:
        self._is_pending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._act: Callable[[], object] = lambda: None
        signal.signal(signal.SIGHUP, self._came)

    def follow(self, act: Callable[[], object]) -> None:
        """Have the running loop call ``act`` at each signal, and now if one came in between."""
        self._loop, self._act = asyncio.get_running_loop(), act
        self._loop.call_soon(self._carry_out)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self._is_pending = True
        if self._loop is not None:
            # The loop may be closed: whoever follows next is told.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._carry_out)

    def _carry_out(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self._act()
