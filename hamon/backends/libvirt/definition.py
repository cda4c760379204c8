"""A domain's XML read for what hamon needs of it. Pure: no libvirt, no files.

What a guest needs decides where it can run; what ties it to its host decides whether it can move
at all, and that is said beforehand, per guest, with reasons.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hamon.model import guest_policy
from hamon.model.guest import InventoryEntry, NotMovable, PowerState
from hamon.model.host import GuestAgent
from hamon.model.names import GuestId, guest_id
from hamon.ports.hypervisor import Domain

HAMON_NAMESPACE = "urn:hamon:guest:1"
"""Of the element that an operator may put into a domain's metadata:
``<hamon:guest xmlns:hamon="urn:hamon:guest:1" protect="no" anti-affinity="web"
priority="50"/>``. ``docs/guests.md`` has every attribute."""

NOVA_NAMESPACE = "http://openstack.org/xmlns/libvirt/nova/1."
"""What the namespace of Nova's own metadata begins with: 1.0 in older releases, 1.1 in newer."""

AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""Name of the channel through which libvirt talks to the agent in a guest."""

_CHOICES = {
    "priority": guest_policy.PRIORITY,
    "restart": guest_policy.RESTART,
    "evacuate": guest_policy.EVACUATE,
    "wait-for-ready": guest_policy.READY,
    "ready-address": guest_policy.READY_ADDRESS,
    "ready-timeout-s": guest_policy.READY_TIMEOUT,
}
"""Attributes of that element, and what they are called in Nova. Controllers judge the values."""

_CHOICE_LENGTH_MAX = 100

_BYTES_PER_UNIT = {
    "b": 1,
    "bytes": 1,
    "kb": 10**3,
    "k": 2**10,
    "kib": 2**10,
    "mb": 10**6,
    "m": 2**20,
    "mib": 2**20,
    "gb": 10**9,
    "g": 2**30,
    "gib": 2**30,
    "tb": 10**12,
    "t": 2**40,
    "tib": 2**40,
}
_MIB = 2**20


class DefinitionError(ValueError):
    """The XML is no domain that hamon can read. The message says what is missing or broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStorage:
    """What every host sees alike: folders (or device prefixes) by path, and pools by name."""

    paths: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Say whether ``path`` lies in a shared folder; a path with ``..`` never does."""
        pure = PurePosixPath(path)
        return ".." not in pure.parts and any(pure.is_relative_to(shared) for shared in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFacts:
    """What a definition says.

    ``networks``: names of libvirt networks, ``bridge:<name>`` for host bridges. ``disks``: paths
    of file and block disks. ``files``: what else must exist where the guest starts (kernel, initrd,
    firmware). ``choices``: what its metadata says of its evacuation. ``ties``: what ties the guest
    to its host, as far as the definition tells.
    """

    guest: GuestId
    name: str
    ram_mib: int
    vcpus: int
    architecture: str
    cpu_model: str
    networks: tuple[str, ...]
    pools: tuple[str, ...]
    disks: tuple[str, ...]
    files: tuple[str, ...]
    anti_affinity: str
    choices: Mapping[str, str]
    ties: tuple[NotMovable, ...]


def read_definition(definition: str, shared: SharedStorage) -> DomainFacts:
    """Read a domain's XML.

    Raises:
        DefinitionError: it is not XML, or no domain with uuid, name, memory and a machine type.
    """
    root = _parse(definition)
    own = root.find(f"metadata/{{{HAMON_NAMESPACE}}}guest")
    settings = {} if own is None else own.attrib
    return DomainFacts(
        guest=_guest(root),
        name=_text(root, "name"),
        ram_mib=_ram_mib(root),
        vcpus=_vcpus(root),
        architecture=_architecture(root),
        cpu_model=_cpu_model(root),
        networks=_networks(root),
        pools=_unique(s.get("pool", "") for s in root.iterfind("devices/disk/source[@pool]")),
        disks=_unique(_disk_paths(root)),
        files=_unique(_boot_files(root)),
        anti_affinity=settings.get("anti-affinity", ""),
        choices=_choices(settings),
        ties=tuple(sorted(_ties(root, settings.get("protect", ""), shared))),
    )


def to_entry(domain: Domain, wanted: PowerState, shared: SharedStorage) -> InventoryEntry:
    """Turn a domain as libvirt has it into its inventory entry.

    Raises:
        DefinitionError: as :func:`read_definition`.
    """
    facts = read_definition(domain.definition, shared)
    ties = set(facts.ties)
    if not domain.is_persistent:
        ties.add(NotMovable.TRANSIENT)
    if domain.has_managed_save:
        ties.add(NotMovable.MANAGED_SAVE)
    return InventoryEntry(
        guest=domain.guest,
        name=domain.name,
        definition=domain.definition,
        wanted=wanted,
        ram_mib=facts.ram_mib,
        vcpus=facts.vcpus,
        architecture=facts.architecture,
        cpu_model=facts.cpu_model,
        networks=facts.networks,
        pools=facts.pools,
        disks=facts.disks,
        anti_affinity=facts.anti_affinity,
        choices=facts.choices,
        not_movable=tuple(sorted(ties)),
    )


def is_of_nova(definition: str) -> bool:
    """Say whether Nova made the domain: it puts ``<nova:instance>`` into its metadata.

    False for what is no domain: a guest is Nova's only if its definition says so.
    """
    try:
        root = _parse(definition)
    except DefinitionError:
        return False
    mark = f"{{{NOVA_NAMESPACE}"
    return any(
        element.tag.startswith(mark) and element.tag.endswith("}instance")
        for element in root.iterfind("metadata/*")
    )


def read_agent(live: str) -> GuestAgent:
    """Say from the XML of a running domain whether the agent inside it is connected.

    Raises:
        DefinitionError: it is no domain.
    """
    channel = _parse(live).find(f"devices/channel/target[@name='{AGENT_CHANNEL}']")
    if channel is None:
        return GuestAgent.NO_CHANNEL
    is_connected = channel.get("state") == "connected"
    return GuestAgent.CONNECTED if is_connected else GuestAgent.DISCONNECTED


def _parse(definition: str) -> ET.Element:
    if "<!DOCTYPE" in definition:
        # Entities could blow a small text up to gigabytes; libvirt never writes any.
        raise DefinitionError("it has a document type")
    try:
        root = ET.fromstring(definition)  # noqa: S314 - no document type, hence no entities
    except ET.ParseError as error:
        raise DefinitionError(f"not XML: {error}") from error
    if root.tag != "domain":
        raise DefinitionError(f"<{root.tag}> is no domain")
    return root


def _text(root: ET.Element, path: str) -> str:
    text = (root.findtext(path) or "").strip()
    if not text:
        raise DefinitionError(f"no <{path}>")
    return text


def _guest(root: ET.Element) -> GuestId:
    try:
        return guest_id(_text(root, "uuid"))
    except ValueError as error:
        raise DefinitionError(f"uuid: {error}") from error


def _number(text: str | None, what: str) -> int:
    if text is None or not re.fullmatch(r"\s*[0-9]{1,18}\s*", text):
        raise DefinitionError(f"{what}: {text!r} is no number")
    return int(text)


def _ram_mib(root: ET.Element) -> int:
    unit = "KiB" if (element := root.find("memory")) is None else element.get("unit", "KiB")
    if unit.lower() not in _BYTES_PER_UNIT:
        raise DefinitionError(f"memory: unit {unit!r}")
    size = _number(root.findtext("memory"), "memory") * _BYTES_PER_UNIT[unit.lower()]
    return -(-size // _MIB)


def _vcpus(root: ET.Element) -> int:
    element = root.find("vcpu")
    if element is None:
        return 1
    return _number(element.get("current", element.text), "vcpu")


def _architecture(root: ET.Element) -> str:
    machine = root.find("os/type")
    architecture = "" if machine is None else machine.get("arch", "")
    if not architecture:
        raise DefinitionError("no architecture in <os><type>")
    return architecture


def _cpu_model(root: ET.Element) -> str:
    """Name what must be able to run it: ``kvm/EPYC``; ``kvm/`` when any CPU of that kind will do.

    host-model and host-passthrough boot on any. The kind comes first, because which models a host
    can offer differs between virtualisation and emulation.
    """
    kind = root.get("type", "kvm")
    cpu = root.find("cpu")
    if cpu is None or cpu.get("mode", "custom") != "custom":
        return f"{kind}/"
    return f"{kind}/{(cpu.findtext('model') or '').strip()}"


def _networks(root: ET.Element) -> tuple[str, ...]:
    names: list[str] = []
    for interface in root.iterfind("devices/interface"):
        source = interface.find("source")
        if source is None:
            continue
        match interface.get("type"):
            case "network":
                names.append(source.get("network", ""))
            case "bridge" if interface.find("virtualport") is None:
                # An Open vSwitch bridge is no bridge to the kernel: nobody could confirm it.
                names.append(f"bridge:{source.get('bridge', '')}")
            case _:
                pass
    return _unique(names)


def _disk_sources(root: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """Each disk's own source and those of the images below it, with their type."""
    for disk in root.iterfind("devices/disk"):
        for layer in (disk, *disk.iter("backingStore")):
            source = layer.find("source")
            if source is not None:
                yield layer.get("type", ""), source


