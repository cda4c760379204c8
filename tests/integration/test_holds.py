"""Holds: hamon stops, says so, and goes on when it may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_disarm__in_mid_incident__stops_until_armed_again(world: World) -> None:
    """A committed disarm stops the next action; arm lets the same incident go on."""
    [guest] = world.run_guests("h1")

    world.power_cut("h1")
    world.wait_told("host_convicted")
    said = world.hamon("disarm", "--reason", "looking into it")
    assert said.returncode == 0, said.stderr

    world.wait(lambda: "disarmed" in world.holds(), "the hold is visible")
    world.wait(
        lambda: bool({"fencing_held", "evacuation_held"} & world.reasons("h1")), "held and said"
    )
    said = world.hamon("arm", "--reason", "seen enough")
    assert said.returncode == 0, said.stderr

    world.wait_moved([guest])
    assert started_while_disarmed(world.told()) == []


@pytest.mark.fault("F39")
def test_storm__more_hosts_lost_than_may_be_at_once__the_rest_is_held(world: World) -> None:
    """Three of three hosts lost at once are an accident of another kind: hamon stops and pages."""
    guests = [name for host in ("h1", "h2", "h3") for name in world.run_guests(host)]

    for host in ("h1", "h2", "h3"):
        world.power_cut(host)
    world.wait(lambda: "storm" in world.holds(), "the storm is visible")
    world.wait(
        lambda: any("conviction_held" in world.reasons(h) for h in ("h1", "h2", "h3")),
        "a conviction is held",
    )
    assert len(world.incidents()) <= 2

    # One host back may make the rest few enough to be helped; never were more than two shut out.
    world.bring_back()
    world.wait_moved(guests)
    told = world.told()
    convicted = {line["subject"] for line in told if line["event"] == "host_convicted"}
    assert {incident["host"] for incident in world.incidents()} == convicted
    assert most_shut_out(told) <= 2


@pytest.mark.slow
@pytest.mark.fault("F39")
def test_storm__released_by_an_operator__every_lost_host_is_fenced(world: World) -> None:
    """Where all is truly lost one command lets it pass, and each host still needs its proof."""
    hosts = ("h1", "h2", "h3")
    guests = [name for host in hosts for name in world.run_guests(host)]

    for host in hosts:
        world.power_cut(host)
    world.wait(lambda: "storm" in world.holds(), "the storm is visible")
    world.wait(lambda: not any(world.ask("host", host=h)["session"] for h in hosts), "all are lost")
    said = world.hamon(
        "hold", "release", "--hosts", ",".join(hosts), "--for", "10m", "--yes", "--reason", "dark"
    )
    assert said.returncode == 0, said.stdout + said.stderr

    world.wait(
        lambda: {i["host"] for i in world.incidents() if i["proof"]} == set(hosts), "all are fenced"
    )
    world.bring_back()
    world.wait_moved(guests)


def test_maintenance__host_loses_power__is_left_alone(world: World) -> None:
    """A host that an operator takes care of is neither suspected to death nor fenced."""
    [guest] = world.run_guests("h1")
    said = world.hamon("maintenance", "on", "h1", "--reason", "new disks")
    assert said.returncode == 0, said.stderr

    world.lab.host("h1").power_cut()
    world.wait_reason("h1", "conviction_held")
    world.lab.host("h1").power_on()

    world.wait_moved([guest])
    world.wait_state("h1", "UP")
    assert world.owner(guest) == "h1"


@pytest.mark.slow
@pytest.mark.fault("F56")
def test_maintenance__set_while_a_host_dies_and_cleared__whoever_was_first_it_is_helped_once(
    world: World,
) -> None:
    """Word and verdict race: nobody is convicted after the word, and with its end all goes on."""
    [guest] = world.run_guests("h1")

    world.power_cut("h1")
    world.wait(lambda: world.state("h1") != "UP", "h1 is suspected")
    said = world.hamon("maintenance", "on", "h1", "--reason", "hands in the rack")
    assert said.returncode == 0, said.stderr
    convicted = {incident["incident"] for incident in world.incidents()}
    world.stay(15.0)
    assert {incident["incident"] for incident in world.incidents()} == convicted
    said = world.hamon("maintenance", "off", "h1", "--reason", "hands out of the rack")
    assert said.returncode == 0, said.stderr

    world.wait_moved([guest])
    assert len(world.incidents()) == 1


def started_while_disarmed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The actions and moves that were made durable between a disarm and an arm."""
    said = [line.get("kind") for line in lines]
    held = lines[said.index("disarm") : said.index("arm")]
    return [line for line in held if line["event"] in {"fence_shot", "guest_scheduled"}]


def most_shut_out(lines: list[dict[str, Any]]) -> int:
    """How many hosts at most were convicted and not yet back at the same time."""
    most, out = 0, set()
    for line in lines:
        if line["event"] == "host_convicted":
            out.add(line["subject"])
        elif line["event"] == "host_returning":
            out.discard(line["subject"])
        most = max(most, len(out))
    return most
