"""The loop: who decides, when a term ends, and what a restored ensemble stops."""

from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from hamon.coordination.codec import decode, encode
from hamon.errors import Outcome, StoreUnavailableError
from hamon.model.change import CONTROL, Change, Decision, Update, Versioned
from hamon.model.control import Control, HoldKind, StormRecord
from hamon.model.names import ControllerId, HostName
from hamon.model.proof import Evidence
from hamon.model.reason import reason
from hamon.ports.store import DeleteNode, Node, SetData, StoreOperation, WatchCallback
from hamon.sim.store import InMemoryStore, Loss
from tests.builders import HOST, OTHER, WALL
from tests.unit.engine_world import CONTROLLERS, World
from tests.virtual_clock import VirtualClock


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An ensemble with one enrolled host."""
    world = World()
    await world.prepare()
    yield world
    await world.close()


async def test_first_controller__takes_office_and_decides(world: World) -> None:
    """A lone controller leads, under an epoch of its own."""
    controller = await world.add()

    assert controller.engine.epoch is not None
    assert controller.rounds[-1].is_leading
    assert controller.health.is_session_proven
    view = controller.rounds[-1].view
    assert view is not None
    assert controller.health.session_proven_s == view.own.session_proven_s is not None


async def test_second_controller__keeps_its_view_warm_and_does_not_decide(world: World) -> None:
    """Standbys see everything and decide nothing."""
    await world.add()
    standby = await world.add(OTHER)

    last = standby.rounds[-1]
    assert standby.engine.epoch is None
    assert not any(finished.is_leading for finished in standby.rounds)
    assert last.view is not None
    assert ((), ()) == (last.decision.transitions, last.decision.reasons)


async def test_leader_stops__the_standby_takes_over_with_a_higher_epoch(world: World) -> None:
    """A change of leader is a higher epoch, at once when the former one resigns."""
    leader = await world.add()
    standby = await world.add(OTHER)
    former = leader.engine.epoch
    assert former is not None

    await leader.stop()
    world.controllers.remove(leader)
    await world.turn()

    assert standby.engine.epoch is not None
    assert standby.engine.epoch > former


async def test_epoch_moved_on__the_term_ends_and_a_new_one_is_stood_for(world: World) -> None:
    """The first sign of a later leader ends the term: its own writes fail from there (S5)."""
    controller = await world.add()
    former = controller.engine.epoch
    assert former is not None

    await world.bump_epoch()
    await world.clock.advance(3.0)
    await world.turn()

    assert controller.engine.epoch != former


async def test_answer_lost__the_next_round_tells_what_was_done(world: World) -> None:
    """The log of a leader lacks nothing that it did."""
    controller = await world.add()
    assert controller.engine.epoch is not None
    node = await world.hand.get("/control")
    write = Update(key=CONTROL, version=node.version, value=Control(reason="tested"))
    change = Change(subject="c", reason=reason("changed", "c"), operations=(write,))
    controller.store.lose_next(Loss.REPLY)

    with capture_logs() as logs:
        await controller.executor.carry_out(
            Decision(transitions=(change,)), controller.cluster, controller.engine.epoch
        )
        await world.turn()

    assert ["change_outcome_unknown", "changed"] == [line["event"] for line in logs]


@pytest.mark.fault("F19")
async def test_epoch_lower_than_seen__nothing_is_written(world: World) -> None:
    """An ensemble restored from an old snapshot is read only, and that is said (F19)."""
    restored = await world.add()
    await restored.stop()
    world.controllers.clear()

    controller = await world.add(ControllerId("controller-3"))
    controller.highest.epoch = 10_000
    await world.bump_epoch()
    await world.clock.advance(3.0)
    await world.turn()

    last = controller.rounds[-1]
    assert last.is_leading
    assert ((), (), ()) == (
        last.decision.transitions,
        last.decision.intents,
        last.decision.looks,
    )
    assert any("restored" in reason.facts.get("why", "") for reason in last.decision.reasons)


async def test_office_taken__cluster_of_an_earlier_hamon__storms_are_written_and_read(
    world: World,
) -> None:
    """Whoever read the cluster before that znode was there had no watch on it, and reads it now."""
    await world.hand.commit([DeleteNode(path="/storms", version=0)])
    leader = await world.add()
    standby = await world.add(OTHER)
    scopes = {"rack=a1": WALL}

    assert leader.rounds[-1].view is not None
    assert leader.rounds[-1].view.storms == Versioned(value=StormRecord(), version=0)

    storm = encode("/storms", StormRecord(scopes=scopes))
    await leader.stop()
    world.controllers.remove(leader)
    await world.hand.commit([SetData(path="/storms", data=storm, version=0)])
    await world.turn()

    assert standby.engine.epoch is not None
    cooling = [hold for hold in standby.rounds[-1].decision.holds if hold.kind is HoldKind.STORM]
    assert ["rack=a1"] == [hold.scope for hold in cooling]


ENROLMENT_S = 40.0


class SlowStore(InMemoryStore):
    """A session on which it takes long until the hosts are listed for enrolment."""

    world: World

    # typing.override comes with Python 3.12.
    async def children(  # type: ignore[explicit-override]
        self, path: str, watch: WatchCallback | None = None
    ) -> tuple[str, ...]:
        """See ``ports.Store``."""
        if path == "/hosts" and watch is None:
            await self.world.clock.sleep(ENROLMENT_S)
        return await super().children(path, watch)


async def test_office_taken__enrolment_takes_long__storm_cools_down_whole_after_it(
    world: World,
) -> None:
    """Elected, but still enrolling thousands of hosts, nobody sees whether it is over (S9)."""
    storm = encode("/storms", StormRecord(scopes={"cluster": WALL}))
    await world.hand.commit([SetData(path="/storms", data=storm, version=0)])
    store = SlowStore(world.server, frozenset({CONTROLLERS}))
    store.world = world
    world.server.admit(store)
    controller = await world.add(store=store)

    await world.clock.advance(ENROLMENT_S)
    await world.turn()
    own = controller.rounds[-1].view.own if controller.rounds[-1].view is not None else None
    await world.clock.advance(controller.policy.holds.storm_cooldown_s - 5.0)
    kept = await world.hand.get("/storms")
    await world.clock.advance(10.0)
    await world.turn()

    assert own is not None
    assert own.decides_since_s >= own.took_office_s + ENROLMENT_S
    assert kept.data == storm
    assert StormRecord() == decode("/storms", (await world.hand.get("/storms")).data)


class DeafStore(InMemoryStore):
    """A session on which nobody answers of storms, for a while."""

    is_deaf = True

    # typing.override comes with Python 3.12.
    async def get(  # type: ignore[explicit-override]
        self, path: str, watch: WatchCallback | None = None
    ) -> Node:
        """See ``ports.Store``."""
        if path == "/storms" and self.is_deaf:
            why = "no answer"
            raise StoreUnavailableError("store", "get", path, Outcome.NOT_DONE, why)
        return await super().get(path, watch)


async def test_office_taken__storms_not_answered__is_not_taken_before_they_are(
    world: World,
) -> None:
    """With what it read as a standby it would convict where its predecessor saw a storm."""
    leader = await world.add()
    store = DeafStore(world.server, frozenset({CONTROLLERS}))
    world.server.admit(store)
    standby = await world.add(OTHER, store)
    storm = encode("/storms", StormRecord(scopes={"rack=a1": WALL}))
    await world.hand.commit([SetData(path="/storms", data=storm, version=0)])
    await leader.stop()
    world.controllers.remove(leader)

    with capture_logs() as logs:
        await world.clock.advance(3.0)
    refused = [entry["why"] for entry in logs if entry["event"] == "office_not_taken"]
    led_deaf = [each for each in standby.rounds if each.is_leading]
    store.is_deaf = False
    await world.clock.advance(3.0)
    await world.turn()

    assert refused
    assert all("/storms" in why for why in refused)
    assert led_deaf == []
    led = [each.decision.holds for each in standby.rounds if each.is_leading]
    assert led
    assert all("rack=a1" in {hold.scope for hold in holds} for holds in led)


async def test_office_taken__again__counts_from_the_first_round_of_the_new_term(
    world: World,
) -> None:
    """What it could see in a former term says nothing of the time between."""
    controller = await world.add()
    first = controller.engine.epoch
    await world.clock.advance(30.0)
    await world.bump_epoch()
    await world.clock.advance(5.0)
    await world.turn()

    assert controller.rounds[-1].view is not None
    own = controller.rounds[-1].view.own
    assert first not in {None, own.epoch}
    assert own.decides_since_s >= own.took_office_s >= world.clock.now_s() - 6.0


class StoppingWitness:
    """Where the process is stopped: in the middle of a look at the world."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.stop_s = 0.0

    def hasten(self, _: frozenset[HostName]) -> None:
        """See ``engine.ports.Witness``."""
        stop_s, self.stop_s = self.stop_s, 0.0
        self._clock.stand_still(stop_s)

    def evidence(self, _: HostName) -> tuple[Evidence, ...]:
        """See ``engine.ports.Witness``."""
        return ()


