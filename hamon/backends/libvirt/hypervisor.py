"""libvirt of this host as :class:`hamon.ports.Hypervisor`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import libvirt

from hamon.backends.libvirt.capacity import read_capacity
from hamon.backends.libvirt.definition import DefinitionError, read_agent
from hamon.backends.libvirt.event_loop import EventLoop
from hamon.backends.libvirt.guest_agents import KnownAgents, SeenAgent
from hamon.backends.libvirt.lanes import Lane, Lanes, is_broken
from hamon.errors import (
    GuestNotFoundError,
    HypervisorError,
    HypervisorUnreachableError,
    Outcome,
)
from hamon.model.host import DomainState, HostCapacity
from hamon.model.names import BootId, GuestId, guest_id
from hamon.ports.hypervisor import Domain, DomainEvent

T = TypeVar("T")

LANES = 3
START_LANES = 5
"""Calls at once. Starts take long and have lanes of their own, so that a look at the host, or the
end of a guest, never waits behind them here. libvirtd works on twenty calls at once by default."""

KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_COUNT = 2
RECONNECT_PAUSE_S = 0.5

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: DomainState.SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
}

_WITH_AGENT = frozenset({DomainState.RUNNING, DomainState.PAUSED})
"""States in which QEMU certainly runs, and knows whether anybody inside has opened the channel."""

_UNDEFINE_FLAGS = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
)

EventCallback = Callable[[GuestId, DomainEvent], None]
ConnectionCallback = Callable[[bool], None]


class LibvirtHypervisor:
    """Connects by itself, and again after the connection broke.

    Args:
        uri: libvirt's, of this host.
        call_timeout_s: how long any call but a start may take.
        start_timeout_s: how long the start of a guest may take.
    """

    def __init__(self, uri: str, *, call_timeout_s: float, start_timeout_s: float) -> None:
        self._uri = uri
        self._call_timeout_s = call_timeout_s
        self._start_timeout_s = start_timeout_s
        self._lanes = Lanes(uri, LANES)
        self._start_lanes = Lanes(uri, START_LANES)
        self._watch = Lane(uri)
        self._agents = KnownAgents()
        self._is_connected = False
        self._events: list[EventCallback] = []
        self._connections: list[ConnectionCallback] = []
        self._loop = asyncio.get_running_loop()
        self._broken = asyncio.Event()
        EventLoop.start()
        self._keeper = self._loop.create_task(self._keep_connected(), name="libvirt-connection")

    @property
    def stuck_calls(self) -> int:
        """How many calls are past their deadline and have not come back."""
        return self._lanes.stuck + self._start_lanes.stuck

    def on_event(self, callback: EventCallback) -> None:
        """Have ``callback`` called at domain events while connected (none is queued while not)."""
        self._events.append(callback)

    def on_connection(self, callback: ConnectionCallback) -> None:
        """Have ``callback`` called when libvirt becomes reachable (True) or unreachable (False)."""
        self._connections.append(callback)
        if self._is_connected:
            callback(True)  # noqa: FBT003 - the port's signature

    async def domains(self) -> tuple[Domain, ...]:
        """List every domain, running or not, sorted by uuid. Idempotent."""
        known, turn = self._agents.known(), self._agents.turn
        read = await self._call("domains", self._uri, lambda c: _read_domains(c, known))
        self._agents.keep(
            {one.domain.guest: one.agent for one in read if one.agent is not None}, turn
        )
        return tuple(sorted((one.domain for one in read), key=lambda domain: domain.guest))

    async def capacity(self, boot_id: BootId) -> HostCapacity:
        """Tell what this host offers to guests. Idempotent."""
        return await self._call("capacity", self._uri, lambda c: read_capacity(c, boot_id))

    async def define(self, definition: str) -> None:
        """Define the domain, or redefine it (autostart off, saved memory dropped). Idempotent."""

        def define(connection: libvirt.virConnect) -> None:
            domain = connection.defineXML(definition)
            if domain.autostart():
                domain.setAutostart(0)
            # safety: the guest's disk has moved on since this memory was saved; a start from it
            # would write the past over it.
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

        await self._call("define", self._uri, define)

    async def start(self, guest: GuestId) -> None:
        """Start a defined domain. Already running is success.

        Raises:
            GuestNotFoundError: it is not defined here.
        """

        def start(connection: libvirt.virConnect) -> None:
            domain = connection.lookupByUUIDString(guest)
            if domain.isActive():
                return
            try:
                domain.create()
            except libvirt.libvirtError as error:
                is_refused = error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID
                if not (is_refused and domain.isActive()):
                    raise

        await self._call("start", guest, start, is_start=True)

    async def destroy(self, guest: GuestId) -> None:
        """End the domain's process at once. Not running, or not there, is success."""

        def destroy(connection: libvirt.virConnect) -> None:
            domain = connection.lookupByUUIDString(guest)
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                    raise

        with contextlib.suppress(GuestNotFoundError):
            await self._call("destroy", guest, destroy)

    async def undefine(self, guest: GuestId) -> None:
        """Forget the definition; disks and NVRAM files stay. Not there is success."""

        def undefine(connection: libvirt.virConnect) -> None:
            domain = connection.lookupByUUIDString(guest)
            if domain.isPersistent():
                domain.undefineFlags(_UNDEFINE_FLAGS)

        with contextlib.suppress(GuestNotFoundError):
            await self._call("undefine", guest, undefine)

    async def close(self) -> None:
        """Let go of libvirt. Guests run on; a call that is stuck ends with the process."""
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._watch.close()
        self._lanes.close()
        self._start_lanes.close()

    # -- calls ------------------------------------------------------------------------------------

    async def _call(
        self,
        operation: str,
        target: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        is_start: bool = False,
    ) -> T:
        if not self._is_connected:
            why = "not connected"
            raise HypervisorUnreachableError("hypervisor", operation, target, Outcome.NOT_DONE, why)
        lanes = self._start_lanes if is_start else self._lanes
        timeout_s = self._start_timeout_s if is_start else self._call_timeout_s
        try:
            return await lanes.call(operation, target, timeout_s, work)
        except libvirt.libvirtError as error:
            raise _translated(operation, target, error) from error

    # -- connection -------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        """Hold the connection that brings events and tells when libvirtd no longer answers."""
        while True:
            self._broken.clear()
            try:
                # Without a deadline: of a stopped libvirtd it comes back when that goes on.
                await self._watch.begin(self._register)
            except libvirt.libvirtError:
                await asyncio.sleep(RECONNECT_PAUSE_S)
                continue
            self._agents.forget()
            self._is_connected = True
            self._tell_connection(is_reachable=True)
            await self._broken.wait()
            self._is_connected = False
            self._tell_connection(is_reachable=False)

    def _register(self, connection: libvirt.virConnect) -> None:
        try:
            connection.registerCloseCallback(self._on_close, None)
            for event, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._on_change),
                (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._on_agent),
            ):
                connection.domainEventRegisterAny(None, event, callback, None)
            # Last, because from now on nobody may wait for an answer here (see lanes).
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        except libvirt.libvirtError:
            # Half registered is of no use: the next try begins with a connection of its own.
            connection.close()
            raise

    def _tell_connection(self, *, is_reachable: bool) -> None:
        for callback in self._connections:
            callback(is_reachable)

    # -- from libvirt's event thread --------------------------------------------------------------

    def _on_close(self, _connection: libvirt.virConnect, _reason: int, _opaque: None) -> None:
        self._to_loop(self._broken.set)

    def _on_lifecycle(
        self,
        _connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        _opaque: None,
    ) -> None:
        guest = guest_id(domain.UUIDString())
        self._to_loop(lambda: self._tell_event(guest, _folded(event, detail)))

    def _on_change(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, *_details: object
    ) -> None:
        guest = guest_id(domain.UUIDString())
        self._to_loop(lambda: self._tell_event(guest, DomainEvent.OTHER))

    def _on_agent(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, *_details: object
    ) -> None:
        guest = guest_id(domain.UUIDString())
        self._to_loop(lambda: self._tell_agent(guest))

    def _tell_agent(self, guest: GuestId) -> None:
        self._agents.told_of(guest)
        self._tell_event(guest, DomainEvent.AGENT)

    def _tell_event(self, guest: GuestId, event: DomainEvent) -> None:
        for callback in self._events:
            callback(guest, event)

    def _to_loop(self, work: Callable[[], None]) -> None:
        # The loop is closed when the process ends; libvirt's thread may be a little behind.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A domain, and its agent if it has a QEMU."""

    domain: Domain
    agent: SeenAgent | None


