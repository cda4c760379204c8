"""Hosts are told whether hamon acts; none is convicted that still goes by shadow mode. Pure.

Rules (docs/protocol.md, "Shadow mode"):

1. What the policy says is written to every host with an agent; that nothing was ever written says
   active.
2. A host that says that its hook lets guests start without hamon's leave is not convicted: guests
   would be moved away that it starts again at its next boot, before its agent knows.
"""

from __future__ import annotations

from hamon.decide.thought import Thought
from hamon.model.change import Change, Update, mode_of
from hamon.model.control import Hold, HoldKind
from hamon.model.host import MISSED_STATES, HostMode
from hamon.model.names import CLUSTER
from hamon.model.policy import Mode, Policy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView

HOSTS_MAX = 100
"""So many hosts are told in one transaction; the next ones in the next round."""


def think_mode(view: ClusterView, policy: Policy) -> Thought:
    """Tell the hosts that were told otherwise, or never, of the mode that hamon is in."""
    writes = [
        Update(key=mode_of(name), version=host.mode.version, value=_told(host, policy.mode))
        for name, host in sorted(view.hosts.items())
        if host.mode is not None
        and not host.spec.agentless
        and _known(host).mode is not policy.mode
    ]
    if not writes:
        return Thought()
    told = tuple(writes[:HOSTS_MAX])
    why = reason("mode_told", CLUSTER, mode=policy.mode, hosts=len(told))
    return Thought(changes=(Change(subject=CLUSTER, reason=why, operations=told),))


def ungated_holds(view: ClusterView, policy: Policy) -> list[Hold]:
    """Hold each host that still lets its guests start as in shadow mode."""
    if policy.mode is Mode.SHADOW:
        return []
    return [
        Hold(
            kind=HoldKind.UNGATED,
            scope=name,
            reason="its agent has not taken up active mode: at its next boot it may start guests"
            " that were moved away",
            needs_human=_is_missed(host),
        )
        for name, host in sorted(view.hosts.items())
        if _known(host).is_ungated
    ]


def _known(host: HostView) -> HostMode:
    value = host.mode.value if host.mode is not None else None
    return value if value is not None else HostMode()


def _told(host: HostView, mode: Mode) -> HostMode:
    return HostMode(mode=mode, is_ungated=_known(host).is_ungated)


def _is_missed(host: HostView) -> bool:
    record = host.record.value
    return record is not None and record.state in MISSED_STATES
