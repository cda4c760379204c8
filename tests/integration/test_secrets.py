"""After a whole incident no secret is in a log, a metric, ZooKeeper, an export, a command line."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.deployment import DAEMON, GUESTS, HEARTBEAT
from lab.hamon_files import AGENT_METRICS_PORT, METRICS_PORT
from lab.machine import Machine
from lab.names import Role
from lab.network import inside
from lab.services import log_of
from lab.zookeeper import folder as zookeeper_folder
from tests.integration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SAMPLES_S = 0.02


def test_secrets__searched_for_after_an_incident__are_nowhere(world: World) -> None:
    """Passwords of the ensemble and of the BMCs stay in their files."""
    secrets = {path.name: path.read_bytes().strip() for path in world.lab.layout.secrets.iterdir()}
    assert secrets

    with sampled_command_lines() as lines:
        guests = world.run_guests("h1", 2)
        world.power_cut("h1")
        world.wait_moved(guests)
        said = world.hamon("fence", "check", "--all")
        assert said.returncode in {0, 1}, said.stderr
        world.bring_back()

    incident = world.incident("h1")["incident"]
    places = {
        **{f"log {path.name}": path.read_bytes() for path in logs(world)},
        **{f"ZooKeeper {path}": path.read_bytes() for path in ensemble_files(world)},
        **{f"state {path}": path.read_bytes() for path in state_files(world)},
        **{f"metrics of {name}": page for name, page in metrics(world)},
        "explain": world.hamon("explain", "h1").stdout.encode(),
        "export": world.hamon("incident", "export", incident).stdout.encode(),
        "command lines": b"\n".join(lines),
    }
    found = {
        f"{name} in {place}"
        for place, content in places.items()
        for name, secret in secrets.items()
        if secret in content
    }
    assert found == set()
    assert all(places[place] for place in ("explain", "export", "command lines"))


def logs(world: World) -> Iterator[Path]:
    """Every log of hamon's, with all that it ever wrote."""
    for machine in world.lab.machines:
        for service in (DAEMON, HEARTBEAT, GUESTS):
            path = log_of(world.lab.layout, machine.name, service)
            if path.exists():
                yield path


def ensemble_files(world: World) -> Iterator[Path]:
    """What the servers have on disk: snapshots, and every transaction since."""
    for machine in world.lab.machines:
        if machine.name.role is Role.CONTROLLER:
            data = zookeeper_folder(world.lab.layout, machine.name) / "data"
            yield from (path for path in data.rglob("*") if path.is_file())


def state_files(world: World) -> Iterator[Path]:
    """What hamon remembers on each machine."""
    for machine in world.lab.machines:
        if machine.powered():
            state = machine.path("/var/lib/hamon")
            yield from (path for path in state.rglob("*") if path.is_file())


def metrics(world: World) -> Iterator[tuple[str, bytes]]:
    """What each process serves."""
    for machine in world.lab.daemons:
        yield str(machine.name), page(world, machine, METRICS_PORT)
    for machine in world.lab.hosts:
        yield str(machine.name), page(world, machine, AGENT_METRICS_PORT)


def page(world: World, machine: Machine, port: int) -> bytes:
    """Fetch the metrics of one process, from inside of its machine."""
    init = machine.init_process()
    assert init is not None, machine.name
    connection = http.client.HTTPConnection(world.lab.address(str(machine.name)), port, timeout=10)
    try:
        with inside(Path(f"/proc/{init.pid}/ns/net")):
            connection.request("GET", "/metrics")
        return connection.getresponse().read()
    finally:
        connection.close()


@contextlib.contextmanager
def sampled_command_lines() -> Iterator[set[bytes]]:
    """Collect the command lines of every process of this machine meanwhile."""
    lines: set[bytes] = set()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLES_S):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    lines.add(path.read_bytes())

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        yield lines
    finally:
        ended.set()
        sampling.join()
