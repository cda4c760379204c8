"""The lab's OpenStack shows what it must be able to show: Nova's evacuation, and a double start."""

from __future__ import annotations

import pytest

from lab.lab import Lab
from lab.names import LabError
from lab.openstack import programs
from lab.openstack.cloud import Cloud
from lab.openstack.proxy import Fault, What, write_faults
from lab.processes import wait_until
from tests.openstack import NEEDS_OPENSTACK
from tests.shared_lab import SharedLab

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]

WITHIN_S = 120.0
SERVICES = "/os-services"


@pytest.fixture
def lab(nova_lab: SharedLab) -> Lab:
    """The lab, repaired, without servers."""
    lab, _ = nova_lab.repaired()
    return lab


@pytest.fixture
def cloud(lab: Lab) -> Cloud:
    """The lab's OpenStack."""
    assert lab.cloud is not None
    return lab.cloud


def test_evacuate__host_without_power__guest_runs_elsewhere_and_its_copy_goes(
    lab: Lab, cloud: Cloud
) -> None:
    """Nova's documented flow, from the force-down to the clean-up at the returned source."""
    server = str(cloud.boot("g1", lab.host("h1")))
    with lab.observer() as watching:
        assert watching.wait_for(lambda o: o.writing(server), WITHIN_S)

        lab.host("h1").power_cut()
        set_service(cloud, "h1", forced_down=True)
        cloud.compute("POST", f"/servers/{server}/action", {"evacuate": {}})

        assert watching.wait_for(lambda o: len(o.boots(server)) == 2, WITHIN_S)
        wait_until(lambda: status(cloud, server) == "done", "migration done", WITHIN_S)
        assert cloud.servers()["g1"]["OS-EXT-SRV-ATTR:host"] == "h2"
        with pytest.raises(LabError, match="400"):
            set_service(cloud, "h1", forced_down=False)
        lab.host("h1").power_on()
        wait_until(lambda: status(cloud, server) == "completed", "migration completed", WITHIN_S)
        assert lab.guests.on_host(lab.host("h1")) == {}
        set_service(cloud, "h1", forced_down=False)
        cloud.wait_ready()
        assert watching.double_writers() == {}


@pytest.mark.fault("F48")
def test_guest__started_on_two_hosts__is_seen_as_double_writer(lab: Lab, cloud: Cloud) -> None:
    """The image lock of this machine's one kernel does not hide what shared storage would allow."""
    server = str(cloud.boot("twice", lab.host("h1")))
    with lab.observer() as watching:
        assert watching.wait_for(lambda o: o.writing(server), WITHIN_S)
        xml = lab.host("h1").run(["virsh", "dumpxml", server])

        lab.host("h2").run(["virsh", "-q", "create", "/dev/stdin"], text=xml)

        assert watching.wait_for(lambda o: server in o.double_writers(), WITHIN_S)


def test_proxy__told_to_spoil_a_call__spoils_it_once(lab: Lab, cloud: Cloud) -> None:
    """What goes wrong between a client and nova can be asked for."""
    fault = Fault(name="busy", what=What.ANSWER, path=SERVICES, times=1, status=503)
    file = cloud.machine.path(programs.FAULTS)
    write_faults(file, (fault,))

    with pytest.raises(LabError, match="503"):
        cloud.compute("GET", SERVICES)
    assert cloud.compute("GET", SERVICES)["services"]
    lab.repair()
    assert not file.exists()


def set_service(cloud: Cloud, host: str, *, forced_down: bool) -> None:
    """Force a host's nova-compute down, or end that."""
    services = cloud.compute("GET", f"{SERVICES}?binary=nova-compute")["services"]
    [found] = [service["id"] for service in services if service["host"] == host]
    cloud.compute("PUT", f"{SERVICES}/{found}", {"forced_down": forced_down})


def status(cloud: Cloud, server: str) -> str:
    """The status of a server's newest evacuation."""
    query = f"instance_uuid={server}&migration_type=evacuation"
    found = cloud.compute("GET", f"/os-migrations?{query}")["migrations"]
    return str(found[0]["status"]) if found else ""