@pytest.mark.parametrize(("stop_s", "is_late"), [(5.0, True), (1.0, False)])
async def test_round__process_is_stopped_within_it__nothing_is_done_and_it_is_unhealthy(
    world: World, stop_s: float, *, is_late: bool
) -> None:
    """What was seen before a stop is of the past when it is decided upon (S10)."""
    witness = StoppingWitness(world.clock)
    world.witnesses.append(witness)
    controller = await world.add()
    assert controller.health.lagged_s is None

    witness.stop_s = stop_s
    await world.turn()

    [stopped] = [each for each in controller.rounds if each.ended_s - each.started_s >= stop_s]
    assert is_late == (stopped.decision == Decision())
    assert is_late == (controller.health.lagged_s is not None)


class BusyStore(InMemoryStore):
    """A session on which it takes long to write of storms, or the process is stopped meanwhile."""

    world: World
    slow_s = stop_s = 0.0

    # typing.override comes with Python 3.12.
    async def commit(  # type: ignore[explicit-override]
        self, operations: Sequence[StoreOperation]
    ) -> None:
        """See ``ports.Store``."""
        if any(isinstance(one, SetData) and one.path == "/storms" for one in operations):
            await self.world.clock.sleep(self.slow_s)
            self.world.clock.stand_still(self.stop_s)
        await super().commit(operations)


