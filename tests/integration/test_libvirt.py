"""A destination's libvirt on bad days: the guest ends up running once, or waits and says why."""

from __future__ import annotations

import signal

import pytest

from lab.deployment import GUESTS
from lab.names import LabError
from tests.integration.world import World

pytestmark = pytest.mark.integration

LIBVIRTD = "libvirtd"
EMULATOR = "/etc/hamon/emulator"
STOCK_EMULATOR = "/usr/bin/qemu-system-x86_64"


def test_libvirtd__paused_in_mid_rebuild_and_resumed_later__start_is_refused_there(
    world: World,
) -> None:
    """A guest that was given to another host cannot be started by the one that was too slow."""
    [guest] = world.run_guests("h1")
    slow = world.lab.host("h3")

    world.power_cut("h1")
    # The destination with the highest name among equals is tried first, about two seconds later.
    world.wait_told("fence_shot")
    slow.signal_process(LIBVIRTD, signal.SIGSTOP)
    world.wait_moved([guest])
    assert world.migration("h1", guest)["tried"] == ["h3"]
    world.wait_owner(guest, "h2")

    # Its agent would tidy up what is left there: the gate has to hold without it.
    slow.signal_process(GUESTS, signal.SIGSTOP)
    slow.signal_process(LIBVIRTD, signal.SIGCONT)
    if guest not in world.domains("h3"):
        world.lab.guests.define(guest, slow)
    with pytest.raises(LabError, match="refused"):
        world.lab.guests.start(guest, slow)
    slow.signal_process(GUESTS, signal.SIGCONT)
    world.wait(lambda: world.domains("h3") == {}, "h3 tidied up")
    assert len(world.watching.boots(guest)) == 2


@pytest.mark.slow
def test_libvirtd__paused_in_the_middle_of_a_start__guest_runs_once(world: World) -> None:
    """Whatever becomes of a start that libvirt was stopped in, the guest runs in one place."""
    [guest] = world.run_guests("h1")
    slow = world.lab.host("h3")
    defined = slow.path(f"/etc/libvirt/qemu/{guest}.xml")

    world.power_cut("h1")
    world.wait_told("guest_scheduled")
    world.wait(defined.exists, f"{guest} defined on h3")
    slow.signal_process(LIBVIRTD, signal.SIGSTOP)
    world.stay(20.0)
    slow.signal_process(LIBVIRTD, signal.SIGCONT)

    world.wait_moved([guest])
    world.wait(lambda: world.ask("guest", guest=guest)["migration"] is None, "migration over")
    assert len(world.watching.boots(guest)) == 2


@pytest.mark.slow
def test_definition__refused_by_every_destination__waits_until_one_takes_it(world: World) -> None:
    """A guest that no libvirt elsewhere defines waits, says why, and moves when one does."""
    world.lab.host("h1").run(["ln", "-s", STOCK_EMULATOR, EMULATOR])
    [guest] = world.run_guests("h1", xml=lambda name: with_own_emulator(world, name))

    world.power_cut("h1")
    world.wait(
        lambda: {"h2", "h3"} <= set(released(world, guest)), f"{guest} was refused by h2 and h3"
    )
    assert world.migration("h1", guest)["reason"]
    world.lab.host("h2").run(["ln", "-s", STOCK_EMULATOR, EMULATOR])

    world.wait_moved([guest])
    world.wait_owner(guest, "h2")
    world.lab.host("h2").run(["rm", EMULATOR])


def test_libvirtd__restarted_with_an_emptied_configuration__no_guest_is_forgotten(
    world: World,
) -> None:
    """Definitions that vanish without anybody's word are not taken for an operator's wish."""
    [guest] = world.run_guests("h1")
    off = world.define_guest("h1")
    world.wait_owned("h1", [off])
    host = world.lab.host("h1")

    host.stop_service(LIBVIRTD)
    host.run(["sh", "-c", "rm /etc/libvirt/qemu/*.xml"])
    host.start_service(LIBVIRTD)
    world.wait(lambda: off not in world.domains("h1"), f"{off} lost by libvirt")
    world.wait(lambda: len(world.ask("host", host="h1")["guests"]) == 2, "both still known")
    world.wait(lambda: "definitions_lost" in world.holds(), "a hold that names them")
    world.power_cut("h1")

    world.wait_moved([guest])
    world.wait_state("h1", "EVACUATED")
    assert world.owner(off) != "h1"


def released(world: World, guest: str) -> list[str]:
    """Every destination that has given the guest back, in their order."""
    uuid = str(world.lab.guests.uuid(guest))
    lines = [line for line in world.told() if line["event"] == "guest_released"]
    return [str(line["host"]) for line in lines if line["subject"] == uuid]


def with_own_emulator(world: World, name: str) -> str:
    """The XML of a guest that runs in a program that other hosts do not have."""
    return world.lab.guests.xml(name).replace(STOCK_EMULATOR, EMULATOR)
