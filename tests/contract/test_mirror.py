"""What a controller believes to be in ZooKeeper, on both stores."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import CONTROLLERS_USER, host_user
from hamon.coordination.codec import encode
from hamon.coordination.mirror import Mirror
from hamon.coordination.paths import path_of
from hamon.model.change import grant_of, guest_of
from hamon.model.control import Control
from hamon.model.host import Heartbeat, HostGuard, HostSelf, Right
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    SessionState,
    SetData,
    Store,
    WatchCallback,
)
from hamon.sim.store import InMemoryStore
from tests.contract.cluster import BOOT, GRANT, GUEST, HEARTBEAT, HOST, OTHER, create, register
from tests.contract.store_world import StoreWorld, until

pytestmark = pytest.mark.contract

NEVER_S = 3600.0


class CountingStore:
    """A session that counts what is read over it (``ports.Store``, as far as a mirror uses it)."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.reads: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the rest is the session's own
        return getattr(self._inner, name)

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """See ``ports.Store``."""
        self.reads[path] += 1
        return await self._inner.get(path, watch)

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """See ``ports.Store``."""
        self.reads[path] += 1
        return await self._inner.children(path, watch)


class Watched:
    """A mirror and what it told."""

    def __init__(self, store: Store, pause_s: float = NEVER_S) -> None:
        self.told: set[str] = set()
        self.store = CountingStore(store)
        self.mirror = Mirror(self.store, SystemClock(), self.told.update, lambda: pause_s)


@pytest.fixture
async def watched(
    zookeeper: StoreWorld,
    leader: Store,  # noqa: ARG001 - the cluster must be there
) -> AsyncIterator[Watched]:
    """A mirror on a session of its own that is whole."""
    watched = Watched(await zookeeper.connect(CONTROLLERS_USER))
    watched.mirror.start()
    await until(lambda: watched.mirror.whole_since_s is not None)
    # The last paths are told at the loop's next turn.
    await asyncio.sleep(0)
    watched.told.clear()
    yield watched
    await watched.mirror.stop()


async def test_mirror__started__holds_everything(watched: Watched, leader: Store) -> None:
    """When it calls itself whole, what was there is there."""
    mirror = watched.mirror
    grant = mirror.get(path_of(grant_of(HOST, GUEST)))
    control = mirror.get("/control")

    assert mirror.children("/hosts") == (HOST, OTHER)
    assert len(mirror.children("/guests")) == 256
    assert grant is not None
    assert grant.value == GRANT
    assert grant.node == await leader.get(path_of(grant_of(HOST, GUEST)))
    assert control is not None
    assert control.value == Control()
    guard = mirror.get(f"/hosts/{OTHER}/state")
    assert guard is not None
    assert guard.value == HostGuard(right=Right.LIVE)
    never_written = mirror.get(f"/hosts/{OTHER}/self")
    assert never_written is not None
    assert (never_written.value, never_written.unreadable) == (None, None)
    assert mirror.get(HEARTBEAT) is None
    assert mirror.unreadable() == ()


async def test_mirror__host_registers_and_dies__is_told(
    zookeeper: StoreWorld, watched: Watched
) -> None:
    """A heartbeat is seen when it comes and when its session has expired."""
    host = await zookeeper.connect(host_user(HOST))
    await register(host, HOST)
    await until(lambda: {HEARTBEAT, f"/hosts/{HOST}/self"} <= watched.told)
    beat = watched.mirror.get(HEARTBEAT)
    assert beat is not None
    assert beat.node.owner == host.session_id
    itself = watched.mirror.get(f"/hosts/{HOST}/self")
    assert itself is not None
    assert isinstance(itself.value, HostSelf)
    watched.told.clear()

    await zookeeper.abandon(host)

    await until(lambda: HEARTBEAT in watched.told)
    assert watched.mirror.get(HEARTBEAT) is None


