"""Reports of controllers on both stores: what is written, and what each one proves."""

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import CONTROLLERS_USER
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.codec import decode
from hamon.errors import DeposedError, StoreError
from hamon.model.names import ControllerId, Epoch
from hamon.model.view import ControllerView
from hamon.ports.store import DeleteNode, Node, SessionState, SetData, Store
from tests.contract.cluster import CONTROLLERS, HOST, spec
from tests.contract.store_world import StoreWorld, until

pytestmark = pytest.mark.contract

ME = ControllerId("c1")
PATH = f"/controllers/{ME}"
EPOCH = Epoch(0)


def a_cluster(store: Store) -> ZooKeeperCluster:
    """A controller's hold on the cluster, that mirrors nothing yet."""
    return ZooKeeperCluster(store, SystemClock(), ME, (spec(HOST),), CONTROLLERS)


def a_view(*reaches: str) -> ControllerView:
    """What a controller says of itself."""
    return ControllerView(controller=ME, version="1", policy_hash="x", reaches=reaches, silent={})


async def test_report__says_what_it_said_before__changes_nothing(leader: Store) -> None:
    """A proof of the session wakes nobody who watches the report."""
    cluster = a_cluster(leader)
    await cluster.report(a_view("storage"), EPOCH)
    before = await leader.get(PATH)
    told: list[str] = []
    await leader.get(PATH, told.append)

    await cluster.report(a_view("storage"), EPOCH)
    await cluster.report(a_view("storage"), EPOCH)

    assert before == await leader.get(PATH)
    assert told == []
    assert leader.session_id == before.owner


async def test_report__changed__is_written(leader: Store) -> None:
    """Every change is there at once, whatever was written before it."""
    cluster = a_cluster(leader)
    for view in (a_view(), a_view("storage"), a_view("storage"), a_view("management")):
        await cluster.report(view, EPOCH)

        node = await leader.get(PATH)
        assert view == decode(PATH, node.data)


@pytest.mark.parametrize("reaches", ["storage", "management"], ids=["unchanged", "changed"])
async def test_report__epoch_moved_on__is_deposed(leader: Store, reaches: str) -> None:
    """Also a report that says nothing new tells a leader that its term is over."""
    cluster = a_cluster(leader)
    await cluster.report(a_view("storage"), EPOCH)
    await leader.commit([SetData(path="/epoch", data=b"", version=EPOCH)])

    with pytest.raises(DeposedError):
        await cluster.report(a_view(reaches), EPOCH)


async def test_report__znode_gone__is_told_and_then_mended(leader: Store) -> None:
    """A report that somebody removed proves nothing; the next one makes it anew."""
    cluster = a_cluster(leader)
    await cluster.report(a_view("storage"), EPOCH)
    await leader.commit([DeleteNode(path=PATH, version=0)])

    with pytest.raises(StoreError):
        await cluster.report(a_view("storage"), EPOCH)
    await cluster.report(a_view("storage"), EPOCH)

    assert leader.session_id == (await leader.get(PATH)).owner


async def test_report__session_over__proves_nothing_and_then_belongs_to_the_next_one(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """What the former session said is no proof of the present one."""
    observer = await zookeeper.connect(CONTROLLERS_USER)
    cluster = a_cluster(leader)
    await cluster.report(a_view("storage"), EPOCH)
    former = leader.session_id

    await zookeeper.expire(leader)
    await until(lambda: leader.session_id != former and leader.state is SessionState.CONNECTED)
    await cluster.report(a_view("storage"), EPOCH)

    node: Node = await observer.get(PATH)
    assert leader.session_id == node.owner
