"""Heartbeats on shared storage: real agents write, real daemons read, on the lab's machines."""

from __future__ import annotations

from typing import Any

import pytest

from lab.names import Plane
from tests.integration.world import World

pytestmark = pytest.mark.integration


@pytest.mark.fault("F8")
def test_planes__cut_while_storage_passes__host_is_partitioned_until_it_is_dead(
    world: World,
) -> None:
    """A host that lost every network runs its guests and is left alone; dead, it is helped (F8)."""
    [guest] = world.run_guests("h1")
    world.taken_down.add("h1")
    for plane in (Plane.MANAGEMENT, Plane.STORAGE):
        world.lab.cut("h1", plane)

    world.wait_state("h1", "PARTITIONED")
    told = world.ask_leader("host", host="h1")
    assert [told["boot_id"]] == [e["boot_id"] for e in told["evidence"] if is_of_storage(e)]
    world.wait_reason("h1", "host_partitioned")
    assert world.incidents() == []

    world.power_cut("h1")
    world.wait_moved([guest])
    world.mend("h1")


@pytest.mark.fault("F9")
def test_storage__cut_while_all_planes_pass__host_is_degraded_and_comes_back(world: World) -> None:
    """A host whose storage is in trouble is the only one that can tell (F9)."""
    world.lab.cut_storage("h1")
    world.wait(lambda: failed(world) == ["storage:shared"], "it tells of its storage")
    world.wait_state("h1", "DEGRADED")

    world.lab.restore_storage("h1")

    world.wait(lambda: failed(world) == [], "it takes it back")
    world.wait_state("h1", "UP")
    assert world.incidents() == []


def is_of_storage(evidence: dict[str, Any]) -> bool:
    """Whether a vote is that of the shared storage."""
    return (evidence["source"], evidence["subject"]) == ("storage", "shared")


def failed(world: World) -> list[str]:
    """Name the checks of the host that failed."""
    checks = world.ask("host", host="h1")["checks"]
    return sorted(checks["failed"]) if checks is not None else []
