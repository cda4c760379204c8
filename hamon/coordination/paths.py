"""Where each znode lives: the only module that knows paths. All are below the cluster's chroot.

A name is validated on its way into a path and on its way out, so that neither a configured name nor
one that a host made up can reach another's znode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from hamon.model.change import NodeKey, NodeKind
from hamon.model.names import ControllerId, GuestId, HostName, IncidentId, is_name


class PlaceKind(StrEnum):
    """Every kind of znode; the value is the path, with the names that belong in it."""

    ROOT = "/"
    FORMAT = "/format"
    EPOCH = "/epoch"
    CONTROL = "/control"
    STORMS = "/storms"
    ELECTION = "/election"
    CONTENDER = "/election/{sequence}"
    CONTROLLERS = "/controllers"
    CONTROLLER = "/controllers/{controller}"
    HOSTS = "/hosts"
    HOST = "/hosts/{host}"
    GUARD = "/hosts/{host}/state"
    MODE = "/hosts/{host}/mode"
    RECORD = "/hosts/{host}/record"
    SELF = "/hosts/{host}/self"
    ALIVE = "/hosts/{host}/alive"
    HEARTBEAT = "/hosts/{host}/alive/hb"
    ATTENDANCE = "/hosts/{host}/alive/guests"
    GUEST_AGENTS = "/hosts/{host}/alive/agents"
    DOMAINS = "/hosts/{host}/domains"
    CAPACITY = "/hosts/{host}/capacity"
    CHECKS = "/hosts/{host}/checks"
    INVENTORY = "/hosts/{host}/inventory"
    INVENTORY_ENTRY = "/hosts/{host}/inventory/{guest}"
    GRANTS = "/hosts/{host}/grants"
    GRANT = "/hosts/{host}/grants/{guest}"
    GUESTS = "/guests"
    SHARD = "/guests/{shard}"
    GUEST = "/guests/{shard}/{guest}"
    INCIDENTS = "/incidents"
    INCIDENT = "/incidents/{incident}"
    INCIDENT_RECORD = "/incidents/{incident}/record"
    MIGRATIONS = "/incidents/{incident}/migrations"
    MIGRATION = "/incidents/{incident}/migrations/{guest}"
    REQUESTS = "/requests"
    REQUEST = "/requests/r-{sequence}"


DIRECTORIES = frozenset(
    {
        PlaceKind.ROOT,
        PlaceKind.ELECTION,
        PlaceKind.CONTROLLERS,
        PlaceKind.HOSTS,
        PlaceKind.HOST,
        PlaceKind.ALIVE,
        PlaceKind.INVENTORY,
        PlaceKind.GRANTS,
        PlaceKind.GUESTS,
        PlaceKind.SHARD,
        PlaceKind.INCIDENTS,
        PlaceKind.INCIDENT,
        PlaceKind.MIGRATIONS,
        PlaceKind.REQUESTS,
    }
)
"""Znodes that have children and no value. All others have a value and no children."""

SHARDS = tuple(f"{number:02x}" for number in range(256))
"""Names of the directories that guests are spread over, so that no listing grows too long."""

REQUEST_PREFIX = "/requests/r-"
"""What a request's path is made of before ZooKeeper adds its sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One znode by what it is. Only the names that its kind asks for are set.

    ``sequence``: ten digits of a request, the whole name of a contender.
    """

    kind: PlaceKind
    host: HostName | None = None
    guest: GuestId | None = None
    incident: IncidentId | None = None
    controller: ControllerId | None = None
    shard: str | None = None
    sequence: str | None = None


def place_of(key: NodeKey) -> Place:
    """Find the place of a znode that the core named."""
    return Place(
        kind=_KINDS[key.kind],
        host=key.host,
        guest=key.guest,
        incident=key.incident,
        sequence=key.sequence or None,
    )


def path_of(key: NodeKey) -> str:
    """Find the path of a znode that the core named.

    Raises:
        ValueError: a name it needs is missing or not valid.
    """
    return to_path(place_of(key))


def to_path(place: Place) -> str:
    """Write the path of a place; a guest's shard is worked out.

    Raises:
        ValueError: a name it needs is missing or not valid.
    """
    names: dict[str, str] = {}
    for field in _FIELD.findall(place.kind):
        name = _name(place, field)
        if name is None or not _IS_VALID[field](name):
            raise ValueError(f"{place.kind}: {name!r} is not a valid {field}")
        names[field] = name
    return place.kind.format(**names)


def parse(path: str) -> Place | None:
    """Read a path back; None when no znode of hamon's has such a path or a name is not valid."""
    for kind, pattern in _PATTERNS.get(path.count("/") if path != "/" else 0, ()):
        if match := pattern.fullmatch(path):
            return _place(kind, match.groupdict())
    return None


