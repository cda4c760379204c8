"""The lease of the watchdog: after a conviction the host is reset in time, whatever is paused when.

The real loop runs on a clock that only stops and delays move: in every call to ZooKeeper, in every
sleep, and between the answer to a heartbeat and its pet; and the process may die at any of these
steps and be started again. Hypothesis chooses. The conviction commits at one moment of it all.

What is broken on purpose (:class:`Broken`) shows that the test would see it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from hamon.agent.guarded_heartbeat import GuardedHeartbeat, WatchdogSettings, beat_period_s
from hamon.agent.registration import Registration
from hamon.coordination.access import access_for
from hamon.coordination.bootstrap import enrol
from hamon.coordination.codec import decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.fencing.watchdog import DRIFT, proof_time_s
from hamon.model.host import HostGuard, HostSelf, HostSpec, Right, WatchdogFacts
from hamon.ports.store import (
    AccessRule,
    CheckVersion,
    CreateNode,
    Node,
    SessionState,
    SetData,
    StoreOperation,
    WatchCallback,
)
from hamon.ports.watchdog import WatchdogKind
from hamon.sim.store import InMemoryStore
from hamon.sim.tree import Caller
from hamon.sim.watchdog_device import InMemoryWatchdog, SimulatedWatchdog
from hamon.sim.zookeeper import InMemoryZooKeeper
from tests.unit.agent_world import BOOT, CONTROLLERS, HOST, IDENTITIES, OWN, Events
from tests.virtual_clock import VirtualClock

W_S, R_MAX_S = 10, 2.0
PERIOD_S = beat_period_s(W_S)
TRAVEL_S = 0.01
HORIZON_S = 150.0
LEADER = Caller(digests=frozenset({CONTROLLERS}), session_id=0)
GUARD = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
SELF = to_path(Place(kind=PlaceKind.SELF, host=HOST))


class Broken(Enum):
    """What may be done wrong."""

    NOTHING = auto()
    NOT_GUARDED = auto()
    PETS_IN_ANOTHER_TASK = auto()
    ADOPTS_BLINDLY = auto()
    OPENS_FIRST = auto()
    SAYS_IT_UNGUARDED = auto()


class FiredError(Exception):
    """The host was reset."""


class KilledError(Exception):
    """The heartbeat process died."""


DEATH = -1.0


@dataclass(frozen=True)
class Story:
    """When the conviction commits, and what goes wrong.

    ``mishaps``: after so many steps in which nothing does, one takes so many seconds more, or the
    process dies (DEATH).
    """

    convicted_s: float
    mishaps: tuple[tuple[int, float], ...] = ()

    @property
    def has_deaths(self) -> bool:
        """Whether a process dies in it."""
        return any(delay_s == DEATH for _, delay_s in self.mishaps)

    def delays_s(self) -> Iterator[float]:
        """Yield what each step takes more, or DEATH."""
        for calm, delay_s in self.mishaps:
            yield from [0.0] * calm
            yield delay_s


@dataclass
class Machine:
    """A host and its time."""

    story: Story
    broken: Broken
    convict: Callable[[], None] = lambda: None
    now: float = 0.0
    is_convicted: bool = False
    facts: WatchdogFacts | None = None
    pets: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = SimulatedWatchdog(self.now_s, drift=DRIFT)
        self._delays = self.story.delays_s()

    def now_s(self) -> float:
        """The time."""
        return self.now

    def wall(self) -> str:
        """The time as text."""
        return f"T{self.now:.3f}"

    async def sleep(self, duration_s: float) -> None:
        """Sleep, perhaps for longer; the loop is free meanwhile."""
        self.wait(duration_s)

    def wait(self, duration_s: float) -> None:
        """Have a step take so long and its delay; other tasks of the process go on meanwhile."""
        duration_s += self._next_delay()
        if self.broken is not Broken.PETS_IN_ANOTHER_TASK or not self.device.is_held:
            self._pass(duration_s)
            return
        while duration_s > 0:
            self._pass(min(duration_s, PERIOD_S))
            self.device.pet()
            duration_s -= PERIOD_S

    def stop(self) -> None:
        """Have the whole process stopped for a while, between two steps."""
        self._pass(self._next_delay())

    def rest(self) -> None:
        """Have no process for a while."""
        self._pass(max(0.0, next(self._delays, 0.0)))

    def _next_delay(self) -> float:
        delay_s = next(self._delays, 0.0)
        if delay_s == DEATH:
            raise KilledError
        return delay_s

    def _pass(self, duration_s: float) -> None:
        end_s = self.now + duration_s
        deadline_s = self.device.deadline_s if self.device.deadline_s is not None else end_s + 1
        if not self.is_convicted and self.story.convicted_s <= min(end_s, deadline_s):
            self.is_convicted = True
            self.convict()
        self.now = min(end_s, deadline_s)
        if deadline_s <= end_s or self.now > HORIZON_S:
            raise FiredError


class SlowStore:
    """A session whose calls take their time there and back (``ports.Store``)."""

    def __init__(self, inner: InMemoryStore, machine: Machine) -> None:
        self._inner = inner
        self._machine = machine
        self.session_timeout_s = inner.session_timeout_s

    @property
    def state(self) -> SessionState:
        """See ``ports.Store``."""
        return self._inner.state

    @property
    def session_id(self) -> int:
        """See ``ports.Store``."""
        return self._inner.session_id

    def on_state(self, callback: Callable[[SessionState], None]) -> None:
        """See ``ports.Store``."""
        self._inner.on_state(callback)

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """See ``ports.Store``."""
        self._machine.wait(TRAVEL_S)
        node = await self._inner.get(path, watch)
        self._machine.wait(TRAVEL_S)
        return node

    async def commit(self, operations: Sequence[StoreOperation]) -> None:
        """See ``ports.Store``."""
        self._machine.wait(TRAVEL_S)
        match self._machine.broken:
            case Broken.NOT_GUARDED:
                operations = [o for o in operations if not isinstance(o, CheckVersion)]
            case Broken.SAYS_IT_UNGUARDED:
                apart = [o for o in operations if isinstance(o, SetData) and o.path == SELF]
                operations = [o for o in operations if o not in apart]
                await self._inner.commit(apart)
            case _:
                pass
        await self._inner.commit(operations)
        self._machine.wait(TRAVEL_S)

    # Not used by the heartbeat.
    async def exists(self, path: str, watch: WatchCallback | None = None) -> bool:
        """See ``ports.Store``."""
        return await self._inner.exists(path, watch)

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """See ``ports.Store``."""
        return await self._inner.children(path, watch)

    async def access(self, path: str) -> tuple[AccessRule, ...]:
        """See ``ports.Store``."""
        return await self._inner.access(path)

    async def create_sequential(
        self, prefix: str, data: bytes, access: tuple[AccessRule, ...], *, is_ephemeral: bool
    ) -> str:
        """See ``ports.Store``."""
        return await self._inner.create_sequential(prefix, data, access, is_ephemeral=is_ephemeral)

    async def close(self) -> None:
        """See ``ports.Store``."""
        await self._inner.close()


class StoppedWatchdog:
    """A hold on the device whose process may be stopped right before it pets."""

    def __init__(self, machine: Machine) -> None:
        self.inner = InMemoryWatchdog(machine.device)
        self._machine = machine

    @property
    def is_open(self) -> bool:
        """See ``ports.Watchdog``."""
        return self.inner.is_open

    def kind(self) -> WatchdogKind:
        """See ``ports.Watchdog``."""
        return self.inner.kind()

    def open(self, timeout_s: int) -> float:
        """See ``ports.Watchdog``."""
        self._machine.stop()
        self._machine.pets.append(self._machine.now)
        return self.inner.open(timeout_s)

    def pet(self) -> None:
        """See ``ports.Watchdog``."""
        if self._machine.broken is Broken.PETS_IN_ANOTHER_TASK:
            return
        self._machine.stop()
        self._machine.pets.append(self._machine.now)
        self.inner.pet()

    def close(self, *, disarm: bool) -> None:
        """See ``ports.Watchdog``."""
        self.inner.close(disarm=disarm)


class Blind(GuardedHeartbeat):
    """Goes on with whatever version of the guard is there."""

    async def _adopted(self) -> int | None:  # type: ignore[explicit-override]
        return (await self._store.get(GUARD)).version


async def live(machine: Machine) -> None:
    """Live through a story, until the host is reset or nothing more happens."""
    server = InMemoryZooKeeper(VirtualClock(), 6.0)
    leader = server.connect(CONTROLLERS)
    # The least of a cluster, because there are thousands of stories.
    await leader.commit(
        [CreateNode(path="/hosts", data=b"", access=access_for("/hosts", IDENTITIES))]
    )
    spec = HostSpec(name=HOST, planes=(), fence=(), zookeeper_identity=OWN)
    await enrol(leader, [spec], CONTROLLERS)

    def said() -> WatchdogFacts | None:
        value = decode(SELF, server.tree.get(SELF, LEADER).data)
        return value.watchdog if isinstance(value, HostSelf) else None

    def convict() -> None:
        """Commit the conviction, as the leader does: at the exact version of what it saw."""
        machine.facts = said()
        guard = HostGuard(right=Right.SHUT_OUT, boot_id=BOOT)
        version = server.tree.get(GUARD, LEADER).version
        server.tree.commit(
            [SetData(path=GUARD, data=encode(GUARD, guard), version=version)], LEADER
        )

    machine.convict = convict
    session = 0
    try:
        while True:
            store = server.connect(OWN, resume=session)
            session = store.session_id
            watchdog = StoppedWatchdog(machine)
            try:
                await beat_for_ever(machine, SlowStore(store, machine), watchdog, session)
            except KilledError:
                store.die()
                watchdog.close(disarm=False)
            # The service manager starts it again, sooner or later.
            machine.rest()
    except FiredError:
        if machine.is_convicted:
            # A later leader reads it then.
            machine.facts = machine.facts or said()
    finally:
        server.stop()


async def beat_for_ever(
    machine: Machine, store: SlowStore, watchdog: StoppedWatchdog, session: int
) -> None:
    """Be one heartbeat process."""
    if machine.broken is Broken.OPENS_FIRST:
        # To see what it is, say.
        watchdog.open(W_S)
        watchdog.close(disarm=False)
    registration = Registration(
        store=store,
        clock=machine,
        log=Events(),
        host=HOST,
        facts=HostSelf(boot_id=BOOT, product_uuid=""),
        identities=IDENTITIES,
        former_session=session,
        is_guarded=True,
    )
    kind = Blind if machine.broken is Broken.ADOPTS_BLINDLY else GuardedHeartbeat
    heartbeat = kind(
        registration=registration,
        store=store,
        watchdog=watchdog,
        settings=WatchdogSettings(timeout_s=W_S, r_max_s=R_MAX_S),
        clock=machine,
        log=Events(),
        host=HOST,
    )
    while True:
        await machine.sleep(await heartbeat.step())


def lived(story: Story, broken: Broken = Broken.NOTHING) -> Machine:
    """Live through a story; return what is left of the host."""
    machine = Machine(story, broken)
    asyncio.run(live(machine))
    return machine


def faults(story: Story, broken: Broken = Broken.NOTHING) -> list[str]:
    """Live through a story; say what a leader that counted on the watchdog would find wrong."""
    machine = lived(story, broken)
    facts, convicted_s = machine.facts, story.convicted_s
    if facts is None:
        return []
    found = []
    reset_after_s = machine.now - convicted_s
    if reset_after_s >= proof_time_s(facts, margin_s=0.0, reset_latency_s=0.0):
        found.append(f"reset {reset_after_s:.2f} s after the conviction, or never")
    if not story.has_deaths and reset_after_s >= 2 * W_S * (1 + DRIFT):
        found.append(f"reset {reset_after_s:.2f} s after it, although no process died")
    late = [pet_s - convicted_s for pet_s in machine.pets if pet_s >= convicted_s]
    if len(late) > 1 or any(pet_s >= W_S * (1 + DRIFT) for pet_s in late):
        found.append(f"petted at {late} s after the conviction")
    return found


DELAYS_S = st.sampled_from(
    [0.3, R_MAX_S, PERIOD_S, W_S - PERIOD_S, W_S - 0.1, W_S, W_S * (1 + DRIFT), 3.0 * W_S]
) | st.floats(0.0, 12.0)
STORIES = st.builds(
    Story,
    convicted_s=st.floats(0.0, 3 * W_S),
    mishaps=st.lists(st.tuples(st.integers(0, 20), st.just(DEATH) | DELAYS_S), max_size=8).map(
        tuple
    ),
)


SEARCH = settings(max_examples=5000, database=None, phases=(Phase.generate,))


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(story=STORIES)
def test_lease__any_delays_and_deaths__the_host_is_reset_in_time(story: Story) -> None:
    """No pet but one comes after the conviction, and what a leader waits is long enough."""
    assert faults(story) == []


@pytest.mark.parametrize("broken", [each for each in Broken if each is not Broken.NOTHING])
def test_lease__broken__is_found(broken: Broken) -> None:
    """The same stories and the same rules find each of the ways to lose the proof."""
    story = find(
        STORIES,
        lambda story: faults(story, broken) != [],
        settings=SEARCH,
    )

    assert faults(story) == []


def test_lease__nothing_delayed__reset_by_one_timeout_and_a_round_trip() -> None:
    """Without a pause it is quick; the long wait is for what cannot be excluded."""
    machine = lived(Story(convicted_s=30.0))

    assert machine.facts is not None
    assert machine.now - 30.0 <= W_S * (1 + DRIFT)


def test_lease__process_dies_after_the_last_pet__two_timeouts_are_too_few() -> None:
    """The kernel pets a device that is closed: why a leader waits three, not safety.md's two."""

    def outlives_two(story: Story) -> bool:
        machine = lived(story)
        outlived_s = machine.now - story.convicted_s
        return machine.facts is not None and outlived_s > 2 * W_S * (1 + DRIFT)

    assert find(STORIES, outlives_two, settings=SEARCH).has_deaths
