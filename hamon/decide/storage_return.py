"""A returned host gets its storage back: when its stale copies are gone, before it serves. Pure.

What an incident's storage device took away it gives back, and reads back as granted, once nothing
stale is left on the host (S13).
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.thought import looks_due, unchanged
from hamon.model.action import PowerOn
from hamon.model.change import Change, Intent, Update
from hamon.model.host import FenceDeviceSpec, HostGuard, Right
from hamon.model.incident import ShotOutcome
from hamon.model.policy import FencingPolicy
from hamon.model.proof import Power
from hamon.model.readings import settled
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView
from hamon.recovery.return_path import ReturnStep

AGAIN_S = 10.0
"""Between two orders to one device."""

_LOOK_S = 1.0
_NOT_GIVEN = frozenset({ShotOutcome.LATE, ShotOutcome.NOT_DONE})


def after_storage(
    view: ClusterView,
    host: HostView,
    incidents: tuple[IncidentView, ...],
    step: ReturnStep,
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep:
    """Put the return of the host's storage before a step that lets anything start there.

    Args:
        view: the world.
        host: returning.
        incidents: its open ones.
        step: what would be done next.
        fencing: how long an order may take.
        now_s: monotonic seconds.

    Returns:
        The step itself, when it opens nothing or the storage is back.
    """
    if not any(map(_opens, step.changes)):
        return step
    for device in host.spec.fence:
        if _was_taken(device, incidents) and not _is_granted(host, device):
            return _give_back(view, host, device, step, fencing, now_s)
    return step


def _opens(change: Change) -> bool:
    return any(
        isinstance(operation, Update)
        and isinstance(operation.value, HostGuard)
        and (operation.value.right is Right.LIVE or operation.value.is_gate_open)
        for operation in change.operations
    )


def _was_taken(device: FenceDeviceSpec, incidents: tuple[IncidentView, ...]) -> bool:
    return device.is_revocation and any(
        shot.device == device.name and shot.outcome not in _NOT_GIVEN
        for incident in incidents
        for shot in incident.record.value.shots
    )


def _is_granted(host: HostView, device: FenceDeviceSpec) -> bool:
    answers = settled(host, device, host.state_since_s)
    return bool(answers) and answers[-1].power is Power.ON


def _give_back(
    view: ClusterView,
    host: HostView,
    device: FenceDeviceSpec,
    step: ReturnStep,
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep:
    looks, look_at_s = looks_due(host, _LOOK_S, now_s)
    waiting = replace(
        step,
        changes=(),
        looks=(*step.looks, *looks),
        reasons=(reason("return_waits_for_storage", host.name, device=device.name),),
        wake_at_s=look_at_s,
    )
    last = host.power_ons.get(device.name)
    if last is not None and (
        last.is_running or (last.settled_s is not None and now_s - last.settled_s < AGAIN_S)
    ):
        return waiting
    why = reason("power_on_for_return", host.name, device=device.name)
    order = Intent(
        change=unchanged(view, host, why),
        action=PowerOn(host=host.name, device=device.name, deadline_s=fencing.shot_deadline_s),
    )
    return replace(waiting, intents=(*step.intents, order))
