"""The cluster as ZooKeeper holds it, decoded: one picture, without times and without probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from hamon.model.view import ControllerView


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHost:
    """One enrolled host. ``session``: id of the session that owns its heartbeat, None: none.

    ``is_attended``: its guests process has a session. ``mode``: None while that znode is not there
    or cannot be read.
    """

    guard: Versioned[HostGuard]
    record: Versioned[HostRecord | None]
    self_: Versioned[HostSelf | None]
    mode: Versioned[HostMode | None] | None = None
    session: int | None = None
    heartbeat: Heartbeat | None = None
    domains: HostDomains | None = None
    is_attended: bool = False
    agents: HostGuestAgents | None = None
    capacity: HostCapacity | None = None
    checks: HostChecks | None = None
    inventory: Mapping[GuestId, InventoryEntry] = field(default_factory=dict)
    grants: Mapping[GuestId, Versioned[Grant]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIncident:
    """One incident and its migrations."""

    record: Versioned[IncidentRecord]
    migrations: Mapping[GuestId, Versioned[MigrationRecord]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCluster:
    """All of it. ``unreadable``: paths of znodes with a newer schema or rubbish.

    ``storms``: None while that znode is not there or cannot be read. ``leader``: who took office
    last, as long as its session lives; None: nobody leads.
    """

    control: Versioned[Control]
    storms: Versioned[StormRecord] | None = None
    hosts: Mapping[HostName, StoredHost] = field(default_factory=dict)
    guests: Mapping[GuestId, Versioned[GuestRecord]] = field(default_factory=dict)
    incidents: Mapping[IncidentId, StoredIncident] = field(default_factory=dict)
    requests: Mapping[str, Versioned[Request]] = field(default_factory=dict)
    controllers: Mapping[ControllerId, ControllerView] = field(default_factory=dict)
    leader: ControllerId | None = None
    unreadable: tuple[str, ...] = ()
