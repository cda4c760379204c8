"""Hosts that are not fenced although they may be dead: what hamon stands on, what others set aside.

Pure. Rules:

1. A host that carries a controller or a ZooKeeper server is never fenced, unless that is allowed,
   and a quorum of ZooKeeper survives without it (S11, S12). The leader's own host never is.
2. A host that an operator disabled in Nova is somebody's work: when it dies it is held, and pages.
   Until Nova has been read since the host fell silent, nobody knows whether one did: it waits. No
   guest would move without Nova anyway.
3. Both hold until it is convicted, and again as soon as it returns: it may be lost on its way.
"""

from __future__ import annotations

from hamon.detector.verdict import fresh_probes, is_silent
from hamon.model.cloud import OURS, ComputeService
from hamon.model.control import Hold, HoldKind
from hamon.model.host import MISSED_STATES, SHUT_OUT_STATES, Carried, HostState
from hamon.model.policy import DegradedPolicy, Policy
from hamon.model.proof import Vote
from hamon.model.view import ClusterView, HostView

UNREAD_PAGES_AFTER_S = 60.0
"""A reading of Nova takes seconds, with one that failed and was repeated: what lasts longer is an
outage, and the host's guests are down for as long."""


def protection_holds(view: ClusterView, policy: Policy, now_s: float) -> list[Hold]:
    """Return a hold for each host that is protected now."""
    return [
        hold
        for _, host in sorted(view.hosts.items())
        for hold in (*_foundation(view, host, policy), *_disabled(view, host, policy, now_s))
    ]


def _foundation(view: ClusterView, host: HostView, policy: Policy) -> list[Hold]:
    if _is_convicted(host):
        return []
    if str(host.name) == view.own.controller:
        return [_protected(host, "this controller itself runs there")]
    if not host.spec.carries:
        return []
    carried = " and ".join(host.spec.carries)
    if not policy.holds.fence_controllers:
        why = f"it carries {carried} (holds.fence_controllers = false)"
        return [_protected(host, why)]
    if Carried.ZOOKEEPER not in host.spec.carries:
        return []
    gone = sum(1 for other in view.hosts.values() if _takes_server_away(other))
    left = policy.zookeeper_servers - gone - (0 if _takes_server_away(host) else 1)
    if 2 * left > policy.zookeeper_servers:
        return []
    why = f"without it {left} of {policy.zookeeper_servers} ZooKeeper servers would be left"
    return [_protected(host, why)]


def _protected(host: HostView, why: str) -> Hold:
    return Hold(kind=HoldKind.PROTECTED, scope=host.name, reason=why, needs_human=_is_lost(host))


def _takes_server_away(host: HostView) -> bool:
    return Carried.ZOOKEEPER in host.spec.carries and (_is_shut_out(host) or is_missed(host))


def _is_shut_out(host: HostView) -> bool:
    record = host.record.value
    return record is not None and record.state in SHUT_OUT_STATES


def _is_convicted(host: HostView) -> bool:
    """Say whether it is convicted and not back: nothing is left to protect it from.

    One that returns may be lost and convicted once more, in its new boot.
    """
    return _is_shut_out(host) and not _is_returning(host)


def _is_returning(host: HostView) -> bool:
    record = host.record.value
    return record is not None and record.state is HostState.RETURNING


def _is_lost(host: HostView) -> bool:
    """Say whether its protection is what keeps it from being fenced, as far as can be seen."""
    if is_missed(host):
        return True
    return _is_returning(host) and host.heartbeat is None and not host.spec.agentless


def is_missed(host: HostView) -> bool:
    """Say whether something of the host is not heard: then its protection keeps it from fencing."""
    record = host.record.value
    return record is not None and record.state in MISSED_STATES


def _disabled(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> list[Hold]:
    if view.cloud is None or _is_convicted(host):
        return []
    service = view.cloud.services.get(host.service_host)
    # Of a cell that is down Nova does not tell what the service's row has.
    is_known = service is None or service.is_up is not None
    if service is not None and is_known and _is_set_aside(service):
        said = service.disabled_reason or "no reason given"
        return [
            Hold(
                kind=HoldKind.OPERATOR_DISABLED,
                scope=host.name,
                reason=f"its nova-compute was disabled by somebody: {said}",
                needs_human=_is_lost(host),
            )
        ]
    since_s = _silent_since_s(host, policy, now_s)
    if since_s is None or (is_known and not waits_for_services(view, host, policy, now_s)):
        return []
    who = "Nova has not yet said" if is_known else "Nova does not reach its cell, and cannot say"
    return [
        Hold(
            kind=HoldKind.NOVA_NOT_READ,
            scope=host.name,
            reason=f"{who} whether somebody disabled its nova-compute",
            needs_human=_is_lost(host) and now_s - since_s >= UNREAD_PAGES_AFTER_S,
        )
    ]


def _is_set_aside(service: ComputeService) -> bool:
    return not service.is_enabled and not service.disabled_reason.startswith(OURS)


def waits_for_services(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> bool:
    """Say whether Nova's services must be read before the host may be convicted.

    What was read before it fell silent may lack what an operator did since: whoever disabled it,
    to work on it, switches it off a moment later.
    """
    if view.cloud is None or host.name in view.control.value.maintenance:
        return False
    since_s = _silent_since_s(host, policy, now_s)
    read_s = view.cloud.services_s
    return since_s is not None and (read_s is None or read_s < since_s)


def _silent_since_s(host: HostView, policy: Policy, now_s: float) -> float | None:
    """Return when the last of what was heard of a host went, None: it may not be convicted.

    One without an agent is convicted by a person only.
    """
    if host.spec.agentless or _is_convicted(host):
        return None
    is_noted = is_missed(host) or _may_be_fenced_degraded(host, policy)
    is_silenced = any(vote.vote is Vote.SILENT for vote in host.evidence)
    if not is_noted and host.session_lost_s is None and not is_silenced:
        return None
    detection = policy.detection.of(host.spec.policy)
    votes = fresh_probes(host, detection, now_s)
    if not is_noted and host.session_lost_s is None and not is_silent(votes, detection):
        return None
    since_s = [host.state_since_s] if is_noted else []
    if host.session_lost_s is not None:
        since_s.append(host.session_lost_s)
    if votes and all(vote.vote is Vote.SILENT for vote in votes):
        since_s += [vote.changed_s for vote in votes]
    return max(since_s)


def _may_be_fenced_degraded(host: HostView, policy: Policy) -> bool:
    record = host.record.value
    if record is None or record.state is not HostState.DEGRADED:
        return False
    return policy.detection.of(host.spec.policy).degraded is DegradedPolicy.FENCE
