"""Fixtures of the contract suites: each suite runs against the fake and the real adapter."""

from collections.abc import AsyncIterator, Iterator

import pytest

from hamon.coordination.access import CONTROLLERS_USER
from hamon.coordination.bootstrap import enrol
from hamon.coordination.codec import encode
from hamon.coordination.paths import path_of
from hamon.coordination.session import TlsFiles
from hamon.model.change import grant_of
from hamon.ports.store import Store
from lab.authority import Authority
from tests.contract.cluster import CONTROLLERS, GRANT, GUEST, HOST, IDENTITIES, OTHER, create, spec
from tests.contract.store_world import REAL_TIMEOUT_S, MemoryWorld, RealWorld, StoreWorld
from tests.ensemble import Ensemble, Server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues the certificates of servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def zookeeper_server(authority: Authority) -> Iterator[Server]:
    """One real ZooKeeper server; its ticks allow the sessions of these tests."""
    ensemble = Ensemble(size=1, tick_ms=int(REAL_TIMEOUT_S * 1000 / 20), authority=authority)
    try:
        ensemble.start()
        yield ensemble.servers[0]
    finally:
        ensemble.stop()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("real", marks=pytest.mark.integration),
        pytest.param("tls", marks=[pytest.mark.integration, pytest.mark.slow]),
    ]
)
async def zookeeper(request: pytest.FixtureRequest) -> AsyncIterator[StoreWorld]:
    """Either ZooKeeper, without a chroot yet."""
    world: StoreWorld
    if request.param == "memory":
        world = MemoryWorld()
    else:
        server: Server = request.getfixturevalue("zookeeper_server")
        world = RealWorld(server.address)
        if request.param == "tls":
            issued: Authority = request.getfixturevalue("authority")
            certificate, key = issued.issue("client")
            tls = TlsFiles(ca_file=issued.certificate, certificate_file=certificate, key_file=key)
            world = RealWorld(server.secure_address, tls)
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
async def room(zookeeper: StoreWorld) -> StoreWorld:
    """Either ZooKeeper, with an empty chroot that is alice's and partly bob's."""
    await zookeeper.make_room()
    return zookeeper


@pytest.fixture
async def leader(zookeeper: StoreWorld) -> Store:
    """A controller's session in a cluster with two hosts, one of which has a grant."""
    await zookeeper.make_cluster(IDENTITIES)
    store = await zookeeper.connect(CONTROLLERS_USER)
    await enrol(store, [spec(HOST), spec(OTHER)], CONTROLLERS)
    await store.commit(
        [create(path_of(grant_of(HOST, GUEST)), encode(path_of(grant_of(HOST, GUEST)), GRANT))]
    )
    return store
