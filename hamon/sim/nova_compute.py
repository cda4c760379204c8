"""A simulated nova-compute: it waits at hamon's gate, cleans up, and obeys what its queue holds.

What it does at its start and for a rebuild is in reference/nova.md, 3.6 and 5.1: above all, at its
start it destroys every guest that an open record of an evacuation names, wherever that belongs now.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Protocol

from hamon.agent.gate import Gate, Verdict
from hamon.errors import HypervisorError
from hamon.model.cloud import EVACUATION, Progress, Server
from hamon.model.host import DomainState
from hamon.model.names import GuestId
from hamon.ports.clock import Clock
from hamon.ports.hypervisor import Hypervisor
from hamon.sim.ensemble import Ensemble, ProcessStore
from hamon.sim.events import Events
from hamon.sim.host import SimulatedHost
from hamon.sim.nova import REPORT_PERIOD_S, RebuildOrder, SimulatedNova
from hamon.sim.nova_records import PowerVerb
from hamon.sim.process import Process

STARTUP_S = 0.5
RESTART_S = 2.0
"""systemd starts it again after so long when it could not start."""

CLAIM_S = 0.2
FINISH_S = 0.1
"""From the running guest to the record that says so."""


class Surroundings(Protocol):
    """What a nova-compute needs of its world."""

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
        """The gate's ZooKeeper."""
        ...

    def crashed(self, process: Process, error: BaseException) -> None:
        """Be told of a process that ended by an exception."""
        ...

    def definition(self, guest: GuestId) -> str:
        """Return the domain that Nova makes of a guest."""
        ...