def _read_domains(
    connection: libvirt.virConnect, known: Mapping[GuestId, SeenAgent]
) -> list[_Read]:
    found = []
    for domain in connection.listAllDomains():
        try:
            found.append(_read_domain(domain, known))
        except libvirt.libvirtError as error:
            # It went away between the listing and the look at it.
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return found


def _read_domain(domain: libvirt.virDomain, known: Mapping[GuestId, SeenAgent]) -> _Read:
    guest = guest_id(domain.UUIDString())
    number, reason = domain.state()
    state = _domain_state(number, reason, is_active=bool(domain.isActive()))
    is_persistent = bool(domain.isPersistent())
    agent = _read_agent(domain, known.get(guest)) if state in _WITH_AGENT else None
    read = Domain(
        guest=guest,
        name=domain.name(),
        state=state,
        is_persistent=is_persistent,
        definition=domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        has_managed_save=is_persistent and bool(domain.hasManagedSaveImage()),
        agent=None if agent is None else agent.agent,
    )
    return _Read(domain=read, agent=agent)


def _read_agent(domain: libvirt.virDomain, known: SeenAgent | None) -> SeenAgent | None:
    run = domain.ID()
    if known is not None and known.run == run:
        return known
    try:
        return SeenAgent(run=run, agent=read_agent(domain.XMLDesc()))
    except DefinitionError:
        # One odd domain must not keep the others from being listed.
        return None


