"""This host's heartbeats on shared storage: one companion program for each, and how they fare."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from hamon.agent import storage_writer
from hamon.companion import Companion
from hamon.model.names import BootId, HostName
from hamon.ports.clock import Clock


class StorageBeats:
    """Beats on every storage, and knows which of them takes it.

    Args:
        folders: by the name of the storage; one that is missing or hangs does no harm.
        host: who beats.
        boot_id: in which boot.
        clock: notes when a companion told of a beat.
        period_s: from one beat to the next.
        late_after_s: a storage is in trouble when no beat was written for so long.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        host: HostName,
        boot_id: BootId,
        clock: Clock,
        *,
        period_s: float,
        late_after_s: float,
    ) -> None:
        self._writers = {
            name: _Writer(
                (str(folder), host, boot_id, repr(period_s)), clock, late_after_s=late_after_s
            )
            for name, folder in folders.items()
        }

    async def run(self) -> None:
        """Beat until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for writer in self._writers.values():
                tasks.create_task(writer.companion.run())
            await asyncio.Event().wait()

    def trouble(self) -> Mapping[str, str | None]:
        """Tell of each storage why it does not take the heartbeat; "": it does.

        None: not known yet, the first beat is under way.
        """
        return {name: writer.notes.trouble() for name, writer in self._writers.items()}

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the companions that run now."""
        pids = (writer.companion.pid for writer in self._writers.values())
        return tuple(pid for pid in pids if pid is not None)


class WriteNotes:
    """When a storage last took a heartbeat, and why it does not.

    Args:
        clock: notes when.
        late_after_s: after so long without one it is in trouble.
    """

    def __init__(self, clock: Clock, late_after_s: float) -> None:
        self._clock = clock
        self._late_after_s = late_after_s
        self._begun_s = clock.now_s()
        self._written_s: float | None = None
        self._why = ""

    def note(self, why: str) -> None:
        """Note a write that failed; "": it was done."""
        self._why = why
        if not why:
            self._written_s = self._clock.now_s()

    def trouble(self) -> str | None:
        """Tell what is wrong; "": nothing, None: not known yet."""
        last_s = self._begun_s if self._written_s is None else self._written_s
        silent_s = self._clock.now_s() - last_s
        if self._why:
            return self._why
        if silent_s > self._late_after_s:
            return f"nothing could be written for {silent_s:.0f} s"
        return None if self._written_s is None else ""


class _Writer:
    """One companion, and what it told."""

    def __init__(self, arguments: tuple[str, ...], clock: Clock, *, late_after_s: float) -> None:
        self.notes = WriteNotes(clock, late_after_s)
        script = Path(storage_writer.__file__)
        self.companion = Companion(script, arguments, clock, on_line=self._take)

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "ok":
            self.notes.note("")
        elif word == "failed":
            self.notes.note(rest or "it cannot be written")
