"""What a host offers to guests, read from libvirt. Blocking; run in the adapter's threads."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import libvirt

from hamon.model.host import HostCapacity
from hamon.model.names import BootId

NETWORK_DEVICES = Path("/sys/class/net")


def read_capacity(connection: libvirt.virConnect, boot_id: BootId) -> HostCapacity:
    """Ask libvirt what this host has.

    Raises:
        libvirt.libvirtError: it refused or the connection broke.
    """
    information = connection.getInfo()
    architecture = _architecture(connection)
    pools = [pool for pool in connection.listAllStoragePools() if pool.isActive()]
    networks = [
        network.name()
        for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    ]
    return HostCapacity(
        boot_id=boot_id,
        ram_mib=int(information[1]),
        vcpus=int(information[2]),
        architecture=architecture,
        cpu_models=_cpu_models(connection, architecture),
        networks=(*sorted(networks), *host_bridges(NETWORK_DEVICES)),
        pools=tuple(sorted(pool.name() for pool in pools)),
        pool_paths=tuple(sorted(filter(None, map(_target_path, pools)))),
    )


def host_bridges(devices: Path) -> tuple[str, ...]:
    """Name the kernel's bridges as a guest's definition is read: ``bridge:<name>``."""
    return tuple(sorted(f"bridge:{path.parent.name}" for path in devices.glob("*/bridge")))


def _architecture(connection: libvirt.virConnect) -> str:
    capabilities = ET.fromstring(connection.getCapabilities())  # noqa: S314 - libvirt's own
    return capabilities.findtext("host/cpu/arch", "")


def _cpu_models(connection: libvirt.virConnect, architecture: str) -> tuple[str, ...]:
    """Name what can run here, as a guest's definition is read: ``kvm/``, ``kvm/EPYC``."""
    return tuple(
        sorted(
            f"{kind}/{model}"
            for kind in ("kvm", "qemu")
            for model in _models_of(connection, architecture, kind)
        )
    )


def _models_of(connection: libvirt.virConnect, architecture: str, kind: str) -> tuple[str, ...]:
    """Return the usable models of one kind of virtualisation, "" for any; none without the kind."""
    try:
        text = connection.getDomainCapabilities(arch=architecture, virttype=kind)
    except libvirt.libvirtError as error:
        if error.get_error_code() in {libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG}:
            return ()
        raise
    capabilities = ET.fromstring(text)  # noqa: S314 - libvirt's own
    models = capabilities.iterfind("cpu/mode[@name='custom']/model")
    return ("", *(m.text for m in models if m.get("usable") != "no" and m.text))


def _target_path(pool: libvirt.virStoragePool) -> str:
    description = ET.fromstring(pool.XMLDesc())  # noqa: S314 - libvirt's own
    return description.findtext("target/path", "")
