"""A whole cluster in one process on virtual time: hosts, controllers, ZooKeeper, power, referee.

The engine, the coordination code and the agents' logic are the real ones. Same seed, same story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from hamon.coordination.access import Identities, digest_of
from hamon.coordination.bootstrap import bootstrap
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.guest import InventoryEntry, PowerState
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId, GuestId, HostName
from hamon.model.policy import Backend
from hamon.ports.fencing import FenceDevice
from hamon.ports.hypervisor import DomainEvent
from hamon.ports.probe import ProbeAnswer
from hamon.sim.clock import VirtualClock
from hamon.sim.controller import SimulatedController
from hamon.sim.ensemble import Commit, Ensemble
from hamon.sim.events import Event, Events
from hamon.sim.guest_plan import BOOT_S, GUEST_PLANE, Listening
from hamon.sim.host import SimulatedHost, outside
from hamon.sim.invariants import Referee, Violation
from hamon.sim.ledger import Ledger
from hamon.sim.loop import VirtualLoop
from hamon.sim.network import SimulatedNetwork
from hamon.sim.nova import SimulatedNova
from hamon.sim.nova_client import ClientCloud, Road
from hamon.sim.nova_compute import SimulatedCompute
from hamon.sim.plan import (
    MANAGEMENT,
    PLANES,
    Plan,
    policy_of,
    spec_of,
)
from hamon.sim.power import DeviceFault, SimulatedFenceDevice
from hamon.sim.process import Process
from hamon.sim.storage import SimulatedStorage
from hamon.sim.tree import Caller, TreeChange

SETTLED_S = 20.0
"""After so long every host is registered, its guests are adopted, and the start-up hold is over."""

PULSE_S = 0.5


class InvariantError(AssertionError):
    """A rule did not hold; ends the run."""

    def __init__(self, violation: Violation, seed: int, step: int) -> None:
        super().__init__(f"{violation} (seed {seed}, step {step})")
        self.violation = violation


class World:
    """One simulated cluster. Begin it with :meth:`begin` on a :class:`VirtualLoop`.

    Args:
        plan: what there is.
        echo: told of every event at once.
    """

    def __init__(self, plan: Plan, echo: Callable[[Event], None] | None = None) -> None:
        self.plan = plan
        self.policy = policy_of(plan)
        self.clock = VirtualClock()
        self.random = Random(plan.seed)
        self.events = Events(self.clock.now_s, echo)
        self.controllers_digest = digest_of("controllers", "secret")
        self.specs = tuple(spec_of(plan, index, name) for index, name in enumerate(plan.hosts, 1))
        self.identities = Identities(
            controllers=self.controllers_digest,
            hosts={spec.name: spec.zookeeper_identity for spec in self.specs},
        )
        self.ensemble = Ensemble(self.clock, plan.policy.detection.session_timeout_s, self._wrote)
        caller = Caller(digests=frozenset({self.controllers_digest}), session_id=0)
        self.ledger = Ledger(self.ensemble.tree, caller)
        self.network = SimulatedNetwork(self.clock)
        self.storage = SimulatedStorage(self.clock, plan.storage)
        self.cuts: set[tuple[str, str]] = set()
        self.hosts: dict[HostName, SimulatedHost] = {}
        self.switches: dict[HostName, dict[str, SimulatedFenceDevice]] = {}
        self._started_s: dict[GuestId, float] = {}
        self.devices: dict[HostName, dict[str, FenceDevice]] = {}
        self.nova = self._nova()
        self.computes: dict[HostName, SimulatedCompute] = {}
        self.road = Road()
        for spec in self.specs:
            self._add_host(spec)
        self.controllers = {
            ControllerId(name): SimulatedController(self, ControllerId(name))
            for name in plan.controllers
        }
        self.guests = {
            GuestId(str(UUID(int=index << 96 | 0x4000 << 64 | 0x8 << 60 | index))): guest
            for index, guest in enumerate(plan.guests, 1)
        }
        self.events.names = {guest: planned.name for guest, planned in self.guests.items()}
        self.referee = Referee(
            self.ledger, self.hosts, self.policy, self.clock.now_s, self.heard_for_s
        )
        self.on_commit: list[Callable[[Commit], None]] = []
        self._heard_since: dict[tuple[HostName, ControllerId], float] = {}
        self._is_over = False
        self._failed: asyncio.Future[Violation] | None = None
        self._errors: list[BaseException] = []
        self._pulse: asyncio.Task[None] | None = None

    def _add_host(self, spec: HostSpec) -> None:
        ram_mib = self.plan.ram_mib.get(spec.name, self.plan.host_ram_mib)
        digest, backend = spec.zookeeper_identity, self.plan.backend
        host = SimulatedHost(
            self,
            spec,
            digest,
            ram_mib=ram_mib,
            backend=backend,
            has_checks=self.plan.has_checks,
            watchdog=self.plan.watchdog,
        )
        self.hosts[spec.name] = host
        if self.nova is not None:
            compute = SimulatedCompute(self, host, self.nova, digest)
            self.computes[spec.name] = compute
            host.services.append(compute)
        switches = {
            device.name: SimulatedFenceDevice(device, host, self.clock)
            for device in spec.fence
            if not device.is_watchdog
        }
        self.switches[spec.name] = switches
        self.devices[spec.name] = dict(switches)
        for place in spec.planes:
            self.network.attach(place.plane, spec.name, place.address, place.port, host)

    def _nova(self) -> SimulatedNova | None:
        if self.plan.backend is not Backend.NOVA:
            return None
        rooms = {h: self.plan.ram_mib.get(h, self.plan.host_ram_mib) for h in self.plan.hosts}
        return SimulatedNova(self, rooms)

    def cloud_of(self, controller: ControllerId) -> ClientCloud | None:
        """Return Nova as a controller's process sees it; None: there is no Nova."""
        if self.nova is None:
            return None
        return ClientCloud(self, self.nova, self.road, controller, Random(self.random.random()))

    # -- beginning and end ------------------------------------------------------------------------

    async def begin(self) -> None:
        """Bring everything up, healthy, with every guest where the plan has it."""
        first = self.ensemble.connect(self.controllers_digest)
        await bootstrap(first, "/", Identities(controllers=self.controllers_digest))
        await first.close()
        for guest, planned in self.guests.items():
            host = self.hosts[HostName(planned.host)]
            host.hypervisor.define_now(self.definition(guest))
            if planned.listens_at is not None:
                listening = Listening(partial(self._runs_for_s, guest))
                self.network.attach(GUEST_PLANE, planned.name, *planned.listens_at, listening)
            if self.nova is not None:
                vm_state = "active" if planned.wanted is PowerState.RUNNING else "stopped"
                self.nova.records.add_server(
                    guest, planned.name, planned.host, ram_mib=planned.ram_mib, vm_state=vm_state
                )
                self.nova.records.change(guest, metadata=dict(planned.said))
        if self.nova is not None:
            self.nova.begin()
        for host in self.hosts.values():
            host.press_power(boot_s=0.1)
        for controller in self.controllers.values():
            controller.start()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._failed = loop.create_future()
        self._errors = loop.errors
        loop.watch(self._check)
        self._pulse = loop.create_task(self._listen())
        await self.sleep(1.0)
        for guest, planned in self.guests.items():
            if planned.wanted is PowerState.RUNNING:
                self.hosts[HostName(planned.host)].hypervisor.start_now(guest)
        await self.until(SETTLED_S)

    async def until(self, at_s: float) -> None:
        """Let the world go on until a virtual second.

        Raises:
            InvariantError: a rule did not hold.
        """
        await self.sleep(at_s - self.clock.now_s())

    async def sleep(self, duration_s: float) -> None:
        """Let the world go on for a while.

        Raises:
            InvariantError: a rule did not hold.
        """
        assert self._failed is not None
        passed = asyncio.ensure_future(self.clock.sleep(duration_s))
        ends: list[asyncio.Future[Any]] = [self._failed, passed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        passed.cancel()
        if self._failed.done():
            violation = self._failed.result()
            raise InvariantError(violation, self.plan.seed, self.batches())

    async def end(self) -> None:
        """End every process, so that the loop can be closed."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.watch(None)
        self._is_over = True
        if self._pulse is not None:
            self._pulse.cancel()
        processes = [process for host in self.hosts.values() for process in host.processes()]
        for controller in self.controllers.values():
            processes += controller.processes()
        processes += self.nova.processes() if self.nova is not None else []
        for process in processes:
            await process.bury()
        self.ensemble.stop()

    # -- what its parts tell ----------------------------------------------------------------------

    def crashed(self, process: Process, error: BaseException) -> None:
        """Take a process that ended by an exception for a bug."""
        if not self._is_over:
            what = f"{process.name}: {error!r}"
            self.events.add("process_crashed", {"host": process.name, "why": repr(error)})
            violation = Violation(rule="no crash", at_s=self.clock.now_s(), what=what)
            self.referee.violations.append(violation)
            if not isinstance(error, AssertionError):
                raise error

    def inventory(self, guest: GuestId) -> tuple[tuple[HostName, InventoryEntry], ...]:
        """Return what hosts have published of a guest."""
        found = []
        for host in self.hosts:
            place = Place(kind=PlaceKind.INVENTORY_ENTRY, host=host, guest=guest)
            entry = self.ledger.values.get(to_path(place))
            if isinstance(entry, InventoryEntry):
                found.append((host, entry))
        return tuple(found)

    def send_notice(self, host: HostName, notice: bytes) -> None:
        """Carry a crash notice of a host to every controller that its management plane reaches."""
        [source] = [
            plane.address for plane in self.hosts[host].spec.planes if plane.plane == MANAGEMENT
        ]
        for controller in self.controllers.values():
            if not {(MANAGEMENT, host), (MANAGEMENT, controller.name)} & self.cuts:
                controller.hear(notice, source)

    def domain_changed(self, host: HostName, guest: GuestId, event: DomainEvent) -> None:
        """Judge what a host's guests do."""
        if event in {DomainEvent.STARTED, DomainEvent.STOPPED, DomainEvent.CRASHED}:
            self.events.add(f"guest_{event}", {"guest": guest, "host": host})
        if event is DomainEvent.STARTED:
            self._started_s[guest] = self.clock.now_s()
            self.referee.started(host, guest)
            if self.guests[guest].has_agent:
                outside(self._boot_guest(host, guest))

    async def _boot_guest(self, host: HostName, guest: GuestId) -> None:
        """Have the agent in a guest connect once its system is up, if it is still the same run."""
        started_s = self._started_s[guest]
        await self.clock.sleep(BOOT_S)
        if self._started_s[guest] == started_s and guest in self.hosts[host].hypervisor.running():
            self.hosts[host].hypervisor.connect_agent_now(guest)

    def _runs_for_s(self, guest: GuestId) -> float | None:
        """Return how long a guest has been running; None: it does not, anywhere."""
        if not any(guest in host.hypervisor.running() for host in self.hosts.values()):
            return None
        return self.clock.now_s() - self._started_s.get(guest, 0.0)

    def shot_started(self, controller: ControllerId, host: HostName, sent_s: float) -> None:
        """Judge an order to cut power."""
        self.events.add("shot_started", {"host": host, "by": controller})
        self.referee.shot(controller, host, sent_s)

    def definition(self, guest: GuestId) -> str:
        """Return the domain of a guest, as whoever runs guests here makes it."""
        return self.guests[guest].definition(guest, is_of_nova=self.nova is not None)

    def evacuation_sent(self, controller: ControllerId, guest: GuestId) -> None:
        """Judge a request to Nova, the moment it is sent."""
        assert self.nova is not None
        source = self.nova.records.servers[guest].host
        self.referee.asked(controller, guest, HostName(source))

    def evacuation_accepted(self, guest: GuestId) -> None:
        """Judge a request to Nova, the moment it is accepted: is another under way?"""
        assert self.nova is not None
        busy = self.nova.works_at(guest)
        self.events.add("nova_accepted", {"guest": guest})
        if busy:
            self.referee.blame("S6", f"{guest} was asked for again while {busy} works at it")

    def _wrote(self, changes: tuple[TreeChange, ...], commit: Commit | None) -> None:
        if self._is_over:
            return
        self.referee.committed(self.ledger.take(changes), commit)
        if commit is not None:
            for callback in tuple(self.on_commit):
                callback(commit)

    def _check(self) -> None:
        """Be called after every batch of callbacks."""
        for error in self._errors:
            violation = Violation(rule="no crash", at_s=0.0, what=repr(error))
            self.referee.violations.append(violation)
        if self.referee.violations and self._failed is not None and not self._failed.done():
            self._failed.set_result(self.referee.violations[0])

    def batches(self) -> int:
        """Return how many batches of callbacks have run: the step a failure is told with."""
        loop = asyncio.get_running_loop()
        return loop.batches if isinstance(loop, VirtualLoop) else 0

    def liars(self) -> tuple[HostName, ...]:
        """Name the hosts whose device says Off whatever is true."""
        return tuple(host for host in sorted(self.switches) if self.has_liar(host))

    def has_liar(self, host: HostName) -> bool:
        """Say whether the host's device says Off whatever is true."""
        return any(DeviceFault.LIES_OFF in one.faults for one in self.switches[host].values())

    # -- who hears whom ---------------------------------------------------------------------------

    def cut(self, plane: str, party: str, *, is_cut: bool) -> None:
        """Cut a host or a controller off a plane, or join it again."""
        if is_cut:
            self.cuts.add((plane, party))
            self.network.cut(plane, party)
        else:
            self.cuts.discard((plane, party))
            self.network.restore(plane, party)
        if plane == MANAGEMENT:
            # ZooKeeper is reached through it.
            owner = self.hosts.get(HostName(party)) or self.controllers[ControllerId(party)]
            owner.cut_off(is_cut=is_cut)

    def heard_for_s(self, host: HostName, controller: ControllerId) -> float:
        """Tell for how long a host has answered a controller without a gap."""
        since_s = self._heard_since.get((host, controller))
        return 0.0 if since_s is None else self.clock.now_s() - since_s

    async def _listen(self) -> None:
        while True:
            for host in self.hosts.values():
                answers = host.answer().answer is not ProbeAnswer.SILENT
                for controller in self.controllers.values():
                    is_heard = answers and self._is_joined(host.name, controller)
                    key = (host.name, controller.name)
                    if not is_heard:
                        self._heard_since.pop(key, None)
                    elif key not in self._heard_since:
                        self._heard_since[key] = self.clock.now_s()
            await self.clock.sleep(PULSE_S)

    def _is_joined(self, host: HostName, controller: SimulatedController) -> bool:
        if not controller.is_alive or controller.is_paused:
            return False
        return any(not {(plane, host), (plane, controller.name)} & self.cuts for plane in PLANES)
