"""The store on a real server that stalls, swallows or refuses."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import Identities, digest_of
from hamon.coordination.bootstrap import bootstrap
from hamon.coordination.election import Election
from hamon.coordination.session import SessionCredentials, StoreSettings
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import AccessDeniedError, ConfigError, Outcome, StoreUnavailableError
from hamon.model.names import ControllerId
from hamon.ports.store import AccessRule, CreateNode, Permission, SessionState, SetData
from tests.contract.store_world import until
from tests.ensemble import LOOPBACK, Ensemble

pytestmark = pytest.mark.integration

SESSION_TIMEOUT_S = 4.0
WITHIN_S = 20.0
USER, PASSWORD = "alice", "secret"
RULES = (AccessRule(identity=digest_of(USER, PASSWORD), permissions=frozenset(Permission)),)

Connect = Callable[..., Coroutine[object, object, ZooKeeperStore]]


@pytest.fixture(scope="module")
def ensemble() -> Iterator[Ensemble]:
    """One server."""
    ensemble = Ensemble(size=1, tick_ms=400)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.stop()


@pytest.fixture
async def connect(ensemble: Ensemble) -> AsyncIterator[Connect]:
    """Open sessions that end with the test."""
    stores: list[ZooKeeperStore] = []

    async def connect(
        *,
        servers: tuple[str, ...] = ensemble.addresses,
        chroot: str = "/",
        session_timeout_s: float = SESSION_TIMEOUT_S,
        resume: SessionCredentials | None = None,
        within_s: float = WITHIN_S,
    ) -> ZooKeeperStore:
        settings = StoreSettings(
            servers=servers,
            chroot=chroot,
            session_timeout_s=session_timeout_s,
            user=USER,
            password=PASSWORD,
            resume=resume,
        )
        store = ZooKeeperStore(settings)
        stores.append(store)
        await store.start(within_s)
        return store

    yield connect
    for store in stores:
        await store.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Address of something that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"


@pytest.mark.fault("F13")
async def test_call__server_stopped__is_unknown_and_the_next_is_not_queued(
    ensemble: Ensemble, connect: Connect
) -> None:
    """A call ends by its own deadline; while there is no connection nothing is sent later."""
    store = await connect()
    await store.commit([CreateNode(path="/stall", data=b"", access=RULES)])
    (server,) = ensemble.servers
    server.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError) as unanswered:
            await store.commit([SetData(path="/stall", data=b"unknown", version=0)])
        await until(lambda: store.state is SessionState.SUSPENDED)
        with pytest.raises(StoreUnavailableError) as refused:
            await store.commit([SetData(path="/stall", data=b"never", version=1)])
        # kazoo's own view, which the store's may lag behind.
        async_result = store._client.set_async("/stall", b"never", 1)  # noqa: SLF001
        assert async_result.exception is not None
    finally:
        server.send(signal.SIGCONT)
    await until(lambda: store.state is SessionState.CONNECTED)

    assert unanswered.value.outcome is Outcome.UNKNOWN
    assert refused.value.outcome is Outcome.NOT_DONE
    node = await store.get("/stall")
    assert node.data in {b"", b"unknown"}


@pytest.mark.fault("F13")
async def test_start__server_swallows_packets__another_is_found_in_time(
    ensemble: Ensemble, connect: Connect, black_hole: str
) -> None:
    """One dead server in the list does not cost the session, at start or later."""
    servers = (black_hole, *ensemble.addresses)
    store = await connect(servers=servers)
    session_id = store.session_id
    states: list[SessionState] = []
    store.on_state(states.append)

    for _ in range(5):
        states.clear()
        store._client.drop_connection()  # noqa: SLF001 - the fault
        await until(lambda: states and states[-1] is SessionState.CONNECTED)

    assert session_id == store.session_id


async def test_start__nobody_there__says_so(connect: Connect, black_hole: str) -> None:
    """Whoever does not want to wait for ever is told which servers did not answer."""
    with pytest.raises(StoreUnavailableError, match=black_hole):
        await connect(servers=(black_hole,), within_s=0.5)


@pytest.mark.parametrize("asked_s", [0.5, 60.0])
async def test_start__another_session_timeout_granted__is_refused(
    connect: Connect, asked_s: float
) -> None:
    """Detection's arithmetic holds for the time-out that was configured, or hamon does not run."""
    with pytest.raises(ConfigError, match="tickTime"):
        await connect(session_timeout_s=asked_s)


async def test_reconnect__another_session_timeout_granted__ends_the_election_too() -> None:
    """A daemon whose ZooKeeper came back with other times ends and says why; it must not linger."""
    controllers = digest_of(USER, PASSWORD)
    identities = Identities(controllers=controllers)
    ensemble = Ensemble(size=1, tick_ms=400)
    try:
        ensemble.start()
        settings = StoreSettings(
            servers=ensemble.addresses,
            chroot="/",
            session_timeout_s=SESSION_TIMEOUT_S,
            user=USER,
            password=PASSWORD,
        )
        first = ZooKeeperStore(settings)
        await first.start(WITHIN_S)
        await bootstrap(first, "/hamon/test", identities)
        await first.close()
        store = ZooKeeperStore(replace(settings, chroot="/hamon/test"))
        await store.start(WITHIN_S)
        election = Election(store, ControllerId("controller-1"), identities, SystemClock())
        office = await election.wait_for_office()
        (server,) = ensemble.servers
        server.stop()
        with (server.folder / "zoo.cfg").open("a") as config:
            config.write("maxSessionTimeout=3000\n")
        ensemble.start()

        async with asyncio.timeout(WITHIN_S):
            await office.lost.wait()
            with pytest.raises(AccessDeniedError, match="tickTime"):
                await election.wait_for_office()
        await store.close()
    finally:
        ensemble.stop()


async def test_start__chroot_missing__is_refused(connect: Connect) -> None:
    """Hamon does not make up a chroot where somebody mistyped it."""
    with pytest.raises(ConfigError, match="hamon bootstrap"):
        await connect(chroot="/nowhere")


async def test_resume__session_has_expired__begins_another(connect: Connect) -> None:
    """A successor that comes too late starts anew, and can tell."""
    first = await connect()
    credentials = first.credentials
    in_time = await connect(resume=credentials)
    assert in_time.is_resumed
    await in_time.close()

    late = await connect(resume=credentials)

    assert not late.is_resumed
    assert late.session_id != credentials.session_id
    assert "password" not in repr(credentials)


async def test_close__server_stopped__returns_in_bounded_time(
    ensemble: Ensemble, connect: Connect
) -> None:
    """Leaving never hangs on a server that does not answer."""
    store = await connect()
    (server,) = ensemble.servers
    server.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(SESSION_TIMEOUT_S):
            await store.close()
    finally:
        server.send(signal.SIGCONT)

    assert store.state is SessionState.LOST
