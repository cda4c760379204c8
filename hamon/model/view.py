"""The world as one controller sees it at one moment: immutable, and all that deciding may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hamon.model.change import Versioned
from hamon.model.cloud import CloudView
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
    HostSpec,
)
from hamon.model.incident import IncidentRecord, MigrationRecord, Moment, ShotOutcome
from hamon.model.names import BootId, ControllerId, Epoch, GuestId, HostName, IncidentId
from hamon.model.proof import Evidence, PowerReading


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShot:
    """An order of this controller to one fence device.

    ``is_running``: one is under way; ``last``: what became of the last one, ``settled_s``: when;
    ``incident``, ``attempt``: in which it was given. Of an order to switch on they say nothing.
    """

    is_running: bool = False
    last: ShotOutcome | None = None
    settled_s: float | None = None
    incident: IncidentId | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheck:
    """What this controller's checks of one fence device came to.

    ``checked_s``: when it was asked last; ``good_s``: when it last answered for the right machine,
    None: never. ``why``: what is wrong, "" when the last check was good. ``power``: as last read.
    ``identity``: the system that it named in its last settled answer, ``identified_s``: when.
    """

    checked_s: float
    good_s: float | None = None
    why: str = ""
    power: str = ""
    identity: str = ""
    identified_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """Everything known of one enrolled host.

    ``heartbeat``: content of the ephemeral, None while there is none. ``session_lost_s``: monotonic
    second since when this controller has seen no heartbeat, None while there is one.
    ``registered_s``: since when it has seen the present one. ``readings``: power readings, newest
    last, bounded. ``shots``: this controller's orders to the host's fence devices, by device;
    ``power_ons``: those to switch on. ``device_checks``: what came of the scheduled checks of them.
    ``state_since_s``: since when this controller has seen the host in its present state.
    ``mode``: None while that znode is not there or cannot be read.
    ``history``: what this controller thought of it lately while it led, oldest first, bounded.
    """

    spec: HostSpec
    guard: Versioned[HostGuard]
    record: Versioned[HostRecord | None]
    self_: Versioned[HostSelf | None]
    mode: Versioned[HostMode | None] | None = None
    heartbeat: Heartbeat | None = None
    session_lost_s: float | None = None
    registered_s: float | None = None
    state_since_s: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    readings: tuple[PowerReading, ...] = ()
    shots: Mapping[str, DeviceShot] = field(default_factory=dict)
    power_ons: Mapping[str, DeviceShot] = field(default_factory=dict)
    device_checks: Mapping[str, DeviceCheck] = field(default_factory=dict)
    domains: HostDomains | None = None
    agents: HostGuestAgents | None = None
    capacity: HostCapacity | None = None
    checks: HostChecks | None = None
    inventory: Mapping[GuestId, InventoryEntry] = field(default_factory=dict)
    grants: Mapping[GuestId, Versioned[Grant]] = field(default_factory=dict)
    history: tuple[Moment, ...] = ()

    @property
    def name(self) -> HostName:
        """The host's name."""
        return self.spec.name

    @property
    def service_host(self) -> str:
        """The name of its nova-compute in Nova."""
        return self.spec.service_host or self.spec.name

    @property
    def is_shot_running(self) -> bool:
        """Whether an order of this controller to any of its fence devices is under way."""
        return any(shot.is_running for shot in self.shots.values())

    def shot_of(self, device: str) -> DeviceShot:
        """Return what is known of this controller's orders to a device."""
        return self.shots.get(device, DeviceShot())

    @property
    def boot_id(self) -> BootId | None:
        """The boot that its agent registered last; None: never, or nobody can: it has no agent."""
        if self.spec.agentless or self.self_.value is None:
            return None
        return self.self_.value.boot_id


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationView:
    """A migration, and since when this controller has seen it as it is."""

    record: Versioned[MigrationRecord]
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """An incident with its migrations.

    ``since_s``: since when this controller has seen its present attempt; ``opened_s``: when it saw
    it for the first time, None: closed before it looked. ``written_s``: since when it has seen the
    record as it is, ``proof_s``: what is written of the proof there.
    """

    record: Versioned[IncidentRecord]
    since_s: float
    opened_s: float | None = None
    written_s: float = 0.0
    proof_s: float = 0.0
    migrations: Mapping[GuestId, MigrationView] = field(default_factory=dict)


