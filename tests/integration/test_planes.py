"""Networks that fail in part: what anybody still hears is not dead."""

from __future__ import annotations

import pytest

from lab.names import Plane
from lab.network import Direction
from tests.integration.world import World

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "direction",
    [
        pytest.param(Direction.BOTH, marks=pytest.mark.fault("F8")),
        pytest.param(Direction.OUT, marks=[pytest.mark.fault("F11"), pytest.mark.slow]),
        pytest.param(Direction.IN, marks=[pytest.mark.fault("F11"), pytest.mark.slow]),
    ],
)
def test_management__cut_while_storage_answers__host_is_suspect_and_lives(
    world: World, direction: Direction
) -> None:
    """A host heard on storage is not dead, whichever way its management plane is deaf."""
    [guest] = world.run_guests("h1")

    world.lab.cut("h1", Plane.MANAGEMENT, direction)
    world.wait_state("h1", "SUSPECT")
    world.wait_reason("h1", "alive_by_echo")
    world.mend("h1")

    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@pytest.mark.fault("F9")
@pytest.mark.slow
def test_storage__cut_while_management_answers__host_stays_up(world: World) -> None:
    """A silent storage plane alone changes nothing about a host that is registered."""
    [guest] = world.run_guests("h1")

    world.lab.cut("h1", Plane.STORAGE)
    world.wait(lambda: "storage" in silent_planes(world, "h1"), "silence on storage")
    assert world.state("h1") == "UP"
    world.mend("h1")

    world.wait(lambda: silent_planes(world, "h1") == set(), "no silence")
    assert world.watching.writing(guest)
    assert world.incidents() == []


def test_both_planes__cut__host_is_fenced_before_its_guests_move(world: World) -> None:
    """Nobody can tell an isolated host from a dead one: its power is cut first."""
    [guest] = world.run_guests("h1")

    world.isolate("h1")
    world.wait_moved([guest])

    assert not world.lab.host("h1").powered()
    assert world.incident("h1")["proof"]["method"] == "power"
    world.mend("h1")
    world.lab.host("h1").power_on()
    world.wait_state("h1", "UP")


def silent_planes(world: World, host: str) -> set[str]:
    """The planes on which the leader hears nothing of a host."""
    evidence = world.ask("explain", host=host)["evidence"]
    return {line["subject"] for line in evidence if line["vote"] == "silent"}
