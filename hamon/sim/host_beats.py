"""The companions of a simulated host's agent: they beat on every storage that hosts share."""

from __future__ import annotations

from dataclasses import replace

from hamon.agent.storage_beats import WriteNotes
from hamon.model.beat import Beat
from hamon.model.names import BootId, HostName
from hamon.sim.process import Process
from hamon.sim.storage import SimulatedStorage
from hamon.sim.surroundings import Surroundings

BEAT_S = 1.0
BEAT_LATE_S = 5.0


class HostBeats:
    """The companions of one host. They die with the guests process, their parent.

    Args:
        world: around the host.
        host: whose they are.
    """

    def __init__(self, world: Surroundings, host: HostName) -> None:
        self._world = world
        self._host = host
        self._process: Process | None = None
        self._buried: list[Process] = []
        self._notes: dict[str, WriteNotes] = {}

    def start(self, boot_id: BootId) -> None:
        """Start to beat on the storages there are."""
        storage, clock = self._world.storage, self._world.clock
        self._notes = {mount: WriteNotes(clock, BEAT_LATE_S) for mount in storage.mounts}
        if not storage.mounts:
            return
        self._process = Process(f"{self._host}/beats", self._world.crashed)
        for mount, notes in self._notes.items():
            self._process.spawn(self._beat(storage, mount, notes, boot_id))

    def kill(self) -> None:
        """SIGKILL them."""
        if self._process is not None:
            self._process.kill()
            self._buried.append(self._process)
            self._process = None

    def pause(self) -> None:
        """SIGSTOP them."""
        if self._process is not None:
            self._process.stop()

    def resume(self) -> None:
        """SIGCONT them."""
        if self._process is not None and self._process.is_stopped:
            self._process.resume()

    def troubles(self) -> dict[str, str | None]:
        """Tell of each mount why it cannot be written; None: it can."""
        return {mount: notes.trouble() for mount, notes in self._notes.items()}

    def processes(self) -> list[Process]:
        """Return every process there ever was."""
        return self._buried if self._process is None else [*self._buried, self._process]

    async def _beat(
        self, storage: SimulatedStorage, mount: str, notes: WriteNotes, boot_id: BootId
    ) -> None:
        beat = Beat(host=self._host, boot_id=boot_id, sequence=0)
        sequence = storage.last_sequence(mount, beat)
        while True:
            sequence += 1
            why = storage.write(mount, replace(beat, sequence=sequence))
            if why is not None:
                notes.note(why)
            await self._world.clock.sleep(BEAT_S)
