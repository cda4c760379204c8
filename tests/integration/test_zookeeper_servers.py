"""ZooKeeper servers that die or are cut off, slow or full: only who is dead is taken for dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hamon.coordination.access import host_user
from hamon.model.names import HostName
from lab.lab import Lab
from lab.machine import Machine
from tests.integration.world import World

pytestmark = pytest.mark.integration

ZOOKEEPER = "zookeeper"
HOSTS = ("h1", "h2", "h3")
SESSIONS_S = 30.0
SHORT_S = 1.0
"""Less than the sync limit of the lab's ZooKeeper."""
FSYNC_S = 5

# Runs on a controller: takes over the heartbeat of a host as its own ephemeral znode, and keeps it.
_KEEP = """
import sys, threading
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, NodeExistsError
servers, user, password, path = sys.argv[1:]
client = KazooClient(servers, auth_data=[("digest", f"{user}:{password}")])
client.start(30)
data, _ = client.get(path)
access, _ = client.get_acls(path)
while True:
    try:
        client.delete(path)
    except NoNodeError:
        pass
    try:
        client.create(path, data, acl=access, ephemeral=True)
        break
    except NodeExistsError:
        pass
print("kept", flush=True)
threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.fault("F17")
def test_follower__cut_from_its_leader_only__no_host_is_lost_and_a_dead_one_is_helped(
    world: World,
) -> None:
    """Clients of a server that serves stale answers, then none, go to another in time."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]
    leader = server(world.lab, "leader")
    follower = server(world.lab, "follower")

    world.lab.cut_between(leader, follower)
    world.wait(lambda: modes(world.lab)[follower] != "follower", f"{follower} serves no more")
    world.stay(SESSIONS_S)
    assert world.incidents() == []
    assert {len(world.watching.boots(name)) for name in guests} == {1}
    world.power_cut("h1")
    world.wait_moved(guests[:1])
    world.lab.restore_between()

    world.wait(world.lab.ensemble_ready, "the ensemble whole")
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("follower", marks=[pytest.mark.fault("F13"), pytest.mark.slow]),
        pytest.param("leader", marks=pytest.mark.fault("F14")),
    ],
)
def test_server__killed__no_host_is_lost_and_a_dead_one_is_helped(world: World, mode: str) -> None:
    """Whoever was connected to it, hosts and daemons, goes to another with its session."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]
    victim = server(world.lab, mode)

    world.lab.machine(victim).signal_process(ZOOKEEPER, signal.SIGKILL)
    world.stay(SESSIONS_S)
    assert world.incidents() == []
    world.power_cut("h1")
    world.wait_moved(guests[:1])
    world.lab.restart_service(victim, ZOOKEEPER)

    world.wait(world.lab.ensemble_ready, "the ensemble whole")
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}


@pytest.mark.slow
@pytest.mark.fault("F15")
@pytest.mark.parametrize("is_replaced", [False, True], ids=["short", "long"])
def test_leading_server__stands_still__no_host_is_lost_and_a_dead_one_is_helped(
    world: World, *, is_replaced: bool
) -> None:
    """For less than the sync limit nothing happens; for more, sessions outlast the election."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]
    leader = server(world.lab, "leader")

    with standing_still(world.lab.machine(leader)):
        if is_replaced:
            world.wait(lambda: "leader" in modes(world.lab).values(), "another server leads")
        world.stay(SESSIONS_S if is_replaced else SHORT_S)
    world.stay(SHORT_S)
    assert world.incidents() == []
    assert (modes(world.lab)[leader] != "leader") is is_replaced
    world.power_cut("h1")

    world.wait_moved(guests[:1])
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}


