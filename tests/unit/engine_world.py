"""One controller's engine over in-memory ZooKeeper, a device and a clock that the test moves."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from hamon.coordination.access import Identities, digest_of, host_user
from hamon.coordination.bootstrap import bootstrap, enrol
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.election import Election
from hamon.detector.knocking import Knocker, KnockingPace
from hamon.engine.desk import Desk
from hamon.engine.executing import Executor
from hamon.engine.health import OwnHealth
from hamon.engine.loop import Engine, Round
from hamon.engine.memory import Memory
from hamon.engine.observing import Observer
from hamon.engine.ports import Witness
from hamon.engine.reporting import Reporter
from hamon.model.change import Change
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId, HostName
from hamon.model.policy import Policy
from hamon.ports.store import SetData
from hamon.sim.network import SimulatedNetwork, SimulatedProbe
from hamon.sim.power import SimulatedFenceDevice
from hamon.sim.store import InMemoryStore
from hamon.sim.zookeeper import InMemoryZooKeeper
from tests.builders import HOST, ME, a_device, uuid_of
from tests.virtual_clock import VirtualClock, rest

CONTROLLERS = digest_of("controllers", "secret")
SPEC = HostSpec(
    name=HOST,
    planes=(),
    fence=(a_device(),),
    zookeeper_identity=digest_of(host_user(HOST), "secret"),
)


class Machine:
    """A machine with power."""

    is_on = True
    product_uuid = uuid_of(HOST)

    def lose_power(self) -> None:
        """Stop at once."""
        self.is_on = False

    def press_power(self) -> None:
        """Switch on."""
        self.is_on = True


class HighestSeen:
    """What this machine has seen, in memory."""

    def __init__(self) -> None:
        self.epoch = 0
        self.generation = 0

    def observe_epoch(self, epoch: int) -> bool:
        """Remember an epoch."""
        is_new = epoch >= self.epoch
        self.epoch = max(self.epoch, epoch)
        return is_new

    def observe_generation(self, highest: int) -> bool:
        """Remember a generation."""
        is_new = highest >= self.generation
        self.generation = max(self.generation, highest)
        return is_new


class World:
    """An ensemble with one enrolled host; controllers are added."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = InMemoryZooKeeper(self.clock, 6.0)
        self.hand: InMemoryStore = self.server.connect(CONTROLLERS)
        self.machine = Machine()
        self.device = SimulatedFenceDevice(a_device(), self.machine, self.clock)
        self.controllers: list[Controller] = []
        self.witnesses: list[Witness] = []

    async def prepare(self) -> None:
        """Bootstrap the cluster and enrol the host."""
        await bootstrap(self.hand, "/", Identities(controllers=CONTROLLERS))
        await enrol(self.hand, [SPEC], CONTROLLERS)

    async def add(
        self, name: ControllerId = ME, store: InMemoryStore | None = None
    ) -> "Controller":
        """Start a controller, on a session of its own unless given, and let it come to rest."""
        controller = Controller(self, name, store)
        self.controllers.append(controller)
        controller.start()
        await self.turn()
        return controller

    async def turn(self) -> None:
        """Have every controller come round, and let what follows happen."""
        for _ in range(3):
            for controller in self.controllers:
                controller.wake.set()
            await self.clock.advance(0.05)

    async def bump_epoch(self) -> None:
        """Do what another leader does when it takes office."""
        node = await self.hand.get("/epoch")
        await self.hand.commit([SetData(path="/epoch", data=node.data, version=node.version)])

    async def close(self) -> None:
        """End everything."""
        for controller in self.controllers:
            await controller.stop()
        self.server.stop()
        await rest()


class Controller:
    """One controller, all but its process."""

    def __init__(
        self, world: World, name: ControllerId, store: InMemoryStore | None = None
    ) -> None:
        self.clock = world.clock
        self.store = store or world.server.connect(CONTROLLERS)
        self.wake = asyncio.Event()
        self.memory = Memory()
        self.highest = HighestSeen()
        self.changes: list[Change] = []
        self.rounds: list[Round] = []
        self.policy = Policy()
        self.network = SimulatedNetwork(self.clock)
        self.cluster = ZooKeeperCluster(self.store, self.clock, name, (SPEC,), CONTROLLERS)
        knocker = Knocker(
            SimulatedProbe(self.network, name),
            self.clock,
            observer=name,
            pace=KnockingPace(period_s=1.0, late_after_s=2.0),
            on_change=lambda _host: self.wake.set(),
        )
        self.health = OwnHealth(
            self.clock, lag_max_s=2.0, session_timeout_s=6.0, asleep_s=lambda: 0.0
        )
        devices: Mapping[HostName, Mapping[str, SimulatedFenceDevice]] = {
            HOST: {"bmc": world.device}
        }
        self.executor = Executor(
            self.memory,
            devices,
            self.clock,
            self.wake.set,
            lease_s=self.policy.fencing.lease_s,
            look_timeout_s=1.0,
            on_change=self.changes.append,
            probe=SimulatedProbe(self.network, name),
        )
        self.engine = Engine(
            cluster=self.cluster,
            election=Election(self.store, name, Identities(controllers=CONTROLLERS), self.clock),
            observer=Observer(
                self.cluster,
                knocker,
                self.memory,
                self.clock,
                (SPEC,),
                witnesses=world.witnesses,
            ),
            executor=self.executor,
            reporter=Reporter(
                self.cluster,
                knocker,
                self.health,
                self.clock,
                controller=name,
                policy_hash="",
                version="",
            ),
            health=self.health,
            clock=self.clock,
            policy=self.policy,
            specs=(SPEC,),
            controller=name,
            wake=self.wake,
            highest=self.highest,
            on_round=self.rounds.append,
        )
        self.desk = Desk(lambda: self.engine.last, self.cluster, self.policy, self.clock)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the engine."""
        self.cluster.start()
        self._running = asyncio.create_task(self.engine.run())

    async def stop(self) -> None:
        """Stop it as SIGTERM does."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None
            await self.engine.close()
        await self.cluster.stop()
