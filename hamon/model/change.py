"""What the core wants written: one :class:`Change` is one ZooKeeper transaction.

Rules:

1. Every change is committed together with a check of the leader's epoch; the journal adds it.
2. Every update names the exact version it was decided on. There is no "any version".
3. An outside action travels only inside an :class:`Intent`: its change is durable before it starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from hamon.model.action import Action, Look
from hamon.model.control import Control, Hold, Request, StormRecord
from hamon.model.guest import Grant, GuestRecord
from hamon.model.host import HostGuard, HostMode, HostRecord
from hamon.model.incident import IncidentRecord, MigrationRecord
from hamon.model.names import GuestId, HostName, IncidentId
from hamon.model.reason import Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned(Generic[T]):
    """A value and the znode data version it was read at."""

    value: T
    version: int


class NodeKind(StrEnum):
    """The znodes the leader reads or writes, by what they hold."""

    CONTROL = "control"
    STORMS = "storms"
    GUARD = "state"
    MODE = "mode"
    RECORD = "record"
    SELF = "self"
    GRANT = "grant"
    GUEST = "guest"
    INCIDENT = "incident"
    MIGRATION = "migration"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKey:
    """Name of one znode without its path; ``coordination.paths`` knows where it lives.

    Use the constructors below; each kind needs just the parts they ask for.
    """

    kind: NodeKind
    host: HostName | None = None
    guest: GuestId | None = None
    incident: IncidentId | None = None
    sequence: str = ""


CONTROL = NodeKey(kind=NodeKind.CONTROL)
STORMS = NodeKey(kind=NodeKind.STORMS)


def guard_of(host: HostName) -> NodeKey:
    """Name the host's guard (znode ``state``)."""
    return NodeKey(kind=NodeKind.GUARD, host=host)


def mode_of(host: HostName) -> NodeKey:
    """Name what the host is told of hamon's mode."""
    return NodeKey(kind=NodeKind.MODE, host=host)


def record_of(host: HostName) -> NodeKey:
    """Name the leader's record of the host."""
    return NodeKey(kind=NodeKind.RECORD, host=host)


def self_of(host: HostName) -> NodeKey:
    """Name the host's own description."""
    return NodeKey(kind=NodeKind.SELF, host=host)


def grant_of(host: HostName, guest: GuestId) -> NodeKey:
    """Name the host's grant of the guest."""
    return NodeKey(kind=NodeKind.GRANT, host=host, guest=guest)


def guest_of(guest: GuestId) -> NodeKey:
    """Name the guest's record."""
    return NodeKey(kind=NodeKind.GUEST, guest=guest)


def incident_of(incident: IncidentId) -> NodeKey:
    """Name the incident's record."""
    return NodeKey(kind=NodeKind.INCIDENT, incident=incident)


def migration_of(incident: IncidentId, guest: GuestId) -> NodeKey:
    """Name the guest's migration within the incident."""
    return NodeKey(kind=NodeKind.MIGRATION, incident=incident, guest=guest)


def request_of(sequence: str) -> NodeKey:
    """Name a request by its sequence."""
    return NodeKey(kind=NodeKind.REQUEST, sequence=sequence)


Value = (
    Control
    | StormRecord
    | HostGuard
    | HostMode
    | HostRecord
    | Grant
    | GuestRecord
    | IncidentRecord
    | MigrationRecord
    | Request
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The znode must still have this version."""

    key: NodeKey
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """The znode must not exist yet."""

    key: NodeKey
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The znode must have exactly this version and gets a new value."""

    key: NodeKey
    version: int
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The znode must have exactly this version and goes."""

    key: NodeKey
    version: int


Operation = Check | Create | Update | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One atomic transaction, all or nothing.

    ``subject``: the host or guest it is about; one round holds at most one change of each znode;
    changes of one subject are committed one after another.
    ``reason``: why, for the log and ``explain``.
    """

    subject: str
    reason: Reason
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An outside action and the change that must be durable before it starts (DESIGN rule 4)."""

    change: Change
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one round of thinking came to.

    ``transitions`` and the changes of ``intents`` are to be durable before any action starts.
    ``reasons`` also say why nothing is done; ``holds``: what holds back.
    ``yields``: why another controller should lead, None: nothing says so. ``wake_at_s``: monotonic
    second of the next round, None: only when something changes.
    """

    transitions: tuple[Change, ...] = ()
    intents: tuple[Intent, ...] = ()
    looks: tuple[Look, ...] = ()
    reasons: tuple[Reason, ...] = ()
    yields: Reason | None = None
    holds: tuple[Hold, ...] = ()
    wake_at_s: float | None = None
