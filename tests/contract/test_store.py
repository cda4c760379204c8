"""The store's contract: what decisions rest on, held against the fake and a real ZooKeeper."""

import asyncio

import pytest

from hamon.errors import (
    AccessDeniedError,
    NodeExistsError,
    NodeMissingError,
    Outcome,
    StoreUnavailableError,
    WriteConflictError,
)
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    Permission,
    SessionState,
    SetData,
    Store,
)
from tests.contract.store_world import ALICE, StoreWorld, rule, until

pytestmark = pytest.mark.contract


async def make(store: Store, path: str, data: bytes = b"", *, is_ephemeral: bool = False) -> None:
    """Create one znode that is alice's."""
    create = CreateNode(path=path, data=data, access=ALICE, is_ephemeral=is_ephemeral)
    await store.commit([create])


# -- versions ---------------------------------------------------------------------------------


async def test_commit__version_zero_is_stale__conflicts(room: StoreWorld) -> None:
    """Version 0 is a version, never "any" (zookeeper.md 6.6 a)."""
    store = await room.connect("alice")
    await make(store, "/a", b"first")
    await store.commit([SetData(path="/a", data=b"second", version=0)])

    with pytest.raises(WriteConflictError) as caught:
        await store.commit([SetData(path="/a", data=b"stale", version=0)])

    assert caught.value.outcome is Outcome.NOT_DONE
    node = await store.get("/a")
    assert (node.data, node.version) == (b"second", 1)


async def test_commit__any_version__is_refused(room: StoreWorld) -> None:
    """There is no way to ask for "any version"."""
    store = await room.connect("alice")
    await make(store, "/a")

    for operation in (
        SetData(path="/a", data=b"", version=-1),
        CheckVersion(path="/a", version=-1),
        DeleteNode(path="/a", version=-1),
    ):
        with pytest.raises(ValueError, match="not a version"):
            await store.commit([operation])


async def test_commit__znode_made_again__has_another_identity(room: StoreWorld) -> None:
    """Versions start anew, so what was created when tells two znodes of one name apart."""
    store = await room.connect("alice")
    await make(store, "/a")
    first = await store.get("/a")
    await store.commit([DeleteNode(path="/a", version=0)])
    await make(store, "/a")

    second = await store.get("/a")

    assert first.version == second.version
    assert first.created_zxid < second.created_zxid


async def test_commit__guard_is_the_ephemeral__lets_a_deposed_leader_write(
    room: StoreWorld,
) -> None:
    """Why an ephemeral's version guards nothing: made again, it matches (zookeeper.md 6.6 b)."""
    old = await room.connect("alice")
    new = await room.connect("alice")
    await make(old, "/data")
    await make(old, "/leader", is_ephemeral=True)
    await old.commit([DeleteNode(path="/leader", version=0)])
    await make(new, "/leader", is_ephemeral=True)

    guard = CheckVersion(path="/leader", version=0)
    await old.commit([guard, SetData(path="/data", data=b"too late", version=0)])

    assert (await new.get("/data")).data == b"too late"


async def test_commit__guard_is_the_epoch__stops_a_deposed_leader(room: StoreWorld) -> None:
    """A persistent epoch's version stops the old leader, not the new one (zookeeper.md 6.6 c)."""
    old = await room.connect("alice")
    new = await room.connect("alice")
    await make(old, "/data")
    await make(old, "/epoch")
    await old.commit([SetData(path="/epoch", data=b"old", version=0)])
    await new.commit([SetData(path="/epoch", data=b"new", version=1)])

    with pytest.raises(WriteConflictError) as caught:
        await old.commit(
            [
                CheckVersion(path="/epoch", version=1),
                SetData(path="/data", data=b"too late", version=0),
            ]
        )
    await new.commit(
        [CheckVersion(path="/epoch", version=2), SetData(path="/data", data=b"new", version=0)]
    )

    assert caught.value.target == "/epoch"
    assert (await new.get("/data")).data == b"new"


