"""What the engine needs from the rooms that hold clients: ZooKeeper's picture, office, and probes.

Beside :mod:`hamon.ports` because these speak of hamon's own matters, not of an outside system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from hamon.model.change import Change
from hamon.model.control import Request
from hamon.model.host import HostSpec
from hamon.model.names import Epoch, HostName
from hamon.model.proof import Evidence
from hamon.model.stored import StoredCluster
from hamon.model.view import ControllerView


class Term(Protocol):
    """A term of office."""

    @property
    def epoch(self) -> Epoch:
        """The epoch that guards its writes."""
        ...

    @property
    def acknowledged_s(self) -> float:
        """When the write that began it was acknowledged, on the own clock."""
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set when the term is over."""
        ...


class Cluster(Protocol):
    """ZooKeeper as the engine sees it."""

    @property
    def whole_since_s(self) -> float | None:
        """Since when the picture has been whole without a gap; None: it is not, now."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the picture changed, or stopped or began to be whole."""
        ...

    def picture(self) -> StoredCluster | None:
        """Return the decoded picture, None while it is not whole."""
        ...

    async def enrol(self, hosts: tuple[HostSpec, ...], epoch: Epoch) -> tuple[HostName, ...]:
        """Make the directories and znodes of hosts that have none yet. Idempotent.

        The picture then shows the storms that any earlier leader has written.

        Returns:
            The hosts of which something was missing.

        Raises:
            DeposedError: the epoch moved on.
            StoreError: ZooKeeper could not be asked; repeat.
        """
        ...

    async def commit(self, change: Change, epoch: Epoch) -> None:
        """Commit one change under the epoch; the picture shows it when this returns.

        Raises:
            DeposedError: the epoch moved on; nothing was done, and this controller leads no more.
            WriteConflictError, NodeExistsError, NodeMissingError: a version check failed; nothing
                was done.
            StoreUnavailableError: UNKNOWN; look again, :meth:`shows` tells.
        """
        ...

    def shows(self, change: Change) -> bool | None:
        """Say whether the picture shows that a change was made whose outcome is unknown.

        Returns:
            None: not yet, it may still be made; False: something else was written in its place.
        """
        ...

    async def report(self, view: ControllerView, epoch: Epoch | None) -> None:
        """Keep this controller's own ephemeral report; as leader, under its epoch. Idempotent.

        A success proves the own session (and the term) at the time the call was *sent*, also when
        the report says what it said before: then its being there is what is committed.

        Raises:
            DeposedError: as in :meth:`commit`.
            StoreError: it was not written or is there no more, or nobody knows; repeat.
        """
        ...

    async def ask(self, request: Request) -> str:
        """Write a request for the leader, bound to this daemon's session; return its sequence.

        Raises:
            StoreError: it was not written, or nobody knows (the nonce tells).
        """
        ...

    async def withdraw(self, sequence: str) -> None:
        """Remove a request that was answered or is no longer waited for. Idempotent."""
        ...


class Election(Protocol):
    """How a controller comes into office."""

    async def wait_for_office(self) -> Term:
        """Stand for office until it is won; waits out every trouble with ZooKeeper."""
        ...

    async def resign(self) -> None:
        """Leave office and the row. Idempotent; never raises."""
        ...


class Highest(Protocol):
    """The highest epoch and generation this machine has seen, on its own disk."""

    def observe_epoch(self, epoch: int) -> bool:
        """Remember an epoch, durably; False: it is lower than one seen before."""
        ...

    def observe_generation(self, highest: int) -> bool:
        """Remember the highest generation of any guest; False: it is lower than before."""
        ...


class Witness(Protocol):
    """Something that sees hosts live or die: the probes, the shared storage, the crash notices."""

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """Keep what is said of these hosts, and only these, fresh however large the fleet is.

        Idempotent; on the event loop, does not block.
        """
        ...

    def evidence(self, host: HostName) -> tuple[Evidence, ...]:
        """Return the latest vote of each plane, mount or address of a host; age is the reader's."""
        ...


class Probes(Witness, Protocol):
    """The probes of the hosts' planes."""

    def reaches(self) -> tuple[str, ...]:
        """Return the planes on which at least one host answers now."""
        ...

    def silent(self) -> Mapping[str, tuple[HostName, ...]]:
        """Return by plane the hosts that have been silent for as long as counts."""
        ...

    def heard(self) -> Mapping[str, tuple[HostName, ...]]:
        """Return by plane the hosts in trouble that answer now."""
        ...
