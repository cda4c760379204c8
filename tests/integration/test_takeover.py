"""The leader dies or stops midway, and another goes on where the journal stands."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from lab.deployment import DAEMON
from lab.machine import Machine
from tests.integration.world import World

pytestmark = pytest.mark.integration

SLOW = pytest.mark.slow

# What the leader logs when a step of the journal is durable, in their order.
STEPS = (
    pytest.param("host_convicted", marks=SLOW),
    pytest.param("fence_shot", marks=SLOW),
    pytest.param("host_fenced"),
    pytest.param("migration_recorded", marks=SLOW),
    pytest.param("guest_scheduled"),
    pytest.param("guest_claimed", marks=SLOW),
    pytest.param("guest_evacuated", marks=SLOW),
)
PAUSES = (
    pytest.param("host_convicted"),
    pytest.param("fence_shot", marks=SLOW),
    pytest.param("host_fenced", marks=SLOW),
    pytest.param("guest_scheduled"),
    pytest.param("guest_claimed", marks=SLOW),
)


@pytest.mark.fault("F22")
@pytest.mark.parametrize("step", STEPS)
def test_leader__killed_after_a_step__next_one_goes_on(world: World, step: str) -> None:
    """Nothing is done twice and nothing forgotten, wherever the leader dies."""
    guests = world.run_guests("h1", 2)

    world.power_cut("h1")
    leading, _ = world.wait_told(step)
    leading.signal_process(DAEMON, signal.SIGKILL)

    assert_all_moved_once(world, guests)
    assert world.leader().name != leading.name


@pytest.mark.fault("F23")
@pytest.mark.parametrize("step", PAUSES)
def test_leader__paused_after_a_step_and_resumed__has_lost_its_office(
    world: World, step: str
) -> None:
    """A leader that was away starts nothing when it comes back."""
    guests = world.run_guests("h1", 2)

    world.power_cut("h1")
    leading, _ = world.wait_told(step)
    leading.signal_process(DAEMON, signal.SIGSTOP)

    assert_all_moved_once(world, guests)
    written = len(world.logged("", on=leading))
    leading.signal_process(DAEMON, signal.SIGCONT)
    # It steps back, or ends itself because it finished no round for too long.
    world.wait(lambda: has_stepped_back(world, leading), f"{leading.name} no longer leads")
    assert_nothing_begun(world.logged("", on=leading)[written:])
    assert_all_moved_once(world, guests)


def assert_nothing_begun(lines: list[dict[str, Any]]) -> None:
    """A leader that was away learns what became of its last commits, and begins nothing more."""
    told = [str(line["event"]) for line in lines]
    since = told[told.index("office_lost") :] if "office_lost" in told else []
    assert set(since) & {"fence_shot", "host_fenced", "guest_scheduled", "guest_evacuated"} == set()
    if "fence_shot" in told:
        # Made durable before the pause: its lease was over when the leader came to know.
        ends = [line["outcome"] for line in lines if line["event"] == "fence_shot_ended"]
        assert set(ends) <= {"late"}


def assert_all_moved_once(world: World, guests: list[str]) -> None:
    """Every guest was moved by one migration, and started once at its destination."""
    world.wait_moved(guests)
    world.wait_state("h1", "EVACUATED")
    incident = world.incident("h1")
    assert {m["name"]: m["status"] for m in incident["migrations"]} == dict.fromkeys(guests, "done")
    assert {name: len(world.watching.boots(name)) for name in guests} == dict.fromkeys(guests, 2)


def has_stepped_back(world: World, controller: Machine) -> bool:
    """Whether a daemon said that it leads no more, or has ended."""
    if controller.processes()[DAEMON]["state"] == "dead":
        return True
    return bool(world.logged("office_lost", on=controller))