async def test_mirror__ephemeral_made_again__has_its_new_owner(
    zookeeper: StoreWorld, watched: Watched
) -> None:
    """A deletion and creation that look like nothing by name are seen by owner."""
    old = await zookeeper.connect(host_user(HOST))
    await register(old, HOST)
    new = await zookeeper.connect(host_user(HOST))

    await new.commit(
        [DeleteNode(path=HEARTBEAT, version=0), create(HEARTBEAT, b"{}", is_ephemeral=True)]
    )

    await until(
        lambda: (
            (beat := watched.mirror.get(HEARTBEAT)) is not None
            and beat.node.owner == new.session_id
        )
    )


async def test_mirror__guarded_heartbeats__cost_no_read_and_tell_nothing(
    zookeeper: StoreWorld, watched: Watched, leader: Store
) -> None:
    """A counter that grows every few seconds on every host is nothing to wake a leader for."""
    host = await zookeeper.connect(host_user(HOST))
    await register(host, HOST)
    await until(lambda: watched.mirror.get(HEARTBEAT) is not None)
    await asyncio.sleep(0)
    watched.told.clear()
    watched.store.reads.clear()

    for beat in range(20):
        data = encode(HEARTBEAT, Heartbeat(boot_id=BOOT, count=beat + 1))
        await host.commit(
            [
                CheckVersion(path=f"/hosts/{HOST}/state", version=0),
                SetData(path=HEARTBEAT, data=data, version=beat),
            ]
        )
    # What comes later has been told, so whatever the heartbeats would tell has been, too.
    await leader.commit([SetData(path="/control", data=b'{"schema":1,"who":"x"}', version=0)])
    await until(lambda: "/control" in watched.told)

    assert watched.told == {"/control"}
    assert watched.store.reads == {"/control": 1}
    await watched.mirror.refresh([HEARTBEAT])
    await asyncio.sleep(0)
    seen = watched.mirror.get(HEARTBEAT)
    assert seen is not None
    assert (seen.node.version, watched.told) == (20, {"/control"})


async def test_mirror__heartbeat_of_rubbish__is_unreadable_until_it_is_written_anew(
    zookeeper: StoreWorld, watched: Watched
) -> None:
    """What is not watched is still found when everything is read again."""
    host = await zookeeper.connect(host_user(HOST))
    await register(host, HOST)
    await until(lambda: watched.mirror.get(HEARTBEAT) is not None)
    await host.commit([SetData(path=HEARTBEAT, data=b"rubbish", version=0)])
    await watched.mirror.refresh([HEARTBEAT])
    assert watched.mirror.unreadable() == (HEARTBEAT,)

    data = encode(HEARTBEAT, Heartbeat(boot_id=BOOT))
    await host.commit([SetData(path=HEARTBEAT, data=data, version=1)])
    await watched.mirror.refresh([HEARTBEAT])

    assert watched.mirror.unreadable() == ()


async def test_mirror__many_changes__ends_with_the_last(watched: Watched, leader: Store) -> None:
    """Changes between a watch and the next one are not lost, only folded."""
    path = "/control"
    for version in range(50):
        await leader.commit(
            [SetData(path=path, data=b'{"schema":1,"who":"%d"}' % version, version=version)]
        )

    await until(lambda: (seen := watched.mirror.get(path)) is not None and seen.node.version == 50)
    seen = watched.mirror.get(path)
    assert seen is not None
    assert seen.value == Control(who="49")


async def test_mirror__guest_comes_and_goes__follows(watched: Watched, leader: Store) -> None:
    """New znodes deep in the tree are found, and forgotten when they go."""
    path = path_of(guest_of(GUEST))
    await leader.commit([create(path, b"{}")])
    await until(lambda: path in watched.told)
    assert watched.mirror.unreadable() == (path,)
    seen = watched.mirror.get(path)
    assert seen is not None
    assert seen.unreadable is not None

    await leader.commit([DeleteNode(path=path, version=0)])

    await until(lambda: watched.mirror.get(path) is None)
    assert watched.mirror.unreadable() == ()


