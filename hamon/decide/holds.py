"""Holds: everything that keeps hamon from acting, computed anew each round. Pure.

Rules:

1. A hold is visible and has a scope, a reason and an end; nothing is dropped in silence (rule 6).
2. Storm, start-up, own health and maintenance stop *new convictions*; what is fenced already goes
   on, so that a storm does not leave guests half moved. Disarm stops every intent.
3. An operator may override storm, start-up and maintenance by hand; it is printed and audited.
   Nobody overrides disarm, own health, an unreadable znode, or the proof.
4. Lost definitions hold what would follow from them (no guest is retired, none comes), but no
   conviction: what was published of the guests is all there is, and enough to rebuild them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hamon.decide.ownership import SETTLED, is_listing_sound
from hamon.detector.verdict import fresh_probes, is_silent
from hamon.model.control import Hold, HoldKind
from hamon.model.host import LIVE_STATES, MISSED_STATES, DomainState, HostState
from hamon.model.names import CLUSTER, GuestId
from hamon.model.policy import LeavingPolicy, Policy
from hamon.model.view import ClusterView, HostView

OVERRIDABLE = frozenset({HoldKind.STORM, HoldKind.START_UP, HoldKind.MAINTENANCE})
"""Holds that ``evacuate-host`` and ``confirm-down`` may pass, printed and audited."""

NO_BAR_TO_EVACUATION = frozenset({HoldKind.DEFINITIONS_LOST})
"""Holds that say nothing against evacuating their host."""

_NAMES_SHOWN = 8

_TROUBLED = frozenset(
    {
        HostState.FENCING,
        HostState.FENCE_FAILED,
        HostState.FENCED,
        HostState.EVACUATING,
        HostState.EVACUATED,
    },
)


def holds(view: ClusterView, policy: Policy, now_s: float) -> tuple[Hold, ...]:
    """Return every hold that is in force, cluster-wide ones first, then by host."""
    found = [
        *_disarmed(view),
        *_rolled_back(view),
        *_two_copies(view),
        *_own_health(view, policy, now_s),
        *_start_up(view, policy, now_s),
        *_storm(view, policy, now_s),
        *_unreadable(view),
        *_maintenance(view),
        *_definitions_lost(view),
    ]
    return tuple(sorted(found, key=lambda hold: (hold.scope != CLUSTER, hold.scope, hold.kind)))


def against_conviction(
    in_force: tuple[Hold, ...], host: HostView, view: ClusterView
) -> tuple[Hold, ...]:
    """Return the holds that keep this host from being convicted now."""
    return tuple(
        hold
        for hold in in_force
        if (hold.scope == host.name and hold.kind not in NO_BAR_TO_EVACUATION)
        or (
            hold.scope == CLUSTER
            and not (hold.kind is HoldKind.START_UP and _was_lost_before(host, view))
        )
    )


def against_action(in_force: tuple[Hold, ...], host: HostView) -> tuple[Hold, ...]:
    """Return the holds that stop even the shots and moves of a host already convicted."""
    return tuple(
        hold
        for hold in in_force
        if hold.scope in {CLUSTER, host.name}
        and hold.kind in {HoldKind.DISARMED, HoldKind.UNREADABLE, HoldKind.OWN_HEALTH}
    )


def _disarmed(view: ClusterView) -> list[Hold]:
    control = view.control.value
    if control.is_armed:
        return []
    return [
        Hold(
            kind=HoldKind.DISARMED,
            scope=CLUSTER,
            reason=control.reason,
            who=control.who,
            needs_human=True,
        )
    ]


def _rolled_back(view: ClusterView) -> list[Hold]:
    if not view.own.is_rolled_back:
        return []
    why = f"epoch {view.own.epoch} is lower than one seen before: ZooKeeper was restored"
    return [Hold(kind=HoldKind.ROLLED_BACK, scope=CLUSTER, reason=why, needs_human=True)]


def _two_copies(view: ClusterView) -> list[Hold]:
    """Hold every guest that two hosts say they run; only a human can tell which one counts."""
    running: dict[GuestId, list[str]] = {}
    for name, host in sorted(view.hosts.items()):
        if host.heartbeat is None or host.domains is None or not host.domains.is_healthy:
            continue
        for guest, state in host.domains.domains.items():
            if state is DomainState.RUNNING:
                running.setdefault(guest, []).append(name)
    return [
        Hold(
            kind=HoldKind.TWO_COPIES,
            scope=guest,
            reason=f"runs on {' and '.join(names)}",
            needs_human=True,
        )
        for guest, names in sorted(running.items())
        if len(names) > 1
    ]


def _own_health(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    own = view.own
    if not own.is_session_proven:
        why = "own ZooKeeper session is not proven fresh by a committed write"
        return [Hold(kind=HoldKind.OWN_HEALTH, scope=CLUSTER, reason=why)]
    if own.lagged_s is not None and now_s - own.lagged_s < policy.holds.unhealthy_for_s:
        return [
            Hold(
                kind=HoldKind.OWN_HEALTH,
                scope=CLUSTER,
                reason="own loop lagged or own clock jumped a moment ago",
                until_s=own.lagged_s + policy.holds.unhealthy_for_s,
            )
        ]
    return []


def _start_up(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    grace_s = policy.detection.session_timeout_s + policy.detection.boot_grace_s
    until_s = view.own.watching_since_s + grace_s
    if now_s >= until_s:
        return []
    return [
        Hold(
            kind=HoldKind.START_UP,
            scope=CLUSTER,
            reason="the view of ZooKeeper is young: agents may still have to register",
            until_s=until_s,
        )
    ]


def _was_lost_before(host: HostView, view: ClusterView) -> bool:
    """Say whether the loss is older than this view of ZooKeeper, so that no grace is owed.

    safety: the grace is for hosts that could not register while ZooKeeper or this controller was
    away. A host already written down as suspect by an earlier term, or lost before the gap, had its
    time; and a conviction still needs every witness of the verdict.
    """
    record = host.record.value
    if record is None or record.state not in MISSED_STATES:
        return False
    if record.epoch < view.own.epoch:
        return True
    return host.session_lost_s is not None and host.session_lost_s < view.own.watching_since_s


def _storm(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    troubled = troubled_hosts(view, policy, now_s)
    limit = storm_limit(view, policy)
    if len(troubled) <= limit:
        return []
    return [
        Hold(
            kind=HoldKind.STORM,
            scope=CLUSTER,
            reason=f"{len(troubled)} hosts lost within {policy.holds.storm_window_s:.0f} s,"
            f" at most {limit} are handled at once: {_named(troubled)}",
            needs_human=True,
        )
    ]


def troubled_hosts(view: ClusterView, policy: Policy, now_s: float) -> tuple[str, ...]:
    """Name the hosts that count towards a storm: missed now, or convicted within the window.

    One whose session has not ended counts as soon as its planes are silent, because its power alone
    may convict it from then on. Hosts that are alive by another witness count too: many lost
    sessions at once point at ZooKeeper or a network, not at the hosts. Hosts without an agent do
    not: they have no session to lose, and only a person convicts them, one by one.
    """
    return tuple(
        name
        for name, host in sorted(view.hosts.items())
        if host.record.value is not None
        and not host.spec.agentless
        and name not in view.control.value.maintenance
        and (
            _is_lost(host, policy, now_s)
            or (
                host.record.value.state in _TROUBLED
                and now_s - host.state_since_s <= policy.holds.storm_window_s
            )
        )
    )


def storm_limit(view: ClusterView, policy: Policy) -> int:
    """Return how many hosts may be in trouble at once: count or share, the smaller, at least 1."""
    armed = sum(
        1
        for name, host in view.hosts.items()
        if host.record.value is not None
        and not host.spec.agentless
        and name not in view.control.value.maintenance
    )
    by_share = int(armed * policy.holds.storm_share_max)
    return max(1, min(policy.holds.storm_hosts_max, by_share))


def _is_lost(host: HostView, policy: Policy, now_s: float) -> bool:
    record = host.record.value
    # One that went away while it returned is convicted once more: it counts like any other.
    may_be_convicted = LIVE_STATES | {HostState.RETURNING}
    if record is None or record.state not in may_be_convicted:
        return False
    if host.heartbeat is not None:
        return is_silent(fresh_probes(host, policy.detection, now_s), policy.detection)
    if policy.detection.of(host.spec.policy).leaving is LeavingPolicy.EVACUATE:
        return True
    return host.self_.value is None or host.self_.value.leaving is None


def _unreadable(view: ClusterView) -> list[Hold]:
    found = []
    for path in view.unreadable:
        parts = path.strip("/").split("/")
        scope = parts[1] if parts[0] == "hosts" and len(parts) > 1 else CLUSTER
        found.append(
            Hold(
                kind=HoldKind.UNREADABLE,
                scope=scope,
                reason=f"znode {path} holds a newer schema or rubbish; it is not guessed at",
                needs_human=True,
            )
        )
    return found


def _maintenance(view: ClusterView) -> list[Hold]:
    return [
        Hold(kind=HoldKind.MAINTENANCE, scope=host, reason=entry.reason, who=entry.who)
        for host, entry in sorted(view.control.value.maintenance.items())
    ]


def _definitions_lost(view: ClusterView) -> list[Hold]:
    """Hold a host whose libvirt lost definitions that nobody was seen removing.

    A libvirtd that comes back with an emptied configuration does that; so does a guest undefined
    while nobody looked. Only a human knows which.
    """
    found = []
    for name, host in sorted(view.hosts.items()):
        record = host.record.value
        if record is None or record.state not in SETTLED or not is_listing_sound(host):
            continue
        assert host.domains is not None
        lost = [
            f"{owned.value.name} ({guest})"
            for guest in host.domains.lost
            if (owned := view.guests.get(guest)) is not None and owned.value.owner == name
        ]
        if lost:
            why = f"libvirt no longer has, and nobody was seen undefining: {_named(lost)}"
            found.append(
                Hold(kind=HoldKind.DEFINITIONS_LOST, scope=name, reason=why, needs_human=True)
            )
    return found


def _named(names: Sequence[str]) -> str:
    """Join names for a human; of many, the first few."""
    return ", ".join(names[:_NAMES_SHOWN]) + (" …" if len(names) > _NAMES_SHOWN else "")
