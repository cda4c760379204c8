"""The agent of a simulated host: its two processes run the real agent's logic."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hamon.agent.context import AgentContext, CheckSources
from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.agent.guests_agent import GuestsAgent
from hamon.agent.registration import Registration
from hamon.backends.libvirt.definition import SharedStorage
from hamon.model.host import HostSelf
from hamon.model.names import BootId, HostName
from hamon.model.policy import Backend
from hamon.ports.probe import ProbeAnswer, ProbeResult
from hamon.sim.client_libvirt import ClientLibvirt
from hamon.sim.ensemble import ProcessStore
from hamon.sim.host_beats import HostBeats
from hamon.sim.host_files import InMemoryHostFiles, InMemoryPermits
from hamon.sim.hypervisor import InMemoryHypervisor
from hamon.sim.process import Process
from hamon.sim.surroundings import Surroundings
from hamon.sim.watchdog_device import SimulatedWatchdog
from hamon.sim.watched_heartbeat import WatchedHeartbeat

LEAVING_PERIOD_S = 0.5
SHARED_PATH = "/srv/guests"
TENANT_LINK = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the agent finds where it runs, in every boot.

    ``digest``: of the host's identity. ``watchdog``: how the machine resets itself by ``device``,
    None: it does not. ``links_down``: links without a carrier now.
    """

    host: HostName
    product_uuid: str
    digest: str
    backend: Backend
    has_checks: bool
    watchdog: WatchdogSettings | None
    device: SimulatedWatchdog
    permits: InMemoryPermits
    files: InMemoryHostFiles
    hypervisor: InMemoryHypervisor
    links_down: set[str]


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of the machine: its id, and its libvirtd."""

    boot_id: BootId
    libvirtd: Process


@dataclass(slots=True)
class _Agent:
    """One of the two agent processes with its session; ``watched``: when it pets a watchdog."""

    process: Process
    store: ProcessStore
    watched: WatchedHeartbeat | None = None


class HostAgents:
    """The agent's processes on one machine, through all its boots.

    Args:
        world: around the machine.
        machine: where they run.
    """

    def __init__(self, world: Surroundings, machine: Machine) -> None:
        self._world = world
        self._machine = machine
        self._boot: Boot | None = None
        self._session = 0
        self.is_cut_off = False
        self._heartbeat: _Agent | None = None
        self._guests: _Agent | None = None
        self._beats = HostBeats(world, machine.host)
        self._buried: list[Process] = []

    # -- boots ------------------------------------------------------------------------------------

    def boot(self, boot: Boot) -> None:
        """Come up with the machine: both processes."""
        self._boot = boot
        self.start_heartbeat()
        self.start_guests()

    def die(self) -> None:
        """Go down with the machine; no session is left to go on with."""
        self.kill_heartbeat()
        self.kill_guests()
        self._boot = None
        self._session = 0

    async def leave(self) -> None:
        """End the session, as the heartbeat process does once the machine goes down in order."""
        if self._heartbeat is None or self._heartbeat.process.is_stopped:
            return
        if self._heartbeat.watched is not None:
            self._heartbeat.watched.stop()
        else:
            await self._heartbeat.store.close()

    # -- the network ------------------------------------------------------------------------------

    def answer(self) -> ProbeResult:
        """Tell what a probe of the heartbeat process brings back."""
        if self._boot is None:
            return ProbeResult(answer=ProbeAnswer.SILENT, detail="no answer in time")
        if self._heartbeat is None:
            return ProbeResult(answer=ProbeAnswer.REFUSED, detail="refused")
        if self._heartbeat.process.is_stopped:
            return ProbeResult(answer=ProbeAnswer.CONNECTED, detail="connected, no echo")
        return ProbeResult(
            answer=ProbeAnswer.ECHO, host=self._machine.host, boot_id=self._boot.boot_id
        )

    def cut_off(self, *, is_cut: bool) -> None:
        """Take the plane to ZooKeeper away, or give it back."""
        self.is_cut_off = is_cut
        for agent in (self._heartbeat, self._guests):
            if agent is not None:
                agent.store.cut(is_cut=is_cut)

    # -- the heartbeat process --------------------------------------------------------------------

    def start_heartbeat(self) -> None:
        """Start it; it goes on with the session that a former one left."""
        if self._heartbeat is not None or self._boot is None:
            return
        agent = self._process("heartbeat", resume=self._session)
        registration = self._registration(agent, self._boot)
        if self._machine.watchdog is None:
            agent.process.spawn(registration.run())
        else:
            agent.watched = WatchedHeartbeat(
                registration=registration,
                store=agent.store,
                device=self._machine.device,
                settings=self._machine.watchdog,
                clock=self._world.clock,
                log=self._world.events,
                host=self._machine.host,
            )
            agent.process.spawn(agent.watched.run())
        agent.process.spawn(self._follow_leaving(registration))
        self._heartbeat = agent

    def kill_heartbeat(self) -> None:
        """SIGKILL it; its session ends by its time-out, or another process goes on with it."""
        if self._heartbeat is not None:
            self._session = self._heartbeat.store.session_id or self._session
            self._end(self._heartbeat)
            self._heartbeat = None

    def _registration(self, agent: _Agent, boot: Boot) -> Registration:
        machine = self._machine
        return Registration(
            store=agent.store,
            clock=self._world.clock,
            log=self._world.events,
            host=machine.host,
            facts=HostSelf(boot_id=boot.boot_id, product_uuid=machine.product_uuid),
            identities=self._world.identities,
            former_session=self._session,
            is_guarded=machine.watchdog is not None,
        )

    async def _follow_leaving(self, registration: Registration) -> None:
        while True:
            registration.announce(self._machine.files.leaving())
            await self._world.clock.sleep(LEAVING_PERIOD_S)

    # -- the guests process -----------------------------------------------------------------------

    def start_guests(self) -> None:
        """Start it, and its companions."""
        if self._guests is not None or self._boot is None:
            return
        agent = self._process("guests", resume=0)
        agent.process.spawn(_run_agent(self._context(agent, self._boot)))
        self._guests = agent
        self._beats.start(self._boot.boot_id)

    def kill_guests(self) -> None:
        """SIGKILL it; guests run on."""
        if self._guests is not None:
            self._end(self._guests)
            self._guests = None
        self._beats.kill()

    def _context(self, agent: _Agent, boot: Boot) -> AgentContext:
        machine = self._machine
        return AgentContext(
            host=machine.host,
            boot_id=boot.boot_id,
            backend=machine.backend,
            store=agent.store,
            hypervisor=ClientLibvirt(machine.hypervisor, boot.libvirtd, agent.process),
            permits=machine.permits,
            files=machine.files,
            clock=self._world.clock,
            log=self._world.events,
            shared=SharedStorage(paths=(SHARED_PATH,)),
            identities=self._world.identities,
            readable_paths=_all_readable,
            kill_guests=machine.hypervisor.kill_now,
            checks=self._checks(),
        )

    def _checks(self) -> CheckSources | None:
        if not self._machine.has_checks:
            return None
        return CheckSources(storage=self._beats.troubles, links=self._link_troubles)

    def _link_troubles(self) -> dict[str, str]:
        is_down = TENANT_LINK in self._machine.links_down
        return {TENANT_LINK: "it has no carrier" if is_down else ""}

    # -- what stops them --------------------------------------------------------------------------

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
        self._beats.pause()

    def unhang(self) -> None:
        """Have userland go on."""
        self.resume(heartbeat=True, guests=True)
        self._beats.resume()

    def processes(self) -> list[Process]:
        """Return every process there ever was."""
        living = [agent.process for agent in (self._heartbeat, self._guests) if agent is not None]
        return [*self._buried, *living, *self._beats.processes()]

    def _chosen(self, *, heartbeat: bool, guests: bool) -> list[_Agent]:
        chosen = (self._heartbeat if heartbeat else None, self._guests if guests else None)
        return [agent for agent in chosen if agent is not None]

    def _process(self, name: str, *, resume: int) -> _Agent:
        process = Process(f"{self._machine.host}/{name}", self._world.crashed)
        store = ProcessStore(
            self._world.ensemble.connect(self._machine.digest, resume=resume),
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
        self._buried.append(agent.process)


async def _run_agent(context: AgentContext) -> None:
    await GuestsAgent(context).run()


async def _all_readable(paths: tuple[str, ...]) -> tuple[str, ...]:
    return paths
