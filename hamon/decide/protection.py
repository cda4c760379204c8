"""Hosts that are not fenced although they may be dead: what hamon stands on, what others set aside.

Pure. Rules:

1. A host that carries a controller or a ZooKeeper server is never fenced, unless that is allowed,
   and a quorum of ZooKeeper survives without it (S11, S12). The leader's own host never is.
2. A host that an operator disabled in Nova is somebody's work: when it dies it is held, and pages.
3. Both hold until it is convicted, and again as soon as it returns: it may be lost on its way.
"""

from __future__ import annotations

from hamon.model.cloud import OURS
from hamon.model.control import Hold, HoldKind
from hamon.model.host import MISSED_STATES, SHUT_OUT_STATES, Carried, HostState
from hamon.model.policy import Policy
from hamon.model.view import ClusterView, HostView


def protection_holds(view: ClusterView, policy: Policy) -> list[Hold]:
    """Return a hold for each host that is protected now."""
    return [
        hold
        for _, host in sorted(view.hosts.items())
        for hold in (*_foundation(view, host, policy), *_disabled(view, host))
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


def _disabled(view: ClusterView, host: HostView) -> list[Hold]:
    service = view.cloud.services.get(host.service_host) if view.cloud is not None else None
    if service is None or service.is_enabled or service.disabled_reason.startswith(OURS):
        return []
    if _is_convicted(host):
        return []
    said = service.disabled_reason or "no reason given"
    return [
        Hold(
            kind=HoldKind.OPERATOR_DISABLED,
            scope=host.name,
            reason=f"its nova-compute was disabled by somebody: {said}",
            needs_human=_is_lost(host),
        )
    ]
