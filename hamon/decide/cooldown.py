"""After a storm: nothing new is convicted where it was for a while, whoever leads by then. Pure.

Rules:

1. Where a storm begins is written down at once, and taken away when its cool-down is over; in
   between nothing is written. With ``holds.storm_cooldown_s = 0`` nothing is.
2. A leader counts from when it saw the storm last. One that finds a storm of an earlier leader's
   counts anew from its first round, not from when it was elected: until then nobody looked. That
   is longer than needed, never shorter (S9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hamon.decide.thought import Thought
from hamon.model.change import STORMS, Change, Update
from hamon.model.control import Hold, HoldKind
from hamon.model.names import CLUSTER
from hamon.model.policy import Policy
from hamon.model.reason import reason
from hamon.model.view import ClusterView


def cooling_down(
    view: ClusterView, policy: Policy, now_s: float, stormy: Iterable[str]
) -> list[Hold]:
    """Return the holds of storms that were a moment ago.

    Args:
        view: the world.
        policy: the numbers.
        now_s: monotonic seconds.
        stormy: where there is a storm now; that is a hold of its own.
    """
    found = []
    for scope in sorted((view.own.storms_s.keys() | _recorded(view).keys()) - set(stormy)):
        until_s = _seen_s(view, scope) + policy.holds.storm_cooldown_s
        if now_s < until_s:
            why = _why(view, scope)
            found.append(Hold(kind=HoldKind.STORM, scope=scope, reason=why, until_s=until_s))
    return found


def think_storms(view: ClusterView, policy: Policy, in_force: tuple[Hold, ...]) -> Thought:
    """Write down where storms began, or take away those that are over; nothing if neither.

    A record that cannot be read is not overwritten; that is a hold of its own.
    """
    if view.storms is None:
        return Thought()
    known = _recorded(view)
    held = {hold.scope for hold in in_force if hold.kind is HoldKind.STORM}
    if policy.holds.storm_cooldown_s <= 0:
        held = set()
    # What is over waits for a write of its own: each is said by itself.
    if began := sorted(held - known.keys()):
        scopes = {**known, **dict.fromkeys(began, view.wall)}
        why = reason("storm_began", CLUSTER, where=", ".join(began))
    elif over := sorted(known.keys() - held):
        scopes = {scope: since for scope, since in known.items() if scope in held}
        why = reason("storm_over", CLUSTER, where=", ".join(over))
    else:
        return Thought()
    write = Update(
        key=STORMS, version=view.storms.version, value=replace(view.storms.value, scopes=scopes)
    )
    return Thought(changes=(Change(subject=CLUSTER, reason=why, operations=(write,)),))


def _recorded(view: ClusterView) -> Mapping[str, str]:
    return view.storms.value.scopes if view.storms is not None else {}


def _seen_s(view: ClusterView, scope: str) -> float:
    """Return when the storm was there at the latest, as far as this controller may know.

    safety: what was remembered of an earlier term is older than what later leaders saw of it, and
    what they saw ended before this term's first round. A standby does not know what the leader saw,
    which takes the scope away when it is over.
    """
    own = view.own
    seen_s = own.storms_s.get(scope, own.decides_since_s)
    return max(seen_s, own.decides_since_s) if scope in _recorded(view) else seen_s


def _why(view: ClusterView, scope: str) -> str:
    since = _recorded(view).get(scope)
    if since is None or view.own.storms_s.get(scope, -1.0) >= view.own.decides_since_s:
        return "a storm was here a moment ago; it may not be over"
    return f"an earlier leader saw a storm here, which began at {since}; it may not be over"
