"""What must hold among all hosts together: no name, address, machine or outlet twice.

A typing error here fences the wrong host, so nothing of it is only warned about.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from hamon.errors import ConfigError
from hamon.fencing.watchdog import WATCHDOG
from hamon.model.host import FenceDeviceSpec
from hamon.model.policy import Backend
from hamon.settings.devices import IPMI_PASSWORD_BYTES_MAX, is_bmc, outlet_of, protocol_of
from hamon.settings.document import Key
from hamon.settings.files import check_authorities, check_program
from hamon.settings.hosts import HostEntry
from hamon.settings.secrets import read_secret

_Claim = tuple[Key, Hashable, str]
"""Where it was written, what only one host may have, and how it is called."""


def problems(
    entries: Sequence[HostEntry], *, backend: Backend, allow_loopback: bool
) -> Iterator[ConfigError]:
    """Say what is wrong with the hosts as a whole."""
    for entry in entries:
        yield from _addresses(entry, allow_loopback=allow_loopback)
        yield from _fencing(entry)
        if entry.spec.service_host and backend is not Backend.NOVA:
            why = (
                f'is the name of a nova-compute, and this cluster has cluster.backend = "{backend}"'
                ": remove it, or set the backend"
            )
            yield entry.error(("service_host",), why)
        if entry.spec.agentless and backend is not Backend.NOVA:
            why = (
                f"only Nova can speak for a host without an agent, and this cluster has "
                f'cluster.backend = "{backend}": remove it and install the agent, or set the '
                "backend"
            )
            yield entry.error(("agentless",), why)
    yield from _twice(entries, _claims)
    if backend is Backend.NOVA:
        yield from _twice(entries, _service_host)
    yield from _one_bmc(entries)
    yield from _secrets(entries)
    yield from _files(entries)


def _addresses(entry: HostEntry, *, allow_loopback: bool) -> Iterator[ConfigError]:
    planes: dict[str, str] = {}
    for plane in entry.spec.planes:
        key = ("planes", plane.plane, "address")
        if why := _unusable(plane.address, allow_loopback=allow_loopback):
            yield entry.error(key, why)
        if (other := planes.setdefault(plane.address, plane.plane)) != plane.plane:
            why = f"{plane.address} is also plane {other}: two planes on one are one witness"
            yield entry.error(key, why)
    for address in entry.spec.kdump_addresses:
        if why := _unusable(address, allow_loopback=allow_loopback):
            yield entry.error(("kdump_addresses",), why)
    for device in entry.spec.fence:
        if not device.address:
            continue
        key = ("fence", device.name, "address")
        if why := _unusable(device.address, allow_loopback=allow_loopback):
            yield entry.error(key, why)
        if device.address in planes and not allow_loopback:
            why = (
                f"{device.address} is the host's own address on plane {planes[device.address]}: "
                "a fence device must answer when its host does not"
            )
            yield entry.error(key, why)


def _unusable(address: str, *, allow_loopback: bool) -> str:
    """Say why nothing at this address can be a host or a device, empty when it can."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast or address == "255.255.255.255":
        return f"{address} is no address of one machine"
    if parsed.is_link_local:
        return f"{address} is link-local: it means another machine on each network card"
    if parsed.is_loopback and not allow_loopback:
        return (
            f"{address} is this machine itself, whatever the host's fate; "
            "overrides.allow_loopback = true accepts it (labs)"
        )
    return ""


def _fencing(entry: HostEntry) -> Iterator[ConfigError]:
    devices = entry.spec.fence
    if not devices:
        why = "the host has no fence device: it could never be proven dead; add one"
        yield entry.error(("fence",), why)
    elif all(map(is_bmc, devices)) and not entry.accept_bmc_only:
        names = ", ".join(device.name for device in devices)
        why = (
            f"{names} lose power together with the host and then never answer: add a device with "
            "power of its own (a switched outlet, storage), or set accept_bmc_only = true and "
            "be ready for `hamon confirm-down`"
        )
        yield entry.error(("fence",), why)
    watchdogs = [device for device in devices if device.kind == WATCHDOG]
    if watchdogs and entry.spec.agentless:
        why = "no agent of the host pets a watchdog: remove it, or install the agent"
        yield entry.error(("fence", watchdogs[0].name), why)
    for device in watchdogs[1:]:
        why = f"{watchdogs[0].name} is the host's watchdog already: it has one for all devices"
        yield entry.error(("fence", device.name), why)