KERNEL_ONLY = "kernel:"
"""Before the name of a plane in ``ControllerView.heard``; no plane has a colon in its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerView:
    """What another controller reports of itself (ephemeral ``controllers/<id>``).

    ``silent``: hosts it cannot hear on a plane, by plane; ``heard``: hosts in trouble that it does
    hear there, and below ``KERNEL_ONLY`` and the plane once more those of which only a kernel
    answers. An older controller, which does not write these, may hear more than a kernel of each;
    one that reads them takes them for a plane on which the host is heard. A field of its own it
    could not read, and that would hold the cluster. ``reaches``: planes on which it hears at least
    one host. ``outside``: whether it reaches the other systems that it has tried, by name.
    """

    controller: ControllerId
    version: str = ""
    policy_hash: str = ""
    reaches: tuple[str, ...] = ()
    silent: Mapping[str, tuple[HostName, ...]] = field(default_factory=dict)
    heard: Mapping[str, tuple[HostName, ...]] = field(default_factory=dict)
    outside: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnView:
    """How the deciding controller itself is doing.

    ``epoch``: of its term, 0 while it stands by. ``took_office_s``: when the epoch bump was
    acknowledged. ``decides_since_s``: when it first saw the whole cluster in this term, after it
    had enrolled what was missing; of a standby, which does not decide: now. ``watching_since_s``:
    since when its view of ZooKeeper has been whole without a gap. ``lagged_s``: when its loop last
    lagged or its clock last jumped beyond the limit, None: never. ``is_session_proven``: a
    committed write of its own session is younger than the session time-out; ``session_proven_s``:
    when the last such write was sent, None: never. ``is_rolled_back``: the epoch is lower than one
    seen before, so the ensemble was restored from an old snapshot: nothing may be written.
    ``blind_since_s``: planes and systems that it does not reach, and since when.
    ``storms_s``: by scope, when this controller last saw a storm there.
    ``only_host``: a stand-alone controller thinks about this host and its guests only.
    """

    controller: ControllerId
    epoch: Epoch
    took_office_s: float
    decides_since_s: float
    watching_since_s: float
    lagged_s: float | None = None
    is_session_proven: bool = True
    session_proven_s: float | None = None
    is_rolled_back: bool = False
    blind_since_s: Mapping[str, float] = field(default_factory=dict)
    storms_s: Mapping[str, float] = field(default_factory=dict)
    only_host: HostName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """When a controller first saw the whole cluster, by its own clock and by the wall's.

    What was so by then may have been so for long, and only stamps of others can tell how long.
    """

    at_s: float
    wall: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyReading:
    """Whether a guest answered where it says it will when it is ready; ``asked_s``: when asked."""

    answers: bool
    asked_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """One immutable picture of everything.

    ``wall``: wall-clock time as ISO text, only to stamp records for humans (S20). ``unreadable``:
    paths of znodes with a newer schema or rubbish. ``cloud``: Nova, None: there is none.
    ``ready``: what guests that others wait for told this controller last. ``storms``: where a
    leader has seen one, None: that cannot be read now. ``leader``: as ZooKeeper tells, for people:
    it may have left office a moment ago; None: nobody leads. ``first_look``: this controller's,
    None: it saw everything begin that there is.
    """

    own: OwnView
    wall: str
    control: Versioned[Control]
    storms: Versioned[StormRecord] | None = None
    hosts: Mapping[HostName, HostView] = field(default_factory=dict)
    guests: Mapping[GuestId, Versioned[GuestRecord]] = field(default_factory=dict)
    incidents: Mapping[IncidentId, IncidentView] = field(default_factory=dict)
    requests: Mapping[str, Versioned[Request]] = field(default_factory=dict)
    controllers: Mapping[ControllerId, ControllerView] = field(default_factory=dict)
    leader: ControllerId | None = None
    unreadable: tuple[str, ...] = ()
    cloud: CloudView | None = None
    ready: Mapping[GuestId, ReadyReading] = field(default_factory=dict)
    first_look: FirstLook | None = None
