"""A simulated compute host: power, boots, in-memory libvirt, and what runs beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context

from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.errors import HypervisorError
from hamon.model.host import HostSpec, Leaving
from hamon.model.names import BootId, GuestId
from hamon.model.policy import Backend
from hamon.ports.probe import ProbeResult
from hamon.sim.client_libvirt import ClientLibvirt
from hamon.sim.host_agents import SHARED_PATH, Boot, HostAgents, Machine
from hamon.sim.host_files import InMemoryHostFiles, InMemoryPermits
from hamon.sim.hypervisor import HostShape, InMemoryHypervisor
from hamon.sim.kdump import SimulatedKdump
from hamon.sim.process import Process
from hamon.sim.surroundings import Service, Surroundings
from hamon.sim.watchdog_device import SimulatedWatchdog

BOOT_S = 8.0
"""From power On until the agent runs."""

STOP_GUESTS_S = 2.0
"""How long an orderly shutdown takes before guests are stopped, and again until power is off."""

START_GUEST_S = 1.0


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
        self.spec = spec
        self.name = spec.name
        self.is_on = False
        self.boot_id = BootId("")
        self.permits = InMemoryPermits()
        self.files = InMemoryHostFiles()
        shape = HostShape(
            ram_mib=ram_mib, vcpus=64, cpu_models=("qemu/",), pool_paths=(SHARED_PATH,)
        )
        self.hypervisor = InMemoryHypervisor(
            world.clock, self.permits, shape, start_s=START_GUEST_S
        )
        self.device = SimulatedWatchdog(world.clock.now_s, on_deadline=self._fire_later)
        self.links_down: set[str] = set()
        self.agents = HostAgents(
            world,
            Machine(
                host=spec.name,
                product_uuid=spec.product_uuid,
                digest=digest,
                backend=backend,
                has_checks=has_checks,
                watchdog=watchdog,
                device=self.device,
                permits=self.permits,
                files=self.files,
                hypervisor=self.hypervisor,
                links_down=self.links_down,
            ),
        )
        self._boots = 0
        self._power_cycles = 0
        self._libvirtd: Process | None = None
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
        self.agents.die()
        if self._libvirtd is not None:
            self._libvirtd.kill()
            self.buried.append(self._libvirtd)
            self._libvirtd = None
        self.hypervisor.power_cut()
        self.files.reboot()
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
        self.agents.boot(Boot(self.boot_id, self._libvirtd))
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
        await self.agents.leave()
        await self._world.clock.sleep(STOP_GUESTS_S)
        if not self.is_on or cycle != self._power_cycles:
            return
        self.lose_power()
        if leaving is Leaving.REBOOT:
            self.press_power()

    def _kill_services(self) -> None:
        for service in self.services:
            service.kill()

    # -- the network ------------------------------------------------------------------------------

    @property
    def is_cut_off(self) -> bool:
        """Whether the plane to ZooKeeper is away."""
        return self.agents.is_cut_off

    def answer(self) -> ProbeResult:
        """Tell what a probe of this host's agent brings back."""
        return self.agents.answer()

    def cut_off(self, *, is_cut: bool) -> None:
        """Take the plane to ZooKeeper away, or give it back."""
        self.agents.cut_off(is_cut=is_cut)
        for service in self.services:
            service.cut_off(is_cut=is_cut)

    # -- libvirt ----------------------------------------------------------------------------------

    def libvirt_for(self, process: Process) -> ClientLibvirt:
        """Return this boot's libvirt as a process of this host sees it."""
        assert self._libvirtd is not None, "the host runs"
        return ClientLibvirt(self.hypervisor, self._libvirtd, process)

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

    def processes(self) -> list[Process]:
        """Return every process it ever had."""
        libvirtd = [] if self._libvirtd is None else [self._libvirtd]
        return [*self.buried, *self.agents.processes(), *libvirtd]


_outside: set[asyncio.Task[None]] = set()


def outside(work: Coroutine[object, object, None]) -> None:
    """Do something later in the world itself, whatever becomes of the process that is the cause."""
    task = asyncio.get_running_loop().create_task(work, context=Context())
    _outside.add(task)
    task.add_done_callback(_outside.discard)