def _twice(
    entries: Sequence[HostEntry], claims: Callable[[HostEntry], Iterator[_Claim]]
) -> Iterator[ConfigError]:
    """Find what two hosts must not share."""
    owners: dict[Hashable, HostEntry] = {}
    for entry in entries:
        for key, what, said in claims(entry):
            owner = owners.setdefault(what, entry)
            if owner is not entry:
                why = f"{said} is already that of {owner.spec.name} in {owner.document.path.name}"
                yield entry.error(key, why)


def _service_host(entry: HostEntry) -> Iterator[_Claim]:
    name = entry.spec.service_host or entry.spec.name
    # Nova's database does not tell upper from lower case.
    yield ("service_host",), name.casefold(), f"the service host {name}"


def _claims(entry: HostEntry) -> Iterator[_Claim]:
    spec = entry.spec
    yield (), ("name", spec.name), f"the name {spec.name}"
    if spec.product_uuid:
        yield ("product_uuid",), ("uuid", spec.product_uuid), spec.product_uuid
    for plane in spec.planes:
        key = ("planes", plane.plane, "address")
        # On whichever plane: a crash notice is known by its source address alone.
        yield key, ("address", plane.address), plane.address
    for address in spec.kdump_addresses:
        yield ("kdump_addresses",), ("address", address), address
    for device in spec.fence:
        # A watchdog is each host's own.
        if device.kind != WATCHDOG and (outlet := outlet_of(device)):
            said = f"fence device {' '.join(outlet)}"
            yield ("fence", device.name), ("outlet", *outlet), said


def _one_bmc(entries: Sequence[HostEntry]) -> Iterator[ConfigError]:
    """Find two hosts behind one BMC that speaks several protocols.

    Two that speak the same are told apart by port or system. On loopback, emulators of several BMCs
    may share an address.
    """
    owners: dict[str, dict[str, HostEntry]] = {}
    for entry in entries:
        for device in filter(is_bmc, entry.spec.fence):
            if not device.address or ipaddress.ip_address(device.address).is_loopback:
                continue
            speaks = owners.setdefault(device.address, {})
            for protocol, owner in speaks.items():
                if owner is not entry and protocol != protocol_of(device):
                    why = (
                        f"{device.address} is already the BMC of {owner.spec.name} in "
                        f"{owner.document.path.name} (there by {protocol}): one BMC, one host"
                    )
                    yield entry.error(("fence", device.name, "address"), why)
            speaks.setdefault(protocol_of(device), entry)


def _secrets(entries: Sequence[HostEntry]) -> Iterator[ConfigError]:
    """Read every password file once, so that a wrong one is found before it is needed."""
    verdicts: dict[str, str | None] = {}
    lengths: dict[str, int] = {}
    for entry in entries:
        for device in entry.spec.fence:
            path = device.password_file
            if not path:
                continue
            if path not in verdicts:
                verdicts[path] = _read(path, lengths)
            why = verdicts[path] or _too_long(device, lengths)
            if why:
                yield entry.error(("fence", device.name, "password_file"), why)


def _files(entries: Sequence[HostEntry]) -> Iterator[ConfigError]:
    """Look once at every program and certificate that a device names."""
    verdicts: dict[str, str | None] = {}
    for entry in entries:
        for device in entry.spec.fence:
            named = (
                ("program", device.program, check_program),
                ("ca_file", device.ca_file, check_authorities),
            )
            for key, path, check in named:
                if path and path not in verdicts:
                    verdicts[path] = _checked(check, path)
                if path and (why := verdicts[path]):
                    yield entry.error(("fence", device.name, key), why)


def _checked(check: Callable[[str], None], path: str) -> str | None:
    try:
        check(path)
    except ConfigError as error:
        return str(error)
    return None


def _read(path: str, lengths: dict[str, int]) -> str | None:
    try:
        lengths[path] = len(read_secret(path).encode())
    except ConfigError as error:
        return str(error)
    return None


def _too_long(device: FenceDeviceSpec, lengths: Mapping[str, int]) -> str | None:
    length = lengths[device.password_file]
    if device.kind == "ipmi" and length > IPMI_PASSWORD_BYTES_MAX:
        return (
            f"the password has {length} bytes; IPMI 2.0 takes {IPMI_PASSWORD_BYTES_MAX}: "
            "set a shorter one"
        )
    return None
