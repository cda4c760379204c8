"""Who leads, on both stores: one at a time, and nobody for longer than its epoch."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import CONTROLLERS_USER
from hamon.coordination.election import Election
from hamon.coordination.journal import Journal
from hamon.errors import DeposedError, StoreUnavailableError
from hamon.model.change import CONTROL, Change, Update
from hamon.model.control import Control
from hamon.model.names import ControllerId
from hamon.model.reason import reason
from hamon.ports.store import DeleteNode, SessionState, SetData, Store
from hamon.sim.store import InMemoryStore, Loss
from tests.contract.cluster import IDENTITIES
from tests.contract.store_world import StoreWorld, until

pytestmark = pytest.mark.contract

DISARM = Change(
    subject="cluster",
    reason=reason("test", "cluster"),
    operations=(Update(key=CONTROL, version=0, value=Control(is_armed=False)),),
)


def stand(store: Store, name: str) -> Election:
    """A contender."""
    return Election(store, ControllerId(name), IDENTITIES, SystemClock())


@pytest.fixture
async def waiting() -> AsyncIterator[list[asyncio.Task[object]]]:
    """Tasks that a test leaves waiting; they end with it."""
    tasks: list[asyncio.Task[object]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_election__first_come__leads_and_the_next_waits(
    zookeeper: StoreWorld, leader: Store, waiting: list[asyncio.Task[object]]
) -> None:
    """One leads; when it resigns the next one does, with a higher epoch."""
    first = stand(leader, "c1")
    office = await first.wait_for_office()
    other = await zookeeper.connect(CONTROLLERS_USER)
    task = asyncio.ensure_future(stand(other, "c2").wait_for_office())
    waiting.append(task)
    # The contender's own session sees its place in the row, and that it is not the first.
    joined = asyncio.Event()
    if len(await leader.children("/election", lambda _: joined.set())) < 2:
        await asyncio.wait_for(joined.wait(), 20)
    assert not task.done()

    await first.resign()
    successor = await asyncio.wait_for(task, 20)

    assert office.lost.is_set()
    assert office.epoch < successor.epoch
    assert successor.sent_s <= successor.acknowledged_s
    assert not successor.lost.is_set()
    assert (await leader.get("/epoch")).version == successor.epoch


async def test_election__session_expired__ends_office_and_writes(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A leader whose session ended leads no more, also after it has a new session."""
    store = await zookeeper.connect(CONTROLLERS_USER)
    election = stand(store, "c1")
    office = await election.wait_for_office()
    journal = Journal(store, office.epoch, IDENTITIES, SystemClock())
    other = stand(leader, "c2").wait_for_office()
    task = asyncio.ensure_future(other)

    await zookeeper.expire(store)

    successor = await asyncio.wait_for(task, 20)
    await until(office.lost.is_set)
    await until(lambda: store.state is SessionState.CONNECTED)
    assert office.epoch < successor.epoch
    with pytest.raises(DeposedError):
        await journal.commit(DISARM)


async def test_election__connection_broken__keeps_office(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A short break within the session costs nothing."""
    election = stand(leader, "c1")
    office = await election.wait_for_office()
    states: list[SessionState] = []
    leader.on_state(states.append)

    zookeeper.break_connection(leader)
    await until(lambda: SessionState.CONNECTED in states)

    await Journal(leader, office.epoch, IDENTITIES, SystemClock()).commit(DISARM)
    assert not office.lost.is_set()


async def test_election__contender_deleted_by_hand__ends_office(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """Office needs the own contender, of the own session."""
    office = await stand(leader, "c1").wait_for_office()
    other = await zookeeper.connect(CONTROLLERS_USER)
    (name,) = await other.children("/election")

    await other.commit([DeleteNode(path=f"/election/{name}", version=0)])

    await until(office.lost.is_set)


async def test_election__epoch_taken_by_another__ends_office(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """Whoever moves the epoch leads, and the former leader learns it unasked."""
    office = await stand(leader, "c1").wait_for_office()
    other = await zookeeper.connect(CONTROLLERS_USER)

    await other.commit([SetData(path="/epoch", data=b"", version=office.epoch)])

    await until(office.lost.is_set)


async def test_election__own_former_contender_of_a_dead_process__is_waited_for(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A leader that was killed is followed when its session has expired, not before."""
    store = await zookeeper.connect(CONTROLLERS_USER)
    office = await stand(store, "c1").wait_for_office()
    await zookeeper.abandon(store)

    successor = await asyncio.wait_for(stand(leader, "c1").wait_for_office(), 20)

    assert office.epoch < successor.epoch
    assert len(await leader.children("/election")) == 1


@pytest.mark.parametrize("zookeeper", ["memory"], indirect=True)
@pytest.mark.parametrize("loss", list(Loss))
@pytest.mark.parametrize("change", ["standing", "the epoch"])
async def test_election__outcome_unknown__ends_in_one_office_with_its_own_epoch(
    leader: Store, loss: Loss, change: str
) -> None:
    """A lost reply leaves neither a second contender nor an epoch that was guessed."""
    assert isinstance(leader, InMemoryStore)
    election = stand(leader, "c1")
    if change == "standing":
        leader.lose_next(loss)
        office = await election.wait_for_office()
    else:
        first = await election.wait_for_office()
        leader.lose_next(loss)
        with pytest.raises(StoreUnavailableError):
            await leader.commit([SetData(path="/epoch", data=b"", version=first.epoch)])
        await until(lambda: leader.state is SessionState.CONNECTED)
        office = await election.wait_for_office()

    assert office.epoch == (await leader.get("/epoch")).version
    assert len(await leader.children("/election")) == 1
    await Journal(leader, office.epoch, IDENTITIES, SystemClock()).commit(DISARM)


@pytest.mark.parametrize("zookeeper", ["memory"], indirect=True)
async def test_election__cut_off_for_the_session_timeout__gives_up_office_unasked(
    leader: Store,
) -> None:
    """A leader behind a cut line is never told; it counts the time itself."""
    assert isinstance(leader, InMemoryStore)
    office = await stand(leader, "c1").wait_for_office()

    leader.cut()

    await until(office.lost.is_set)
    assert leader.state is SessionState.SUSPENDED


@pytest.mark.parametrize("zookeeper", ["memory"], indirect=True)
async def test_election__leader_frozen_and_resumed__finds_itself_deposed(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A stopped process believes it leads; its first write after that tells it otherwise."""
    store = await zookeeper.connect(CONTROLLERS_USER)
    assert isinstance(store, InMemoryStore)
    office = await stand(store, "c1").wait_for_office()
    journal = Journal(store, office.epoch, IDENTITIES, SystemClock())
    store.freeze()
    successor = await asyncio.wait_for(stand(leader, "c2").wait_for_office(), 20)
    assert not office.lost.is_set()

    store.thaw()
    await until(lambda: store.state is SessionState.CONNECTED)
    with pytest.raises(DeposedError):
        await journal.commit(DISARM)

    assert office.lost.is_set()
    assert office.epoch < successor.epoch