def _disk_paths(root: ET.Element) -> Iterator[str]:
    for kind, source in _disk_sources(root):
        if kind in _PATH_ATTRIBUTE:
            yield source.get(_PATH_ATTRIBUTE[kind], "")


def _boot_files(root: ET.Element) -> Iterator[str]:
    for tag in ("kernel", "initrd", "dtb", "loader"):
        yield (root.findtext(f"os/{tag}") or "").strip()


def _choices(settings: Mapping[str, str]) -> dict[str, str]:
    return {
        key: settings[name][:_CHOICE_LENGTH_MAX]
        for name, key in _CHOICES.items()
        if name in settings
    }


def _unique(texts: Iterator[str] | list[str]) -> tuple[str, ...]:
    """Keep the order, drop repetitions and what is empty."""
    return tuple(dict.fromkeys(text for text in texts if text))


# -- What ties a guest to its host ----------------------------------------------------------------

_PATH_ATTRIBUTE = {"file": "file", "block": "dev", "dir": "dir"}

_HOST_DEVICES = (
    "devices/hostdev",
    "devices/interface[@type='hostdev']",
    "devices/interface[@type='vhostuser']",
    "devices/interface[@type='vdpa']",
    "devices/disk[@type='nvme']",
    "devices/disk[@type='vhostuser']",
    "devices/disk[@type='vhostvdpa']",
    "devices/serial[@type='dev']",
    "devices/parallel[@type='dev']",
    "devices/input[@type='passthrough']",
    "devices/input[@type='evdev']",
    "devices/tpm/backend[@type='passthrough']",
)


