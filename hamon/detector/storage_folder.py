"""A mounted folder of heartbeats, read by a companion that may hang instead of this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from hamon.companion import Companion
from hamon.detector import storage_reader
from hamon.model.beat import Beat
from hamon.model.names import HostName
from hamon.ports.clock import Clock


class MountedFolder:
    """Implements ``ports.BeatFolder`` for a path of this machine.

    Args:
        name: what the configuration calls it.
        path: absolute; it need not be there, now or ever.
        clock: for pauses between two companions.
    """

    def __init__(self, name: str, path: Path, clock: Clock) -> None:
        self._name = name
        self._companion = Companion(
            Path(storage_reader.__file__),
            (str(path),),
            clock,
            on_line=self._take,
            on_end=self._forget,
        )
        self._number = 0
        self._answer: asyncio.Future[Mapping[HostName, Beat] | None] | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._name

    @property
    def pid(self) -> int | None:
        """The companion's process id, None while there is none."""
        return self._companion.pid

    def start(self) -> None:
        """Start the companion. Idempotent; on the event loop."""
        if self._running is None:
            self._running = asyncio.create_task(self._companion.run(), name=f"beats {self._name}")

    async def close(self) -> None:
        """End the companion. Idempotent."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def read(
        self, hosts: tuple[HostName, ...], timeout_s: float
    ) -> Mapping[HostName, Beat] | None:
        """See ``ports.BeatFolder``."""
        if self._answer is not None:
            # It still hangs at what was asked before. What comes of that is thrown away: it may
            # have been read long before this call.
            return None
        answer = asyncio.get_running_loop().create_future()
        self._number += 1
        if not self._companion.send(json.dumps({"id": self._number, "hosts": hosts})):
            return None
        self._answer = answer
        await asyncio.wait({answer}, timeout=timeout_s)
        return answer.result() if answer.done() else None

    def _take(self, line: str) -> None:
        """Take the companion's answer."""
        try:
            told = json.loads(line)
            is_awaited = told["id"] == self._number
            files: dict[str, str] | None = told.get("files")
        except (ValueError, KeyError, AttributeError, TypeError):
            return
        if not is_awaited or self._answer is None:
            return
        beats = None
        if files is not None:
            read = {HostName(name): Beat.read(text) for name, text in files.items()}
            beats = {name: beat for name, beat in read.items() if beat and beat.host == name}
        self._settle(beats)

    def _forget(self) -> None:
        self._settle(None)

    def _settle(self, beats: Mapping[HostName, Beat] | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(beats)
        self._answer = None
