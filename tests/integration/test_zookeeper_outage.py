"""ZooKeeper away, back, emptied of sessions, or holding what nobody understands."""

from __future__ import annotations

import signal
import sys

import pytest

from hamon.coordination.access import CONTROLLERS_USER
from lab.deployment import DAEMON, GUESTS
from lab.names import Plane
from lab.processes import run
from tests.integration.world import DEADLINE_S, World

pytestmark = pytest.mark.integration

ZOOKEEPER = "zookeeper"
CONTROLLERS = ("c1", "c2", "c3")
HOSTS = ("h1", "h2", "h3")

# Runs on a controller, as the controllers' identity: argv is path and text.
_PUT = """
import sys
from kazoo.client import KazooClient
servers, user, password, path, text = sys.argv[1:]
client = KazooClient(servers, auth_data=[("digest", f"{user}:{password}")])
client.start(30)
client.set(path, text.encode())
client.stop()
"""


@pytest.mark.fault("F16")
@pytest.mark.slow
def test_quorum__lost_for_a_minute_in_mid_evacuation__all_guests_still_move(world: World) -> None:
    """Without ZooKeeper nothing new is started; with it the evacuation goes on."""
    guests = world.run_guests("h1", 2)

    world.power_cut("h1")
    world.wait_told("guest_scheduled")
    for controller in ("c1", "c2"):
        world.lab.machine(controller).signal_process(ZOOKEEPER, signal.SIGSTOP)
    world.stay(60.0)
    for controller in ("c1", "c2"):
        world.lab.machine(controller).signal_process(ZOOKEEPER, signal.SIGCONT)

    revive_daemons(world)
    world.wait_moved(guests)
    world.wait_state("h1", "EVACUATED")
    assert {len(world.watching.boots(name)) for name in guests} == {2}


@pytest.mark.fault("F39")
def test_sessions__all_expired_at_once__nobody_is_convicted(world: World) -> None:
    """A mass of lost sessions points at ZooKeeper or a network, not at the hosts."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]

    for host in HOSTS:
        world.lab.cut(host, Plane.MANAGEMENT)
    wait_sessions_expired(world)
    world.wait(lambda: "storm" in world.holds(), "the storm is visible")
    mend_and_see_nothing_done(world, guests)


@pytest.mark.fault("F16")
@pytest.mark.slow
def test_zookeeper__restarted_with_hosts_cut_off__old_sessions_expire_without_conviction(
    world: World,
) -> None:
    """What expires right after ZooKeeper's return is given time to register again."""
    guests = world.run_guests("h1")

    for controller in CONTROLLERS:
        world.lab.machine(controller).stop_service(ZOOKEEPER)
    for host in HOSTS:
        world.lab.cut(host, Plane.MANAGEMENT)
    for controller in CONTROLLERS:
        world.lab.machine(controller).start_service(ZOOKEEPER)
    world.wait(world.lab.ensemble_ready, "the ensemble back")
    revive_daemons(world)
    wait_sessions_expired(world)
    mend_and_see_nothing_done(world, guests)


@pytest.mark.slow
def test_site__loses_all_power_and_comes_back__every_guest_runs_where_it_was(
    world: World,
) -> None:
    """After a black-out hosts restore their guests; nobody is fenced on stale evidence."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]

    for machine in world.lab.machines:
        machine.power_cut()
    for machine in world.lab.machines:
        machine.power_on()

    world.wait(world.lab.ensemble_ready, "the ensemble back")
    revive_daemons(world)
    world.wait(
        lambda: {world.state(host) for host in HOSTS} == {"UP"}, "every host UP", 2 * DEADLINE_S
    )
    world.wait_moved(guests)
    assert world.incidents() == []
    assert {len(world.watching.boots(name)) for name in guests} == {2}


def test_daemon__started_without_zookeeper__says_so_and_serves_when_it_comes(
    world: World,
) -> None:
    """No ZooKeeper at start is waited for and told; guests run on meanwhile."""
    [guest] = world.run_guests("h1")
    for daemon in world.lab.daemons:
        daemon.stop_service(DAEMON)
    for controller in CONTROLLERS:
        world.lab.machine(controller).stop_service(ZOOKEEPER)

    world.lab.machine("c1").start_service(DAEMON)
    world.wait(lambda: "ZooKeeper" in world.hamon("status").stderr, "the daemon says what it lacks")
    said = world.hamon("status")
    assert said.returncode != 0
    assert "Traceback" not in said.stderr
    assert world.watching.writing(guest)
    for controller in CONTROLLERS:
        world.lab.machine(controller).start_service(ZOOKEEPER)

    revive_daemons(world)
    world.wait(lambda: {world.state(host) for host in HOSTS} == {"UP"}, "every host UP")
    world.wait_owned("h1", [guest])
    assert len(world.watching.boots(guest)) == 1


@pytest.mark.parametrize(
    "text", ['{"schema": 99, "state": "UP"}', pytest.param("rubbish", marks=pytest.mark.slow)]
)
def test_znode__of_a_newer_schema_or_rubbish__holds_its_host_and_nothing_else(
    world: World, text: str
) -> None:
    """What is not understood is not guessed at: the host is held, the others are served."""
    [held] = world.run_guests("h1")
    [moves] = world.run_guests("h2")
    # Nobody overwrites it while the host's own agent is away.
    world.lab.host("h1").stop_service(GUESTS)
    put(world, "/hamon/lab/hosts/h1/domains", text)
    world.wait(lambda: "unreadable" in world.holds(), "the hold is visible")
    world.power_cut("h1")
    world.wait_reason("h1", "conviction_held")
    world.power_cut("h2")
    world.wait_moved([moves])
    assert {incident["host"] for incident in world.incidents()} == {"h2"}
    assert len(world.watching.boots(held)) == 1

    world.lab.host("h1").power_on()
    world.wait_moved([held])


def wait_sessions_expired(world: World) -> None:
    """Wait until no host has a session."""
    world.wait(
        lambda: not any(world.ask("explain", host=host)["session"] for host in HOSTS),
        "every session expired",
    )


def mend_and_see_nothing_done(world: World, guests: list[str]) -> None:
    """Join every host again: all are UP, no guest was started anew, no incident opened."""
    for host in HOSTS:
        world.mend(host)
    world.wait(lambda: {world.state(host) for host in HOSTS} == {"UP"}, "every host UP")
    assert {len(world.watching.boots(name)) for name in guests} == {1}
    assert world.incidents() == []


def revive_daemons(world: World) -> None:
    """Start the daemons that ended, as systemd would."""
    for controller in world.lab.daemons:
        controller.start_service(DAEMON)


def put(world: World, path: str, text: str) -> None:
    """Write text into a znode as the controllers' identity."""
    password = (world.lab.layout.secrets / f"zookeeper-{CONTROLLERS_USER}").read_text().strip()
    script = [sys.executable, "-c", _PUT, world.lab.zookeeper_hosts, CONTROLLERS_USER]
    run(world.lab.machine("c1").exec_argv([*script, password, path, text]))
