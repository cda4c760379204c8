"""``hosts.d``: from files with defaults and patterns to one specification for each host.

Within one file the more exact wins, key by key: ``[defaults]`` < a pattern < a name.

- ``[host."compute-{01..20}"]`` stands for compute-01 to compute-20; leading zeros are kept.
- In any text below it ``{name}`` is the host's name, ``{n}`` its number, ``{n+100}`` a sum.
- ``[host."compute-07"]`` beside the pattern changes that one host.

Two patterns for one host, or one host in two files, are refused: nobody could say which holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hamon.errors import ConfigError
from hamon.model.host import FenceDeviceSpec, HostSpec, PlaneAddress
from hamon.model.names import host_name
from hamon.settings.devices import device_of
from hamon.settings.document import Document, Key, validated
from hamon.settings.schema import HostsFile, HostTable
from hamon.settings.secrets import read_secret, zookeeper_digest

HOSTS_MAX = 10_000
"""Hosts of one pattern: what hamon is measured with, and a brake on a typing error."""

_PATTERN = re.compile(r"(?P<before>[^{}]*)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<after>[^{}]*)")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SUM = re.compile(r"n(?:\+(\d+))?")
_DIGEST = re.compile(r"[A-Za-z0-9+/]{27}=")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEntry:
    """A host, and where it was written, so that checks can point there.

    ``at``: the host's key; ``also``: the pattern's key and that of the file's defaults.
    ``accept_bmc_only``: the operator accepts that nothing but the BMC can fence it.
    """

    document: Document
    at: Key
    also: tuple[Key, ...]
    spec: HostSpec
    accept_bmc_only: bool = False

    def error(self, key: Key, why: str) -> ConfigError:
        """Build the complaint about a key of this host."""
        return self.document.error((*self.at, *key), why, *((*place, *key) for place in self.also))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A host before its values were looked at."""

    name: str
    number: int | None
    pattern: str | None
    table: Mapping[str, object]


class _TemplateError(ValueError):
    """A pattern or a placeholder that cannot be filled in."""


def load_hosts(
    document: Document,
) -> tuple[tuple[HostEntry, ...], tuple[ConfigError, ...]]:
    """Read the hosts of one file.

    Returns:
        The hosts without a fault, and all the errors of the others.
    """
    file, errors = validated(document, HostsFile, document.data, ())
    if file is None:
        return (), errors
    found = list(errors)
    entries: list[HostEntry] = []
    for draft in _drafts(document, file, found):
        entry = _entry(document, draft, found)
        if entry is not None:
            entries.append(entry)
    return tuple(entries), tuple(found)


def _drafts(document: Document, file: HostsFile, found: list[ConfigError]) -> Iterator[_Draft]:
    """Expand patterns and merge defaults, pattern and name."""
    exact = {key: table for key, table in file.host.items() if "{" not in key}
    seen: dict[str, str] = {}
    for pattern in file.host:
        if pattern in exact:
            continue
        try:
            members = _expanded(pattern)
        except _TemplateError as error:
            found.append(document.error(("host", pattern), str(error)))
            continue
        for name, number in members:
            if name in seen:
                why = f"{name} is in {seen[name]} as well; a host may be in one pattern only"
                found.append(document.error(("host", pattern), why))
                break
            seen[name] = pattern
            table = _merged(_merged(file.defaults, file.host[pattern]), exact.get(name, {}))
            yield _Draft(name=name, number=number, pattern=pattern, table=table)
    for name, table in exact.items():
        if name not in seen:
            alone = _merged(file.defaults, table)
            yield _Draft(name=name, number=None, pattern=None, table=alone)


def _expanded(pattern: str) -> tuple[tuple[str, int], ...]:
    parts = _PATTERN.fullmatch(pattern)
    if parts is None:
        raise _TemplateError("write one range, for example compute-{01..20}")
    first, last = int(parts["first"]), int(parts["last"])
    count = last - first + 1
    if not 1 <= count <= HOSTS_MAX:
        raise _TemplateError(f"{last} - {first} + 1 = {count} hosts; 1 to {HOSTS_MAX} are possible")
    width = len(parts["first"])
    return tuple(
        (f"{parts['before']}{number:0{width}}{parts['after']}", number)
        for number in range(first, last + 1)
    )


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Lay one table over another, key by key at every depth."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(under, value)
        else:
            result[key] = value
    return result


def _filled(value: object, draft: _Draft) -> object:
    """Fill in the placeholders of every text in ``value``."""
    if isinstance(value, Mapping):
        return {key: _filled(item, draft) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, draft) for item in value]
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _placeholder(found[1], draft), value)
    return value


