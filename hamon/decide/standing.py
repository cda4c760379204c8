"""Who should lead: a leader that is blind to something yields to a controller that sees it. Pure.

Rules:

1. What a controller does not reach it cannot judge: no host of that plane, no power, no Nova. It
   leaves office when another controller has long reached what it does not, and all that it does.
2. A standby tries what it would need: a successor that is blind as well helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, ControllerView

YIELD_AFTER_S = 20.0
"""Blind for so long: longer than a switch takes to come back, shorter than a night."""

STANDBY_LOOK_S = 15.0
"""How often a standby reads Nova's services."""


def who_should_lead(view: ClusterView, now_s: float) -> Reason | None:
    """Say why this leader should leave office; None: nobody would do better."""
    me = view.controllers.get(view.own.controller)
    if me is None or view.own.only_host is not None:
        return None
    for system, since_s in sorted(view.own.blind_since_s.items()):
        if now_s - since_s < YIELD_AFTER_S:
            continue
        for name, other in sorted(view.controllers.items()):
            if name != view.own.controller and _sees_more(me, other, system):
                return reason(
                    "leader_yields", "cluster", system=system, to=name, for_s=now_s - since_s
                )
    return None


def blind_to(view: ClusterView) -> frozenset[str]:
    """Name the planes and systems that this controller says it does not reach."""
    me = view.controllers.get(view.own.controller)
    if me is None:
        return frozenset()
    return frozenset(_planes(view) - _sight(me)) | {
        system for system, is_reached in me.outside.items() if not is_reached
    }


def standby_looks(view: ClusterView, now_s: float) -> tuple[CloudLook, ...]:
    """Return what a standby reads to know that it would reach Nova."""
    if view.cloud is None:
        return ()
    read_s = view.cloud.services_s
    if read_s is not None and now_s - read_s < STANDBY_LOOK_S:
        return ()
    return (CloudLook(kind=CloudLookKind.SERVICES),)


def _sees_more(me: ControllerView, other: ControllerView, system: str) -> bool:
    """Say whether another controller reaches a system, and whatever this one reaches."""
    return system in _sight(other) and _sight(me) <= _sight(other)


def _planes(view: ClusterView) -> set[str]:
    return {_plane(p.plane) for host in view.hosts.values() for p in host.spec.planes}


def _sight(controller: ControllerView) -> set[str]:
    return {*map(_plane, controller.reaches), *_reached(controller.outside.items())}


def _reached(outside: Iterable[tuple[str, bool]]) -> set[str]:
    return {system for system, is_reached in outside if is_reached}


def _plane(name: str) -> str:
    return f"plane {name}"
