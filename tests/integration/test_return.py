"""A host comes back: stale copies go first, what has not left stays."""

from __future__ import annotations

import re
import uuid

import pytest

from lab.deployment import CONFIG
from lab.names import LabError, Plane
from tests.integration.world import World

pytestmark = pytest.mark.integration

NETWORK = "lab"


@pytest.mark.fault("F43")
def test_return__after_evacuation__stale_copies_go_then_host_serves(world: World) -> None:
    """A returned host cannot start a stale copy by hand, loses it, and is in service again."""
    [guest] = world.run_guests("h1")
    world.power_cut("h1")
    world.wait_moved([guest])
    world.wait_state("h1", "EVACUATED")

    # Without ZooKeeper the returned host can ask nobody, so its stale copy is still there.
    world.lab.cut("h1", Plane.MANAGEMENT)
    world.lab.host("h1").power_on()
    world.wait(lambda: guest in world.domains("h1"), "libvirt on h1")
    with pytest.raises(LabError, match="refused"):
        world.lab.guests.start(guest, world.lab.host("h1"))
    world.mend("h1")

    world.wait_state("h1", "UP")
    assert world.domains("h1") == {}
    incident = world.incident("h1")
    assert incident["closed"]
    assert world.migration("h1", guest)["status"] == "completed"
    assert len(world.watching.boots(guest)) == 2


@pytest.mark.fault("F44")
@pytest.mark.slow
def test_return__of_another_machine_under_its_name__it_stays_shut(world: World) -> None:
    """Its fence devices would shoot at the machine it was: nobody could fence this one."""
    [guest] = world.run_guests("h1")
    settings = world.lab.host("h1").path(CONFIG / "agent.toml")
    own = settings.read_text()
    named = re.sub("(?m)^product_uuid = .*$", f'product_uuid = "{uuid.uuid4()}"', own)
    assert named != own
    # The agent that runs has read it; that of the next boot is the stranger's.
    settings.write_text(named)

    world.power_cut("h1")
    world.wait_moved([guest])
    world.lab.host("h1").power_on()
    world.wait_reason("h1", "host_is_another_machine")
    world.stay(10.0)
    assert world.state("h1") != "UP"
    world.lab.host("h1").path(CONFIG / "agent.toml").write_text(own)
    world.lab.reset("h1")

    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 2


@pytest.mark.fault("F42")
@pytest.mark.slow
def test_return__while_guests_are_half_moved__the_rest_stays(world: World) -> None:
    """What nobody else has taken yet stays with the host that came back."""
    [moves] = world.run_guests("h1")
    [waits] = world.run_guests("h1", xml=lambda name: with_network(world, name))
    for other in ("h2", "h3"):
        world.lab.host(other).run(["virsh", "-q", "net-destroy", NETWORK])
    wait_without_network(world)

    world.power_cut("h1")
    world.wait_moved([moves])
    world.wait(
        lambda: "network lab not active" in world.migration("h1", waits)["reason"],
        f"{waits} waits and says why",
    )
    assert world.migration("h1", waits)["status"] == "WAITING"
    world.lab.host("h1").power_on()

    world.wait_state("h1", "UP")
    world.wait_moved([waits])
    assert world.migration("h1", moves)["status"] == "completed"
    assert world.migration("h1", waits)["status"] == "stays"
    assert world.owner(waits) == "h1"
    assert world.domains("h1") == {waits: "running"}
    for other in ("h2", "h3"):
        world.lab.host(other).run(["virsh", "-q", "net-start", NETWORK])


def with_network(world: World, name: str) -> str:
    """The XML of a guest that needs the lab's network."""
    return world.lab.guests.xml(name, with_interface=True)


def wait_without_network(world: World) -> None:
    """Wait until h2 and h3 have said that the network is not active there."""

    def is_said() -> bool:
        shown = [world.ask("host", host=host)["capacity"] for host in ("h2", "h3")]
        return all(NETWORK not in capacity["networks"] for capacity in shown)

    world.wait(is_said, "h2 and h3 without the network")


@pytest.mark.fault("F32")
@pytest.mark.slow
def test_room__none_anywhere__guest_waits_and_moves_when_there_is_some(world: World) -> None:
    """NoValidHost is visible, blocks nobody, and ends by itself when room appears."""
    [guest] = world.run_guests("h1")
    filler = world.fill("h2")
    world.fill("h3")

    world.power_cut("h1")
    world.wait_told("no_valid_host")
    world.wait(
        lambda: "vCPU" in world.migration("h1", guest)["reason"], f"{guest} waits and says why"
    )
    assert world.migration("h1", guest)["status"] == "WAITING"
    assert "NoValidHost" in world.hamon("explain", "h1").stdout
    world.lab.guests.destroy(filler, world.lab.host("h2"))
    world.lab.guests.undefine(filler, world.lab.host("h2"))

    world.wait_moved([guest])
    world.wait_owner(guest, "h2")