# -- transactions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (CheckVersion(path="/a", version=7), WriteConflictError),
        (CheckVersion(path="/none", version=0), NodeMissingError),
        (SetData(path="/a", data=b"x", version=7), WriteConflictError),
        (SetData(path="/none", data=b"x", version=0), NodeMissingError),
        (CreateNode(path="/a", data=b"", access=ALICE), NodeExistsError),
        (CreateNode(path="/none/b", data=b"", access=ALICE), NodeMissingError),
        (DeleteNode(path="/a", version=7), WriteConflictError),
        (DeleteNode(path="/none", version=0), NodeMissingError),
        (DeleteNode(path="/full", version=0), WriteConflictError),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_commit__one_part_fails__nothing_is_done_and_its_error_is_told(
    room: StoreWorld,
    bad: CheckVersion | SetData | CreateNode | DeleteNode,
    error: type[Exception],
    position: int,
) -> None:
    """All or nothing, and the root cause surfaces wherever it stands (zookeeper.md 6.6 d)."""
    store = await room.connect("alice")
    await make(store, "/a")
    await make(store, "/gone")
    await make(store, "/full")
    await make(store, "/full/child")
    good: list[SetData | CreateNode | DeleteNode | CheckVersion] = [
        SetData(path="/full/child", data=b"changed", version=0),
        DeleteNode(path="/gone", version=0),
    ]
    operations = [*good[:position], bad, *good[position:]]

    with pytest.raises(error) as caught:
        await store.commit(operations)

    assert getattr(caught.value, "target", None) == bad.path
    assert (await store.get("/full/child")).data == b""
    assert await store.exists("/gone")


async def test_commit__several_parts__all_are_done(room: StoreWorld) -> None:
    """Later parts see what earlier ones did, within one transaction."""
    store = await room.connect("alice")
    await make(store, "/a")

    await store.commit(
        [
            CreateNode(path="/b", data=b"1", access=ALICE),
            CreateNode(path="/b/c", data=b"2", access=ALICE),
            SetData(path="/b", data=b"3", version=0),
            CheckVersion(path="/b", version=1),
            DeleteNode(path="/a", version=0),
        ]
    )

    assert await store.children("/b") == ("c",)
    assert (await store.get("/b")).data == b"3"
    assert not await store.exists("/a")


async def test_commit__without_access_rules__is_refused(room: StoreWorld) -> None:
    """Nothing is ever created open to the world by an omission."""
    store = await room.connect("alice")

    with pytest.raises(ValueError, match="without access rules"):
        await store.commit([CreateNode(path="/a", data=b"", access=())])


async def test_commit__nothing__is_done(room: StoreWorld) -> None:
    """An empty transaction succeeds."""
    store = await room.connect("alice")

    await store.commit([])


async def test_reads__missing_znode__say_so(room: StoreWorld) -> None:
    """Only ``exists`` answers for a znode that is not there."""
    store = await room.connect("alice")

    assert not await store.exists("/none")
    for read in (store.get("/none"), store.children("/none"), store.access("/none")):
        with pytest.raises(NodeMissingError):
            await read


# -- ephemerals and sequences -----------------------------------------------------------------


async def test_ephemeral__session_closed__goes_at_once(room: StoreWorld) -> None:
    """An orderly end of a session takes its ephemerals with it."""
    watcher = await room.connect("alice")
    owner = await room.connect("alice")
    await make(owner, "/mine", is_ephemeral=True)
    await make(owner, "/kept")
    assert (await watcher.get("/mine")).owner == owner.session_id
    assert (await watcher.get("/kept")).owner == 0

    await owner.close()

    assert not await watcher.exists("/mine")
    assert await watcher.exists("/kept")
    assert owner.state is SessionState.LOST


async def test_ephemeral__process_killed__goes_when_the_session_expires(room: StoreWorld) -> None:
    """A session that is not heard any more ends by itself, and a watch tells."""
    watcher = await room.connect("alice")
    owner = await room.connect("alice")
    await make(owner, "/mine", is_ephemeral=True)
    told: list[str] = []
    await watcher.exists("/mine", told.append)

    await room.abandon(owner)

    assert await watcher.exists("/mine")
    await until(lambda: told)
    assert told == ["/mine"]
    assert not await watcher.exists("/mine")


@pytest.mark.fault("F21")
async def test_ephemeral__left_by_the_former_session__is_still_there(room: StoreWorld) -> None:
    """A restarted process finds its predecessor's znode: it exists, and is not its own."""
    former = await room.connect("alice")
    await make(former, "/mine", is_ephemeral=True)
    former_id = former.session_id
    await room.abandon(former)
    store = await room.connect("alice")

    with pytest.raises(NodeExistsError):
        await make(store, "/mine", is_ephemeral=True)
    node = await store.get("/mine")
    await store.commit(
        [
            DeleteNode(path="/mine", version=node.version),
            CreateNode(path="/mine", data=b"", access=ALICE, is_ephemeral=True),
        ]
    )

    assert former_id == node.owner
    assert (await store.get("/mine")).owner == store.session_id


