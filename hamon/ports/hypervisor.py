"""libvirt on a compute host, and the gate before its guests; rules in :mod:`hamon.ports`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hamon.model.host import DomainState, GuestAgent, HostCapacity
from hamon.model.names import BootId, GuestId


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain as libvirt has it.

    ``definition``: inactive XML without secrets. ``agent``: the one inside, None while the domain
    does not run, or when it could not be read.
    """

    guest: GuestId
    name: str
    state: DomainState
    is_persistent: bool
    definition: str
    has_managed_save: bool = False
    agent: GuestAgent | None = None


class DomainEvent(StrEnum):
    """What libvirt told about a domain, folded to what hamon needs."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    AGENT = "agent"
    OTHER = "other"


class Hypervisor(Protocol):
    """libvirt of this very host; only the guests process opens it.

    Every call raises:
        HypervisorUnreachableError: no connection, or no answer within the adapter's deadline; for a
            change the outcome is UNKNOWN: libvirt may still carry it out later (a start sent to a
            stopped libvirtd runs when it resumes: the permit must be withdrawn first).
        HypervisorError: libvirt refused; NOT_DONE.
    """

    def on_event(self, callback: Callable[[GuestId, DomainEvent], None]) -> None:
        """Have ``callback`` called at domain events while connected (none is queued while not).

        A guest's agent that connects or leaves is AGENT: as often as the guest likes.
        """
        ...

    def on_connection(self, callback: Callable[[bool], None]) -> None:
        """Have ``callback`` called when libvirt becomes reachable (True) or unreachable (False)."""
        ...

    async def domains(self) -> tuple[Domain, ...]:
        """List every domain, running or not, sorted by uuid. Idempotent."""
        ...

    async def capacity(self, boot_id: BootId) -> HostCapacity:
        """Tell what this host offers to guests. Idempotent."""
        ...

    async def define(self, definition: str) -> None:
        """Define the domain, or redefine it (autostart off, saved memory dropped). Idempotent."""
        ...

    async def start(self, guest: GuestId) -> None:
        """Start a defined domain. Already running is success.

        Raises:
            GuestNotFoundError: it is not defined here.
        """
        ...

    async def destroy(self, guest: GuestId) -> None:
        """End the domain's process at once. Not running, or not there, is success."""
        ...

    async def undefine(self, guest: GuestId) -> None:
        """Forget the definition; disks and NVRAM files stay. Not there is success."""
        ...


class Permits(Protocol):
    """What the libvirt hook of this host obeys: the gate in front of every guest start.

    A permit is for one guest in this boot. The hook lets an unprotected guest pass, and a protected
    one only with a permit. ``withdraw`` and the hook take the same lock, so that a start either
    passed before the withdrawal (and is told) or never passes.
    """

    def protect(self, guests: frozenset[GuestId]) -> None:
        """Write down, durably across boots, which guests are protected. Idempotent."""
        ...

    def protected(self) -> frozenset[GuestId]:
        """Tell which guests are protected."""
        ...

    def give(self, guest: GuestId, generation: int) -> None:
        """Allow starts of the guest in this boot and forget earlier passages. Idempotent."""
        ...

    def withdraw(self, guest: GuestId) -> bool:
        """Allow no more starts of the guest.

        Returns:
            True when no start has passed the gate since the permit was given: none ever will.
            False when one has: only libvirt can tell what became of it.
        """
        ...

    def held(self) -> frozenset[GuestId]:
        """Tell which guests have a permit now."""
        ...

    def take_refused(self) -> frozenset[GuestId]:
        """Tell the guests a start of which was refused, and forget it: each is told once."""
        ...
