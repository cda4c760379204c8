"""What a simulated host needs of its world, and the world of what runs on it."""

from __future__ import annotations

from random import Random
from typing import Protocol

from hamon.coordination.access import Identities
from hamon.model.names import GuestId, HostName
from hamon.ports.clock import Clock
from hamon.ports.hypervisor import DomainEvent
from hamon.sim.ensemble import Ensemble
from hamon.sim.events import Events
from hamon.sim.process import Process
from hamon.sim.storage import SimulatedStorage


class Surroundings(Protocol):
    """What a host needs of its world."""

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    @property
    def events(self) -> Events:
        """Its log."""
        ...

    @property
    def random(self) -> Random:
        """Its luck, by seed."""
        ...

    @property
    def ensemble(self) -> Ensemble:
        """Its ZooKeeper."""
        ...

    @property
    def storage(self) -> SimulatedStorage:
        """What its hosts share."""
        ...

    @property
    def identities(self) -> Identities:
        """Of controllers and hosts."""
        ...

    def crashed(self, process: Process, error: BaseException) -> None:
        """Be told of a process that ended by an exception."""
        ...

    def send_notice(self, host: HostName, notice: bytes) -> None:
        """Carry a crash notice of a host to the controllers."""
        ...

    def domain_changed(self, host: HostName, guest: GuestId, event: DomainEvent) -> None:
        """Be told, at once, of what a host's guests do."""
        ...


class Service(Protocol):
    """What else a host starts at each boot."""

    def start(self) -> None:
        """Start it."""
        ...

    def kill(self) -> None:
        """SIGKILL it."""
        ...

    def cut_off(self, *, is_cut: bool) -> None:
        """Take its plane to ZooKeeper away, or give it back."""
        ...