@pytest.mark.slow
@pytest.mark.fault("F18")
def test_servers__whose_disks_take_seconds__nobody_is_lost_and_a_dead_host_is_helped(
    world: World,
) -> None:
    """Each write takes ten leases: nothing is done twice, and with the disks all goes on."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]

    # For as long as that lasts there may be no leader who could be asked.
    with slow_disk(world.lab, "c1"), slow_disk(world.lab, "c2"):
        world.stay(SESSIONS_S)
        world.power_cut("h1")
        world.stay(SESSIONS_S)
    world.wait_moved(guests[:1])

    assert {incident["host"] for incident in world.incidents()} == {"h1"}
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}


@pytest.mark.slow
@pytest.mark.fault("F18")
def test_leading_server__whose_disk_is_full__is_replaced_and_a_dead_host_is_helped(
    world: World,
) -> None:
    """ZooKeeper ends a server that cannot write; the others carry on."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]
    full = server(world.lab, "leader")

    with full_disk(world.lab, full):
        world.power_cut("h1")
        world.wait(lambda: modes(world.lab)[full] is None, f"the server of {full} ends")
        world.wait_moved(guests[:1])
    world.lab.restart_service(full, ZOOKEEPER)

    world.wait(world.lab.ensemble_ready, "the ensemble whole")
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}


@pytest.mark.slow
@pytest.mark.fault("F20")
def test_heartbeat__that_outlives_its_host__keeps_nobody_from_helping_it(world: World) -> None:
    """An ephemeral that ZooKeeper forgot to remove is no sign of life: its host's power is off."""
    [guest] = world.run_guests("h1")

    with kept_heartbeat(world, "h1"):
        world.power_cut("h1")
        world.wait_moved([guest])
        world.wait_reason("h1", "session_outlives_proof")
    # As an operator does who was told of it: without the znode the next boot can register.
    world.lab.host("h1").power_on()
    world.wait_state("h1", "UP")


def modes(lab: Lab) -> dict[str, str | None]:
    """What each ZooKeeper server says it is."""
    found: dict[str, str | None] = lab.status()["zookeeper"]["servers"]
    return found


def server(lab: Lab, mode: str) -> str:
    """The first controller whose ZooKeeper server is this."""
    return next(name for name, is_now in modes(lab).items() if is_now == mode)


@contextmanager
def standing_still(machine: Machine) -> Iterator[None]:
    """Have a ZooKeeper server do nothing, with its connections open."""
    machine.signal_process(ZOOKEEPER, signal.SIGSTOP)
    try:
        yield
    finally:
        machine.signal_process(ZOOKEEPER, signal.SIGCONT)


@contextmanager
def slow_disk(lab: Lab, controller: str) -> Iterator[None]:
    """Have each write of a server to its disk take `FSYNC_S`."""
    calls = "fsync,fdatasync"
    with _traced(lab.machine(controller), calls, f"delay_enter={FSYNC_S}000000"):
        yield


@contextmanager
def full_disk(lab: Lab, controller: str) -> Iterator[None]:
    """Have a server's disk take nothing more."""
    machine = lab.machine(controller)
    calls = "ftruncate,pwrite64,fallocate,fsync,fdatasync"
    with _traced(machine, calls, "error=ENOSPC"):
        yield


@contextmanager
def _traced(machine: Machine, calls: str, fault: str) -> Iterator[None]:
    pid = str(machine.processes()[ZOOKEEPER]["pid"])
    argv = ["setpriv", "--pdeathsig", "KILL", "strace", "-f", "-o", "/dev/null"]
    argv += ["-e", f"trace={calls}", "-e", f"inject={calls}:{fault}", "-p", pid]
    hand = subprocess.Popen(machine.exec_argv(argv), stderr=subprocess.PIPE, text=True)
    assert hand.stderr is not None
    said = hand.stderr.readline()
    assert "attached" in said, said
    try:
        yield
    finally:
        hand.kill()
        hand.communicate()


@contextmanager
def kept_heartbeat(world: World, host: str) -> Iterator[None]:
    """Have the heartbeat of a host belong to a session that outlives the host."""
    password = (world.lab.layout.secrets / f"zookeeper-{host}").read_text().strip()
    path = f"/hamon/lab/hosts/{host}/alive/hb"
    script = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", _KEEP]
    argv = [*script, world.lab.zookeeper_hosts, host_user(HostName(host)), password, path]
    machine = world.lab.machine("c1")
    keeper = subprocess.Popen(machine.exec_argv(argv), stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    try:
        assert keeper.stdout.readline() == "kept\n"
        yield
    finally:
        keeper.kill()
        keeper.communicate()
