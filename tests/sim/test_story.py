"""What an incident tells of itself, in a whole world; and what that costs ZooKeeper."""

import random
from pathlib import Path

import pytest

from hamon.model.incident import IncidentRecord
from hamon.model.names import IncidentId
from hamon.sim.faults import do
from hamon.sim.loop import run_virtual
from hamon.sim.scenario import Command, Scenario
from hamon.sim.world import World

SCENARIOS = Path(__file__).parents[1] / "scenarios"
INCIDENT = IncidentId("compute-1-1")


def played(name: str, *more: Command) -> tuple[IncidentRecord, int]:
    """Play a scenario; return the incident of its first host, and how often it was written.

    Args:
        name: of the scenario.
        more: what else is done in it.
    """
    scenario = Scenario.read(SCENARIOS / name)

    async def play() -> tuple[IncidentRecord, int]:
        world = World(scenario.plan, None)
        with world.events.capture():
            await world.begin()
            for command in sorted((*scenario.commands, *more), key=lambda each: each.at_s):
                await world.until(command.at_s)
                for verb in command.verbs:
                    do(world, *verb.split())
            await world.until(scenario.until_s)
            [leader] = [each for each in world.controllers.values() if each.is_leading]
            assert leader.last is not None
            assert leader.last.view is not None
            record = leader.last.view.incidents[INCIDENT].record
            await world.end()
        return record.value, record.version + 1

    random.seed(scenario.plan.seed)
    return run_virtual(play)


def test_story__of_a_host_that_dies__costs_no_write_of_its_own() -> None:
    """Conviction, shot, proof, and the evacuation's begin and end: five, as without a story."""
    record, writes = played("host-dies")

    assert 5 == writes
    assert [
        "witness_says",
        "witness_says",
        "heartbeat_late",
        "power_reads",
        "power_off_and_late",
        "host_convicted",
        "fence_shot",
        "fence_shot_ended",
        "host_fenced",
        "evacuation_started",
        "host_evacuated",
    ] == [each.code for each in record.timeline]


@pytest.mark.parametrize("name", ["host-returns", "nova-host-returns"])
def test_story__of_a_host_that_returns__ends_with_its_return(name: str) -> None:
    """A closed incident is told to its end, and keeps it."""
    record, _ = played(name)

    assert record.closed
    assert "host_returning" in [each.code for each in record.timeline]
    assert "host_returned" == record.timeline[-1].code
    assert sorted(each.at for each in record.timeline) == [each.at for each in record.timeline]


def test_story__of_a_held_storm__tells_what_was_thought_before_the_conviction() -> None:
    """The minutes before are in the leader's memory, and then in the record."""
    record, _ = played("storm-held")

    codes = [each.code for each in record.timeline]
    assert codes.index("conviction_held") < codes.index("host_convicted")
    assert "host_registered" not in codes


def test_story__of_a_disarm_while_it_is_fenced__says_when_it_held_and_when_it_did_not() -> None:
    """Nothing is dropped in silence, and nothing goes on in silence either."""
    disarm = Command(at_s=50.0, verbs=("request disarm",))
    arm = Command(at_s=75.0, verbs=("request arm",))

    record, _ = played("bmc-ignores-off", disarm, arm)

    codes = [each.code for each in record.timeline]
    held = codes.index("fencing_held")
    assert codes.index("host_convicted") < held < codes.index("host_fenced")
    over = [
        each for each in record.timeline[held:] if "fencing_held" in each.facts.get("codes", "")
    ]
    assert ["no_longer"] == [each.code for each in over]
