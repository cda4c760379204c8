"""Guests of the lab: disks on the shared storage, domains on the hosts."""

import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import guest_image, hypervisor, observer
from lab.machine import Machine
from lab.names import SHARED_STORAGE, LabError, Layout
from lab.processes import run

_GUEST_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_IDENTITY = uuid.UUID("0d4f2f38-7a0e-4a3d-9c2f-1d0a2c0b7a11")

# <shareable/>: this machine's one kernel would otherwise lock the image, and hide double starts
# that shared block storage allows.
_DOMAIN_XML = """\
<domain type='{accelerator}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>{command_line} lab.guest={name}</cmdline>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
      <shareable/>
    </disk>
    <serial type='null'><target port='0'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>{interface}
  </devices>
</domain>
"""
_INTERFACE_XML = """
    <interface type='network'>
      <source network='{network}'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """The guests of one lab.

    Attributes:
        layout: names of the lab.
        accelerator: libvirt's domain type, `kvm` or `qemu`.
    """

    layout: Layout
    accelerator: str

    def prepare(self, image: guest_image.GuestImage) -> None:
        """Put what guests boot onto the shared storage, where each host sees it."""
        self.layout.guest_disks.mkdir(parents=True, exist_ok=True)
        boot = self.layout.shared_storage / "boot"
        boot.mkdir(exist_ok=True)
        shutil.copy(image.kernel, boot / "vmlinuz")
        shutil.copy(image.initramfs, boot / "initramfs.gz")

    def uuid(self, name: str) -> uuid.UUID:
        """The uuid of a guest: the same each time, different in each lab."""
        return uuid.uuid5(_IDENTITY, f"{self.layout.folder}/{name}")

    def by_uuid(self, names: Iterable[str]) -> dict[str, str]:
        """The names of guests by their uuids."""
        return {str(self.uuid(name)): name for name in names}

    def disk(self, name: str) -> Path:
        """A guest's disk, as seen from outside."""
        return self.layout.guest_disks / f"{name}.raw"

    def disks(self) -> dict[str, Path]:
        """The disk of each guest that has one, as seen from outside."""
        return {disk.stem: disk for disk in self.layout.guest_disks.glob("*.raw")}

    def xml(
        self, name: str, *, memory_mib: int = 96, vcpus: int = 1, with_interface: bool = False
    ) -> str:
        """The domain of a guest, the same on each host.

        Raises:
            LabError: the name is not fit for a guest.
        """
        if not _GUEST_NAME.fullmatch(name):
            raise LabError(f"guest name {name!r}: lower-case letters, digits and dashes")
        interface = _INTERFACE_XML.format(network=hypervisor.NETWORK) if with_interface else ""
        return _DOMAIN_XML.format(
            accelerator=self.accelerator,
            name=name,
            uuid=self.uuid(name),
            memory_mib=memory_mib,
            vcpus=vcpus,
            kernel=SHARED_STORAGE / "boot" / "vmlinuz",
            initramfs=SHARED_STORAGE / "boot" / "initramfs.gz",
            command_line=guest_image.BASE_COMMAND_LINE,
            disk=SHARED_STORAGE / "guests" / f"{name}.raw",
            interface=interface,
        )

    def define(self, name: str, on: Machine, xml: str | None = None) -> None:
        """Define a guest on a host, with a disk if it has none yet.

        Args:
            name: the guest.
            on: the host.
            xml: its domain; that of `xml(name)` by default.

        Raises:
            LabError: libvirt refuses.
        """
        if not self.disk(name).exists():
            observer.format_disk(self.disk(name))
        on.run(["virsh", "-q", "define", "/dev/stdin"], text=xml or self.xml(name))

    def start(self, name: str, on: Machine) -> None:
        """Start a defined guest.

        Raises:
            LabError: libvirt refuses, also if it runs.
        """
        on.run(["virsh", "-q", "start", name], deadline_s=60)

    def force_start(self, name: str, on: Machine) -> None:
        """Define and start a guest on a host without asking whether it runs elsewhere.

        It makes the double writer that hamon must never make.

        Raises:
            LabError: libvirt refuses.
        """
        self.define(name, on)
        self.start(name, on)

    def destroy(self, name: str, on: Machine) -> None:
        """Cut the power of a guest.

        Raises:
            LabError: libvirt refuses, also if it does not run.
        """
        on.run(["virsh", "-q", "destroy", name])

    def undefine(self, name: str, on: Machine) -> None:
        """Remove a guest's definition from a host; its disk stays.

        Raises:
            LabError: libvirt refuses.
        """
        on.run(["virsh", "-q", "undefine", name])

    def on_host(self, host: Machine) -> dict[str, str]:
        """Name and state of each domain on a host."""
        found = {}
        for line in host.run(["virsh", "-q", "list", "--all"]).splitlines():
            _, name, state = line.split(maxsplit=2)
            found[name] = state.strip()
        return found

    def remove_all(self, hosts: list[Machine]) -> None:
        """Destroy and undefine every domain on the running hosts, and remove the disks."""
        for host in hosts:
            for name, state in self.on_host(host).items():
                if state != "shut off":
                    self.destroy(name, host)
                if name in self.on_host(host):
                    self.undefine(name, host)
        for disk in self.layout.guest_disks.glob("*.raw"):
            disk.unlink()


def libvirt_answers(host: Machine) -> bool:
    """Whether a host's libvirtd serves, with its pool and network active, and is that host's."""
    try:
        said = run(host.exec_argv(["virsh", "-q", "capabilities"]), deadline_s=20)
        lists = [
            run(host.exec_argv(["virsh", "-q", kind, "--name"]), deadline_s=20)
            for kind in ("pool-list", "net-list")
        ]
    except LabError:
        return False
    if f"<uuid>{host.layout.product_uuid(host.name)}</uuid>" not in said:
        raise LabError(f"the libvirtd that answers on {host.name} is another host's")
    return hypervisor.POOL in lists[0].split() and hypervisor.NETWORK in lists[1].split()
