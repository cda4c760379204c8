"""What operators and tenants said beforehand: disabled and reserved hosts, guests of their own."""

from __future__ import annotations

import pytest

from lab.openstack.overview import ServiceLine
from tests.integration.nova_world import NovaWorld
from tests.integration.reconfigured import reconfigured, replaced
from tests.openstack import NEEDS_OPENSTACK

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]


def test_host__disabled_by_an_operator_and_dead__is_held_with_a_page(
    nova_world: NovaWorld,
) -> None:
    """Somebody may work on it: it is not shot, and not forgotten; enabled, it is helped."""
    world = nova_world
    [guest] = world.boot("h1")
    world.disable("h1")
    world.wait(lambda: not service_of(world, "h1").serves, "h1 disabled")

    world.power_cut("h1")
    world.wait_reason("h1", "conviction_held")
    assert "operator_disabled" in world.holds()
    world.wait(lambda: not world.ask("host", host="h1")["session"], "the session ends")
    assert world.incidents() == []
    world.enable("h1")

    world.wait_moved_from("h1", [guest])
    world.assert_moved_once("h1", [guest])


def test_guest__that_opted_out__stays_with_its_host_and_runs_there_again(
    nova_world: NovaWorld,
) -> None:
    """Masakari's word in a server's metadata is understood; the others move."""
    world = nova_world
    moves, stays = world.boot("h1", 2)
    said = {"metadata": {"HA_Enabled": "False"}}
    world.cloud.compute("POST", f"/servers/{stays}/metadata", said)

    world.power_cut("h1")
    world.wait_moved_from("h1", [moves])
    world.wait_reason("h1", "guest_opted_out")
    assert world.owner(stays) == "h1"
    assert len(world.watching.boots(stays)) == 1
    world.lab.host("h1").power_on()

    world.wait_serving("h1")
    world.wait_moved([stays])
    assert world.owner(stays) == "h1"
    assert world.evacuations(stays) == []


def test_host__reserved__is_put_to_use_when_there_is_no_room_elsewhere(
    nova_world: NovaWorld,
) -> None:
    """It takes no guests until it is needed, and then all that found no other place."""
    world = nova_world
    guests = world.boot("h1", 2)
    edits = {"hosts.d/h3.toml": replaced("labels = ", "reserved = true\nlabels = ")}

    with reconfigured(world, edits):
        world.wait(lambda: not service_of(world, "h3").serves, "h3 kept free")
        world.disable("h2")
        world.power_cut("h1")
        world.wait_moved_from("h1", guests)

        assert {world.owner(guest) for guest in guests} == {"h3"}
        assert service_of(world, "h3").serves
        world.assert_moved_once("h1", guests)
    world.enable("h2")


def service_of(world: NovaWorld, host: str) -> ServiceLine:
    """What Nova says of a host's nova-compute."""
    return next(line for line in world.nova().services if line.host == host)
