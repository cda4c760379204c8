"""What the lab's machines are given: hamon's configuration, and their services in order."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import hamon_files, hypervisor
from lab.bmc import Bmc
from lab.hamon_files import Installation
from lab.names import LabError, Layout, MachineName, Plane, Role
from lab.openstack import seed
from lab.services import services_of
from lab.topology import Backend, Computes, Driver, Topology

CONTROLLER = MachineName(role=Role.CONTROLLER, number=1)
CLOUD = MachineName(role=Role.CLOUD, number=1)
HOST = MachineName(role=Role.HOST, number=1)
NOVA = Topology(controllers=1, hosts=1, backend=Backend.NOVA)
LIBVIRT = Topology(controllers=1, hosts=1)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A lab in a folder of the test, with a password of its own for OpenStack."""
    monkeypatch.setattr("lab.names.LABS", tmp_path)
    monkeypatch.setattr("lab.names.CACHE", tmp_path / "cache")
    return Layout(lab="t", slot=0)


def installed(layout: Layout, topology: Topology, *, has_hamon: bool = True) -> None:
    """Write the files of every machine."""
    layout.secrets.mkdir(parents=True)
    device = Bmc(layout=layout, host=HOST)
    device.password_file.parent.mkdir(parents=True, exist_ok=True)
    device.password_file.write_text("bmc")
    machines = (CONTROLLER, HOST, *((CLOUD,) if topology.has_cloud else ()))
    for machine in machines:
        (layout.machine_folder(machine) / "etc" / "upper").mkdir(parents=True)
    if topology.has_libvirt:
        hypervisor.prepare(layout.machine_folder(HOST), layout.product_uuid(HOST))
    if topology.has_cloud:
        (etc(layout, HOST) / "nova").mkdir()
    if has_hamon:
        installation = Installation(layout=layout, machines=machines, topology=topology, tick_s=0.5)
        hamon_files.make_secrets(installation)
        hamon_files.configure(installation, CONTROLLER)
        hamon_files.configure(installation, HOST)


def etc(layout: Layout, machine: MachineName) -> Path:
    """A machine's own /etc."""
    return layout.machine_folder(machine) / "etc" / "upper"


def read(layout: Layout, machine: MachineName, file: str) -> dict[str, Any]:
    """A file of hamon's configuration."""
    return tomllib.loads((etc(layout, machine) / "hamon" / file).read_text())


def test_configure__nova__leads_to_the_proxy_with_the_password_in_a_file(layout: Layout) -> None:
    """The control plane is found by its name, and its catalogue leads on."""
    installed(layout, NOVA)

    main = read(layout, CONTROLLER, "hamon.toml")
    assert "nova" == main["cluster"]["backend"]
    assert "http://cloud:5000/v3" == main["nova"]["auth_url"]
    password_file = main["nova"]["password_file"].removeprefix("/etc/")
    assert seed.password() == (etc(layout, CONTROLLER) / password_file).read_text().strip()
    address = layout.address(CLOUD, Plane.MANAGEMENT)
    assert f"{address} cloud\n" in (etc(layout, CONTROLLER) / "hosts").read_text()
    agent = read(layout, HOST, "agent.toml")
    assert ("nova", ["heartbeats"]) == (agent["backend"], list(agent["storage"]))


def test_configure__libvirt__needs_no_word_of_a_backend(layout: Layout) -> None:
    """The default, as a cluster that knows of no other has it."""
    installed(layout, LIBVIRT)

    main, agent = read(layout, CONTROLLER, "hamon.toml"), read(layout, HOST, "agent.toml")
    assert (False, False) == ("backend" in main["cluster"], "nova" in main)
    assert (False, True) == ("backend" in agent, "shared_paths" in agent["storage"])
    assert main["storage"]["heartbeats"] == agent["storage"]["heartbeats"]
    assert "service_host" not in read(layout, CONTROLLER, "hosts.d/h1.toml")["host"]["h1"]


def test_configure__service_names__are_what_hosts_are_called_in_nova(layout: Layout) -> None:
    """Hamon is told where the names differ."""
    computes = Computes(has_service_names=True)
    installed(layout, Topology(controllers=1, hosts=1, backend=Backend.NOVA, computes=computes))

    host = read(layout, CONTROLLER, "hosts.d/h1.toml")["host"]["h1"]
    assert "compute-h1" == host["service_host"] == computes.service_host(HOST)


def test_configure__agentless__has_no_agent_and_no_identity(layout: Layout) -> None:
    """Nothing of hamon is on such a host, and nobody there could use a password."""
    computes = Computes(agentless=1)
    installed(layout, Topology(controllers=1, hosts=1, backend=Backend.NOVA, computes=computes))

    host = read(layout, CONTROLLER, "hosts.d/h1.toml")["host"]["h1"]
    assert (True, False) == (host["agentless"], "zookeeper_digest" in host)
    assert not (etc(layout, HOST) / "hamon" / "agent.toml").exists()
    assert ["virtlogd", "libvirtd", "nova-compute"] == [s.name for s in services_of(layout, HOST)]


@pytest.mark.parametrize(
    ("driver", "has_hamon", "names", "has_gate"),
    [
        (Driver.LIBVIRT, True, "virtlogd libvirtd hamon-agent hamon-agent-guests", True),
        (Driver.LIBVIRT, False, "virtlogd libvirtd", False),
        (Driver.FAKE, True, "hamon-agent", False),
        (Driver.FAKE, False, "", False),
    ],
)
def test_services__of_a_compute__are_agents_before_nova_and_a_gate_between(
    layout: Layout, driver: Driver, *, has_hamon: bool, names: str, has_gate: bool
) -> None:
    """nova-compute comes last, through the gate wherever there is a guests process."""
    topology = Topology(
        controllers=1, hosts=1, backend=Backend.NOVA, computes=Computes(driver=driver)
    )
    installed(layout, topology, has_hamon=has_hamon)

    services = services_of(layout, HOST)

    assert [*names.split(), "nova-compute"] == [service.name for service in services]
    assert has_gate == ("gate" in services[-1].argv)


@pytest.mark.parametrize(
    ("topology", "why"),
    [
        (Topology(controllers=2, hosts=1), "1 or 3 controllers"),
        (Topology(controllers=1, hosts=101), "1 to 100 hosts"),
        (
            Topology(controllers=1, hosts=1, computes=Computes(driver=Driver.FAKE)),
            "ask for the backend nova",
        ),
        (
            Topology(controllers=1, hosts=1, backend=Backend.NOVA, computes=Computes(agentless=2)),
            "2 of 1 hosts without an agent",
        ),
    ],
)
def test_topology__that_cannot_be__is_refused(topology: Topology, why: str) -> None:
    """Before anything is made."""
    with pytest.raises(LabError, match=why):
        topology.check()
