"""Computes of other kinds under a real Nova: a service of another name, and a host without agent.

In this lab nova-compute of h1 is called `compute-h1`, and nothing of hamon runs on h3.
"""

from __future__ import annotations

import pytest

from lab.openstack.programs import COMPUTE
from tests.integration.nova_world import RETURN_S, NovaWorld
from tests.openstack import NEEDS_OPENSTACK

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]


@pytest.mark.fault("F1")
def test_power_cut__service_of_another_name__guests_move_and_the_host_serves_again(
    other_computes: NovaWorld,
) -> None:
    """Nova is spoken to by its names, everybody else by hamon's."""
    world = other_computes
    servers = world.boot("h1", 2)

    world.power_cut("h1")
    world.wait_moved_from("h1", servers)

    assert {line["host"] for line in world.told_of("guest_evacuated")} <= {"h2", "h3"}
    assert {r.source for server in servers for r in world.evacuations(server)} == {"compute-h1"}
    world.assert_moved_once("h1", servers)
    world.lab.host("h1").power_on()
    world.wait_serving("h1")
    assert world.domains("h1") == {}
    assert world.told_of("service_enabled", subject="h1")
    world.assert_moved_once("h1", servers)


def test_nova_compute__down_on_a_host_without_agent__is_told_and_the_host_is_left_alone(
    other_computes: NovaWorld,
) -> None:
    """Nova's word is no death: a host that answers is not given up, not even by a person."""
    world = other_computes
    [server] = world.boot("h3")

    world.lab.host("h3").stop_service(COMPUTE)
    world.wait_reason("h3", "agentless_down")
    said = world.hamon("evacuate-host", "h3", "--yes")
    world.lab.host("h3").start_service(COMPUTE)

    assert said.returncode == 1, said.stdout + said.stderr
    assert "is still in use" in said.stderr
    assert world.incidents() == []
    assert len(world.watching.boots(server)) == 1
    world.wait_serving("h3")


def test_power_cut__host_without_agent__is_moved_by_hand_only_and_comes_back_by_its_power(
    other_computes: NovaWorld,
) -> None:
    """Hamon fences no such host by itself; a person's wish goes through the same proof."""
    world = other_computes
    servers = world.boot("h3", 2)

    world.power_cut("h3")
    world.wait_reason("h3", "agentless_down")
    assert (world.state("h3"), world.incidents()) == ("UP", [])
    # Nobody answers there for a while, and Nova has not heard of it for a while.
    world.wait(
        lambda: world.hamon("evacuate-host", "h3", "--yes", "--no-wait").returncode == 0,
        "h3 is given up",
        RETURN_S,
    )
    world.wait_moved_from("h3", servers)
    assert world.incident("h3")["proof"]["method"] == "power"
    world.assert_moved_once("h3", servers)

    world.lab.host("h3").power_on()
    world.wait_serving("h3")
    assert world.told_of("agentless_returned", subject="h3")
    assert world.domains("h3") == {}
    world.assert_moved_once("h3", servers)
