"""The guests process's own ephemerals: there while it is, and of the session it has now."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hamon.errors import NodeMissingError
from tests.unit.agent_world import HOST, World

PATH = f"/hosts/{HOST}/alive/guests"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A host with a guests process."""
    world = World()
    await world.prepare()
    await world.start_agent()
    await world.clock.advance(6.0)
    yield world
    await world.stop_agent()


async def test_keep__process_runs__is_there_by_its_session(world: World) -> None:
    """Who published is known to live."""
    assert world.store.session_id == (await world.leader.get(PATH)).owner


async def test_keep__process_starts_anew__takes_the_former_ones_away(world: World) -> None:
    """There is one guests process of a host, and nobody waits for a dead one's session."""
    former = world.store.session_id
    await world.stop_agent()

    await world.start_agent()
    await world.clock.advance(6.0)

    assert world.store.session_id != former
    assert world.store.session_id == (await world.leader.get(PATH)).owner


async def test_process_dies__is_gone_with_its_session(world: World) -> None:
    """What it published is then known to be of the past."""
    world.store.die()
    await world.stop_agent()

    await world.clock.advance(10.0)

    with pytest.raises(NodeMissingError):
        await world.leader.get(PATH)
