"""Guests that make trouble of their own: no room for them, deleted meanwhile, in other states."""

from __future__ import annotations

import signal

import pytest

from lab.openstack.programs import COMPUTE
from tests.integration.nova_world import NovaWorld, signal_all
from tests.openstack import NEEDS_OPENSTACK

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]


@pytest.mark.fault("F32")
def test_no_room__then_room__guests_wait_visibly_and_move_as_they_were(
    nova_world: NovaWorld,
) -> None:
    """NoValidHost puts a server into ERROR; what it was before is restored when there is room."""
    world = nova_world
    running, off = world.boot("h1", 2)
    world.switch_off(off)
    world.disable("h2", "h3")

    world.power_cut("h1")
    world.wait(
        lambda: {line["subject"] for line in world.told_of("no_valid_host")} == {running, off},
        "Nova has no room for either",
    )
    shown = world.shown("h1")
    waiting = {m["guest"]: m for m in world.incident("h1")["migrations"]}
    world.enable("h2", "h3")

    world.wait_moved_from("h1", [running])
    assert "No valid host" in shown, shown
    assert {m["status"] for m in waiting.values()} <= {"WAITING", "accepted"}, waiting
    world.assert_moved_once("h1", [running])
    stopped = world.server(off)
    assert (stopped.status, world.on(world.owner(off))[off]) == ("SHUTOFF", "shut off")
    assert all(not said.task for said in (stopped, world.server(running)))


@pytest.mark.fault("F37")
def test_guest__deleted_while_it_waits__its_migration_ends_and_nothing_of_it_returns(
    nova_world: NovaWorld,
) -> None:
    """Its owner does not want it any more: nobody brings it back, and nobody waits for it."""
    world = nova_world
    kept, deleted = world.boot("h1", 2)
    world.disable("h2", "h3")

    world.power_cut("h1")
    world.wait(
        lambda: {line["subject"] for line in world.told_of("no_valid_host")} == {kept, deleted},
        "Nova has no room for either",
    )
    world.delete(deleted)
    world.enable("h2", "h3")

    world.wait_moved_from("h1", [kept])
    [told] = world.told_of("guest_not_movable", subject=deleted)
    # By a list that no longer has it, or by Nova's answer to the next request.
    assert "deleted" in told["why"] or "could not be found" in told["why"], told
    statuses = {m["guest"]: m["status"] for m in world.incident("h1")["migrations"]}
    assert statuses == {kept: "done", deleted: "failed"}

    world.lab.host("h1").power_on()
    world.wait_serving("h1")
    assert world.incident("h1")["closed"]
    assert "running" not in world.domains("h1").values()
    assert len(world.watching.boots(deleted)) <= 1
    world.assert_moved_once("h1", [kept])


def test_guest__in_error_when_its_host_dies__is_active_elsewhere(nova_world: NovaWorld) -> None:
    """ERROR says nothing about whether it ran; its host's agent had seen that it did."""
    world = nova_world
    [server] = world.boot("h1")
    world.act(server, "os-resetState", {"state": "error"})
    assert world.server(server).status == "ERROR"

    world.power_cut("h1")
    world.wait_moved_from("h1", [server])

    world.assert_moved_once("h1", [server])
    said = world.server(server)
    assert (said.status, said.task) == ("ACTIVE", "")


@pytest.mark.fault("F31")
def test_guest__being_stopped_when_its_host_dies__is_off_elsewhere_and_stays_off(
    nova_world: NovaWorld,
) -> None:
    """Its owner wanted it off; the order that waits for the dead host changes nothing later."""
    world = nova_world
    [server] = world.boot("h1")
    signal_all(world.lab.host("h1"), COMPUTE, signal.SIGSTOP)
    world.guests.remove(server)
    world.act(server, "os-stop")
    assert world.server(server).task == "powering-off"

    world.power_cut("h1")
    world.wait_state("h1", "EVACUATED")

    [told] = world.told_of("power_restored", subject=server)
    assert told["wanted"] == "shutoff"
    assert_off_elsewhere(world, server)
    world.lab.host("h1").power_on()
    world.wait_serving("h1")
    assert_off_elsewhere(world, server)
    assert world.domains("h1") == {}


def assert_off_elsewhere(world: NovaWorld, server: str) -> None:
    """Nova and the destination's libvirt agree that a server is off there."""
    said = world.server(server)
    home = world.owner(server)
    assert (said.status, said.task, home != "h1") == ("SHUTOFF", "", True)
    assert world.on(home)[server] == "shut off"
