"""A simulated compute host: power, boots, and the real agent's logic over in-memory libvirt."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from hamon.agent.context import AgentContext, CheckSources
from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.agent.guests_agent import GuestsAgent
from hamon.agent.registration import Registration
from hamon.agent.storage_beats import WriteNotes
from hamon.backends.libvirt.definition import SharedStorage
from hamon.errors import HypervisorError
from hamon.model.beat import Beat
from hamon.model.host import HostSelf, HostSpec, Leaving
from hamon.model.names import BootId, GuestId
from hamon.model.policy import Backend
from hamon.ports.probe import ProbeAnswer, ProbeResult
from hamon.sim.client_libvirt import ClientLibvirt
from hamon.sim.ensemble import ProcessStore
from hamon.sim.host_files import InMemoryHostFiles, InMemoryPermits
from hamon.sim.hypervisor import HostShape, InMemoryHypervisor
from hamon.sim.kdump import SimulatedKdump
from hamon.sim.process import Process
from hamon.sim.storage import SimulatedStorage
from hamon.sim.surroundings import Service, Surroundings
from hamon.sim.watchdog_device import SimulatedWatchdog
from hamon.sim.watched_heartbeat import WatchedHeartbeat

T = TypeVar("T")

BOOT_S = 8.0
"""From power On until the agent runs."""

LEAVING_PERIOD_S = 0.5
STOP_GUESTS_S = 2.0
"""How long an orderly shutdown takes before guests are stopped, and again until power is off."""

START_GUEST_S = 1.0
SHARED_PATH = "/srv/guests"
TENANT_LINK = "tenant"
BEAT_S = 1.0
BEAT_LATE_S = 5.0


@dataclass(slots=True)
class _Agent:
    """One of the two agent processes with its session; ``watched``: when it pets a watchdog."""

    process: Process
    store: ProcessStore
    watched: WatchedHeartbeat | None = None


class SimulatedHost:
    """One machine.

    Args:
        world: around it.
        spec: as enrolled.
        digest: of its identity.
        ram_mib: what it offers to guests.
        backend: who starts guests on it.
        has_checks: whether it checks itself.
        watchdog: how it resets itself, None: it has no watchdog.
    """

    def __init__(
        self,
        world: Surroundings,
        spec: HostSpec,
        digest: str,
        *,
        ram_mib: int,
        backend: Backend = Backend.LIBVIRT,
        has_checks: bool = False,
        watchdog: WatchdogSettings | None = None,
    ) -> None:
        self._world = world
        self._has_checks = has_checks
        self._backend = backend
        self.spec = spec
        self.name = spec.name
        self._digest = digest
        self.is_on = False
        self.is_cut_off = False
        self.boot_id = BootId("")
        self.permits = InMemoryPermits()
        self.files = InMemoryHostFiles()
        shape = HostShape(
            ram_mib=ram_mib, vcpus=64, cpu_models=("qemu/",), pool_paths=(SHARED_PATH,)
        )
        self.hypervisor = InMemoryHypervisor(
            world.clock, self.permits, shape, start_s=START_GUEST_S
        )
        self._watchdog = watchdog
        self.device = SimulatedWatchdog(world.clock.now_s, on_deadline=self._fire_later)
        self._boots = 0
        self._power_cycles = 0
        self._session = 0
        self._heartbeat: _Agent | None = None
        self._guests: _Agent | None = None
        self._libvirtd: Process | None = None
        self._beating: Process | None = None
        self._notes: dict[str, WriteNotes] = {}
        self.links_down: set[str] = set()
        self.buried: list[Process] = []
        self.services: list[Service] = []

    # -- power ------------------------------------------------------------------------------------

    @property
    def product_uuid(self) -> str:
        """Its system uuid."""
        return self.spec.product_uuid

    @property
    def is_running(self) -> bool:
        """Whether a kernel runs: on, and booted."""
        return self.is_on and self._libvirtd is not None

    def lose_power(self) -> None:
        """Stop at once: plug pulled, or the BMC's order."""
        if not self.is_on:
            return
        self.is_on = False
        self._die()
        self._world.events.add("power_lost", {"host": self.name})

    def panic(self, dump_s: float) -> None:
        """Have the kernel crash: a crash kernel dumps memory, tells of it, and then reboots.

        Power stays on; nothing answers meanwhile.
        """
        if not self.is_running:
            return
        self._die()
        self._world.events.add("panicked", {"host": self.name})
        outside(self._dump(self._power_cycles, dump_s))

    async def _dump(self, cycle: int, dump_s: float) -> None:
        kdump = SimulatedKdump(
            self._world.clock, lambda notice: self._world.send_notice(self.name, notice)
        )
        await kdump.dump(dump_s, lambda: cycle != self._power_cycles)
        await self._boot_later(cycle, BOOT_S)

    def _die(self) -> None:
        """Have everything that runs here end at once."""
        self._power_cycles += 1
        self._kill_services()
        self.kill_heartbeat()
        self.kill_guests_agent()
        if self._libvirtd is not None:
            self._libvirtd.kill()
            self.buried.append(self._libvirtd)
            self._libvirtd = None
        self.hypervisor.power_cut()
        self.files.reboot()
        self._session = 0
        self.device.reset()

    def _fire_later(self, deadline_s: float) -> None:
        outside(self._fire(deadline_s))

    async def _fire(self, deadline_s: float) -> None:
        """Reset the machine, unless it was petted meanwhile."""
        await self._world.clock.sleep(deadline_s - self._world.clock.now_s())
        if self.device.deadline_s == deadline_s:
            self._world.events.add("watchdog_fired", {"host": self.name})
            self.lose_power()
            self.press_power()

    def press_power(self, boot_s: float = BOOT_S) -> None:
        """Switch on; the agent runs ``boot_s`` later. Already on is fine."""
        if self.is_on:
            return
        self.is_on = True
        self._world.events.add("power_on", {"host": self.name})
        cycle = self._power_cycles
        outside(self._boot_later(cycle, boot_s))

    async def _boot_later(self, cycle: int, boot_s: float) -> None:
        await self._world.clock.sleep(boot_s)
        if self.is_on and cycle == self._power_cycles:
            self.boot()

    def boot(self) -> None:
        """Come up in a new boot: libvirtd and both agent processes."""
        self._boots += 1
        number = int(self.name.rpartition("-")[2])
        self.boot_id = BootId(f"b007b007-{number:04x}-4000-8000-{self._boots:012x}")
        self._libvirtd = Process(f"{self.name}/libvirtd", self._world.crashed)
        self.hypervisor.start_daemon()
        self.hypervisor.on_event(
            lambda guest, event: self._world.domain_changed(self.name, guest, event)
        )
        self._world.events.add("booted", {"host": self.name})
        self.start_heartbeat()
        self.start_guests_agent()
        for service in self.services:
            service.start()

    def announce(self, leaving: Leaving) -> None:
        """Shut down or reboot in order: say so, stop the guests, go."""
        self.files.announced = leaving
        outside(self._leave(leaving, self._power_cycles))

    async def _leave(self, leaving: Leaving, cycle: int) -> None:
        await self._world.clock.sleep(STOP_GUESTS_S)
        if not self.is_running or cycle != self._power_cycles:
            return
        self._kill_services()
        for guest in sorted(self.hypervisor.running()):
            self.hypervisor.stop_now(guest)
        if self._heartbeat is not None and not self._heartbeat.process.is_stopped:
            # Announced: the process ends its session itself.
            if self._heartbeat.watched is not None:
                self._heartbeat.watched.stop()
            else:
                await self._heartbeat.store.close()
        await self._world.clock.sleep(STOP_GUESTS_S)
        if not self.is_on or cycle != self._power_cycles:
            return
        self.lose_power()
        if leaving is Leaving.REBOOT:
            self.press_power()

    # -- the network ------------------------------------------------------------------------------

    def answer(self) -> ProbeResult:
        """Tell what a probe of this host's agent brings back."""
        if not self.is_running:
            return ProbeResult(answer=ProbeAnswer.SILENT, detail="no answer in time")
        if self._heartbeat is None:
            return ProbeResult(answer=ProbeAnswer.REFUSED, detail="refused")
        if self._heartbeat.process.is_stopped:
            return ProbeResult(answer=ProbeAnswer.CONNECTED, detail="connected, no echo")
        return ProbeResult(answer=ProbeAnswer.ECHO, host=self.name, boot_id=self.boot_id)

    def cut_off(self, *, is_cut: bool) -> None:
        """Take the plane to ZooKeeper away, or give it back."""
        self.is_cut_off = is_cut
        for agent in (self._heartbeat, self._guests):
            if agent is not None:
                agent.store.cut(is_cut=is_cut)
        for service in self.services:
            service.cut_off(is_cut=is_cut)

    def _kill_services(self) -> None:
        for service in self.services:
            service.kill()

    def libvirt_for(self, process: Process) -> ClientLibvirt:
        """Return this boot's libvirt as a process of this host sees it."""
        assert self._libvirtd is not None, "the host runs"
        return ClientLibvirt(self.hypervisor, self._libvirtd, process)

    # -- the agent's processes --------------------------------------------------------------------

    def start_heartbeat(self) -> None:
        """Start the heartbeat process; it goes on with the session that a former one left."""
        if self._heartbeat is not None or not self.is_running:
            return
        agent = self._process("heartbeat", resume=self._session)
        registration = Registration(
            store=agent.store,
            clock=self._world.clock,
            log=self._world.events,
            host=self.name,
            facts=HostSelf(boot_id=self.boot_id, product_uuid=self.product_uuid),
            identities=self._world.identities,
            former_session=self._session,
            is_guarded=self._watchdog is not None,
        )
        if self._watchdog is None:
            agent.process.spawn(registration.run())
        else:
            agent.watched = WatchedHeartbeat(
                registration=registration,
                store=agent.store,
                device=self.device,
                settings=self._watchdog,
                clock=self._world.clock,
                log=self._world.events,
                host=self.name,
            )
            agent.process.spawn(agent.watched.run())
        agent.process.spawn(self._follow_leaving(registration))
        self._heartbeat = agent

    async def _follow_leaving(self, registration: Registration) -> None:
        while True:
            registration.announce(self.files.leaving())
            await self._world.clock.sleep(LEAVING_PERIOD_S)

    def kill_heartbeat(self) -> None:
        """SIGKILL it; its session ends by its time-out, or another process goes on with it."""
        if self._heartbeat is not None:
            self._session = self._heartbeat.store.session_id or self._session
            self._end(self._heartbeat)
            self._heartbeat = None

    def start_guests_agent(self) -> None:
        """Start the guests process."""
        if self._guests is not None or not self.is_running:
            return
        agent = self._process("guests", resume=0)
        context = AgentContext(
            host=self.name,
            boot_id=self.boot_id,
            backend=self._backend,
            store=agent.store,
            hypervisor=self.libvirt_for(agent.process),
            permits=self.permits,
            files=self.files,
            clock=self._world.clock,
            log=self._world.events,
            shared=SharedStorage(paths=(SHARED_PATH,)),
            identities=self._world.identities,
            readable_paths=_all_readable,
            kill_guests=self.hypervisor.kill_now,
            checks=self._checks(),
        )
        agent.process.spawn(_run_agent(context))
        self._guests = agent
        self._start_beats()

    def kill_guests_agent(self) -> None:
        """SIGKILL it; guests run on."""
        if self._guests is not None:
            self._end(self._guests)
            self._guests = None
        if self._beating is not None:
            # The companions die with their parent.
            self._beating.kill()
            self.buried.append(self._beating)
            self._beating = None

    def _start_beats(self) -> None:
        """Start the companions that beat on the storages there are."""
        storage, clock = self._world.storage, self._world.clock
        self._notes = {mount: WriteNotes(clock, BEAT_LATE_S) for mount in storage.mounts}
        if not storage.mounts:
            return
        self._beating = Process(f"{self.name}/beats", self._world.crashed)
        for mount, notes in self._notes.items():
            self._beating.spawn(self._beat(storage, mount, notes))

    async def _beat(self, storage: SimulatedStorage, mount: str, notes: WriteNotes) -> None:
        beat = Beat(host=self.name, boot_id=self.boot_id, sequence=0)
        sequence = storage.last_sequence(mount, beat)
        while True:
            sequence += 1
            why = storage.write(mount, replace(beat, sequence=sequence))
            if why is not None:
                notes.note(why)
            await self._world.clock.sleep(BEAT_S)

    def _checks(self) -> CheckSources | None:
        if not self._has_checks:
            return None
        return CheckSources(storage=self._storage_troubles, links=self._link_troubles)

    def _storage_troubles(self) -> dict[str, str | None]:
        return {mount: notes.trouble() for mount, notes in self._notes.items()}

    def _link_troubles(self) -> dict[str, str]:
        return {TENANT_LINK: "it has no carrier" if TENANT_LINK in self.links_down else ""}

    def pause(self, *, heartbeat: bool, guests: bool) -> None:
        """SIGSTOP agent processes."""
        for agent in self._chosen(heartbeat=heartbeat, guests=guests):
            agent.process.stop()
            agent.store.freeze()

    def resume(self, *, heartbeat: bool, guests: bool) -> None:
        """SIGCONT agent processes."""
        for agent in self._chosen(heartbeat=heartbeat, guests=guests):
            if agent.process.is_stopped:
                agent.process.resume()
                agent.store.thaw()

    def hang(self) -> None:
        """Have userland hang: no process of hamon's gets on, the kernel and the guests do."""
        self.pause(heartbeat=True, guests=True)
        if self._beating is not None:
            self._beating.stop()

    def unhang(self) -> None:
        """Have userland go on."""
        self.resume(heartbeat=True, guests=True)
        if self._beating is not None and self._beating.is_stopped:
            self._beating.resume()

    def _chosen(self, *, heartbeat: bool, guests: bool) -> list[_Agent]:
        chosen = (self._heartbeat if heartbeat else None, self._guests if guests else None)
        return [agent for agent in chosen if agent is not None]

    def start_by_hand(self, guest: GuestId) -> bool:
        """``virsh start``; say whether libvirt did it."""
        if not self.is_running:
            return False
        try:
            self.hypervisor.start_now(guest)
        except HypervisorError as error:
            self._world.events.add("start_refused", {"guest": guest, "why": error.why})
            return False
        return True

    def _process(self, name: str, *, resume: int) -> _Agent:
        process = Process(f"{self.name}/{name}", self._world.crashed)
        store = ProcessStore(
            self._world.ensemble.connect(self._digest, resume=resume),
            process,
            self._world.clock,
            Random(self._world.random.random()),
        )
        store.cut(is_cut=self.is_cut_off)
        return _Agent(process, store)

    def _end(self, agent: _Agent) -> None:
        agent.process.kill()
        agent.store.die()
        if agent.watched is not None:
            agent.watched.die()
        self.buried.append(agent.process)

    def processes(self) -> list[Process]:
        """Return every process it ever had."""
        living = [agent.process for agent in (self._heartbeat, self._guests) if agent is not None]
        living += [process for process in (self._libvirtd, self._beating) if process is not None]
        return [*self.buried, *living]


async def _run_agent(context: AgentContext) -> None:
    await GuestsAgent(context).run()


async def _all_readable(paths: tuple[str, ...]) -> tuple[str, ...]:
    return paths


_outside: set[asyncio.Task[None]] = set()


def outside(work: Coroutine[object, object, None]) -> None:
    """Do something later in the world itself, whatever becomes of the process that is the cause."""
    task = asyncio.get_running_loop().create_task(work, context=Context())
    _outside.add(task)
    task.add_done_callback(_outside.discard)
