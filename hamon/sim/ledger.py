"""What ZooKeeper truly holds, decoded: the referee's own copy, kept up to date by every commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from hamon.coordination.codec import NodeValue, decode
from hamon.coordination.paths import DIRECTORIES, Place, PlaceKind, parse, to_path
from hamon.errors import UnreadableNodeError
from hamon.model.control import Control
from hamon.model.guest import Grant, GuestRecord
from hamon.model.host import HostGuard, HostRecord
from hamon.model.incident import IncidentRecord, MigrationRecord
from hamon.model.names import GuestId, HostName, IncidentId
from hamon.sim.tree import Caller, ChangeKind, Tree, TreeChange

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One znode that a transaction touched: what it held before and after (None: nothing)."""

    place: Place
    before: NodeValue | None
    after: NodeValue | None


@dataclass(slots=True)
class Ledger:
    """Every value, by path."""

    tree: Tree
    caller: Caller
    values: dict[str, NodeValue] = field(default_factory=dict)
    grants: dict[GuestId, dict[HostName, Grant]] = field(default_factory=dict)
    migrations: dict[GuestId, dict[IncidentId, MigrationRecord]] = field(default_factory=dict)

    def take(self, changes: Iterable[TreeChange]) -> tuple[Written, ...]:
        """Take over what a transaction changed."""
        written = []
        for change in changes:
            place = parse(change.path)
            if place is None or place.kind in DIRECTORIES:
                continue
            before = self.values.get(change.path)
            after = None if change.kind is ChangeKind.DELETED else self._read(change.path)
            if after is None:
                self.values.pop(change.path, None)
            else:
                self.values[change.path] = after
            self._index(place, after)
            written.append(Written(place=place, before=before, after=after))
        return tuple(written)

    def _read(self, path: str) -> NodeValue | None:
        try:
            return decode(path, self.tree.get(path, self.caller).data)
        except UnreadableNodeError:
            return None

    def _index(self, place: Place, value: NodeValue | None) -> None:
        if isinstance(value, Grant) and place.guest is not None and place.host is not None:
            self.grants.setdefault(place.guest, {})[place.host] = value
        if value is None and place.kind is PlaceKind.GRANT and place.guest and place.host:
            self.grants.get(place.guest, {}).pop(place.host, None)
        if isinstance(value, MigrationRecord) and place.guest and place.incident:
            self.migrations.setdefault(place.guest, {})[place.incident] = value

    def version(self, path: str) -> int:
        """Return the data version of a znode."""
        return self.tree.get(path, self.caller).version

    def _get(self, kind: type[V], place: Place) -> V | None:
        value = self.values.get(to_path(place))
        return value if isinstance(value, kind) else None

    def control(self) -> Control:
        """Return the cluster-wide switches."""
        return self._get(Control, Place(kind=PlaceKind.CONTROL)) or Control()

    def guard(self, host: HostName) -> HostGuard | None:
        """Return a host's right to live."""
        return self._get(HostGuard, Place(kind=PlaceKind.GUARD, host=host))

    def record(self, host: HostName) -> HostRecord | None:
        """Return what the leader wrote of a host."""
        return self._get(HostRecord, Place(kind=PlaceKind.RECORD, host=host))

    def has_heartbeat(self, host: HostName) -> bool:
        """Say whether a host's ephemeral is there."""
        return to_path(Place(kind=PlaceKind.HEARTBEAT, host=host)) in self.values

    def guest(self, guest: GuestId) -> GuestRecord | None:
        """Return a guest's record."""
        shard = guest[:2]
        return self._get(GuestRecord, Place(kind=PlaceKind.GUEST, shard=shard, guest=guest))

    def incident(self, incident: IncidentId | None) -> IncidentRecord | None:
        """Return an incident."""
        if incident is None:
            return None
        return self._get(IncidentRecord, Place(kind=PlaceKind.INCIDENT_RECORD, incident=incident))

    def incidents(self) -> tuple[IncidentRecord, ...]:
        """Return every incident."""
        found = (value for _, value in sorted(self.values.items()))
        return tuple(value for value in found if isinstance(value, IncidentRecord))