@pytest.mark.parametrize(
    ("slow_s", "stop_s", "is_late"), [(5.0, 0.0, False), (0.0, 5.0, True), (5.0, 5.0, True)]
)
async def test_round__process_is_stopped_while_it_writes__is_unhealthy_but_not_for_slowness(
    world: World, slow_s: float, stop_s: float, *, is_late: bool
) -> None:
    """A stop shows wherever it comes; a slow ZooKeeper must not keep a leader from convicting."""
    storm = encode("/storms", StormRecord(scopes={"cluster": WALL}))
    await world.hand.commit([SetData(path="/storms", data=storm, version=0)])
    store = BusyStore(world.server, frozenset({CONTROLLERS}))
    store.world, store.slow_s, store.stop_s = world, slow_s, stop_s
    world.server.admit(store)
    controller = await world.add(store=store)

    await world.clock.advance(controller.policy.holds.storm_cooldown_s + 1.0)
    await world.turn()
    await world.clock.advance(slow_s)
    await world.turn()

    [written] = [each for each in controller.rounds if each.ended_s - each.started_s >= 5.0]
    lagged_s = controller.health.lagged_s
    assert is_late == (lagged_s is not None and lagged_s >= written.ended_s)


async def test_storm_over__leader__takes_its_record_away_once(world: World) -> None:
    """What an earlier leader left goes after one cool-down, with one write; then all is quiet."""
    storm = encode("/storms", StormRecord(scopes={"cluster": WALL}))
    await world.hand.commit([SetData(path="/storms", data=storm, version=0)])
    controller = await world.add()

    await world.clock.advance(controller.policy.holds.storm_cooldown_s - 5.0)
    before = await world.hand.get("/storms")
    await world.clock.advance(10.0)
    await world.turn()
    after = await world.hand.get("/storms")
    await world.clock.advance(70.0)
    await world.turn()

    assert (1, 2) == (before.version, after.version)
    assert StormRecord() == decode("/storms", after.data)
    assert after == await world.hand.get("/storms")


async def test_znode_of_a_newer_schema__is_a_hold_and_not_a_crash(world: World) -> None:
    """What cannot be read is never guessed at (S21)."""
    controller = await world.add()
    path = f"/hosts/{HOST}/record"
    node = await world.hand.get(path)

    await world.hand.commit([SetData(path=path, data=b'{"schema": 99}', version=node.version)])
    await world.turn()

    kinds = {reason.facts.get("kind") for reason in controller.rounds[-1].decision.reasons}
    assert "unreadable" in kinds


async def test_zookeeper_gone__no_view_no_decision(world: World) -> None:
    """Without ZooKeeper there is nothing to decide on (S10)."""
    controller = await world.add()

    world.server.lose_quorum()
    await world.clock.advance(1.0)
    await world.turn()

    last = controller.rounds[-1]
    assert ((), ()) == (last.decision.transitions, last.decision.intents)
