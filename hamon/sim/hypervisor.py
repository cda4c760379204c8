"""libvirt in memory; same contract tests as the real one.

What differs on purpose: nothing takes time but a start (``start_s``), and there is no event thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hamon.backends.libvirt.definition import (
    DefinitionError,
    SharedStorage,
    read_agent,
    read_definition,
)
from hamon.errors import (
    GuestNotFoundError,
    HypervisorError,
    HypervisorUnreachableError,
    Outcome,
)
from hamon.model.host import DomainState, GuestAgent, HostCapacity
from hamon.model.names import BootId, GuestId
from hamon.ports.clock import Clock
from hamon.ports.hypervisor import Domain, DomainEvent
from hamon.sim.host_files import InMemoryPermits

T = TypeVar("T")


@dataclass(slots=True)
class _Request:
    """A call on its way through a libvirtd that may be stopped."""

    work: Callable[[], None]
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShape:
    """What an in-memory host offers."""

    ram_mib: int = 16384
    vcpus: int = 16
    architecture: str = "x86_64"
    cpu_models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    pool_paths: tuple[str, ...] = ()


class InMemoryHypervisor:
    """One host's libvirt.

    Args:
        clock: for deadlines and starts.
        permits: the gate that every start passes.
        shape: what the host offers.
        call_timeout_s: after how long an unanswered call is given up.
        start_s: how long a start takes.
    """

    def __init__(
        self,
        clock: Clock,
        permits: InMemoryPermits,
        shape: HostShape | None = None,
        *,
        call_timeout_s: float = 5.0,
        start_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._permits = permits
        self._shape = shape or HostShape()
        self._call_timeout_s = call_timeout_s
        self._start_s = start_s
        self._domains: dict[GuestId, Domain] = {}
        self._is_running = True
        self._is_paused = False
        self._waiting: list[_Request] = []
        self._events: list[Callable[[GuestId, DomainEvent], None]] = []
        self._connections: list[Callable[[bool], None]] = []
        self._failures: dict[GuestId, str] = {}
        self._pauses_at_start = False
        self._loses_start = False

    # -- the port ---------------------------------------------------------------------------------

    def on_event(self, callback: Callable[[GuestId, DomainEvent], None]) -> None:
        """Have ``callback`` called at domain events while connected (none is queued while not)."""
        self._events.append(callback)

    def on_connection(self, callback: Callable[[bool], None]) -> None:
        """Have ``callback`` called when libvirt becomes reachable (True) or unreachable (False)."""
        self._connections.append(callback)
        if self._is_running:
            callback(True)  # noqa: FBT003 - the port's signature

    async def domains(self) -> tuple[Domain, ...]:
        """List every domain, running or not, sorted by uuid. Idempotent."""
        return await self._call(
            "domains", "", lambda: tuple(self._domains[guest] for guest in sorted(self._domains))
        )

    async def capacity(self, boot_id: BootId) -> HostCapacity:
        """Tell what this host offers to guests. Idempotent."""
        shape = self._shape
        return await self._call(
            "capacity",
            "",
            lambda: HostCapacity(
                boot_id=boot_id,
                ram_mib=shape.ram_mib,
                vcpus=shape.vcpus,
                architecture=shape.architecture,
                cpu_models=shape.cpu_models,
                networks=shape.networks,
                pools=shape.pools,
                pool_paths=shape.pool_paths,
            ),
        )

    async def define(self, definition: str) -> None:
        """Define the domain, or redefine it (autostart off, saved memory dropped). Idempotent."""
        await self._call("define", "", lambda: self.define_now(definition))

    async def start(self, guest: GuestId) -> None:
        """Start a defined domain. Already running is success."""
        if self._start_s > 0:
            await self._clock.sleep(self._start_s)
        if self._pauses_at_start:
            self._pauses_at_start = False
            self.pause_daemon()
        if self._loses_start:
            self._loses_start = False
            self.start_now(guest)
            self.pause_daemon()
        await self._call("start", guest, lambda: self.start_now(guest))

    async def destroy(self, guest: GuestId) -> None:
        """End the domain's process at once. Not running, or not there, is success."""
        await self._call("destroy", guest, lambda: self.stop_now(guest))

    async def undefine(self, guest: GuestId) -> None:
        """Forget the definition; disks and NVRAM files stay. Not there is success."""
        await self._call("undefine", guest, lambda: self.undefine_now(guest))

    # -- what an operator, a guest or the world does ----------------------------------------------

    def define_now(self, definition: str) -> None:
        """``virsh define``.

        Raises:
            HypervisorError: it is no definition.
        """
        try:
            facts = read_definition(definition, SharedStorage())
        except DefinitionError as error:
            raise HypervisorError(
                "hypervisor", "define", "", Outcome.NOT_DONE, str(error)
            ) from error
        before = self._domains.get(facts.guest)
        self._domains[facts.guest] = Domain(
            guest=facts.guest,
            name=facts.name,
            state=DomainState.SHUTOFF if before is None else before.state,
            is_persistent=True,
            definition=definition,
            agent=None if before is None else before.agent,
        )
        self._tell(facts.guest, DomainEvent.DEFINED)

    def start_now(self, guest: GuestId) -> None:
        """``virsh start``: through the gate.

        Raises:
            GuestNotFoundError: it is not defined.
            HypervisorError: the gate refused, or :meth:`let_starts_fail` said so.
        """
        domain = self._domains.get(guest)
        if domain is None:
            why = "no domain with matching uuid"
            raise GuestNotFoundError("hypervisor", "start", guest, Outcome.NOT_DONE, why)
        if domain.state is DomainState.RUNNING:
            return
        if not self._permits.admit(guest):
            why = "refused by the hook: no permit"
            raise HypervisorError("hypervisor", "start", guest, Outcome.NOT_DONE, why)
        if guest in self._failures:
            why = self._failures[guest]
            raise HypervisorError("hypervisor", "start", guest, Outcome.NOT_DONE, why)
        self._become(guest, DomainState.RUNNING, DomainEvent.STARTED)

    def connect_agent_now(self, guest: GuestId) -> None:
        """Have the agent inside a running guest open its channel; without one nothing happens."""
        self._change_agent(guest, GuestAgent.DISCONNECTED, GuestAgent.CONNECTED)

    def disconnect_agent_now(self, guest: GuestId) -> None:
        """Have the agent inside a guest end."""
        self._change_agent(guest, GuestAgent.CONNECTED, GuestAgent.DISCONNECTED)

    def stop_now(self, guest: GuestId) -> None:
        """``virsh destroy``, or a guest that shuts itself down."""
        if self._runs(guest):
            self._become(guest, DomainState.SHUTOFF, DomainEvent.STOPPED)

    def crash_now(self, guest: GuestId) -> None:
        """QEMU dies by itself."""
        if self._runs(guest):
            self._become(guest, DomainState.CRASHED, DomainEvent.CRASHED)

    def undefine_now(self, guest: GuestId) -> None:
        """``virsh undefine``."""
        domain = self._domains.get(guest)
        if domain is None:
            return
        if self._runs(guest):
            self._domains[guest] = replace(domain, is_persistent=False)
        else:
            del self._domains[guest]
        self._tell(guest, DomainEvent.UNDEFINED)

    def kill_now(self, guests: frozenset[GuestId]) -> frozenset[GuestId]:
        """``kill -9`` of QEMU processes, which needs no libvirtd; return those that ran."""
        running = frozenset(guest for guest in guests if self._runs(guest))
        for guest in running:
            self._become(guest, DomainState.CRASHED, DomainEvent.CRASHED)
        return running

    def running(self) -> frozenset[GuestId]:
        """Tell which guests run, whatever libvirtd says."""
        return frozenset(guest for guest in self._domains if self._runs(guest))

    def let_starts_fail(self, guest: GuestId, why: str) -> None:
        """Have each start of the guest fail after the gate; "" makes it work again."""
        if why:
            self._failures[guest] = why
        else:
            self._failures.pop(guest, None)

    def lose_configuration(self) -> None:
        """Restart libvirtd with an emptied configuration: no events tell of it.

        What runs is found again and is transient from now on.
        """
        self.stop_daemon()
        running = {guest: self._domains[guest] for guest in self.running()}
        self._domains = {
            guest: replace(domain, is_persistent=False) for guest, domain in running.items()
        }
        self.start_daemon()

    def stop_daemon(self) -> None:
        """End libvirtd; guests run on."""
        self._is_running = False
        self._tell_connection(is_reachable=False)

    def start_daemon(self) -> None:
        """Start libvirtd again."""
        self._is_running = True
        self._tell_connection(is_reachable=True)

    def pause_daemon(self) -> None:
        """SIGSTOP libvirtd: requests wait in it, guests run on."""
        self._is_paused = True

    def pause_next_start(self) -> None:
        """SIGSTOP libvirtd when the next start is sent, before it is read."""
        self._pauses_at_start = True

    def lose_answer_of_next_start(self) -> None:
        """SIGSTOP libvirtd when the next start is carried out, before it is answered."""
        self._loses_start = True

    def resume_daemon(self) -> None:
        """SIGCONT libvirtd: it carries out what waits, also what nobody waits for any more."""
        self._is_paused = False
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.work()
            request.done.set()
        self._tell_connection(is_reachable=True)

    def power_cut(self) -> None:
        """End everything at once; definitions stay on disk."""
        self._waiting.clear()
        self._is_paused = False
        self._events.clear()
        self._connections.clear()
        for guest, domain in self._domains.items():
            self._domains[guest] = replace(domain, state=DomainState.SHUTOFF, agent=None)
        self._permits.reboot()

    # -- inside -----------------------------------------------------------------------------------

    async def _call(self, operation: str, target: str, work: Callable[[], T]) -> T:
        if not self._is_running:
            why = "not connected"
            raise HypervisorUnreachableError("hypervisor", operation, target, Outcome.NOT_DONE, why)
        answer: list[T] = []
        failure: list[HypervisorError] = []

        def carry_out() -> None:
            try:
                answer.append(work())
            except HypervisorError as error:
                failure.append(error)

        if self._is_paused:
            await self._wait_in_line(operation, target, carry_out)
        else:
            carry_out()
        if failure:
            raise failure[0]
        return answer[0]

    async def _wait_in_line(self, operation: str, target: str, work: Callable[[], None]) -> None:
        request = _Request(work)
        self._waiting.append(request)
        done = asyncio.ensure_future(request.done.wait())
        deadline = asyncio.ensure_future(self._clock.sleep(self._call_timeout_s))
        try:
            await asyncio.wait({done, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done.cancel()
            deadline.cancel()
            await asyncio.gather(done, deadline, return_exceptions=True)
        if not request.done.is_set():
            self._tell_connection(is_reachable=False)
            why = f"no answer within {self._call_timeout_s} s"
            raise HypervisorUnreachableError("hypervisor", operation, target, Outcome.UNKNOWN, why)

    def _runs(self, guest: GuestId) -> bool:
        domain = self._domains.get(guest)
        return domain is not None and domain.state in {DomainState.RUNNING, DomainState.PAUSED}

    def _become(self, guest: GuestId, state: DomainState, event: DomainEvent) -> None:
        domain = self._domains[guest]
        if state is DomainState.RUNNING or domain.is_persistent:
            is_on = state is DomainState.RUNNING
            agent = read_agent(domain.definition) if is_on else None
            self._domains[guest] = replace(domain, state=state, agent=agent)
        else:
            del self._domains[guest]
        self._tell(guest, event)

    def _change_agent(self, guest: GuestId, before: GuestAgent, after: GuestAgent) -> None:
        domain = self._domains.get(guest)
        if domain is not None and domain.agent is before:
            self._domains[guest] = replace(domain, agent=after)
            self._tell(guest, DomainEvent.AGENT)

    def _tell(self, guest: GuestId, event: DomainEvent) -> None:
        if self._is_running and not self._is_paused:
            for callback in self._events:
                callback(guest, event)

    def _tell_connection(self, *, is_reachable: bool) -> None:
        for callback in self._connections:
            callback(is_reachable)
