"""Storms and rates: how many hosts may be given up at once, where, and how fast. Pure.

Rules:

1. Many hosts lost at once point at a network, at ZooKeeper or at a room's power, not at the hosts:
   nothing is fenced, somebody is paged, and what is fenced already goes on. At once is: lost within
   a window of each other, however long ago, as long as they are lost; or lost or convicted within
   the window from now, together with all that would be convicted now. So a storm does not end by
   waiting, and one host that has been lost and held for a week is no part of today's.
2. Hosts that share a failure domain (a label) are held by themselves and count as one trouble; so a
   lost rack does not keep hamon from another rack's single dead host.
3. After a storm nothing new is convicted in its scope for a while (``cooldown``).
4. What comes slowly is counted too: so many convictions an hour, and no more.
5. An operator may release hosts, in the boots that were shown: a few at a time are then fenced.
   Only those that would be convicted now wait for their turn. It is a word about one loss of one
   boot: it ends when the host is well again.

What was so at this controller's first look counts from then, or from long before (``onset``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hamon.decide.cooldown import cooling_down
from hamon.decide.onset import convicted_since_s, lost_since_s, opened_since_s
from hamon.decide.remedy import would_be_convicted
from hamon.detector.verdict import fresh_probes, is_harmed, is_silent
from hamon.model.control import Hold, HoldKind
from hamon.model.host import LIVE_STATES, HostState
from hamon.model.incident import Trigger
from hamon.model.names import CLUSTER, BootId, HostName
from hamon.model.policy import DegradedPolicy, LeavingPolicy, Policy
from hamon.model.view import ClusterView, HostView

NAMES_SHOWN = 8

MAY_BE_CONVICTED = LIVE_STATES | {HostState.RETURNING}
"""One that went away while it returned is convicted once more: it counts like any other."""

_TROUBLED = frozenset(
    {
        HostState.FENCING,
        HostState.FENCE_FAILED,
        HostState.FENCED,
        HostState.EVACUATING,
        HostState.EVACUATED,
    },
)


def storm_holds(
    view: ClusterView, policy: Policy, now_s: float, others: Iterable[Hold] = ()
) -> list[Hold]:
    """Return the holds of storms, of their cool-downs, and of rates.

    Args:
        view: the world.
        policy: the numbers and choices.
        now_s: monotonic seconds.
        others: the other holds in force: a host that one of them keeps counts by its loss only.
    """
    storms = _storms(view, policy, now_s, others)
    return [
        *storms,
        *cooling_down(view, policy, now_s, {storm.scope for storm in storms}),
        *_rate(view, policy, now_s),
    ]


def covers(hold: Hold, host: HostView) -> bool:
    """Say whether a hold is about this host: all, its name, or one of its labels."""
    return hold.scope in {CLUSTER, host.name} or hold.scope in _domains_of(host, host.spec.labels)


def is_released(view: ClusterView, host: HostView) -> bool:
    """Say whether an operator released the host, in the boot that it registered last."""
    return _was_released(view, host.name, host.boot_id)


# -- storms ---------------------------------------------------------------------------------------


def _storms(view: ClusterView, policy: Policy, now_s: float, others: Iterable[Hold]) -> list[Hold]:
    troubled = troubled_hosts(view, policy, now_s, others)
    found: list[Hold] = []
    # A domain in a storm is one trouble of the cluster, as old as its latest loss.
    alone: dict[str, Trouble] = {}
    explained: set[str] = set()
    for scope, members in sorted(_members(view, policy.holds.domain_labels).items()):
        limit = _limit(len(members), policy.holds.domain_hosts_max, policy.holds.domain_share_max)
        there = {name: trouble for name, trouble in troubled.items() if name in members}
        lost = _crowd(there, limit, policy.holds.storm_window_s)
        if lost:
            found.append(_storm(scope, lost, limit, policy))
            explained |= lost.keys()
            alone[scope] = Trouble(
                since_s=max(trouble.since_s for trouble in lost.values()),
                is_now=any(trouble.is_now for trouble in lost.values()),
            )
    alone |= {name: trouble for name, trouble in troubled.items() if name not in explained}
    limit = storm_limit(view, policy)
    lost = _crowd(alone, limit, policy.holds.storm_window_s)
    if lost:
        found.append(_storm(CLUSTER, lost, limit, policy))
    return found


def _storm(scope: str, lost: Mapping[str, Trouble], limit: int, policy: Policy) -> Hold:
    window_s = policy.holds.storm_window_s
    times = [trouble.since_s for trouble in lost.values()]
    why = (
        f"{len(lost)} hosts lost within {window_s:.0f} s, at most {limit} are handled at once"
        if max(times) - min(times) <= window_s
        else f"{len(lost)} hosts are lost, and more than {limit} of them at once"
    )
    return Hold(
        kind=HoldKind.STORM,
        scope=scope,
        reason=f"{why}: {named(tuple(lost))}",
        needs_human=True,
    )


def _crowd(troubled: Mapping[str, Trouble], limit: int, window_s: float) -> dict[str, Trouble]:
    """Return those that are more than the limit together, by name in the given order; or none."""
    now = {name for name, trouble in troubled.items() if trouble.is_now}
    crowd = now if len(now) > limit else set()
    in_time = sorted(troubled, key=lambda name: troubled[name].since_s)
    times = [troubled[name].since_s for name in in_time]
    taken = 0
    for first, since_s in enumerate(times):
        end = bisect_right(times, since_s + window_s)
        if end - first > limit:
            crowd.update(in_time[max(first, taken) : end])
            taken = end
    return {name: trouble for name, trouble in troubled.items() if name in crowd}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A host that counts towards a storm.

    ``since_s``: since when it has been lost, or convicted. ``is_now``: that is within the window,
    or it would be convicted now.
    """

    since_s: float
    is_now: bool


