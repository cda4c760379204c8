"""The libvirt of a virtual compute host: its configuration, storage pool and network."""

import os
import uuid
from pathlib import Path

from lab.names import SHARED_STORAGE

POOL = "shared"
NETWORK = "lab"

# Users, security labels, cgroups and mount namespaces of QEMU add nothing in a lab host, which is
# a set of namespaces already; remembering owners would write to disks that two hosts share.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
"""

_POOL_XML = """\
<pool type='dir'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <source/>
  <target><path>{path}</path></target>
</pool>
"""

# No address, so libvirt needs neither dnsmasq nor a firewall for it.
_NETWORK_XML = """\
<network>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <bridge name='virbr-lab' stp='off' delay='0'/>
</network>
"""


def prepare(folder: Path, product_uuid: uuid.UUID) -> None:
    """Write a host's libvirt configuration into its folder, before its first power-on.

    Args:
        folder: the machine's folder, which holds the upper layers of /etc and /var.
        product_uuid: what its libvirtd says is the machine's uuid.
    """
    etc = _own(folder / "etc" / "upper" / "libvirt")
    for state in ("var-lib", "var-cache", "var-log"):
        _own(folder / state / "upper" / "libvirt")
    (etc / "hooks").mkdir(exist_ok=True)
    (etc / "libvirtd.conf").write_text(
        f'host_uuid = "{product_uuid}"\n'
        'auth_unix_rw = "none"\n'
        'auth_unix_ro = "none"\n'
        'log_outputs = "2:stderr"\n'
    )
    (etc / "virtlogd.conf").write_text('log_outputs = "3:stderr"\n')
    (etc / "qemu.conf").write_text(_QEMU_CONF)
    pool_uuid, network_uuid = uuid.uuid5(product_uuid, POOL), uuid.uuid5(product_uuid, NETWORK)
    guests = SHARED_STORAGE / "guests"
    pool = _POOL_XML.format(name=POOL, uuid=pool_uuid, path=guests)
    _autostarted(etc, "storage", POOL, pool)
    network = _NETWORK_XML.format(name=NETWORK, uuid=network_uuid)
    _autostarted(etc, "qemu/networks", NETWORK, network)


def is_prepared(folder: Path) -> bool:
    """Whether a machine's folder holds a libvirt configuration, so that it has a hypervisor."""
    return (folder / "etc" / "upper" / "libvirt").exists()


def _own(folder: Path) -> Path:
    """Make a folder of an upper layer that hides what the machine below has of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    os.setxattr(folder, "trusted.overlay.opaque", b"y")
    return folder


def _autostarted(etc: Path, kind: str, name: str, xml: str) -> None:
    folder = etc / kind
    (folder / "autostart").mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.xml").write_text(xml)
    link = folder / "autostart" / f"{name}.xml"
    if not link.is_symlink():
        # libvirt compares it with the full path as the host sees it.
        link.symlink_to(Path("/etc/libvirt") / folder.relative_to(etc) / f"{name}.xml")