def _placeholder(text: str, draft: _Draft) -> str:
    if text == "name":
        return draft.name
    parts = _SUM.fullmatch(text)
    if parts is None:
        raise _TemplateError(f"{{{text}}} is unknown; there are {{name}}, {{n}} and {{n+10}}")
    if draft.number is None:
        raise _TemplateError(f"{{{text}}} needs a pattern; {draft.name} has no number")
    return str(draft.number + int(parts[1] or 0))


def _entry(document: Document, draft: _Draft, found: list[ConfigError]) -> HostEntry | None:
    at: Key = ("host", draft.name)
    also: tuple[Key, ...] = (("defaults",),)
    if draft.pattern is not None:
        also = (("host", draft.pattern), *also)
    try:
        name = host_name(draft.name)
        filled = _filled(draft.table, draft)
    except ValueError as error:
        found.append(document.error(at, str(error), *also))
        return None
    assert isinstance(filled, dict)
    table, errors = validated(document, HostTable, filled, at, *also)
    found.extend(errors)
    if table is None:
        return None
    devices, errors = _devices(document, table, at, also)
    found.extend(errors)
    try:
        identity = _identity(document, name, table)
    except (ValueError, ConfigError) as error:
        key = "zookeeper_password_file" if table.zookeeper_password_file else "zookeeper_digest"
        places = [(*place, key) for place in also]
        found.append(document.error((*at, key), str(error), *places))
        return None
    if table.agentless and not table.product_uuid:
        why = (
            "is missing: no agent of the host tells what its BMC must answer for "
            "(on the host: dmidecode -s system-uuid)"
        )
        places = [(*place, "product_uuid") for place in also]
        found.append(document.error((*at, "product_uuid"), why, *places))
        return None
    if errors:
        return None
    spec = HostSpec(
        name=name,
        planes=tuple(
            PlaneAddress(plane=plane, address=value.address, port=value.port)
            for plane, value in sorted(table.planes.items())
        ),
        fence=devices,
        product_uuid=table.product_uuid,
        zookeeper_identity=identity,
        labels=dict(table.labels),
        policy=table.policy,
        carries=tuple(sorted(set(table.carries))),
        service_host=table.service_host,
        agentless=table.agentless,
        kdump_addresses=table.kdump_addresses,
        reserved=table.reserved,
    )
    return HostEntry(
        document=document,
        at=at,
        also=also,
        spec=spec,
        accept_bmc_only=table.accept_bmc_only,
    )


def _devices(
    document: Document, table: HostTable, at: Key, also: tuple[Key, ...]
) -> tuple[tuple[FenceDeviceSpec, ...], tuple[ConfigError, ...]]:
    devices: list[FenceDeviceSpec] = []
    found: list[ConfigError] = []
    for name, fence in table.fence.items():
        key = ("fence", name)
        device, errors = device_of(
            document,
            name,
            fence,
            (*at, *key),
            tuple((*place, *key) for place in also),
            lambda path: _beside(document, path),
        )
        found.extend(errors)
        if device is not None:
            devices.append(device)
    return tuple(sorted(devices, key=lambda device: (device.level, device.name))), tuple(found)


def _identity(document: Document, name: str, table: HostTable) -> str:
    """Return what access rules name the host by: from its certificate, digest or password.

    An agentless host has none: nobody there would use it.

    Raises:
        ValueError: there are both or none, or the digest is not this host's.
        ConfigError: the file cannot be used.
    """
    user = f"host-{name}"
    given = [table.zookeeper_digest, table.zookeeper_password_file, table.zookeeper_subject]
    if table.agentless and any(given):
        raise ValueError(
            "the host is agentless and would never use it: remove it"
            ' (one of [defaults] is set to "" here)'
        )
    if table.agentless:
        return ""
    if sum(map(bool, given)) != 1:
        raise ValueError(
            "set one of zookeeper_password_file, zookeeper_digest and zookeeper_subject"
        )
    if table.zookeeper_subject:
        return f"x509:{table.zookeeper_subject}"
    if table.zookeeper_password_file:
        path = _beside(document, table.zookeeper_password_file)
        return zookeeper_digest(user, read_secret(str(path)))
    given_user, _, digest = table.zookeeper_digest.partition(":")
    if given_user != user or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{table.zookeeper_digest!r} must read {user}:<28 characters of base64>")
    return table.zookeeper_digest


def _beside(document: Document, path: str) -> Path:
    """Make a path absolute: a relative one starts at the file it is written in."""
    return document.path.absolute().parent / path