def troubled_hosts(
    view: ClusterView, policy: Policy, now_s: float, others: Iterable[Hold] = ()
) -> Mapping[str, Trouble]:
    """Find the hosts that count towards a storm: missed still, or convicted within the window.

    One whose session has not ended counts as soon as its planes are silent, because its power alone
    may convict it from then on; or as soon as its own checks find what policy fences it for. Hosts
    that are alive by another witness count too: many lost sessions at once point at ZooKeeper or a
    network, not at the hosts. Hosts without an agent do not: they have no session to lose, and only
    a person convicts them, one by one. Released hosts do not: an operator has told what happened to
    them.

    Args:
        view: the world.
        policy: the numbers and choices.
        now_s: monotonic seconds.
        others: the other holds in force.
    """
    barred = {hold.scope for hold in others if hold.kind in _OF_ONE_HOST}
    found: dict[str, Trouble] = {}
    for name, host in sorted(view.hosts.items()):
        if not _counts(view, host) or is_released(view, host):
            continue
        record = host.record.value
        if record is not None and record.state in _TROUBLED:
            convicted_s = convicted_since_s(view, host, policy)
            if now_s - convicted_s <= policy.holds.storm_window_s:
                found[name] = Trouble(since_s=convicted_s, is_now=True)
        elif _is_lost(host, policy, now_s):
            since_s = lost_since_s(view, host, policy, now_s)
            is_now = now_s - since_s <= policy.holds.storm_window_s or (
                name not in barred and would_be_convicted(view, host, policy, now_s)
            )
            found[name] = Trouble(since_s=since_s, is_now=is_now)
    return found


_OF_ONE_HOST = frozenset(
    {HoldKind.PROTECTED, HoldKind.OPERATOR_DISABLED, HoldKind.UNGATED, HoldKind.UNREADABLE}
)
"""Holds that keep one host from being convicted, whatever becomes of the others."""


def storm_limit(view: ClusterView, policy: Policy) -> int:
    """Return how many hosts may be in trouble at once: count or share, the smaller, at least 1."""
    armed = sum(1 for host in view.hosts.values() if _counts(view, host))
    return _limit(armed, policy.holds.storm_hosts_max, policy.holds.storm_share_max)


def _limit(hosts: int, most: int, share: float) -> int:
    return max(1, min(most, int(hosts * share)))


def _counts(view: ClusterView, host: HostView) -> bool:
    """Say whether the host is enrolled, seen before, and armed."""
    return (
        host.record.value is not None
        and not host.spec.agentless
        and host.name not in view.control.value.maintenance
    )


