"""Hosts and leaders that die or come back at the worst moment of a guest's evacuation by Nova."""

from __future__ import annotations

import signal

import pytest

from lab.deployment import DAEMON, GUESTS
from lab.openstack.programs import COMPUTE
from lab.services import log_of
from tests.integration.nova_world import RETURN_S, NovaWorld
from tests.openstack import NEEDS_OPENSTACK

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]

APART_S = 3.0
TAKEN_OVER_S = 180.0
STUCK_AGAIN_S = 45.0
LATE_ORDER_S = 10.0
LIBVIRT = "libvirtd"
HOSTS = frozenset({"h1", "h2", "h3"})
# The lab's RabbitMQ is root's, and so is its cookie.
_RABBITMQCTL = (
    *("env", "HOME=/var/lib/rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmqctl"),
    *("-q", "-n", "rabbit@localhost"),
)


@pytest.mark.fault("F33")
def test_destination__power_cut_while_it_rebuilds__its_own_incident_takes_the_guest_over(
    nova_world: NovaWorld,
) -> None:
    """By the proof of its death, and not before, the guest is asked for once more."""
    world = nova_world
    [server] = world.boot("h1")

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    with world.rebuild_held(server) as destination:
        world.wait_told("guest_claimed")
        world.power_cut(destination)
    [survivor] = HOSTS - {"h1", destination}

    world.wait(lambda: world.owner(server) == survivor, f"{server} on {survivor}", TAKEN_OVER_S)
    world.wait_moved_from("h1", [server])
    [died] = world.told_of("destination_died")
    [fenced] = [line for line in world.told_of("host_fenced") if line["subject"] != "h1"]
    assert fenced["subject"] == destination
    assert fenced["timestamp"] <= died["timestamp"]
    assert [r.status for r in world.evacuations(server)] == ["pre-migrating", "done"]

    bring_back(world, "h1", destination)
    assert_runs_once(world, server, survivor)


def test_destination__its_libvirt_hangs__guest_is_not_asked_for_again_and_moves_when_it_goes_on(
    nova_world: NovaWorld,
) -> None:
    """nova-compute holds a request that it cannot claim yet: a second one would start it twice."""
    world = nova_world
    [server] = world.boot("h1")

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    with world.hanging(LIBVIRT, "h2", "h3"):
        world.wait_reason("h1", "evacuation_taken")
        shown = world.shown("h1")
        world.stay(STUCK_AGAIN_S)

    world.wait_moved_from("h1", [server])
    assert "look at nova-compute and libvirtd there" in shown, shown
    assert len(world.told_of("evacuation_sent")) == 1
    world.assert_moved_once("h1", [server])
    assert_runs_once(world, server, world.owner(server))


def test_hosts__two_die_seconds_apart__both_are_emptied_onto_the_third(
    nova_world: NovaWorld,
) -> None:
    """Neither is a destination for the other's guests, and each guest is started once."""
    world = nova_world
    first, second = world.boot("h1", 2), world.boot("h2", 2)

    world.power_cut("h1")
    world.stay(APART_S)
    world.power_cut("h2")

    world.wait_moved_from("h1", first)
    world.wait_moved_from("h2", second)
    assert {line["subject"] for line in world.told_of("service_shut_out")} == {"h1", "h2"}
    assert {i["host"] for i in world.incidents()} == {"h1", "h2"}
    assert [world.owner(server) for server in (*first, *second)] == ["h3"] * 4
    bring_back(world, "h1", "h2")
    for server in (*first, *second):
        assert_runs_once(world, server, "h3")


@pytest.mark.fault("F33")
def test_rebuild__queued_for_a_host_that_dies__is_not_carried_out_beside_the_next_one(
    nova_world: NovaWorld,
) -> None:
    """RabbitMQ keeps the order to rebuild a guest; obeyed later, it would be a second copy."""
    world = nova_world
    [server] = world.boot("h1")
    world.disable("h3")

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    with world.hanging(COMPUTE, "h2"):
        world.wait(lambda: messages_for(world, "h2") > 0, "the rebuild waits in the queue of h2")
        world.power_cut("h2")
    world.enable("h3")
    world.wait_moved_from("h1", [server])
    assert world.owner(server) == "h3"

    bring_back(world, "h1", "h2")
    world.wait(lambda: messages_for(world, "h2") == 0, "h2 has read what waited for it", RETURN_S)
    world.stay(LATE_ORDER_S)
    assert_runs_once(world, server, "h3")
    assert len(world.watching.boots(server)) == 2
    # The order failed, and left its task in Nova's row: hamon has Nova forget it.
    world.wait(lambda: is_well(world, server), "the server active by Nova's word", RETURN_S)