def _ties(root: ET.Element, protect: str, shared: SharedStorage) -> Iterator[NotMovable]:
    if protect == "no":
        yield NotMovable.OPTED_OUT
    if any(root.find(path) is not None for path in _HOST_DEVICES):
        yield NotMovable.HOST_DEVICE
    if _has_local_storage(root, shared):
        yield NotMovable.LOCAL_DISK
    if any(root.find(f"devices//{tag}") is not None for tag in ("encryption", "auth", "secret")):
        yield NotMovable.SECRET
    if _has_local_nvram(root, shared):
        yield NotMovable.NVRAM
    if _has_local_tpm(root, shared):
        yield NotMovable.TPM_STATE


def _has_local_storage(root: ET.Element, shared: SharedStorage) -> bool:
    for kind, source in _disk_sources(root):
        match kind:
            case "file" | "block" | "dir":
                path = source.get(_PATH_ATTRIBUTE[kind], "")
                if path and not shared.holds(path):
                    return True
            case "volume":
                if source.get("pool", "") not in shared.pools:
                    return True
            case "network" | "nvme" | "vhostuser" | "vhostvdpa":
                # Reached from anywhere, or named as a host device.
                continue
            case _:
                # safety: a kind of disk from a newer libvirt may lie on this host alone.
                return True
    folders = [source.get("dir", "") for source in root.iterfind("devices/filesystem/source")]
    memory = [path.text or "" for path in root.iterfind("devices/memory/source/path")]
    return any(not shared.holds(path) for path in (*folders, *memory))


def _has_local_nvram(root: ET.Element, shared: SharedStorage) -> bool:
    nvram = root.find("os/nvram")
    if nvram is None:
        # libvirt makes the file at the first start, in a folder of this host.
        loader = root.find("os/loader")
        is_pflash = loader is not None and loader.get("type") == "pflash"
        is_stateless = loader is not None and loader.get("stateless") == "yes"
        is_efi = root.find("os[@firmware='efi']") is not None
        return (is_pflash or is_efi) and not is_stateless
    source = nvram.find("source")
    if source is None:
        return not shared.holds((nvram.text or "").strip())
    if nvram.get("type") == "network":
        return False
    return not shared.holds(source.get("file") or source.get("dev") or "")


def _has_local_tpm(root: ET.Element, shared: SharedStorage) -> bool:
    for backend in root.iterfind("devices/tpm/backend[@type='emulator']"):
        source = backend.find("source")
        path = "" if source is None else source.get("path", "")
        if not shared.holds(path):
            return True
    return False
