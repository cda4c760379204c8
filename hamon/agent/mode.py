"""What the guests process does about its host's grants: one mode for each backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.events import EventLog
from hamon.agent.inventory import Publisher
from hamon.agent.work import GuestWork
from hamon.agent.znodes import HostZnodes
from hamon.model.change import Versioned
from hamon.model.guest import Grant
from hamon.model.host import HostGuard
from hamon.model.names import GuestId


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The leader's word as read in one round. ``unreadable``: grants that are left alone.

    The guard was read before the grants: they are at least as new. ``is_shadow``: hamon changes
    nothing here (shadow.py).
    """

    guard: Versioned[HostGuard]
    grants: dict[GuestId, Versioned[Grant]]
    unreadable: frozenset[GuestId] = field(default_factory=frozenset)
    is_shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every mode works with."""

    context: AgentContext
    listing: DomainListing
    publisher: Publisher
    znodes: HostZnodes
    work: GuestWork


class Mode(Protocol):
    """One backend's way to look after guests."""

    async def load(self) -> None:
        """Read what has to be known before the guard is read. Errors are those of Store."""
        ...

    def follow(self, granted: Granted) -> bool:
        """Make the hook obey the leader's word, and begin what is missing. This boot may live.

        Returns:
            Whether the hook now holds back every guest that has no permit, as it does when
            ``granted`` is of active mode and could be read whole.
        """
        ...

    async def end_all(self) -> None:
        """End every guest in hamon's care: this very boot was shut out (docs/protocol.md 11)."""
        ...

    async def publish(self, *, may_follow: bool) -> None:
        """Write what libvirt has here. Errors are those of Store and Hypervisor.

        Args:
            may_follow: whether operators' starts and stops count just now.
        """
        ...


class Reports:
    """Tells each error about a guest once, however often it is found."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._told: set[tuple[str, GuestId, int]] = set()

    def error(self, event: str, guest: GuestId, generation: int, **facts: object) -> None:
        """Tell an error, unless it was told of this guest and generation."""
        if (event, guest, generation) not in self._told:
            self._told.add((event, guest, generation))
            self._log.error(event, guest=guest, generation=generation, **facts)