def parent(path: str) -> str:
    """Tell the path one level up."""
    return path.rpartition("/")[0] or "/"


def child(path: str, name: str) -> str:
    """Tell the path of ``name`` directly below ``path``."""
    return f"{path.rstrip('/')}/{name}"


def _place(kind: PlaceKind, names: dict[str, str]) -> Place | None:
    if not all(_IS_VALID[field](name) for field, name in names.items()):
        return None
    guest, shard = names.get("guest"), names.get("shard")
    if guest is not None and shard is not None and shard != guest[:2]:
        return None
    return Place(
        kind=kind,
        host=HostName(names["host"]) if "host" in names else None,
        guest=GuestId(guest) if guest is not None else None,
        incident=IncidentId(names["incident"]) if "incident" in names else None,
        controller=ControllerId(names["controller"]) if "controller" in names else None,
        shard=shard,
        sequence=names.get("sequence"),
    )


def _name(place: Place, field: str) -> str | None:
    if field == "shard" and place.guest is not None:
        return place.guest[:2]
    names: Mapping[str, str | None] = {
        "host": place.host,
        "guest": place.guest,
        "incident": place.incident,
        "controller": place.controller,
        "shard": place.shard,
        "sequence": place.sequence,
    }
    return names[field]


def _is_guest(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _is_incident(text: str) -> bool:
    host, _, version = text.rpartition("-")
    return is_name(host) and version.isascii() and version.isdigit()


_SEQUENCE = re.compile(r"(?:[0-9a-f]{32}-n_)?-?[0-9]{10}")
"""Of a request, or the whole name of a contender. A counter that ran over is negative."""

_IS_VALID: Mapping[str, Callable[[str], bool]] = {
    "host": is_name,
    "controller": is_name,
    "guest": _is_guest,
    "incident": _is_incident,
    "shard": frozenset(SHARDS).__contains__,
    "sequence": lambda text: _SEQUENCE.fullmatch(text) is not None,
}

_FIELD = re.compile(r"{(\w+)}")


def _patterns() -> Mapping[int, list[tuple[PlaceKind, re.Pattern[str]]]]:
    """Turn the templates into patterns, sorted by the number of levels."""
    by_depth: dict[int, list[tuple[PlaceKind, re.Pattern[str]]]] = {}
    for kind in PlaceKind:
        depth = 0 if kind is PlaceKind.ROOT else kind.count("/")
        pattern = re.compile(_FIELD.sub(r"(?P<\1>[^/]+)", kind))
        by_depth.setdefault(depth, []).append((kind, pattern))
    return by_depth


_PATTERNS = _patterns()

_KINDS: Mapping[NodeKind, PlaceKind] = {
    NodeKind.CONTROL: PlaceKind.CONTROL,
    NodeKind.STORMS: PlaceKind.STORMS,
    NodeKind.GUARD: PlaceKind.GUARD,
    NodeKind.MODE: PlaceKind.MODE,
    NodeKind.RECORD: PlaceKind.RECORD,
    NodeKind.SELF: PlaceKind.SELF,
    NodeKind.GRANT: PlaceKind.GRANT,
    NodeKind.GUEST: PlaceKind.GUEST,
    NodeKind.INCIDENT: PlaceKind.INCIDENT_RECORD,
    NodeKind.MIGRATION: PlaceKind.MIGRATION,
    NodeKind.REQUEST: PlaceKind.REQUEST,
}