async def test_session__resumed_by_a_successor__keeps_its_ephemerals(room: StoreWorld) -> None:
    """A process may restart within the session time-out without anybody noticing."""
    former = await room.connect("alice")
    await make(former, "/mine", is_ephemeral=True)
    former_id = former.session_id

    store = await room.succeed(former, "alice")

    assert former_id == store.session_id
    assert (await store.get("/mine")).owner == store.session_id
    await store.commit([SetData(path="/mine", data=b"again", version=0)])


async def test_ephemeral__asked_for_a_child__refuses(room: StoreWorld) -> None:
    """An ephemeral has no children."""
    store = await room.connect("alice")
    await make(store, "/mine", is_ephemeral=True)

    with pytest.raises(Exception, match=r".*") as caught:
        await make(store, "/mine/child")

    assert getattr(caught.value, "outcome", None) is Outcome.NOT_DONE


async def test_create_sequential__several__grow_and_are_never_given_twice(
    room: StoreWorld,
) -> None:
    """Each gets a higher number than all before, also after a deletion."""
    store = await room.connect("alice")
    await make(store, "/row")
    first = await store.create_sequential("/row/n_", b"x", ALICE, is_ephemeral=True)
    await store.commit([DeleteNode(path=first, version=0)])
    second = await store.create_sequential("/row/n_", b"y", ALICE, is_ephemeral=False)
    third = await store.create_sequential("/row/other_", b"z", ALICE, is_ephemeral=False)

    numbers = [int(path[-10:]) for path in (first, second, third)]

    assert sorted(set(numbers)) == numbers
    assert second.startswith("/row/n_")
    assert (await store.get(second)).data == b"y"
    assert len(await store.children("/row")) == 2


# -- watches ----------------------------------------------------------------------------------


async def test_watch__data_changed_twice__fires_once(room: StoreWorld) -> None:
    """A watch is one-shot; the next one must be left anew."""
    store = await room.connect("alice")
    await make(store, "/a")
    told: list[str] = []
    await store.get("/a", told.append)

    await store.commit([SetData(path="/a", data=b"1", version=0)])
    await store.commit([SetData(path="/a", data=b"2", version=1)])

    await until(lambda: told)
    await store.exists("/a")
    assert told == ["/a"]


async def test_watch__each_kind__fires_for_what_it_promises(room: StoreWorld) -> None:
    """Reading watches change and deletion, asking watches creation, listing watches the list."""
    store = await room.connect("alice")
    other = await room.connect("alice")
    await make(store, "/a")
    told: list[str] = []
    await store.get("/a", lambda path: told.append(f"get {path}"))
    await store.exists("/a/b", lambda path: told.append(f"exists {path}"))
    await store.children("/a", lambda path: told.append(f"children {path}"))

    await make(other, "/a/b")
    await until(lambda: len(told) == 2)
    assert sorted(told) == ["children /a", "exists /a/b"]

    told.clear()
    await store.exists("/a/b", lambda path: told.append(f"exists {path}"))
    await store.children("/a", lambda path: told.append(f"children {path}"))
    await other.commit([DeleteNode(path="/a/b", version=0)])
    await until(lambda: len(told) == 2)
    assert sorted(told) == ["children /a", "exists /a/b"]

    told.clear()
    await store.children("/a", lambda path: told.append(f"children {path}"))
    await other.commit([DeleteNode(path="/a", version=0)])
    await until(lambda: len(told) == 2)
    assert sorted(told) == ["children /a", "get /a"]


async def test_watch__znode_missing__leaves_none(room: StoreWorld) -> None:
    """A read that failed does not call later."""
    store = await room.connect("alice")
    told: list[str] = []
    with pytest.raises(NodeMissingError):
        await store.get("/a", told.append)
    with pytest.raises(NodeMissingError):
        await store.children("/a", told.append)
    await store.exists("/b", told.append)

    await make(store, "/a")
    await make(store, "/b")

    await until(lambda: told)
    assert told == ["/b"]


async def test_watch__connection_broken__is_gone(room: StoreWorld) -> None:
    """After a return of the session everything is to be read again: no watch outlived it."""
    store = await room.connect("alice")
    other = await room.connect("alice")
    await make(store, "/a")
    states: list[SessionState] = []
    told: list[str] = []
    store.on_state(states.append)
    await store.get("/a", told.append)

    room.break_connection(store)
    await until(lambda: SessionState.CONNECTED in states)
    await other.commit([SetData(path="/a", data=b"1", version=0)])
    again: list[str] = []
    await store.get("/a", again.append)
    await other.commit([SetData(path="/a", data=b"2", version=1)])

    await until(lambda: again)
    assert told == []
    assert states == [SessionState.SUSPENDED, SessionState.CONNECTED]