async def test_mirror__directory_removed__forgets_all_below(
    watched: Watched, leader: Store
) -> None:
    """A host that is removed leaves nothing behind."""
    names = (
        "alive",
        "capacity",
        "checks",
        "domains",
        "grants",
        "inventory",
        "mode",
        "record",
        "self",
        "state",
    )
    paths = [f"/hosts/{OTHER}/{name}" for name in names]

    await leader.commit([DeleteNode(path=path, version=0) for path in [*paths, f"/hosts/{OTHER}"]])

    await until(lambda: watched.mirror.children("/hosts") == (HOST,))
    await until(lambda: all(watched.mirror.get(path) is None for path in paths))
    assert watched.mirror.children(f"/hosts/{OTHER}") == ()


async def test_mirror__connection_broken__is_whole_anew(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A gap in the session is a gap in the picture, and what happened in it is found."""
    store = await zookeeper.connect(CONTROLLERS_USER)
    watched = Watched(store)
    watched.mirror.start()
    await until(lambda: watched.mirror.whole_since_s is not None)
    before_s = watched.mirror.whole_since_s
    gaps: list[float | None] = []
    store.on_state(lambda _: gaps.append(watched.mirror.whole_since_s))

    zookeeper.break_connection(store)
    await leader.commit([SetData(path="/control", data=b'{"schema":1,"who":"x"}', version=0)])
    await until(lambda: SessionState.SUSPENDED is not store.state and len(gaps) >= 2)
    await until(lambda: watched.mirror.whole_since_s is not None)

    assert gaps[:2] == [None, None]
    assert before_s is not None
    assert watched.mirror.whole_since_s is not None
    assert before_s < watched.mirror.whole_since_s
    await until(
        lambda: (
            (seen := watched.mirror.get("/control")) is not None and seen.value == Control(who="x")
        )
    )
    await leader.commit([SetData(path="/control", data=b'{"schema":1,"who":"y"}', version=1)])
    await until(
        lambda: (
            (seen := watched.mirror.get("/control")) is not None and seen.value == Control(who="y")
        )
    )
    await watched.mirror.stop()


async def test_mirror__after_an_own_commit__shows_it_when_refreshed(
    watched: Watched, leader: Store
) -> None:
    """Whoever committed does not decide on the picture from before."""
    path = path_of(guest_of(GUEST))
    await leader.commit([create(path, b"{}"), SetData(path="/control", data=b"", version=0)])
    # A read of the own session sees its own writes; this one is another's.
    await until(lambda: watched.mirror.get(path) is not None)

    await watched.mirror.refresh([path, "/control"])

    control = watched.mirror.get("/control")
    assert control is not None
    assert control.node.version == 1


async def test_mirror__access_denied__is_unreadable(
    zookeeper: StoreWorld, watched: Watched
) -> None:
    """What a host hides from controllers is a hold, not a hole."""
    host = await zookeeper.connect(host_user(HOST))
    rules = tuple(rule for rule in create(HEARTBEAT, b"").access if "host-" in rule.identity)

    await host.commit([CreateNode(path=HEARTBEAT, data=b"", access=rules, is_ephemeral=True)])

    await until(lambda: watched.mirror.unreadable() == (HEARTBEAT,))


@pytest.mark.parametrize("zookeeper", ["memory"], indirect=True)
async def test_mirror__watch_lost__is_mended_by_reading_anew(
    zookeeper: StoreWorld, leader: Store
) -> None:
    """A hint that never came costs one period, not the truth."""
    store = await zookeeper.connect(CONTROLLERS_USER)
    assert isinstance(store, InMemoryStore)
    watched = Watched(store, pause_s=0.05)
    watched.mirror.start()
    await until(lambda: watched.mirror.whole_since_s is not None)
    store._data_watches.clear()  # noqa: SLF001 - the fault
    store._list_watches.clear()  # noqa: SLF001

    await leader.commit(
        [
            SetData(path="/control", data=b'{"schema":1,"who":"x"}', version=0),
            create(path_of(guest_of(GUEST)), b"{}"),
        ]
    )

    await until(
        lambda: (
            (seen := watched.mirror.get("/control")) is not None and seen.value == Control(who="x")
        )
    )
    await until(lambda: watched.mirror.get(path_of(guest_of(GUEST))) is not None)
    await watched.mirror.stop()
