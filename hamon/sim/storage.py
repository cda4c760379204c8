"""Shared storage in memory: who writes heartbeats there, who can read them, and what hangs.

Implements ``ports.BeatFolder`` (one per controller and mount) and passes the same contract tests as
the real one.
"""

from __future__ import annotations

from collections.abc import Mapping

from hamon.model.beat import Beat
from hamon.model.names import HostName
from hamon.ports.clock import Clock

READ_S = 0.002


class SimulatedStorage:
    """Mounts by name, with what is in them.

    A cut is of one party (a host or a controller, by name) from one mount: a host's writes fail, a
    controller's reads do not return. A mount that hangs does so for everybody.

    Args:
        clock: the world's time.
        mounts: their names.
    """

    def __init__(self, clock: Clock, mounts: tuple[str, ...]) -> None:
        self._clock = clock
        self.mounts = mounts
        self.cuts: set[tuple[str, str]] = set()
        self.hanging: set[str] = set()
        self._files: dict[tuple[str, HostName], str] = {}

    def cut(self, mount: str, party: str, *, is_cut: bool) -> None:
        """Cut a host or a controller off a mount, or join it again. Idempotent.

        Raises:
            KeyError: there is no such mount.
        """
        self._check(mount)
        (self.cuts.add if is_cut else self.cuts.discard)((mount, party))

    def hang(self, mount: str, *, hangs: bool) -> None:
        """Have a mount hang for everybody, or go on. Idempotent.

        Raises:
            KeyError: there is no such mount.
        """
        self._check(mount)
        (self.hanging.add if hangs else self.hanging.discard)(mount)

    def heal(self) -> None:
        """End every fault."""
        self.cuts.clear()
        self.hanging.clear()

    def put(self, mount: str, host: HostName, text: str | None) -> None:
        """Have a file hold something, or be missing, past everybody."""
        if text is None:
            self._files.pop((mount, host), None)
        else:
            self._files[mount, host] = text

    def last_sequence(self, mount: str, beat: Beat) -> int:
        """Return the sequence that a host's file has of the same boot; 0: it has none."""
        before = Beat.read(self._files.get((mount, beat.host), ""))
        return before.sequence if before is not None and before.boot_id == beat.boot_id else 0

    def write(self, mount: str, beat: Beat) -> str | None:
        """Write a host's file; return "" or why it failed, None: the write hangs."""
        if mount in self.hanging:
            return None
        if (mount, beat.host) in self.cuts:
            return "Input/output error"
        self._files[mount, beat.host] = beat.line()
        return ""

    def folder(self, mount: str, controller: str) -> SimulatedFolder:
        """Return a mount as a controller sees it."""
        return SimulatedFolder(self, mount, controller, self._clock)

    def texts(self, mount: str, party: str) -> Mapping[HostName, str] | None:
        """Return what all files hold; None: the read hangs."""
        if mount in self.hanging or (mount, party) in self.cuts:
            return None
        return {host: text for (other, host), text in self._files.items() if other == mount}

    def _check(self, mount: str) -> None:
        if mount not in self.mounts:
            raise KeyError(mount)


class SimulatedFolder:
    """One mount as one controller sees it."""

    def __init__(
        self, storage: SimulatedStorage, mount: str, controller: str, clock: Clock
    ) -> None:
        self._storage = storage
        self._mount = mount
        self._controller = controller
        self._clock = clock

    @property
    def name(self) -> str:
        """The mount's name."""
        return self._mount

    async def read(
        self, hosts: tuple[HostName, ...], timeout_s: float
    ) -> Mapping[HostName, Beat] | None:
        """See ``ports.BeatFolder``."""
        await self._clock.sleep(min(READ_S, timeout_s))
        texts = self._storage.texts(self._mount, self._controller)
        if texts is None:
            await self._clock.sleep(max(0.0, timeout_s - READ_S))
            return None
        read = {host: Beat.read(texts[host]) for host in hosts if host in texts}
        return {host: beat for host, beat in read.items() if beat and beat.host == host}