# -- sessions ---------------------------------------------------------------------------------


async def test_session__expired_under_a_live_client__is_lost_and_then_another(
    room: StoreWorld,
) -> None:
    """The client learns that it is nobody any more, and then goes on as somebody else."""
    store = await room.connect("alice")
    await make(store, "/mine", is_ephemeral=True)
    former_id = store.session_id
    states: list[SessionState] = []
    store.on_state(states.append)

    await room.expire(store)

    await until(lambda: states and states[-1] is SessionState.CONNECTED)
    assert states[-2:] == [SessionState.LOST, SessionState.CONNECTED]
    assert store.session_id not in {0, former_id}
    assert not await store.exists("/mine")
    await make(store, "/mine", is_ephemeral=True)


async def test_session__open__tells_id_and_timeout(room: StoreWorld) -> None:
    """Whoever compares owners and computes deadlines has what the server granted."""
    store = await room.connect("alice")

    assert store.state is SessionState.CONNECTED
    assert store.session_id != 0
    assert room.session_timeout_s == store.session_timeout_s


async def test_call__while_suspended__is_refused_and_not_queued(room: StoreWorld) -> None:
    """Nothing is sent later that somebody gave up on."""
    store = await room.connect("alice")
    await make(store, "/a")
    suspended = asyncio.Event()
    refusals: list[StoreUnavailableError] = []

    async def try_to_write() -> None:
        try:
            await store.commit([SetData(path="/a", data=b"queued", version=0)])
        except StoreUnavailableError as error:
            refusals.append(error)

    tries: list[asyncio.Task[None]] = []

    def on_state(state: SessionState) -> None:
        if state is SessionState.SUSPENDED:
            tries.append(asyncio.ensure_future(try_to_write()))
            # The task's first step runs before the next state can be told.
            suspended.set()

    store.on_state(on_state)
    room.break_connection(store)
    await until(suspended.is_set)
    await asyncio.gather(*tries)
    await until(lambda: store.state is SessionState.CONNECTED)

    if refusals:
        assert refusals[0].outcome is Outcome.NOT_DONE
        assert (await store.get("/a")).version == 0
    else:
        # The connection was back before the task ran.
        assert (await store.get("/a")).version == 1


async def test_close__twice__is_harmless_and_ends_calls(room: StoreWorld) -> None:
    """Closing is idempotent; a closed store does nothing any more."""
    store = await room.connect("alice")

    await store.close()
    await store.close()

    with pytest.raises(Exception, match="no session") as caught:
        await store.get("/")
    assert getattr(caught.value, "outcome", None) is Outcome.NOT_DONE


# -- access -----------------------------------------------------------------------------------


async def test_access__flat_parent__lets_another_delete(room: StoreWorld) -> None:
    """Why a znode's own rules do not protect it: DELETE is asked of the parent."""
    alice = await room.connect("alice")
    bob = await room.connect("bob")
    await make(alice, "/a")

    await bob.commit([DeleteNode(path="/a", version=0)])

    assert not await alice.exists("/a")


async def test_access__stranger__may_nothing(room: StoreWorld) -> None:
    """Each permission is asked where ZooKeeper asks it; a refusal is a refusal, not a conflict."""
    alice = await room.connect("alice")
    bob = await room.connect("bob")
    await make(alice, "/a")
    await make(alice, "/a/b")

    for operation in (
        CheckVersion(path="/a", version=0),
        SetData(path="/a", data=b"", version=0),
        CreateNode(path="/a/c", data=b"", access=ALICE),
        DeleteNode(path="/a/b", version=0),
    ):
        with pytest.raises(AccessDeniedError) as caught:
            await bob.commit([operation])
        assert caught.value.outcome is Outcome.NOT_DONE
    for read in (bob.get("/a"), bob.children("/a"), bob.access("/a")):
        with pytest.raises(AccessDeniedError):
            await read


async def test_access__read_back__is_what_was_given(room: StoreWorld) -> None:
    """The rules can be verified; who may only read them does not see hashes."""
    alice = await room.connect("alice")
    bob = await room.connect("bob")
    rules = (rule("alice"), rule("bob", Permission.READ))
    await alice.commit([CreateNode(path="/a", data=b"", access=rules)])

    assert await alice.access("/a") == tuple(sorted(rules, key=lambda each: each.identity))
    assert [each.identity for each in await bob.access("/a")] == ["alice:x", "bob:x"]
