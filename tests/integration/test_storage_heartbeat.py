"""Heartbeats on shared storage: real agents write, real daemons read, on the lab's machines."""

from __future__ import annotations

from typing import Any

import pytest

from hamon.model.policy import DetectionPolicy
from lab.names import Plane
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_planes__cut_while_storage_passes__host_is_seen_alive_on_storage(world: World) -> None:
    """What a host that lost every network still shows, and what it shows once it is dead."""
    world.hamon("disarm", "--reason", "only to look")
    world.taken_down.add("h1")
    for plane in (Plane.MANAGEMENT, Plane.STORAGE):
        world.lab.cut("h1", plane)
    world.wait_state("h1", "SUSPECT")

    world.wait(lambda: not world.ask("host", host="h1")["session"], "the session is lost")
    world.wait(lambda: on_storage(world, "alive_strong"), "it is alive on storage")
    told = world.ask("host", host="h1")
    assert [told["boot_id"]] == [e["boot_id"] for e in told["evidence"] if is_of_storage(e)]

    world.power_cut("h1")
    world.wait(lambda: on_storage(world, "silent"), "it is silent on storage")
    world.mend("h1")


def test_storage__cut_while_all_planes_pass__host_tells_it_and_takes_it_back(world: World) -> None:
    """A host whose storage is in trouble is the only one that can tell."""
    world.lab.cut_storage("h1")
    world.wait(lambda: failed(world) == ["storage:shared"], "it tells of its storage")
    assert "UP" == world.state("h1")

    world.lab.restore_storage("h1")

    world.wait(lambda: failed(world) == [], "it takes it back")
    assert world.incidents() == []


def is_of_storage(evidence: dict[str, Any]) -> bool:
    """Whether a vote is that of the shared storage."""
    return (evidence["source"], evidence["subject"]) == ("storage", "shared")


def on_storage(world: World, vote: str) -> bool:
    """Whether the storage says this of the host, now."""
    fresh_s = DetectionPolicy().fresh_s
    return any(
        is_of_storage(seen) and seen["vote"] == vote and seen["age_s"] <= fresh_s
        for seen in world.ask_leader("host", host="h1")["evidence"]
    )


def failed(world: World) -> list[str]:
    """Name the checks of the host that failed."""
    checks = world.ask("host", host="h1")["checks"]
    return sorted(checks["failed"]) if checks is not None else []