def _domain_state(state: int, reason: int, *, is_active: bool) -> DomainState:
    if state == libvirt.VIR_DOMAIN_SHUTOFF and is_active:
        # A start that is under way: libvirt says "shut off" until QEMU has answered.
        return DomainState.UNKNOWN
    crashed = {libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_DAEMON}
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason in crashed:
        return DomainState.CRASHED
    return _STATES.get(state, DomainState.UNKNOWN)


def _folded(event: int, detail: int) -> DomainEvent:
    match event:
        case libvirt.VIR_DOMAIN_EVENT_DEFINED:
            return DomainEvent.DEFINED
        case libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            is_renamed = detail == libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED
            return DomainEvent.OTHER if is_renamed else DomainEvent.UNDEFINED
        case libvirt.VIR_DOMAIN_EVENT_STARTED:
            return DomainEvent.STARTED
        case libvirt.VIR_DOMAIN_EVENT_STOPPED:
            return _folded_stop(detail)
        case libvirt.VIR_DOMAIN_EVENT_CRASHED:
            return DomainEvent.CRASHED
        case _:
            return DomainEvent.OTHER


def _folded_stop(detail: int) -> DomainEvent:
    """Only a guest or an operator stops a guest; a failed QEMU, a hand-over or a save does not."""
    match detail:
        case libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN | libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
            return DomainEvent.STOPPED
        case libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED | libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED:
            return DomainEvent.CRASHED
        case _:
            return DomainEvent.OTHER


def _translated(operation: str, target: str, error: libvirt.libvirtError) -> HypervisorError:
    why = error.get_error_message() or str(error)
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return GuestNotFoundError("hypervisor", operation, target, Outcome.NOT_DONE, why)
    if is_broken(error):
        return HypervisorUnreachableError("hypervisor", operation, target, Outcome.UNKNOWN, why)
    return HypervisorError("hypervisor", operation, target, Outcome.NOT_DONE, why)
