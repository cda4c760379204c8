"""Hosts that are slow to answer, or hard to hear: no verdict about them is a wrong one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.deployment import GUESTS, HEARTBEAT
from lab.names import Plane
from lab.poor_link import Quality
from tests.integration.world import World

pytestmark = pytest.mark.integration

SESSIONS_S = 30.0
"""Several session time-outs of the lab: whatever ends one has ended one by then."""

# Runs on the host: argv is pids. They run for a tenth of a second, and then not for three.
_STARVE = """
while :; do
    kill -STOP "$@"; sleep 3
    kill -CONT "$@"; sleep 0.1
done
"""


@pytest.mark.slow
@pytest.mark.fault("F12")
@pytest.mark.parametrize(
    "planes", [(Plane.MANAGEMENT,), (Plane.MANAGEMENT, Plane.STORAGE)], ids=["one", "both"]
)
def test_link__loses_a_fifth_and_is_late__host_is_not_convicted(
    world: World, planes: tuple[Plane, ...]
) -> None:
    """What comes late or in part is still a sign of life, and the link's end is its way back."""
    [guest] = world.run_guests("h1")

    for plane in planes:
        world.lab.worsen("h1", plane, Quality(loss=0.2, delay_s=0.5))
    world.stay(SESSIONS_S)
    assert world.incidents() == []
    for plane in planes:
        world.lab.restore("h1", plane)

    world.wait_state("h1", "UP")
    world.wait_owned("h1", [guest])
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@pytest.mark.slow
@pytest.mark.fault("F7")
def test_agents__starved_of_time__host_is_not_convicted(world: World) -> None:
    """An agent that runs three hundredths of the time is a slow one, and no dead host."""
    [guest] = world.run_guests("h1")

    with starved(world, "h1"):
        world.stay(SESSIONS_S)
        assert world.incidents() == []

    world.wait_state("h1", "UP")
    world.wait_owned("h1", [guest])
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@contextmanager
def starved(world: World, host: str) -> Iterator[None]:
    """Have the agents of a host, with all that they started, hardly ever run."""
    machine = world.lab.host(host)
    agents = [str(machine.processes()[name]["pid"]) for name in (HEARTBEAT, GUESTS)]
    children = machine.run(["pgrep", "-P", ",".join(agents)]).split()
    argv = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _STARVE, "sh", *agents, *children]
    hand = subprocess.Popen(machine.exec_argv(argv))
    try:
        yield
    finally:
        assert hand.poll() is None, "the agents were not starved to the end"
        hand.kill()
        hand.wait()
        machine.run(["kill", "-CONT", *agents, *children])