class SimulatedCompute:
    """The nova-compute of one host, from each boot on."""

    def __init__(
        self, world: Surroundings, host: SimulatedHost, nova: SimulatedNova, digest: str
    ) -> None:
        self._world = world
        self._host = host
        self._nova = nova
        self._digest = digest
        self._name = host.spec.service_host or str(host.name)
        self._process: Process | None = None
        self._store: ProcessStore | None = None

    # -- what the world does to it ----------------------------------------------------------------

    def start(self) -> None:
        """Start it, at the gate. Already running is fine."""
        if self._process is None and self._host.is_running:
            process = Process(f"{self._host.name}/nova-compute", self._world.crashed)
            self._process = process
            process.spawn(self._run(process))

    def kill(self) -> None:
        """SIGKILL it; guests run on."""
        if self._process is not None:
            self._process.kill()
            self._host.buried.append(self._process)
            self._process = None
        if self._store is not None:
            self._store.die()
            self._store = None

    def pause(self) -> None:
        """SIGSTOP it."""
        if self._process is not None:
            self._process.stop()

    def resume(self) -> None:
        """SIGCONT it."""
        if self._process is not None:
            self._process.resume()

    def cut_off(self, *, is_cut: bool) -> None:
        """Take the plane to ZooKeeper away from its gate, or give it back."""
        if self._store is not None:
            self._store.cut(is_cut=is_cut)

    # -- its life ---------------------------------------------------------------------------------

    async def _run(self, process: Process) -> None:
        libvirt = self._host.libvirt_for(process)
        while await self._passes_gate(process):
            await self._world.clock.sleep(STARTUP_S)
            try:
                await self._clean_up(libvirt)
                await self._take_over(libvirt)
                break
            except HypervisorError as error:
                self._tell("nova_compute_not_started", why=error.why)
                await self._world.clock.sleep(RESTART_S)
        else:
            return
        self._tell("nova_compute_started")
        process.spawn(self._beat())
        while True:
            order = await self._nova.queues[self._name].take(process)
            if isinstance(order, RebuildOrder):
                process.spawn(self._rebuild(order, libvirt, process))
            else:
                process.spawn(self._power(order.guest, order.verb, libvirt))

    async def _passes_gate(self, process: Process) -> bool:
        """Wait until the real gate opens; False: never in this boot."""
        store = ProcessStore(
            self._world.ensemble.connect(self._digest),
            process,
            self._world.clock,
            Random(self._world.random.random()),
        )
        store.cut(is_cut=self._host.is_cut_off)
        self._store = store
        gate = Gate(
            host=self._host.name,
            boot_id=self._host.boot_id,
            store=store,
            files=self._host.files,
            clock=self._world.clock,
            log=self._world.events,
            say=lambda _words: None,
        )
        answer = await gate.wait(None)
        self._store = None
        await store.close()
        return answer.verdict is Verdict.OPEN

    async def _beat(self) -> None:
        while True:
            self._nova.beat(self._name)
            await self._world.clock.sleep(REPORT_PERIOD_S)

    # -- at its start -----------------------------------------------------------------------------

    async def _clean_up(self, libvirt: Hypervisor) -> None:
        """Destroy what was evacuated from here, by records alone, and complete these."""
        records = self._nova.records
        here = {domain.guest for domain in await libvirt.domains()}
        for number, row in sorted(records.migrations.items()):
            is_left = row.status in {"accepted", "pre-migrating", "done"}
            if row.kind != EVACUATION or row.source != self._name or not is_left:
                continue
            if row.guest in here:
                await libvirt.destroy(row.guest)
                await libvirt.undefine(row.guest)
                here.discard(row.guest)
            records.move_on(number, "completed")
            self._tell("nova_cleaned_up", guest=row.guest)

    async def _take_over(self, libvirt: Hypervisor) -> None:
        """Go on with what was under way for the guests that belong here."""
        records = self._nova.records
        for guest, server in sorted(records.servers.items()):
            if server.host != self._name or not records.is_there(guest):
                continue
            if server.task_state.startswith("rebuild"):
                fault = "interrupted while it was rebuilt"
                records.change(guest, vm_state="error", task_state="", fault=fault)
            for verb, task in _TASKS.items():
                if server.task_state == task:
                    await self._power(guest, verb, libvirt)

    # -- orders -----------------------------------------------------------------------------------

    async def _power(self, guest: GuestId, verb: PowerVerb, libvirt: Hypervisor) -> None:
        # Nova does not look whether the guest still belongs here (nova.md 2.3).
        records = self._nova.records
        try:
            if verb is not PowerVerb.START:
                await libvirt.destroy(guest)
            if verb is PowerVerb.TERMINATE:
                await libvirt.undefine(guest)
            if verb in {PowerVerb.START, PowerVerb.REBOOT}:
                await libvirt.define(self._world.definition(guest))
                await libvirt.start(guest)
        except HypervisorError as error:
            self._tell("nova_power_failed", guest=guest, why=error.why)
            failed = {"vm_state": "error", "fault": error.why} if verb is PowerVerb.REBOOT else {}
            self._change(guest, task_state="", **failed)
            return
        if verb is PowerVerb.TERMINATE or not records.is_there(guest):
            return
        if records.servers[guest].task_state == _TASKS[verb]:
            vm_state = "stopped" if verb is PowerVerb.STOP else "active"
            self._change(guest, vm_state=vm_state, task_state="", fault="")

    async def _rebuild(self, order: RebuildOrder, libvirt: Hypervisor, process: Process) -> None:
        """Rebuild a guest here; whatever goes wrong is written down as Nova does."""
        nova, guest = self._nova, order.guest
        server = nova.records.servers[guest]
        taken = Progress(is_passed_on=True, taken_by=self._name)
        nova.records.progress[guest] = taken
        if nova.free_mib(self._name) < server.ram_mib:
            # A claim that fails leaves the guest's state as it was.
            nova.records.move_on(order.number, "failed", self._name)
            nova.records.progress[guest] = replace(taken, is_over=True)
            self._change(guest, task_state="")
            return
        nova.began_rebuild(guest, self._name, process)
        nova.records.move_on(order.number, "pre-migrating", self._name)
        self._tell("nova_claimed", guest=guest)
        try:
            await self._world.clock.sleep(CLAIM_S)
            await self._spawn(guest, libvirt)
            await self._restore(guest, server, libvirt)
            await self._world.clock.sleep(FINISH_S)
            self._change(guest, host=self._name, node=self._name)
            nova.records.move_on(order.number, "done")
        except (HypervisorError, _RebuildError) as error:
            why = error.why
            nova.records.move_on(order.number, "failed")
            nova.records.progress[guest] = replace(taken, is_over=True)
            self._tell("nova_rebuild_failed", guest=guest, why=why)
            left = error.task_state if isinstance(error, _RebuildError) else ""
            self._change(guest, vm_state="error", task_state=left, fault=why)
        finally:
            nova.ended_rebuild(guest, self._name)

    async def _spawn(self, guest: GuestId, libvirt: Hypervisor) -> None:
        here = {domain.guest: domain for domain in await libvirt.domains()}
        if guest in here and here[guest].state is not DomainState.SHUTOFF:
            raise _RebuildError("instance exists")
        if not self._nova.records.is_there(guest):
            raise _RebuildError("it was deleted")
        if self._nova.records.servers[guest].task_state != "rebuilding":
            # Nova's row has that task afterwards: a task that nobody works at.
            raise _RebuildError("unexpected task state", task_state="rebuilding")
        self._change(guest, task_state="rebuild_spawning")
        await libvirt.define(self._world.definition(guest))
        await libvirt.start(guest)
        if not self._nova.records.is_there(guest):
            await libvirt.destroy(guest)
            await libvirt.undefine(guest)
            raise _RebuildError("it was deleted")

    async def _restore(self, guest: GuestId, before: Server, libvirt: Hypervisor) -> None:
        """Write down that the guest runs, or stop it again if it was stopped."""
        self._change(guest, vm_state="active", task_state="", fault="")
        if before.vm_state == "stopped":
            self._change(guest, task_state="powering-off")
            await libvirt.destroy(guest)
            self._change(guest, vm_state="stopped", task_state="")

    def _change(self, guest: GuestId, **changes: object) -> None:
        if self._nova.records.is_there(guest):
            self._nova.records.change(guest, **changes)

    def _tell(self, event: str, **facts: object) -> None:
        self._world.events.add(event, {**facts, "host": self._host.name})


class _RebuildError(Exception):
    """A rebuild that Nova itself gives up, and the task that is left in its row."""

    def __init__(self, why: str, *, task_state: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.task_state = task_state


_TASKS = {
    PowerVerb.START: "powering-on",
    PowerVerb.STOP: "powering-off",
    PowerVerb.REBOOT: "rebooting_hard",
}