def _members(view: ClusterView, labels: Iterable[str]) -> dict[str, set[str]]:
    """Return the hosts of each failure domain."""
    found: dict[str, set[str]] = {}
    for name, host in view.hosts.items():
        if _counts(view, host):
            for scope in _domains_of(host, labels):
                found.setdefault(scope, set()).add(name)
    return found


def _domains_of(host: HostView, labels: Iterable[str]) -> set[str]:
    own = host.spec.labels
    return {f"{label}={own[label]}" for label in labels if label in own}


def _is_lost(host: HostView, policy: Policy, now_s: float) -> bool:
    record = host.record.value
    if record is None or record.state not in MAY_BE_CONVICTED:
        return False
    if host.heartbeat is not None:
        is_missed = is_silent(fresh_probes(host, policy.detection, now_s), policy.detection)
        return is_missed or _is_to_be_given_up(host, policy, now_s)
    if policy.detection.of(host.spec.policy).leaving is LeavingPolicy.EVACUATE:
        return True
    return host.self_.value is None or host.self_.value.leaving is None


def _is_to_be_given_up(host: HostView, policy: Policy, now_s: float) -> bool:
    """Say whether policy fences a host that lives, for what its own checks find; at once or later.

    safety: when the storage of all hosts fails, each by itself is due after the same wait.
    """
    detection = policy.detection.of(host.spec.policy)
    return (
        detection.degraded is DegradedPolicy.FENCE
        and host.record.value is not None
        and host.record.value.state in {HostState.UP, HostState.DEGRADED}
        and is_harmed(host, detection, now_s)
    )


# -- rates ----------------------------------------------------------------------------------------


def _rate(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    """Hold when too many were convicted lately, one after another; released ones do not count."""
    since_s = now_s - policy.holds.rate_window_s
    convicted = [
        incident.record.value.host
        for _, incident in sorted(view.incidents.items())
        if incident.record.value.trigger is Trigger.DETECTOR
        and incident.opened_s is not None
        and opened_since_s(view, incident, incident.opened_s, policy) > since_s
        and not _was_released(view, incident.record.value.host, incident.record.value.boot_id)
    ]
    if len(convicted) < policy.holds.rate_hosts_max:
        return []
    minutes = policy.holds.rate_window_s / 60
    why = f"{len(convicted)} hosts were convicted within {minutes:.0f} min: {named(convicted)}"
    return [Hold(kind=HoldKind.RATE, scope=CLUSTER, reason=why, needs_human=True)]


def _was_released(view: ClusterView, name: HostName, boot_id: BootId | None) -> bool:
    """Say whether the host is released in the boot that it was convicted in."""
    return boot_id is not None and any(
        release.hosts.get(name) == boot_id for release in view.control.value.releases
    )


def queued_releases(
    view: ClusterView, policy: Policy, unheld: Iterable[HostView], now_s: float
) -> list[Hold]:
    """Hold the released hosts whose turn has not come: a release is no licence to fence all.

    Only a host that would be convicted now stands in the queue. One that something else holds, or
    that nothing proves dead yet, would keep its place for ever, and the others behind it.

    Args:
        view: the world.
        policy: the numbers.
        unheld: the released hosts that no other hold keeps from being convicted.
        now_s: monotonic seconds.
    """
    shooting = [
        now_s - host.state_since_s
        for host in view.hosts.values()
        if host.record.value is not None
        and host.record.value.state is HostState.FENCING
        and _was_released(view, host.name, host.guard.value.boot_id)
    ]
    waiting = [
        host
        for host in unheld
        if _is_lost(host, policy, now_s) and would_be_convicted(view, host, policy, now_s)
    ]
    most = policy.holds.released_at_once
    # Who fails to be fenced gives its place up; so one of them must move within a ladder's time.
    is_stuck = len(shooting) >= most and min(shooting, default=0.0) > policy.holds.storm_window_s
    why = f"released; at most {most} released hosts are fenced at a time"
    if is_stuck:
        why += f", and none of {len(shooting)} was done within {policy.holds.storm_window_s:.0f} s"
    return [
        Hold(kind=HoldKind.RATE, scope=host.name, reason=why, needs_human=is_stuck)
        for host in waiting[max(0, most - len(shooting)) :]
    ]


def named(names: Sequence[str]) -> str:
    """Join names for a human; of many, the first few."""
    return ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
