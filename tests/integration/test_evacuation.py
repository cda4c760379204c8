"""A host dies and its guests run elsewhere: the flow of DESIGN section 1 on real parts."""

from __future__ import annotations

import pytest

from tests.integration.world import World, open_migrations

pytestmark = pytest.mark.integration

LOCAL_DISK = "/var/lib/hamon-lab-local.raw"


@pytest.mark.fault("F1")
def test_power_cut__host_with_guests__all_run_elsewhere(world: World) -> None:
    """Running guests run again, one that was off stays off, what cannot move is named."""
    running = world.run_guests("h1", 3)
    off = world.define_guest("h1")
    local = world.define_guest("h1", xml=lambda name: with_local_disk(world, name))
    world.wait_owned("h1", [off])
    world.wait(lambda: local in not_movable(world, "h1"), f"{local} is known as not movable")

    world.power_cut("h1")
    world.wait_moved(running)

    world.wait_state("h1", "EVACUATED")
    incident = world.incident("h1")
    assert {m["name"]: m["status"] for m in incident["migrations"]} == dict.fromkeys(
        [*running, off], "done"
    )
    assert [line["name"] for line in incident["not_movable"]] == [local]
    assert incident["proof"]["method"] == "power"
    assert {"convicted", "fenced", "evacuating", "evacuated"} <= incident["stamps"].keys()
    states = {**world.domains("h2"), **world.domains("h3")}
    assert states == {**dict.fromkeys(running, "running"), off: "shut off"}
    assert all(len(world.watching.boots(name)) == 2 for name in running)


@pytest.mark.fault("F33")
def test_destination__dies_in_mid_rebuild__guest_goes_to_another(world: World) -> None:
    """A claim of a destination that is proven dead ends, and the guest moves on."""
    [guest] = world.run_guests("h1")

    world.power_cut("h1")
    _, line = world.wait_told("guest_scheduled")
    first = str(line["host"])
    world.power_cut(first)

    world.wait_moved([guest])
    [last] = {"h2", "h3"} - {first}
    world.wait_owner(guest, last)
    world.wait(lambda: not open_migrations(world.incident("h1")), "no migration open")
    assert world.migration("h1", guest)["dest_compute"] == last


def not_movable(world: World, host: str) -> list[str]:
    """The guests of a host that hamon cannot move."""
    shown = world.ask("host", host=host)["guests"]
    return [guest["name"] for guest in shown if guest["not_movable"] == ["local_disk"]]


def with_local_disk(world: World, name: str) -> str:
    """The XML of a guest whose disk is on no shared storage."""
    xml = world.lab.guests.xml(name)
    return xml.replace(f"/srv/hamon-lab-shared/guests/{name}.raw", LOCAL_DISK)
