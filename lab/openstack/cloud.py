"""A real OpenStack beside the lab's hosts: control plane on one machine, nova-compute on each host.

Guests are servers there. They boot the lab's own kernel and initramfs, so that they write to their
disks as the lab's other guests do.
"""

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import guest_image
from lab.machine import Machine
from lab.names import LabError
from lab.openstack import configuration, programs, seed
from lab.openstack.api import Api, without_password
from lab.openstack.configuration import COMPUTE_PORT, IMAGE_PORT, PLACEMENT_PORT
from lab.openstack.venv import OPENSTACK
from lab.processes import wait_until
from lab.topology import Computes

READY_TIMEOUT_S = 120.0
BOOT_TIMEOUT_S = 180.0
POLL_S = 0.2
BATCH = 50
"""Servers asked for in one request: their scheduling is one, and the next one's overlaps."""

PARALLEL = 8
PER_SERVER_S = 2.0
"""What nova may take for each of many servers, on a machine that may be busy."""

IMAGE, FLAVOR = "guest", "guest"
DISK_BYTES = 8 << 20
MEMORY_MIB = 96
_COMPUTES = "/os-services?binary=nova-compute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """The lab's OpenStack.

    Attributes:
        machine: where its control plane runs.
        hosts: the compute hosts.
        computes: how nova-compute runs on them.
        admin: calls of the administrator, with one token for all of them.
    """

    machine: Machine
    hosts: tuple[Machine, ...]
    computes: Computes
    admin: Api

    def prepare(self, accelerator: str) -> None:
        """Write the configuration of every machine, before its first power-on.

        Args:
            accelerator: libvirt's domain type.

        Raises:
            LabError: a Debian package is missing, or OpenStack could not be installed.
        """
        if shutil.which("mariadbd") is None or not programs.RABBITMQ_SERVER.exists():
            what = "lab/openstack/debian-packages.txt"
            raise LabError(f"OpenStack needs Debian packages: tools/install-debian-packages {what}")
        venv, password = OPENSTACK.cached(), seed.password()
        layout, cloud = self.machine.layout, self.machine.name
        etc = self.machine.folder / "etc" / "upper"
        configuration.write_control_plane(etc, layout, cloud, venv, password)
        for folder in ("glance/images", "glance/staging", "glance/tasks", "rabbitmq", "nova"):
            (self.machine.folder / "var-lib" / "upper" / folder).mkdir(parents=True, exist_ok=True)
        (layout.shared_storage / "instances").mkdir(exist_ok=True)
        for host in self.hosts:
            configuration.write_compute(
                host.folder / "etc" / "upper",
                layout,
                (host.name, cloud),
                venv,
                password,
                accelerator,
                self.computes,
            )

    def power_on(self) -> None:
        """Start the control plane; the first of its versions makes its databases.

        Raises:
            LabError: a part of it failed.
        """
        if not programs.is_seeded(self.machine.folder) and not seed.unpack(self.machine):
            seed.make(self.machine, OPENSTACK.cached())
        self.machine.power_on()

    def let_calls_pass(self) -> None:
        """Have nothing go wrong any more with calls to nova.

        Raises:
            LabError: keystone does not answer.
        """
        self.machine.path(programs.FAULTS).unlink(missing_ok=True)
        wait_until(self.admin.is_answered, "keystone", READY_TIMEOUT_S)

    def repair(self, *, remove_servers: bool) -> None:
        """Let every call to nova pass, every compute serve, and every server go if wanted.

        Raises:
            LabError: nova refuses, or a server would not go.
        """
        self.let_calls_pass()
        # Nova calls a service up for a while after its host died; and one that does not run yet
        # can neither delete a server nor hear that it is enabled.
        before = self._beats()
        wait_until(
            lambda: all(self._beats()[h] != beat for h, beat in before.items()),
            "a heartbeat of every nova-compute",
            READY_TIMEOUT_S,
            every_s=POLL_S,
        )
        # First, as a service is not let up while an evacuation away from it has a record.
        if remove_servers:
            self._remove_servers()
        for service in self.compute("GET", _COMPUTES)["services"]:
            if service["forced_down"] or service["status"] != "enabled":
                well = {"forced_down": False, "status": "enabled"}
                self.compute("PUT", f"/os-services/{service['id']}", well)

    def _remove_servers(self) -> None:
        def remove(server: str) -> None:
            self.compute("POST", f"/servers/{server}/action", {"forceDelete": None})

        servers = self._listed()
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            list(pool.map(remove, servers))
        wait_until(
            lambda: not self._listed(),
            "every server gone",
            READY_TIMEOUT_S + PER_SERVER_S * len(servers),
            every_s=_pause_s(len(servers)),
        )

    def _beats(self) -> dict[str, str]:
        found = self.compute("GET", _COMPUTES)["services"]
        return {str(service["host"]): str(service["updated_at"]) for service in found}

    def wait_ready(self) -> None:
        """Wait until nova's services and every host's nova-compute are up.

        Raises:
            LabError: not within `READY_TIMEOUT_S`; names what is missing.
        """
        missing: set[str] = set()

        def is_ready() -> bool:
            missing.clear()
            missing.update(self._missing())
            return not missing

        try:
            wait_until(is_ready, "nova in service", READY_TIMEOUT_S, every_s=POLL_S)
        except LabError as error:
            raise LabError(f"{error}: missing {' '.join(sorted(missing))}") from error

    def _missing(self) -> set[str]:
        hosts = {self.computes.service_host(host.name) for host in self.hosts}
        try:
            found = self.compute("GET", "/os-services")["services"]
            mapped = self.compute("GET", "/os-hypervisors/detail")["hypervisors"]
            offered = self._offered()
        except LabError as error:
            return {str(error)}
        up = {
            line["host"] if line["binary"] == programs.COMPUTE else line["binary"]
            for line in found
            if line["state"] == "up"
        }
        known = {line["service"]["host"] for line in mapped if line["id"] in offered}
        return ({"nova-conductor", "nova-scheduler"} - up) | (hosts - (up & known))

    def _offered(self) -> set[str]:
        """The computes that placement offers: one that was enabled may be missing for a minute."""
        path = "/resource_providers?required=!COMPUTE_STATUS_DISABLED"
        found = self.admin.call(PLACEMENT_PORT, "GET", path)["resource_providers"]
        return {str(provider["uuid"]) for provider in found}

    def compute(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Call nova; see `Api.call`."""
        return self.admin.call(COMPUTE_PORT, method, f"/v2.1{path}", body)

    # -- guests -----------------------------------------------------------------------------------

    def add_images(self, image: guest_image.GuestImage) -> None:
        """Add the image and the flavor of the guests, and lift the quotas.

        Raises:
            LabError: glance or nova refuses.
        """
        api = self.admin
        kernel = _add_image(api, "kernel", "aki", image.kernel.read_bytes())
        initramfs = _add_image(api, "initramfs", "ari", image.initramfs.read_bytes())
        _add_image(
            api,
            IMAGE,
            "raw",
            bytes(DISK_BYTES),
            kernel_id=kernel,
            ramdisk_id=initramfs,
            os_command_line=guest_image.BASE_COMMAND_LINE,
            hw_disk_bus="virtio",
        )
        flavor = {"name": FLAVOR, "ram": MEMORY_MIB, "vcpus": 1, "disk": 0, "id": FLAVOR}
        self.compute("POST", "/flavors", {"flavor": flavor})
        quota = {"instances": -1, "cores": -1, "ram": -1}
        self.compute("PUT", "/os-quota-class-sets/default", {"quota_class_set": quota})

    def boot(self, name: str, on: Machine) -> uuid.UUID:
        """Ask for a server on a host; return its uuid at once.

        Raises:
            LabError: nova refuses.
        """
        made = self._ask_for({"name": name}, on)
        return uuid.UUID(made["server"]["id"])

    def boot_many(self, prefix: str, count: int, on: Machine) -> list[str]:
        """Boot servers on a host, wait until they run, and return their names.

        Args:
            prefix: of the names; the numbers of a batch and in it follow.
            count: how many.
            on: the host.

        Raises:
            LabError: nova refuses, or one failed or did not run in time; see `wait_active`.
        """
        names = []
        for first in range(0, count, BATCH):
            share, batch = min(BATCH, count - first), f"{prefix}-{first // BATCH + 1}"
            # Nova numbers the servers of one request, unless it is for one only.
            own = [f"{batch}-{number + 1}" for number in range(share)] if share > 1 else [batch]
            self._ask_for({"name": batch, "min_count": share, "max_count": share}, on)
            names += own
        self.wait_active(names)
        return names

    def _ask_for(self, server: dict[str, object], on: Machine) -> Any:  # noqa: ANN401
        [image] = self.admin.call(IMAGE_PORT, "GET", f"/v2/images?name={IMAGE}")["images"]
        more = {
            "imageRef": image["id"],
            "flavorRef": FLAVOR,
            "networks": "none",
            "host": self.computes.service_host(on.name),
        }
        return self.compute("POST", "/servers", {"server": server | more})

    def servers(self) -> dict[str, dict[str, Any]]:
        """Every server by its name, as nova details it."""
        return {str(server["name"]): server for server in self._servers()}

    def _servers(self) -> list[dict[str, Any]]:
        """Every server, also those of one name."""
        return list(self.compute("GET", "/servers/detail?all_tenants=1")["servers"])

    def disk(self, server: uuid.UUID) -> Path:
        """A server's disk, as seen from outside."""
        return self.machine.layout.shared_storage / "instances" / str(server) / "disk"

    def disks(self) -> dict[str, Path]:
        """The disk of each server by its uuid, as seen from outside."""
        instances = self.machine.layout.shared_storage / "instances"
        return {disk.parent.name: disk for disk in instances.glob("*-*-*-*-*/disk")}

    def wait_active(self, names: list[str]) -> None:
        """Wait until servers run.

        Raises:
            LabError: one failed, with nova's word, or did not run in time.
        """

        def are_active() -> bool:
            failed = set(self._listed("&status=ERROR").values()) & set(names)
            if failed:
                raise LabError(self._fault(min(failed)))
            return set(names) <= set(self._listed("&status=ACTIVE").values())

        what = f"{len(names)} servers, {names[0]} first, active" if names else "no server"
        deadline_s = BOOT_TIMEOUT_S + PER_SERVER_S * len(names)
        wait_until(are_active, what, deadline_s, every_s=_pause_s(len(names)))

    def _fault(self, name: str) -> str:
        fault = self.servers()[name].get("fault")
        # A fault can quote what nova was configured with.
        return without_password(f"server {name}: {fault}", seed.password())

    def _listed(self, query: str = "") -> dict[str, str]:
        """The name of each server by its uuid, of the first thousand: what nova tells quickly."""
        found = self.compute("GET", f"/servers?all_tenants=1{query}")["servers"]
        return {str(server["id"]): str(server["name"]) for server in found}


def _pause_s(servers: int) -> float:
    # A long list costs nova as much as it would take to build one more.
    return POLL_S * (1 + servers // 20)


def _add_image(api: Api, name: str, kind: str, content: bytes, **properties: str) -> str:
    container = kind if kind in {"aki", "ari"} else "bare"
    image = {
        "name": name,
        "disk_format": kind,
        "container_format": container,
        "visibility": "public",
        **properties,
    }
    made = api.call(IMAGE_PORT, "POST", "/v2/images", image)
    path = f"/v2/images/{made['id']}/file"
    api.call(IMAGE_PORT, "PUT", path, content, content_type="application/octet-stream")
    return str(made["id"])
