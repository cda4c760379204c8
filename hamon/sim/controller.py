"""A simulated controller: the real engine and coordination code, wired as the daemon wires them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from hamon.coordination.access import Identities
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.election import Election
from hamon.detector.kdump import KdumpListener, senders_of
from hamon.detector.knocking import Knocker, KnockingPace
from hamon.detector.storage import StorageWatch, WatchingPace
from hamon.engine.cloud_calls import CloudCalls
from hamon.engine.cloud_desk import CloudDesk
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.desk import Desk
from hamon.engine.executing import Executor
from hamon.engine.health import OwnHealth
from hamon.engine.loop import Engine, Round
from hamon.engine.memory import Memory
from hamon.engine.observing import Observer
from hamon.engine.outside import Outside
from hamon.engine.ports import Witness
from hamon.engine.reporting import Reporter
from hamon.errors import RequestRefusedError
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId, HostName
from hamon.model.policy import Policy
from hamon.ports.clock import Clock
from hamon.ports.cloud import Cloud
from hamon.ports.fencing import FenceDevice
from hamon.sim.ensemble import Ensemble, ProcessStore
from hamon.sim.events import Events
from hamon.sim.host_beats import BEAT_S
from hamon.sim.network import SimulatedNetwork, SimulatedProbe
from hamon.sim.process import Process
from hamon.sim.shot_child import ChildDevice
from hamon.sim.storage import SimulatedStorage

ShotStarted = Callable[[ControllerId, HostName, float], None]
"""Told when a child begins to carry out an order, in time: which controller's, whose power, when
its intent was sent at the earliest."""


class Surroundings(Protocol):
    """What a controller needs of its world."""

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
    def network(self) -> SimulatedNetwork:
        """Its planes."""
        ...

    @property
    def storage(self) -> SimulatedStorage:
        """What its hosts share."""
        ...

    @property
    def policy(self) -> Policy:
        """What its controllers decide by."""
        ...

    @property
    def specs(self) -> tuple[HostSpec, ...]:
        """Its hosts as enrolled."""
        ...

    @property
    def controllers_digest(self) -> str:
        """The identity of controllers."""
        ...

    @property
    def devices(self) -> Mapping[HostName, Mapping[str, FenceDevice]]:
        """The fence devices by host and name."""
        ...

    def cloud_of(self, controller: ControllerId) -> Cloud | None:
        """Return Nova as a controller's process sees it; None: there is no Nova."""
        ...

    def crashed(self, process: Process, error: BaseException) -> None:
        """Be told of a process that ended by an exception."""
        ...

    def shot_started(self, controller: ControllerId, host: HostName, sent_s: float) -> None:
        """Be told that an order begins to be carried out."""
        ...


@dataclass(slots=True)
class _Life:
    """One run of the daemon."""

    process: Process
    store: ProcessStore
    engine: Engine
    desk: Desk
    kdump: KdumpListener


