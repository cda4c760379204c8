"""A real OpenStack beside the lab's hosts: control plane on one machine, nova-compute on each host.

Guests are servers there. They boot the lab's own kernel and initramfs, so that they write to their
disks as the lab's other guests do.
"""

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import guest_image
from lab.machine import Machine
from lab.names import LabError
from lab.openstack import configuration, programs, seed
from lab.openstack.api import Api
from lab.openstack.configuration import COMPUTE_PORT, IMAGE_PORT
from lab.openstack.venv import cached_venv
from lab.processes import wait_until

READY_TIMEOUT_S = 120.0
BOOT_TIMEOUT_S = 180.0
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
    """

    machine: Machine
    hosts: tuple[Machine, ...]

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
        venv, password = cached_venv(), seed.password()
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
            )

    def power_on(self) -> None:
        """Start the control plane; the first of its versions makes its databases.

        Raises:
            LabError: a part of it failed.
        """
        if not programs.is_seeded(self.machine.folder) and not seed.unpack(self.machine):
            seed.make(self.machine, cached_venv())
        self.machine.power_on()

    def repair(self, *, remove_servers: bool) -> None:
        """Let every call to nova pass, every compute serve, and every server go if wanted.

        Raises:
            LabError: nova refuses, or a server would not go.
        """
        self.machine.path(programs.FAULTS).unlink(missing_ok=True)
        wait_until(self.api().is_answered, "keystone", READY_TIMEOUT_S)
        if remove_servers:
            for server in self._servers():
                self.compute("POST", f"/servers/{server['id']}/action", {"forceDelete": None})
            wait_until(lambda: not self.servers(), "every server gone", READY_TIMEOUT_S)
        # Nova calls a service up for a while after its host died; and one that does not run yet
        # cannot hear that it is enabled.
        before = self._beats()
        wait_until(
            lambda: all(self._beats()[h] != beat for h, beat in before.items()),
            "a heartbeat of every nova-compute",
            READY_TIMEOUT_S,
        )
        for service in self.compute("GET", _COMPUTES)["services"]:
            well = {"forced_down": False, "status": "enabled"}
            self.compute("PUT", f"/os-services/{service['id']}", well)

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
            wait_until(is_ready, "nova in service", READY_TIMEOUT_S)
        except LabError as error:
            raise LabError(f"{error}: missing {' '.join(sorted(missing))}") from error

    def _missing(self) -> set[str]:
        wanted = {"nova-conductor", "nova-scheduler", *(str(host.name) for host in self.hosts)}
        try:
            found = self.compute("GET", "/os-services")["services"]
            mapped = self.compute("GET", "/os-hypervisors")["hypervisors"]
        except LabError as error:
            return {str(error)}
        up = {
            line["host"] if line["binary"] == programs.COMPUTE else line["binary"]
            for line in found
            if line["state"] == "up"
        }
        known = {line["hypervisor_hostname"] for line in mapped}
        return wanted - (up & (known | {"nova-conductor", "nova-scheduler"}))

    def api(self) -> Api:
        """Calls of the administrator."""
        return Api(self.machine, seed.password())

    def compute(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Call nova; see `Api.call`."""
        return self.api().call(COMPUTE_PORT, method, f"/v2.1{path}", body)

    # -- guests -----------------------------------------------------------------------------------

    def add_images(self, image: guest_image.GuestImage) -> None:
        """Add the image and the flavor of the guests, and lift the quotas.

        Raises:
            LabError: glance or nova refuses.
        """
        api = self.api()
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
        [image] = self.api().call(IMAGE_PORT, "GET", f"/v2/images?name={IMAGE}")["images"]
        server = {
            "name": name,
            "imageRef": image["id"],
            "flavorRef": FLAVOR,
            "networks": "none",
            "host": str(on.name),
        }
        made = self.compute("POST", "/servers", {"server": server})
        return uuid.UUID(made["server"]["id"])

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
            LabError: one failed, with nova's word, or did not run within `BOOT_TIMEOUT_S`.
        """

        def are_active() -> bool:
            servers = self.servers()
            for name in names:
                if servers[name]["status"] == "ERROR":
                    raise LabError(f"server {name}: {servers[name].get('fault')}")
            return all(servers[name]["status"] == "ACTIVE" for name in names)

        wait_until(are_active, f"servers {' '.join(names)} active", BOOT_TIMEOUT_S)


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