def test_rebuild__queued_for_a_compute_that_hangs__is_not_carried_out_beside_the_next_one(
    nova_world: NovaWorld,
) -> None:
    """A host that lives may take the order up at any time: nobody else is to rebuild the guest."""
    world = nova_world
    [server] = world.boot("h1")
    world.disable("h3")

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    with world.hanging(COMPUTE, "h2"):
        world.wait(lambda: messages_for(world, "h2") > 0, "the rebuild waits in the queue of h2")
        world.enable("h3")
        world.wait_reason("h1", "evacuation_queued")
        shown = world.shown("h1")
        world.stay(STUCK_AGAIN_S)

    world.wait_moved_from("h1", [server])
    assert "to h2, whose nova-compute has not taken it up" in shown, shown
    assert len(world.told_of("evacuation_sent")) == 1
    world.assert_moved_once("h1", [server])
    assert_runs_once(world, server, "h2")


@pytest.mark.fault("F42")
def test_source__back_while_its_guest_is_rebuilt__starts_no_copy_and_serves_afterwards(
    nova_world: NovaWorld,
) -> None:
    """By the record of a rebuild under way Nova would destroy the guest: the gate stays shut."""
    world = nova_world
    [server] = world.boot("h1")
    starts = compute_starts(world, "h1")

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    with world.rebuild_held(server):
        world.wait_told("guest_claimed")
        world.lab.host("h1").power_on()
        world.wait_reason("h1", "return_waits_for_migrations")
        assert [r.status for r in world.evacuations(server)] == ["pre-migrating"]
        assert not world.ask("host", host="h1")["guard"]["is_gate_open"]
        assert compute_starts(world, "h1") == starts
    world.wait_moved([server])

    world.wait_serving("h1")
    world.assert_moved_once("h1", [server])
    assert world.domains("h1") == {}
    assert_runs_once(world, server, world.owner(server))


@pytest.mark.fault("F22")
@pytest.mark.parametrize("step", ["evacuation_sent", "guest_claimed", "guest_not_seen"])
def test_leader__killed_after_a_step_of_a_guest__next_one_goes_on_and_nova_is_asked_once(
    nova_world: NovaWorld, step: str
) -> None:
    """The journal and Nova's numbers tell a later leader what was asked, and what came of it."""
    world = nova_world
    [server] = world.boot("h1")

    world.power_cut("h1")
    if step == "guest_not_seen":
        # Nova is through with the guest; its destination's agent does not say so: not done yet.
        world.wait_told("evacuation_sent")
        with world.hanging(GUESTS, "h2", "h3"):
            world.wait_reason("h1", step)
            leading = world.leader()
            leading.signal_process(DAEMON, signal.SIGKILL)
    else:
        leading, _ = world.wait_told(step)
        leading.signal_process(DAEMON, signal.SIGKILL)

    world.wait_moved_from("h1", [server])
    assert world.leader().name != leading.name
    assert [r.status for r in world.evacuations(server)] == ["done"]
    world.assert_moved_once("h1", [server])


def compute_starts(world: NovaWorld, host: str) -> int:
    """How often nova-compute of a host has started."""
    file = log_of(world.lab.layout, world.lab.host(host).name, COMPUTE)
    return file.read_text(errors="replace").count("Starting compute node")


def messages_for(world: NovaWorld, host: str) -> int:
    """How many messages RabbitMQ keeps for a host's nova-compute, also those it has been handed."""
    said = world.cloud.machine.run(
        [*_RABBITMQCTL, "list_queues", "name", "messages"], deadline_s=60.0
    )
    rows = [line.split() for line in said.splitlines()]
    return sum(int(row[1]) for row in rows if row[:1] == [f"compute.{host}"])


def bring_back(world: NovaWorld, *hosts: str) -> None:
    """Power hosts on and wait until they are in service."""
    for host in hosts:
        world.lab.host(host).power_on()
    for host in hosts:
        world.wait_serving(host)


def is_well(world: NovaWorld, server: str) -> bool:
    """Whether Nova calls a server active, and its owner can do with it what they like."""
    said = world.server(server)
    return (said.status, said.task) == ("ACTIVE", "")


def assert_runs_once(world: NovaWorld, server: str, home: str) -> None:
    """A server runs at home and nowhere else, by libvirt and by what is on its disk."""
    powered = [str(host.name) for host in world.lab.hosts if host.powered()]
    running = {host for host in powered if world.on(host).get(server) == "running"}
    assert running == {home}
    assert world.watching.double_writers() == {}