class SimulatedController:
    """One controller's machine; its daemon may be started, stopped, paused and cut off."""

    def __init__(self, world: Surroundings, name: ControllerId) -> None:
        self._world = world
        self.name = name
        self.is_cut_off = False
        self.highest = InMemoryHighest()
        self._life: _Life | None = None
        self.buried: list[Process] = []

    @property
    def is_alive(self) -> bool:
        """Whether the daemon runs or is paused."""
        return self._life is not None

    @property
    def is_paused(self) -> bool:
        """Whether the daemon is stopped."""
        return self._life is not None and self._life.process.is_stopped

    @property
    def is_leading(self) -> bool:
        """Whether it believes that it leads."""
        return self._life is not None and self._life.engine.epoch is not None

    @property
    def last(self) -> Round | None:
        """The last finished round."""
        return self._life.engine.last if self._life is not None else None

    @property
    def store(self) -> ProcessStore | None:
        """Its session."""
        return self._life.store if self._life is not None else None

    def start(self) -> None:
        """Start the daemon. Already running is fine."""
        if self._life is not None:
            return
        world = self._world
        process = Process(self.name, world.crashed)
        store = ProcessStore(
            world.ensemble.connect(world.controllers_digest),
            process,
            world.clock,
            Random(world.random.random()),
        )
        store.cut(is_cut=self.is_cut_off)
        ready: list[_Life] = []

        async def begin() -> None:
            # Within the process, so that every task that wiring makes belongs to it.
            ready.append(self._wire(process, store))
            self._life = ready[0]
            await ready[0].engine.run()

        process.spawn(begin())

    def kill(self) -> None:
        """SIGKILL it: its session ends by its time-out; a shot's child carries on."""
        if self._life is not None:
            self._life.process.kill()
            self._life.store.die()
            self.buried.append(self._life.process)
            self._life = None

    def pause(self) -> None:
        """SIGSTOP it."""
        if self._life is not None and not self._life.process.is_stopped:
            self._life.process.stop()
            self._life.store.freeze()

    def resume(self) -> None:
        """SIGCONT it."""
        if self._life is not None and self._life.process.is_stopped:
            self._life.process.resume()
            self._life.store.thaw()

    def cut_off(self, *, is_cut: bool) -> None:
        """Take the plane to ZooKeeper away, or give it back."""
        self.is_cut_off = is_cut
        if self._life is not None:
            self._life.store.cut(is_cut=is_cut)

    def ask(self, **arguments: Any) -> None:  # noqa: ANN401 - as the command line sends it
        """Have an operator ask for something at this daemon's desk; the answer is an event."""
        if self._life is None:
            return
        self._life.process.spawn(self._ask(self._life.desk, arguments))

    async def _ask(self, desk: Desk, arguments: dict[str, Any]) -> None:
        asked = {"host": arguments.get("host", arguments.get("kind"))}
        try:
            answer = await desk.handle("request", arguments, "operator")
        except RequestRefusedError as error:
            self._world.events.add("request_refused_to_operator", {**asked, "why": error.why})
        else:
            self._world.events.add("request_answered", {**asked, "answer": answer["answer"]})

    def hear(self, datagram: bytes, source: str) -> None:
        """Have a datagram arrive; one that comes while the daemon is paused waits for it."""
        if self._life is not None:
            self._life.process.bind(self._life.kdump.hear)(datagram, source)

    def processes(self) -> list[Process]:
        """Return every process it ever had."""
        return [*self.buried, *([self._life.process] if self._life is not None else [])]

    def _wire(self, process: Process, store: ProcessStore) -> _Life:
        world, clock, policy = self._world, self._world.clock, self._world.policy
        wake = asyncio.Event()
        memory = Memory()
        cluster = ZooKeeperCluster(store, clock, self.name, world.specs, world.controllers_digest)
        cluster.start()
        knocker = Knocker(
            SimulatedProbe(world.network, self.name),
            clock,
            observer=self.name,
            pace=KnockingPace(
                period_s=policy.detection.probe_period_s,
                late_after_s=policy.detection.late_after_s,
            ),
            on_change=lambda _host: wake.set(),
        )
        for spec in world.specs:
            knocker.watch(spec.name, spec.planes)
        kdump = KdumpListener(
            clock,
            senders_of(world.specs),
            observer=self.name,
            on_change=lambda _host: wake.set(),
        )
        health = OwnHealth(
            clock,
            lag_max_s=policy.holds.tick_lag_max_s,
            session_timeout_s=store.session_timeout_s,
            asleep_s=lambda: 0.0,
        )
        cloud = self._calls(wake)
        engine = Engine(
            cluster=cluster,
            election=Election(
                store, self.name, Identities(controllers=world.controllers_digest), clock
            ),
            observer=Observer(
                cluster,
                knocker,
                memory,
                clock,
                world.specs,
                cloud.picture if cloud is not None else None,
                witnesses=(kdump, *self._witnesses(wake)),
            ),
            executor=Executor(
                memory,
                self._devices(process),
                clock,
                wake.set,
                lease_s=policy.fencing.lease_s,
                look_timeout_s=policy.detection.look_timeout_s,
                on_change=lambda _change: None,
                probe=SimulatedProbe(world.network, self.name),
                cloud=cloud,
            ),
            reporter=Reporter(
                cluster,
                knocker,
                health,
                clock,
                controller=self.name,
                policy_hash="simulated",
                version="simulated",
                outside=Outside(clock, cloud.picture if cloud is not None else None, None),
            ),
            health=health,
            clock=clock,
            policy=policy,
            specs=world.specs,
            controller=self.name,
            wake=wake,
            highest=self.highest,
            on_round=lambda _round: None,
        )
        about_nova = None
        if cloud is not None:
            about_nova = CloudDesk(cloud.cloud, cloud.picture, policy.evacuation)
        desk = Desk(lambda: engine.last, cluster, policy, clock, about_nova)
        return _Life(process, store, engine, desk, kdump)

    def _witnesses(self, wake: asyncio.Event) -> tuple[Witness, ...]:
        world = self._world
        if not world.storage.mounts:
            return ()
        watch = StorageWatch(
            [world.storage.folder(mount, self.name) for mount in world.storage.mounts],
            [spec.name for spec in world.specs if not spec.agentless],
            world.clock,
            observer=self.name,
            pace=WatchingPace(period_s=BEAT_S, late_after_s=world.policy.detection.late_after_s),
            on_change=lambda _host: wake.set(),
        )
        watch.start()
        return (watch,)

    def _calls(self, wake: asyncio.Event) -> CloudCalls | None:
        """Return the calls to Nova where there is one, as the daemon makes them."""
        cloud = self._world.cloud_of(self.name)
        if cloud is None:
            return None
        evacuation = self._world.policy.evacuation
        pace = Pace(window=evacuation.in_flight_start, limit=evacuation.in_flight_max)
        return CloudCalls(
            cloud,
            CloudPicture(pace),
            self._world.clock,
            wake.set,
            on_call=lambda _operation, _outcome, _duration_s: None,
        )

    def _devices(self, process: Process) -> dict[HostName, dict[str, FenceDevice]]:
        lease_s = self._world.policy.fencing.lease_s

        def started(host: HostName, start_by_s: float) -> None:
            self._world.shot_started(self.name, host, start_by_s - lease_s)

        return {
            host: {
                name: ChildDevice(device, host, self._world.clock, started, self.buried)
                for name, device in devices.items()
            }
            for host, devices in self._world.devices.items()
        }


class InMemoryHighest:
    """What a controller's disk remembers (implements ``engine.ports.Highest``)."""

    def __init__(self) -> None:
        self._epoch = 0
        self._generation = 0

    def observe_epoch(self, epoch: int) -> bool:
        """Remember an epoch; False: it is lower than one seen before."""
        self._epoch = max(self._epoch, epoch)
        return epoch == self._epoch

    def observe_generation(self, highest: int) -> bool:
        """Remember the highest generation; False: it is lower than before."""
        self._generation = max(self._generation, highest)
        return highest == self._generation
