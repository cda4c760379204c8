"""Fixtures of the contract suites: each suite runs against the fake and the real adapter."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.store_world import SESSION_TIMEOUT_S, MemoryWorld, RealWorld, StoreWorld
from tests.ensemble import Ensemble


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[str]:
    """Address of one real ZooKeeper server; its ticks allow the sessions of these tests."""
    ensemble = Ensemble(size=1, tick_ms=int(SESSION_TIMEOUT_S * 1000 / 10))
    try:
        ensemble.start()
        yield ensemble.addresses[0]
    finally:
        ensemble.stop()


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
async def zookeeper(request: pytest.FixtureRequest) -> AsyncIterator[StoreWorld]:
    """Either ZooKeeper, without a chroot yet."""
    world: StoreWorld
    if request.param == "memory":
        world = MemoryWorld()
    else:
        world = RealWorld(request.getfixturevalue("zookeeper_server"))
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
async def room(zookeeper: StoreWorld) -> StoreWorld:
    """Either ZooKeeper, with an empty chroot that is alice's and partly bob's."""
    await zookeeper.make_room()
    return zookeeper
