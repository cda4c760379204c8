"""Evacuations by hand, on real hosts: one guest, a rehearsal, Ctrl-C, and no daemon at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.deployment import DAEMON
from lab.processes import wait_until
from tests.integration.world import World

pytestmark = pytest.mark.integration

UNKNOWN = 3


def test_evacuate__one_guest_of_a_dead_host__only_that_one_moves(world: World) -> None:
    """The host is fenced for it, and the rest of its guests wait for another word."""
    wanted, other = world.run_guests("h1", 2)
    world.power_cut_in_maintenance("h1")

    said = world.hamon("evacuate", wanted, "h3", "--yes", deadline_s=180.0)

    assert said.returncode == 0, said.stdout + said.stderr
    assert "1 of 1 guests" in said.stdout
    assert (world.owner(wanted), world.owner(other)) == ("h3", "h1")
    said = world.hamon("evacuate-host", "h1", "--yes", deadline_s=180.0)
    assert said.returncode == 0, said.stdout + said.stderr
    assert world.owner(other) != "h1"


@pytest.mark.slow
def test_evacuate__forced_to_a_full_host__skips_the_scheduler_and_nothing_else(
    world: World,
) -> None:
    """Force has Nova's meaning: filters are not asked, the proof and the claim are."""
    [guest] = world.run_guests("h1")
    world.fill("h3")
    world.power_cut_in_maintenance("h1")

    said = world.hamon("evacuate", guest, "h3", "--yes", "--timeout", "20")
    assert said.returncode == UNKNOWN, said.stdout + said.stderr
    world.wait(lambda: "vCPU" in world.migration("h1", guest)["reason"], "h3 has no room")
    said = world.hamon("evacuate", guest, "h3", "--force", "--yes", deadline_s=180.0)

    assert said.returncode == 0, said.stdout + said.stderr
    assert world.owner(guest) == "h3"
    assert world.incident("h1")["proof"]["method"] == "power"


def test_evacuate_host__rehearsed__says_where_each_could_go_and_changes_nothing(
    world: World,
) -> None:
    """A rehearsal of a live host is what an operator prints before it is needed."""
    guests = world.run_guests("h1", 2)

    said = world.hamon("evacuate-host", "h1", "--dry-run")
    as_json = world.hamon("evacuate-host", "h1", "--dry-run", "-f", "json")

    assert (said.returncode, as_json.returncode) == (0, 0), said.stderr + as_json.stderr
    assert "2 of 2 guests that should move could" in said.stdout
    rows = {row["name"]: row["destination"] for row in json.loads(as_json.stdout)["guests"]}
    assert set(guests) == set(rows)
    assert set(rows.values()) <= {"h2", "h3"}
    assert world.incidents() == []


def test_evacuate_host__interrupted__goes_on_without_its_watcher(world: World) -> None:
    """Ctrl-C stops watching, not the evacuation, and the outcome is called unknown."""
    guests = world.run_guests("h1", 2)
    world.power_cut_in_maintenance("h1")

    with started(world, "evacuate-host", "h1", "--yes") as (process, inside):
        assert process.stdout is not None
        while "opened" not in (line := process.stdout.readline()):
            assert line, "it ended before its request was accepted"
        os.kill(inside, signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == UNKNOWN, errors
    assert "the evacuation goes on" in errors
    assert "Traceback" not in errors
    world.wait_moved(guests)


def test_evacuate_host__watched_too_shortly__outcome_is_unknown(world: World) -> None:
    """A time-out of the watcher is no outcome of the evacuation."""
    guests = world.run_guests("h1")
    world.power_cut_in_maintenance("h1")

    said = world.hamon("evacuate-host", "h1", "--yes", "--timeout", "0.2")

    assert said.returncode == UNKNOWN, said.stdout + said.stderr
    assert "not over within the time-out" in said.stderr
    world.wait_moved(guests)


def test_evacuate_host__standalone__needs_no_daemon_and_tolerates_none(world: World) -> None:
    """With every daemon gone the command itself is the controller: elected, journalled, fencing."""
    guests = world.run_guests("h1", 2)
    said = world.hamon("evacuate-host", "h1", "--standalone", "--yes")
    assert said.returncode == 1, said.stdout
    assert "controller" in said.stderr
    world.power_cut_in_maintenance("h1")
    for daemon in world.lab.daemons:
        daemon.stop_service(DAEMON)
    try:
        said = world.hamon("evacuate-host", "h1", "--standalone", "--yes", deadline_s=240.0)
    finally:
        for daemon in world.lab.daemons:
            daemon.start_service(DAEMON)

    assert said.returncode == 0, said.stdout + said.stderr
    assert "2 of 2 guests" in said.stdout
    world.wait_moved(guests)
    # The daemons have only just been started again.
    world.wait(
        lambda: "h1" not in {world.owner(name) for name in guests}, "a daemon knows the new owners"
    )


@contextmanager
def started(world: World, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start hamon's command line on c1; yield the process, and the pid of the command itself."""
    process = subprocess.Popen(
        world.hamon_argv(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: bool(_children(process.pid)), "the command in its namespaces", 30.0)
        yield process, _children(process.pid)[0]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_doctor__on_an_installation_that_is_well__finds_nothing_wrong(world: World) -> None:
    """Every part was looked at, and a host that goes away is told of."""
    world.run_guests("h1")

    said = world.hamon("doctor")

    assert said.returncode == 0, said.stdout + said.stderr
    for part in ("ZooKeeper: ", "controllers: ", "hosts: ", "guests: ", "fence devices: "):
        assert f"ok       {part}" in said.stdout, said.stdout
    assert "3 of 3 hosts are looked after" in said.stdout
    assert "WRONG" not in said.stdout

    world.power_cut_in_maintenance("h3")
    said = world.hamon("doctor", "--quiet")
    assert said.returncode == 1, said.stdout + said.stderr
    assert "WRONG    hosts: h3 has no session" in said.stdout
    assert "ok  " not in said.stdout
