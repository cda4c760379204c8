"""Turn the mirror of the chroot into one decoded picture of the cluster.

A part (a host, a shard of guests, an incident) is put together again only when one of its znodes
changed, so that a round over much that is quiet costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from hamon.coordination.codec import OfficeHolder
from hamon.coordination.mirror import Mirror, Mirrored
from hamon.coordination.paths import Place, PlaceKind, parse, to_path
from hamon.model.change import Versioned
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
from hamon.model.names import ControllerId, GuestId, HostName, IncidentId
from hamon.model.stored import StoredCluster, StoredHost, StoredIncident
from hamon.model.view import ControllerView

T = TypeVar("T")


class Picture:
    """Keeps the decoded picture of what a mirror holds.

    Args:
        mirror: the warm copy; its changes are told to :meth:`changed`.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._hosts: dict[HostName, StoredHost | None] = {}
        self._shards: dict[str, dict[GuestId, Versioned[GuestRecord]]] = {}
        self._all_guests: Mapping[GuestId, Versioned[GuestRecord]] | None = None
        self._known_incidents: dict[IncidentId, StoredIncident | None] = {}

    def changed(self, path: str) -> None:
        """Note that the znode at ``path`` changed, came or went."""
        place = parse(path)
        if place is None:
            return
        if place.host is not None:
            self._hosts.pop(place.host, None)
        if place.incident is not None:
            self._known_incidents.pop(place.incident, None)
        if place.shard is not None:
            self._shards.pop(place.shard, None)
        if place.shard is not None or place.kind is PlaceKind.GUESTS:
            self._all_guests = None

    def take(self) -> StoredCluster | None:
        """Return the picture; None while the mirror is not whole or there is no control znode."""
        control = self._control()
        if self._mirror.whole_since_s is None or control is None:
            return None
        controllers = self._controllers()
        return StoredCluster(
            control=control,
            storms=self._versioned(Place(kind=PlaceKind.STORMS), StormRecord),
            hosts=self._all_hosts(),
            guests=self._guests(),
            incidents=self._incidents(),
            requests=self._requests(),
            controllers=controllers,
            leader=self._leader(controllers),
            unreadable=self._mirror.unreadable(),
        )

    def _control(self) -> Versioned[Control] | None:
        place = Place(kind=PlaceKind.CONTROL)
        seen = self._seen(place)
        if seen is not None and seen.unreadable is not None:
            # safety: whoever cannot read the switches takes them for off, and overwrites nothing.
            off = Control(is_armed=False, reason="the switches cannot be read", who="hamon")
            return Versioned(value=off, version=seen.node.version)
        return self._versioned(place, Control)

    # -- reading one znode ------------------------------------------------------------------------

    def _seen(self, place: Place) -> Mirrored | None:
        return self._mirror.get(to_path(place))

    def _value(self, place: Place, kind: type[T]) -> T | None:
        seen = self._seen(place)
        return seen.value if seen is not None and isinstance(seen.value, kind) else None

    def _versioned(self, place: Place, kind: type[T]) -> Versioned[T] | None:
        seen = self._seen(place)
        if seen is None or not isinstance(seen.value, kind):
            return None
        return Versioned(value=seen.value, version=seen.node.version)

    def _or_empty(self, place: Place, kind: type[T]) -> Versioned[T | None] | None:
        """Read a znode that enrolment made empty; None: it is not there, or not readable."""
        seen = self._seen(place)
        if seen is None or seen.unreadable is not None:
            return None
        value = seen.value if isinstance(seen.value, kind) else None
        return Versioned(value=value, version=seen.node.version)

    def _below(
        self, folder: Place, kind: type[T], place_of: Callable[[GuestId], Place]
    ) -> dict[GuestId, Versioned[T]]:
        """Read every child of a folder whose children are named by guests."""
        found = {}
        for name in self._names(folder):
            guest = GuestId(name)
            value = self._versioned(place_of(guest), kind)
            if value is not None:
                found[guest] = value
        return found

    def _names(self, folder: Place) -> tuple[str, ...]:
        """Name the children of a folder that may be hamon's at all."""
        path = to_path(folder).rstrip("/")
        return tuple(
            name
            for name in self._mirror.children(path or "/")
            if parse(f"{path}/{name}") is not None
        )

    # -- hosts ------------------------------------------------------------------------------------

    def _all_hosts(self) -> Mapping[HostName, StoredHost]:
        found = {}
        for name in self._names(Place(kind=PlaceKind.HOSTS)):
            host = HostName(name)
            if host not in self._hosts:
                self._hosts[host] = self._host(host)
            stored = self._hosts[host]
            if stored is not None:
                found[host] = stored
        return found

    def _host(self, name: HostName) -> StoredHost | None:
        """Put one host together; None while its core znodes are missing or unreadable.

        safety: a host that is left out is neither judged nor a destination; what cannot be read of
        it is a hold of its own.
        """
        guard = self._versioned(Place(kind=PlaceKind.GUARD, host=name), HostGuard)
        record = self._or_empty(Place(kind=PlaceKind.RECORD, host=name), HostRecord)
        self_ = self._or_empty(Place(kind=PlaceKind.SELF, host=name), HostSelf)
        if guard is None or record is None or self_ is None:
            return None
        heartbeat = self._seen(Place(kind=PlaceKind.HEARTBEAT, host=name))
        return StoredHost(
            guard=guard,
            mode=self._or_empty(Place(kind=PlaceKind.MODE, host=name), HostMode),
            record=record,
            self_=self_,
            session=heartbeat.node.owner if heartbeat is not None else None,
            heartbeat=self._value(Place(kind=PlaceKind.HEARTBEAT, host=name), Heartbeat),
            domains=self._value(Place(kind=PlaceKind.DOMAINS, host=name), HostDomains),
            is_attended=self._seen(Place(kind=PlaceKind.ATTENDANCE, host=name)) is not None,
            agents=self._value(Place(kind=PlaceKind.GUEST_AGENTS, host=name), HostGuestAgents),
            capacity=self._value(Place(kind=PlaceKind.CAPACITY, host=name), HostCapacity),
            checks=self._value(Place(kind=PlaceKind.CHECKS, host=name), HostChecks),
            inventory=self._inventory(name),
            grants=self._below(
                Place(kind=PlaceKind.GRANTS, host=name),
                Grant,
                lambda guest: Place(kind=PlaceKind.GRANT, host=name, guest=guest),
            ),
        )

    def _inventory(self, name: HostName) -> Mapping[GuestId, InventoryEntry]:
        entries = self._below(
            Place(kind=PlaceKind.INVENTORY, host=name),
            InventoryEntry,
            lambda guest: Place(kind=PlaceKind.INVENTORY_ENTRY, host=name, guest=guest),
        )
        return {guest: e.value for guest, e in entries.items() if e.value.guest == guest}

    # -- the rest ---------------------------------------------------------------------------------

    def _guests(self) -> Mapping[GuestId, Versioned[GuestRecord]]:
        if self._all_guests is None:
            found: dict[GuestId, Versioned[GuestRecord]] = {}
            for shard in self._names(Place(kind=PlaceKind.GUESTS)):
                found.update(self._shard(shard))
            self._all_guests = found
        return self._all_guests

    def _shard(self, shard: str) -> Mapping[GuestId, Versioned[GuestRecord]]:
        if shard not in self._shards:
            self._shards[shard] = self._below(
                Place(kind=PlaceKind.SHARD, shard=shard),
                GuestRecord,
                lambda guest: Place(kind=PlaceKind.GUEST, guest=guest),
            )
        return self._shards[shard]

    def _incidents(self) -> Mapping[IncidentId, StoredIncident]:
        found = {}
        for name in self._names(Place(kind=PlaceKind.INCIDENTS)):
            incident = IncidentId(name)
            if incident not in self._known_incidents:
                self._known_incidents[incident] = self._incident(incident)
            stored = self._known_incidents[incident]
            if stored is not None:
                found[incident] = stored
        return found

    def _incident(self, incident: IncidentId) -> StoredIncident | None:
        place = Place(kind=PlaceKind.INCIDENT_RECORD, incident=incident)
        record = self._versioned(place, IncidentRecord)
        if record is None:
            return None
        return StoredIncident(record=record, migrations=self._migrations(incident))

    def _migrations(self, incident: IncidentId) -> Mapping[GuestId, Versioned[MigrationRecord]]:
        return self._below(
            Place(kind=PlaceKind.MIGRATIONS, incident=incident),
            MigrationRecord,
            lambda guest: Place(kind=PlaceKind.MIGRATION, incident=incident, guest=guest),
        )

    def _requests(self) -> Mapping[str, Versioned[Request]]:
        found = {}
        for name in self._names(Place(kind=PlaceKind.REQUESTS)):
            sequence = name.removeprefix("r-")
            request = self._versioned(Place(kind=PlaceKind.REQUEST, sequence=sequence), Request)
            if request is not None:
                found[sequence] = request
        return found

    def _leader(self, live: Mapping[ControllerId, ControllerView]) -> ControllerId | None:
        """Name who took office last; None: nobody has, or its session has ended."""
        holder = self._value(Place(kind=PlaceKind.EPOCH), OfficeHolder)
        return holder.controller if holder is not None and holder.controller in live else None

    def _controllers(self) -> Mapping[ControllerId, ControllerView]:
        found = {}
        for name in self._names(Place(kind=PlaceKind.CONTROLLERS)):
            controller = ControllerId(name)
            place = Place(kind=PlaceKind.CONTROLLER, controller=controller)
            report = self._value(place, ControllerView)
            if report is not None:
                found[controller] = report
        return found
