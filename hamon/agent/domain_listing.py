"""What libvirt has on this host, kept fresh: read at events and now and then."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hamon.agent.events import EventLog
from hamon.agent.wake import Wake
from hamon.errors import HypervisorError
from hamon.model.host import DomainState
from hamon.model.names import GuestId
from hamon.ports.clock import Clock
from hamon.ports.hypervisor import Domain, DomainEvent, Hypervisor

PERIOD_S = 5.0
RETRY_S = 1.0

AGENT_PAUSE_S = 2.0
"""Between two readings that only agents inside guests asked for: whoever owns a guest can have its
agent come and go every second, and each time costs a reading, a write and a look of the leader."""

ACTIVE_STATES = frozenset({DomainState.RUNNING, DomainState.PAUSED, DomainState.UNKNOWN})
"""States in which a QEMU process may exist; unknown counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The domains as last read. ``is_healthy`` False: libvirt did not answer since."""

    domains: Mapping[GuestId, Domain] = field(default_factory=dict)
    is_healthy: bool = False

    def is_active(self, guest: GuestId) -> bool:
        """Say whether a QEMU process of the guest may exist, by this listing."""
        domain = self.domains.get(guest)
        return domain is not None and domain.state in ACTIVE_STATES


class DomainListing:
    """Reads libvirt's domains and remembers what its events said in between.

    Args:
        hypervisor: libvirt of this host.
        clock: for the period.
        log: told when libvirt goes and comes.
        changed: called after each reading and each event.
    """

    def __init__(
        self, hypervisor: Hypervisor, clock: Clock, log: EventLog, changed: Callable[[], None]
    ) -> None:
        self._hypervisor = hypervisor
        self._clock = clock
        self._log = log
        self._changed = changed
        self._wake = Wake(clock)
        self._reading = asyncio.Lock()
        self._due_s = 0.0
        self._began_s = 0.0
        self.current = Listing()
        self._undefined: set[GuestId] = set()
        self._stopped: dict[GuestId, float] = {}
        hypervisor.on_event(self._on_event)
        hypervisor.on_connection(self._on_connection)

    async def run(self) -> None:
        """Keep the listing fresh until cancelled."""
        while True:
            self._began_s, self._due_s = self._clock.now_s(), math.inf
            try:
                await self.refresh()
                pause_s = PERIOD_S
            except HypervisorError:
                pause_s = RETRY_S
            self._due_s = min(self._due_s, self._clock.now_s() + pause_s)
            while (left_s := self._due_s - self._clock.now_s()) > 0:
                await self._wake.wait(left_s)

    def _read_by(self, due_s: float) -> None:
        """Read at this time, or before; in seconds of the clock."""
        self._due_s = min(self._due_s, due_s)
        self._wake.set()

    async def refresh(self) -> Listing:
        """Read the domains now.

        Raises:
            HypervisorError: libvirt did not answer; the listing is then marked unhealthy.
        """
        async with self._reading:
            try:
                found = await self._hypervisor.domains()
            except HypervisorError as error:
                if self.current.is_healthy:
                    self._log.warning("hypervisor_lost", why=error.why)
                self._replace(Listing(domains=self.current.domains))
                raise
            if not self.current.is_healthy:
                self._log.info("hypervisor_found", domains=len(found))
            self._replace(
                Listing(domains={domain.guest: domain for domain in found}, is_healthy=True)
            )
            return self.current

    def note(self, guest: GuestId, name: str, definition: str, state: DomainState) -> None:
        """Note what libvirt just answered about one guest, until the next reading.

        Args:
            guest: the guest.
            name: its name.
            definition: its definition.
            state: the state it is in now.
        """
        known = self.current.domains.get(guest)
        if known is None:
            known = Domain(
                guest=guest,
                name=name,
                state=state,
                is_persistent=True,
                definition=definition,
            )
        # What its agent was, was in an earlier run.
        domains = {**self.current.domains, guest: replace(known, state=state, agent=None)}
        self._replace(replace(self.current, domains=domains))
        self._read_by(self._clock.now_s())

    def take_undefined(self) -> frozenset[GuestId]:
        """Return the guests seen undefined and absent from a healthy listing, each once.

        One that the listing still shows was undefined after it was read: the next reading tells.
        """
        if not self.current.is_healthy:
            return frozenset()
        gone = frozenset(self._undefined - self.current.domains.keys())
        self._undefined -= gone
        return gone

    def was_undefined(self, guest: GuestId) -> bool:
        """Say whether somebody undefined the guest; one that runs is listed on, as transient."""
        return guest in self._undefined

    def stopped_since_s(self, guest: GuestId) -> float | None:
        """Tell when libvirt said that the guest or an operator stopped it; None: it did not."""
        return self._stopped.get(guest)

    def _replace(self, listing: Listing) -> None:
        self.current = listing
        for guest in [guest for guest in self._stopped if listing.is_active(guest)]:
            del self._stopped[guest]
        self._changed()

    def _on_event(self, guest: GuestId, event: DomainEvent) -> None:
        match event:
            case DomainEvent.UNDEFINED:
                self._undefined.add(guest)
            case DomainEvent.DEFINED:
                self._undefined.discard(guest)
            case DomainEvent.STOPPED:
                self._stopped[guest] = self._clock.now_s()
            case DomainEvent.STARTED | DomainEvent.CRASHED:
                self._stopped.pop(guest, None)
            case DomainEvent.AGENT:
                self._read_by(self._began_s + AGENT_PAUSE_S)
                return
            case DomainEvent.OTHER:
                pass
        self._read_by(self._clock.now_s())

    def _on_connection(self, is_reachable: bool) -> None:  # noqa: FBT001 - the port's signature
        if not is_reachable:
            if self.current.is_healthy:
                self._log.warning("hypervisor_lost", why="the connection is gone")
            # Events may have been missed: what was seen undefined is not known to be so any more.
            self._undefined.clear()
            self._replace(Listing(domains=self.current.domains))
        self._read_by(self._clock.now_s())
