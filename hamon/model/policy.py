"""The numbers and choices that steer decisions, as plain values; settings build it from TOML.

Every duration is in seconds on the decider's own monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum


class LeavingPolicy(StrEnum):
    """What to do with a host that announced an orderly shutdown and does not come back."""

    WAIT = "wait"
    EVACUATE = "evacuate"
    LEAVE = "leave"


class PartitionedPolicy(StrEnum):
    """What to do with a host that lives by its heartbeat on shared storage only."""

    ALERT = "alert"
    WAIT = "wait"
    FENCE = "fence"


class HungPolicy(StrEnum):
    """What to do with a host of which only the kernel answers."""

    ALERT = "alert"
    FENCE = "fence"


class DegradedPolicy(StrEnum):
    """What to do with a host whose own checks fail while it lives."""

    ALERT = "alert"
    DISABLE = "disable"
    FENCE = "fence"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPolicy:
    """When a host is suspected and when it is convicted.

    ``session_timeout_s``: of the agents' sessions. ``boot_grace_s``: how long after a start-up or a
    return of ZooKeeper agents may need to register. ``late_after_s``: a probe silent for this long
    starts power looks before the session ends. ``fresh_s``: how old an observation may be to count.
    ``off_gap_s``: least time between two Off readings that together count. ``look_period_s``: how
    often power is read while a host is suspected. ``leaving_wait_s``: how long a host that
    announced its leave may stay away before a page. ``controllers_agree``: so many controllers, of
    those that are registered, must hear a host's silence for it to count without a power reading.
    ``hung_after_s``: a kernel that answers while nothing else does is HUNG after so long.
    ``partitioned``, ``hung``, ``degraded``: what follows; ``partitioned_wait_s``: for ``wait``, how
    long; ``degraded_wait_s``: how long a host is DEGRADED before ``fence``.
    """

    session_timeout_s: float = 6.0
    boot_grace_s: float = 10.0
    probe_period_s: float = 1.0
    late_after_s: float = 2.0
    fresh_s: float = 3.0
    off_gap_s: float = 1.0
    look_period_s: float = 1.0
    look_timeout_s: float = 5.0
    leaving: LeavingPolicy = LeavingPolicy.WAIT
    leaving_wait_s: float = 600.0
    controllers_agree: int = 2
    hung_after_s: float = 30.0
    hung: HungPolicy = HungPolicy.ALERT
    partitioned: PartitionedPolicy = PartitionedPolicy.ALERT
    partitioned_wait_s: float = 120.0
    degraded: DegradedPolicy = DegradedPolicy.DISABLE
    degraded_wait_s: float = 120.0

    def of(self, host: HostPolicy) -> DetectionPolicy:
        """Return the policy that holds for a host with choices of its own."""
        chosen = {
            field.name: value
            for field in fields(host)
            if (value := getattr(host, field.name)) is not None
        }
        return replace(self, **chosen) if chosen else self


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """What a host or a group of hosts chose instead of :class:`DetectionPolicy`; None: as all."""

    leaving: LeavingPolicy | None = None
    hung: HungPolicy | None = None
    partitioned: PartitionedPolicy | None = None
    degraded: DegradedPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPolicy:
    """The brakes (S9, S10).

    Storm: more than ``storm_hosts_max`` hosts, or more than ``storm_share_max`` of the enrolled and
    armed ones, lost within ``storm_window_s`` of each other or wanting conviction within it, hold
    everything (one host is always allowed). ``domain_labels``: hosts that share a value of one of
    these labels fail together (a rack, a room): more than ``domain_hosts_max`` of them or
    ``domain_share_max`` hold that domain only, which then counts as one. ``storm_cooldown_s``: for
    so long after a storm nothing new.
    Rate: at most ``rate_hosts_max`` convictions within ``rate_window_s``, however slowly they come.
    ``released_at_once``: of hosts that an operator released, so many are being fenced at a time.
    ``blind_share_max``: when more than this part of the hosts with a session, and at least two, are
    silent to the leader, the leader is what is ill. ``fence_controllers``: hosts that carry a
    controller or ZooKeeper may be fenced too, while a quorum survives.
    ``tick_lag_max_s``: a leader whose loop lagged more than this lately does not convict, for
    ``unhealthy_for_s``.
    """

    storm_hosts_max: int = 3
    storm_share_max: float = 0.25
    storm_window_s: float = 300.0
    storm_cooldown_s: float = 60.0
    domain_labels: tuple[str, ...] = ()
    domain_hosts_max: int = 3
    domain_share_max: float = 0.5
    rate_hosts_max: int = 10
    rate_window_s: float = 3600.0
    released_at_once: int = 5
    blind_share_max: float = 0.5
    fence_controllers: bool = False
    tick_lag_max_s: float = 2.0
    unhealthy_for_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FencingPolicy:
    """How the ladder is climbed.

    ``lease_s``: the L of DESIGN rule 4. ``shot_deadline_s``: a device gets this long for its order.
    ``confirm_timeout_s``: after a shot, Off must have been read twice within this, else next level.
    ``retry_after_s``: pause before the ladder is climbed again when all levels failed.
    ``proof_fresh_s``: power must have been read Off within this for a guest to be offered.
    ``reread_period_s``: how often power is read again while guests are still to move.
    ``off_without_shot``: a host whose power reads Off twice since it fell silent needs no shot to
    be proven dead. ``kdump_is_proof``: nor does one whose crash kernel told of its end.
    ``check_period_s``: each controller asks each device this often whether it would be there.
    ``operator_word_s``: an operator's word that is no proof by then has to be given anew.
    """

    lease_s: float = 0.5
    shot_deadline_s: float = 20.0
    confirm_timeout_s: float = 15.0
    retry_after_s: float = 15.0
    proof_fresh_s: float = 10.0
    reread_period_s: float = 3.0
    off_without_shot: bool = False
    kdump_is_proof: bool = False
    check_period_s: float = 3600.0
    operator_word_s: float = 600.0


class InstanceDisks(StrEnum):
    """Where Nova keeps the disks of guests that did not boot from a volume."""

    LOCAL = "local"
    SHARED = "shared"


class LocalDiskPolicy(StrEnum):
    """What becomes of a guest whose disk died with its host."""

    STAY = "stay"
    REBUILD_FROM_IMAGE = "rebuild_from_image"


class GuestsPolicy(StrEnum):
    """Which guests are evacuated of those that nothing is said of."""

    ALL = "all"
    TAGGED = "tagged"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvacuationPolicy:
    """How many guests move at once and how their places are chosen.

    ``in_flight_max`` over all incidents, ``in_flight_per_destination_max`` per destination; one
    slot per incident is always allowed. ``cpu_allocation_ratio``, ``ram_allocation_ratio``: how far
    vCPUs and RAM are over-committed. ``retry_after_s``: first pause before a guest that found no
    host is tried again, doubled up to ``retry_after_max_s``.

    ``guests``: whether guests move of whom nothing is said. ``ready_networks``: in which a
    guest that others wait for is probed; ``ready_wait_max_s``: for how long at
    most they wait for it.

    For a nova cloud: ``instance_disks`` and ``local_disk`` say where disks are that are no volumes,
    and whether their loss is accepted. ``in_flight_start``: evacuations in flight at first; the
    limit then follows how Nova keeps up. ``unknown_after_s``: a request whose answer was lost is
    taken for not done after this long and two reads; longer than a request may wait in any proxy.
    ``stuck_after_s``: an evacuation that nobody took up in this time is called stuck.
    """

    in_flight_max: int = 64
    in_flight_per_destination_max: int = 8
    cpu_allocation_ratio: float = 4.0
    ram_allocation_ratio: float = 1.0
    reserved_ram_mib: int = 512
    retry_after_s: float = 2.0
    retry_after_max_s: float = 60.0
    guests: GuestsPolicy = GuestsPolicy.ALL
    ready_networks: tuple[str, ...] = ()
    ready_wait_max_s: float = 300.0
    instance_disks: InstanceDisks = InstanceDisks.LOCAL
    local_disk: LocalDiskPolicy = LocalDiskPolicy.STAY
    in_flight_start: int = 32
    unknown_after_s: float = 90.0
    stuck_after_s: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPolicy:
    """How a host comes back.

    The first return in a row serves at once; the n-th waits ``quarantine_s`` × 2^(n-2), at most
    ``quarantine_max_s``, before it is a destination again. ``forget_after_s``: a host that stayed
    up for this long starts from zero. ``stale_watch_s``: for this long after a host of a nova cloud
    returned, nothing there may start a guest that was moved away from it. ``before_gate``: program
    and arguments run on the leader before nova-compute may start there; ``{host}`` becomes its name
    in Nova. ``before_gate_timeout_s``: how long it may take. Its failure is told and stops nothing.
    ``incidents_kept``: so many closed incidents are remembered, the newest.
    """

    quarantine_s: float = 300.0
    quarantine_max_s: float = 86400.0
    forget_after_s: float = 3600.0
    stale_watch_s: float = 600.0
    before_gate: tuple[str, ...] = ()
    before_gate_timeout_s: float = 30.0
    incidents_kept: int = 100


class Mode(StrEnum):
    """Whether hamon acts, or only says what it would do."""

    SHADOW = "shadow"
    ACTIVE = "active"


class Backend(StrEnum):
    """Who schedules and rebuilds guests: hamon with the hosts' agents, or Nova."""

    LIBVIRT = "libvirt"
    NOVA = "nova"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All of it, with a digest that controllers compare (``policy hash``).

    ``zookeeper_servers``: of the ensemble, to tell whether a quorum survives.
    """

    backend: Backend = Backend.LIBVIRT
    mode: Mode = Mode.ACTIVE
    zookeeper_servers: int = 1
    detection: DetectionPolicy = DetectionPolicy()
    holds: HoldPolicy = HoldPolicy()
    fencing: FencingPolicy = FencingPolicy()
    evacuation: EvacuationPolicy = EvacuationPolicy()
    recovery: ReturnPolicy = ReturnPolicy()
