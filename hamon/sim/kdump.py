"""A crash kernel in memory: dumps for a while, tells of it every few seconds, and is gone."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hamon.detector.kdump import MAGIC, VERSION
from hamon.ports.clock import Clock

NOTICE = struct.pack("<II", MAGIC, VERSION)

STARTS_S = 3.0
"""From a panic until the crash kernel sends its first notice."""

PERIOD_S = 10.0


class SimulatedKdump:
    """The crash kernel of one machine.

    Args:
        clock: the world's.
        send: carries a notice to whoever it reaches.
    """

    def __init__(self, clock: Clock, send: Callable[[bytes], None]) -> None:
        self._clock = clock
        self._send = send

    async def dump(self, duration_s: float, is_over: Callable[[], bool]) -> None:
        """Return when the dump is written, or a notice is due on a machine without power.

        Args:
            duration_s: how long the dump takes, in seconds.
            is_over: says whether the machine has lost its power meanwhile.
        """
        end_s = self._clock.now_s() + duration_s
        pause_s = STARTS_S
        while self._clock.now_s() + pause_s < end_s:
            await self._clock.sleep(pause_s)
            if is_over():
                return
            self._send(NOTICE)
            pause_s = PERIOD_S
        await self._clock.sleep(end_s - self._clock.now_s())
