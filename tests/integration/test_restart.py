"""Hosts that go and come by themselves or in order, and agents that do: nobody is fenced."""

from __future__ import annotations

import signal

import pytest

from lab.bmc import Fault
from lab.deployment import GUESTS, HEARTBEAT
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_host__reboots_before_conviction__restores_its_guests_in_place(world: World) -> None:
    """A host that is back with a new boot before anybody convicted it is not fenced."""
    guests = world.run_guests("h1", 2)

    world.lab.reset("h1")

    world.wait_told("host_restarted")
    world.wait_moved(guests)
    world.wait_state("h1", "UP")
    assert {world.owner(name) for name in guests} == {"h1"}
    assert world.incidents() == []


def test_host__announces_its_reboot__is_waited_for(world: World) -> None:
    """An orderly reboot takes as long as it takes: nothing is fenced, nothing moves."""
    [guest] = world.run_guests("h1")

    assert world.hamon("agent", "leave", "reboot", on="h1").returncode == 0
    world.wait_state("h1", "LEAVING")
    world.lab.host("h1").shut_down()
    world.wait(lambda: not world.ask("explain", host="h1")["session"], "h1's session gone")
    world.wait_reason("h1", "host_left")
    world.lab.host("h1").power_on()

    world.wait_moved([guest])
    world.wait_state("h1", "UP")
    assert world.owner(guest) == "h1"
    assert world.incidents() == []


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGKILL, marks=pytest.mark.fault("F5")),
        pytest.param(signal.SIGSTOP, marks=pytest.mark.fault("F6")),
    ],
)
def test_heartbeat__killed_or_paused__host_is_suspect_and_lives(
    world: World, number: signal.Signals
) -> None:
    """A lost session is an alarm, not a death: a kernel that answers holds everything back."""
    [guest] = world.run_guests("h1")

    world.lab.host("h1").signal_process(HEARTBEAT, number)

    world.wait_state("h1", "SUSPECT")
    world.wait_reason("h1", "alive_on_storage")
    if number == signal.SIGSTOP:
        world.lab.host("h1").signal_process(HEARTBEAT, signal.SIGCONT)
    else:
        world.lab.host("h1").start_service(HEARTBEAT)
    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@pytest.mark.fault("F4")
def test_heartbeat__killed_and_started_at_once__host_stays_up(world: World) -> None:
    """Its successor goes on before the session ends: a restart is no death."""
    [guest] = world.run_guests("h1")
    host = world.lab.host("h1")

    host.signal_process(HEARTBEAT, signal.SIGKILL)
    host.start_service(HEARTBEAT)

    world.wait(lambda: world.logged("host_registered", on=host, service=HEARTBEAT) != [], "again")
    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@pytest.mark.fault("F5", "F26")
def test_heartbeat__killed_while_bmc_says_off__host_is_not_convicted(world: World) -> None:
    """A BMC that lies is contradicted by a host that answers."""
    [guest] = world.run_guests("h1")

    world.lab.bmc("h1").behave(Fault.LIE_OFF)
    world.lab.host("h1").signal_process(HEARTBEAT, signal.SIGKILL)

    world.wait_state("h1", "SUSPECT")
    world.wait(lambda: offs(world, "h1") >= 2, "power of h1 read Off twice")
    world.wait_reason("h1", "alive_on_storage")
    world.lab.host("h1").start_service(HEARTBEAT)
    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


def test_agents__restarted_as_by_an_upgrade__keep_the_session(world: World) -> None:
    """Both agent processes are replaced under a host that stays UP with its guests running."""
    [guest] = world.run_guests("h1")
    host = world.lab.host("h1")

    def sessions() -> list[str]:
        lines = world.logged("host_registered", on=host, service=HEARTBEAT)
        return [str(line["session"]) for line in lines]

    world.lab.restart_service("h1", HEARTBEAT)
    world.wait(lambda: len(sessions()) == 1, "registered")
    world.lab.restart_service("h1", GUESTS)
    world.lab.restart_service("h1", HEARTBEAT)
    world.wait(lambda: len(sessions()) == 2, "registered again")

    assert sessions()[0] == sessions()[1]
    world.wait_owned("h1", [guest])
    assert world.state("h1") == "UP"
    assert len(world.watching.boots(guest)) == 1


def offs(world: World, host: str) -> int:
    """How many of the newest power readings of a host say Off, without another in between."""
    readings = world.ask_leader("host", host=host)["power"]
    count = 0
    for reading in reversed(readings):
        if reading["power"] != "off":
            break
        count += 1
    return count
