"""Values of hamon/model to the bytes of a znode and back.

JSON of the dataclass plus ``"schema"``; what may grow large is compressed, and a reader accepts
both forms. Nothing is guessed at (S21): a newer schema, an unknown field or rubbish is unreadable.
The heartbeat process imports this, so it stays lean.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hamon.coordination.paths import PlaceKind, parse
from hamon.errors import Outcome, StoreError, UnreadableNodeError
from hamon.model.control import Control, Request, StormRecord
from hamon.model.guest import Grant, GuestRecord, InventoryEntry
from hamon.model.host import (
    Heartbeat,
    HostCapacity,
    HostChecks,
    HostDomains,
    HostGuard,
    HostGuestAgents,
    HostMode,
    HostRecord,
    HostSelf,
)
from hamon.model.incident import IncidentRecord, MigrationRecord
from hamon.model.names import ControllerId
from hamon.model.view import ControllerView

SCHEMA = 1
SIZE_MAX = 512 * 1024
"""Bytes of one znode; ZooKeeper refuses requests of 1 MiB, and a transaction carries several."""

PLAIN_SIZE_MAX = 16 * 1024 * 1024
"""Bytes after decompression: what a host wrote must not eat up a controller's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Content of ``format``: nothing but the schema number that every value carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeHolder:
    """Content of ``epoch`` and of a contender: the controller that wrote it."""

    controller: ControllerId


NodeValue = (
    Format
    | OfficeHolder
    | ControllerView
    | Control
    | StormRecord
    | HostGuard
    | HostMode
    | HostRecord
    | HostSelf
    | Heartbeat
    | HostDomains
    | HostGuestAgents
    | HostCapacity
    | HostChecks
    | InventoryEntry
    | Grant
    | GuestRecord
    | IncidentRecord
    | MigrationRecord
    | Request
)

VALUE_TYPES: Mapping[PlaceKind, type[NodeValue]] = {
    PlaceKind.FORMAT: Format,
    PlaceKind.EPOCH: OfficeHolder,
    PlaceKind.CONTENDER: OfficeHolder,
    PlaceKind.CONTROLLER: ControllerView,
    PlaceKind.CONTROL: Control,
    PlaceKind.STORMS: StormRecord,
    PlaceKind.GUARD: HostGuard,
    PlaceKind.MODE: HostMode,
    PlaceKind.RECORD: HostRecord,
    PlaceKind.SELF: HostSelf,
    PlaceKind.HEARTBEAT: Heartbeat,
    PlaceKind.ATTENDANCE: Heartbeat,
    PlaceKind.GUEST_AGENTS: HostGuestAgents,
    PlaceKind.DOMAINS: HostDomains,
    PlaceKind.CAPACITY: HostCapacity,
    PlaceKind.CHECKS: HostChecks,
    PlaceKind.INVENTORY_ENTRY: InventoryEntry,
    PlaceKind.GRANT: Grant,
    PlaceKind.GUEST: GuestRecord,
    PlaceKind.INCIDENT_RECORD: IncidentRecord,
    PlaceKind.MIGRATION: MigrationRecord,
    PlaceKind.REQUEST: Request,
}
"""What each znode holds. Directories hold nothing."""

COMPRESSED = frozenset(
    {PlaceKind.DOMAINS, PlaceKind.GUEST_AGENTS, PlaceKind.INVENTORY_ENTRY, PlaceKind.GRANT}
)

MAY_BE_EMPTY = frozenset(
    {
        PlaceKind.MODE,
        PlaceKind.RECORD,
        PlaceKind.SELF,
        PlaceKind.DOMAINS,
        PlaceKind.CAPACITY,
        PlaceKind.CHECKS,
        PlaceKind.EPOCH,
    }
)
"""Made empty at enrolment or bootstrap: nobody has ever written them."""


def encode(path: str, value: NodeValue) -> bytes:
    """Turn a value into the bytes of the znode at ``path``.

    Raises:
        ValueError: no znode of that path exists, or it holds another type.
        StoreError: the value is too large; nothing was done.
    """
    kind = _kind(path)
    if type(value) is not VALUE_TYPES.get(kind):
        raise ValueError(f"{path} does not hold a {type(value).__name__}")
    data = msgspec.json.encode({"schema": SCHEMA, **_to_builtins(value)})
    if kind in COMPRESSED:
        data = zlib.compress(data)
    if len(data) > SIZE_MAX:
        why = f"{len(data)} bytes are more than {SIZE_MAX}"
        raise StoreError("store", "encode", path, Outcome.NOT_DONE, why)
    return data


def decode(path: str, data: bytes) -> NodeValue | None:
    """Turn the bytes of the znode at ``path`` into its value.

    Returns:
        The value; None for an empty znode of a kind that may be empty.

    Raises:
        ValueError: no znode of that path exists, or it is a directory.
        UnreadableNodeError: newer schema, unknown field, wrong type or rubbish.
    """
    kind = _kind(path)
    if kind not in VALUE_TYPES:
        raise ValueError(f"{path} holds no value")
    if not data and kind in MAY_BE_EMPTY:
        return None
    try:
        return _decode(VALUE_TYPES[kind], data)
    except (msgspec.MsgspecError, zlib.error, ValueError, RecursionError) as error:
        raise UnreadableNodeError(path, str(error)) from error


def _decode(value_type: type[NodeValue], data: bytes) -> NodeValue:
    content = msgspec.json.decode(_plain(data))
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - rubbish from outside, no bug
    schema = content.pop("schema", None)
    if type(schema) is not int or schema < 1:
        raise ValueError("no schema number")
    if schema > SCHEMA:
        raise ValueError(
            f"schema {schema} is newer than {SCHEMA}: this hamon is too old to read it"
        )
    value: NodeValue = msgspec.convert(content, value_type)
    _refuse_unknown(content, _to_builtins(value), "")
    return value


def _plain(data: bytes) -> bytes:
    """Undo the compression if there is one; JSON objects begin with a brace, zlib's never do."""
    if data.startswith(b"{"):
        return data
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, PLAIN_SIZE_MAX)
    if not unpacker.eof:
        raise ValueError(f"cut off, or larger than {PLAIN_SIZE_MAX} bytes when unpacked")
    if unpacker.unused_data:
        raise ValueError("something follows the compressed value")
    return plain


def _refuse_unknown(content: object, known: object, where: str) -> None:
    """Compare what was read with what the value turns back into: all of it must be there."""
    if isinstance(content, dict) and isinstance(known, dict):
        for key, part in content.items():
            if key not in known:
                raise ValueError(f"unknown field {where}{key}")
            _refuse_unknown(part, known[key], f"{where}{key}.")
    elif isinstance(content, list) and isinstance(known, list):
        for number, (part, known_part) in enumerate(zip(content, known, strict=True)):
            _refuse_unknown(part, known_part, f"{where}{number}.")


def _to_builtins(value: NodeValue) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields


def _kind(path: str) -> PlaceKind:
    place = parse(path)
    if place is None:
        raise ValueError(f"{path} is no path of hamon's")
    return place.kind
