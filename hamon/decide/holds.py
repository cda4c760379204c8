"""Holds: everything that keeps hamon from acting, computed anew each round. Pure.

Rules:

1. A hold is visible and has a scope, a reason and an end; nothing is dropped in silence (rule 6).
2. Storm, rate, start-up, own health, protection, maintenance and a host that still goes by shadow
   mode stop *new convictions*; what is fenced already goes on, so that a storm does not leave
   guests half moved. Disarm and shadow mode stop every intent.
3. An operator may override storm, rate, start-up, maintenance, what another operator disabled in
   Nova, or may have, and that a host still goes by shadow mode, by hand; it is printed and audited.
   Nobody overrides disarm, shadow mode, own health, the protection of what hamon stands on, an
   unreadable znode, or the proof.
4. Lost definitions hold what would follow from them (no guest is retired, none comes), but no
   conviction: what was published of the guests is all there is, and enough to rebuild them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hamon.decide.mode import ungated_holds
from hamon.decide.ownership import SETTLED, is_listing_sound
from hamon.decide.protection import protection_holds
from hamon.decide.standing import YIELD_AFTER_S
from hamon.decide.storms import covers, is_released, named, queued_releases, storm_holds
from hamon.detector.verdict import fresh_probes, is_silent
from hamon.evacuator.copies import copies_to_come
from hamon.model.control import Hold, HoldKind
from hamon.model.host import MISSED_STATES, DomainState
from hamon.model.names import CLUSTER, GuestId
from hamon.model.policy import Mode, Policy
from hamon.model.view import ClusterView, HostView

SILENCE_PAGES_AFTER_S = 300.0
"""A switch that restarts is back in a few minutes. Whatever keeps a controller from most hosts for
longer, a firewall on the port of the probes, say, does not end by itself, and nobody is convicted
meanwhile."""

OVERRIDABLE = frozenset(
    {
        HoldKind.STORM,
        HoldKind.RATE,
        HoldKind.START_UP,
        HoldKind.MAINTENANCE,
        HoldKind.OPERATOR_DISABLED,
        HoldKind.NOVA_NOT_READ,
        HoldKind.UNGATED,
    }
)
"""Holds that ``evacuate-host`` and ``confirm-down`` may pass, printed and audited."""


def holds(view: ClusterView, policy: Policy, now_s: float) -> tuple[Hold, ...]:
    """Return every hold that is in force, cluster-wide ones first, then by host."""
    found = [
        *_disarmed(view),
        *_shadow(policy),
        *_rolled_back(view),
        *_two_copies(view),
        *_own_health(view, policy, now_s),
        *_start_up(view, policy, now_s),
        *protection_holds(view, policy, now_s),
        *ungated_holds(view, policy),
        *_unreadable(view),
        *_maintenance(view),
        *_definitions_lost(view),
    ]
    found += storm_holds(view, policy, now_s, tuple(found))
    others = tuple(found)
    released = [host for _, host in sorted(view.hosts.items()) if is_released(view, host)]
    unheld = [host for host in released if not against_conviction(others, host, view)]
    found += queued_releases(view, policy, unheld, now_s)
    return tuple(sorted(found, key=lambda hold: (hold.scope != CLUSTER, hold.scope, hold.kind)))


def against_conviction(
    in_force: tuple[Hold, ...], host: HostView, view: ClusterView
) -> tuple[Hold, ...]:
    """Return the holds that keep this host from being convicted now."""
    return tuple(hold for hold in in_force if covers(hold, host) and _bars(hold, host, view))


def _bars(hold: Hold, host: HostView, view: ClusterView) -> bool:
    """Say whether a hold that covers a host keeps it from being convicted."""
    match hold.kind:
        case HoldKind.DEFINITIONS_LOST:
            return hold.scope == CLUSTER
        case HoldKind.START_UP:
            return not _was_lost_before(host, view)
        case HoldKind.STORM:
            return not is_released(view, host)
        case HoldKind.RATE:
            return hold.scope == host.name or not is_released(view, host)
        case _:
            return True


def is_passed_by_hand(kind: HoldKind) -> bool | None:
    """Say whether a command passes a hold of this kind; None: it does not stand in its way."""
    if kind is HoldKind.DEFINITIONS_LOST:
        return None
    return kind in OVERRIDABLE


def against_action(in_force: tuple[Hold, ...], host: HostView) -> tuple[Hold, ...]:
    """Return the holds that stop even the shots and moves of a host already convicted."""
    return tuple(
        hold
        for hold in in_force
        if hold.scope in {CLUSTER, host.name} and hold.kind in _AGAINST_ACTION
    )


def against_moving(in_force: tuple[Hold, ...]) -> Mapping[str, Hold]:
    """Return the holds that keep a guest from being moved, by guest."""
    return {hold.scope: hold for hold in in_force if hold.kind is HoldKind.TWO_COPIES}


_AGAINST_ACTION = frozenset(
    {HoldKind.DISARMED, HoldKind.SHADOW, HoldKind.UNREADABLE, HoldKind.OWN_HEALTH}
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


def _shadow(policy: Policy) -> list[Hold]:
    if policy.mode is Mode.ACTIVE:
        return []
    why = 'cluster.mode = "shadow": what would be done is told, and nothing is'
    return [Hold(kind=HoldKind.SHADOW, scope=CLUSTER, reason=why)]


def _rolled_back(view: ClusterView) -> list[Hold]:
    if not view.own.is_rolled_back:
        return []
    why = f"epoch {view.own.epoch} is lower than one seen before: ZooKeeper was restored"
    return [Hold(kind=HoldKind.ROLLED_BACK, scope=CLUSTER, reason=why, needs_human=True)]


def _two_copies(view: ClusterView) -> list[Hold]:
    """Hold every guest that two hosts say they run; only a human can tell which one counts.

    safety: when one of the two dies the other copy runs on. Wherever the guest would be started
    next, it is held for as long as that copy may run.
    """
    why = {
        guest: f"belongs to {home}, but {copy.told}"
        for guest, (home, copy) in copies_to_come(view).items()
    }
    running: dict[GuestId, list[str]] = {}
    for name, host in sorted(view.hosts.items()):
        if host.heartbeat is None or host.domains is None or not host.domains.is_healthy:
            continue
        for guest, state in host.domains.domains.items():
            if state is DomainState.RUNNING:
                running.setdefault(guest, []).append(name)
    why |= {
        guest: f"runs on {' and '.join(names)}"
        for guest, names in running.items()
        if len(names) > 1
    }
    return [
        Hold(kind=HoldKind.TWO_COPIES, scope=guest, reason=text, needs_human=True)
        for guest, text in sorted(why.items())
    ]


def _own_health(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    own = view.own
    if not own.is_session_proven:
        why = "own ZooKeeper session is not proven fresh by a committed write"
        # What is read of ZooKeeper may go on for ever while nothing can be written there.
        since_s = max(own.took_office_s, own.session_proven_s or 0.0)
        lasts = now_s - since_s >= YIELD_AFTER_S
        return [Hold(kind=HoldKind.OWN_HEALTH, scope=CLUSTER, reason=why, needs_human=lasts)]
    if own.lagged_s is not None and now_s - own.lagged_s < policy.holds.unhealthy_for_s:
        return [
            Hold(
                kind=HoldKind.OWN_HEALTH,
                scope=CLUSTER,
                reason="own loop lagged or own clock jumped a moment ago",
                until_s=own.lagged_s + policy.holds.unhealthy_for_s,
            )
        ]
    silent = _silent_though_registered(view, policy, now_s)
    if silent is not None:
        told, since_s = silent
        why = f"hosts with a session do not answer this controller: {told}; it may be cut off"
        lasts = now_s - since_s >= SILENCE_PAGES_AFTER_S
        return [Hold(kind=HoldKind.OWN_HEALTH, scope=CLUSTER, reason=why, needs_human=lasts)]
    return []


def _silent_though_registered(
    view: ClusterView, policy: Policy, now_s: float
) -> tuple[str, float] | None:
    """Tell how many hosts that ZooKeeper knows to live are silent to this controller, since when.

    None: too few to mean anything. Where so many look bad from here, it is the place that is bad.
    """
    detection = policy.detection
    registered = [
        host
        for host in view.hosts.values()
        if host.heartbeat is not None and host.name not in view.control.value.maintenance
    ]
    probes = (fresh_probes(host, detection, now_s) for host in registered)
    silent_s = sorted(
        max(vote.changed_s for vote in votes) for votes in probes if is_silent(votes, detection)
    )
    too_many = max(2, math.floor(policy.holds.blind_share_max * len(registered)) + 1)
    if len(silent_s) < too_many:
        return None
    return f"{len(silent_s)} of {len(registered)}", silent_s[too_many - 1]


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
            why = f"libvirt no longer has, and nobody was seen undefining: {named(lost)}"
            found.append(
                Hold(kind=HoldKind.DEFINITIONS_LOST, scope=name, reason=why, needs_human=True)
            )
    return found
