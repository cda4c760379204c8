"""What thinking about one subject came to, and the one way to change a host's record. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hamon.model.action import Look, PowerLook
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Intent,
    Operation,
    Update,
    guard_of,
    record_of,
)
from hamon.model.host import MISSED_STATES, HostRecord, HostState, check_transition
from hamon.model.names import BootId, IncidentId
from hamon.model.reason import Reason
from hamon.model.view import ClusterView, HostView, IncidentView


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """Part of a decision: what to write, to do and to look at, why, and when to think again."""

    changes: tuple[Change, ...] = ()
    intents: tuple[Intent, ...] = ()
    looks: tuple[Look, ...] = ()
    reasons: tuple[Reason, ...] = ()
    wake_at_s: float | None = None

    def with_reasons(self, *reasons: Reason) -> Thought:
        """Return the thought with more reasons."""
        return replace(self, reasons=self.reasons + reasons)


def together(thoughts: Iterable[Thought]) -> Thought:
    """Join thoughts in their order; the earliest wake-up counts."""
    joined = tuple(thoughts)
    wakes = [thought.wake_at_s for thought in joined if thought.wake_at_s is not None]
    return Thought(
        changes=tuple(change for thought in joined for change in thought.changes),
        intents=tuple(intent for thought in joined for intent in thought.intents),
        looks=tuple(look for thought in joined for look in thought.looks),
        reasons=tuple(reason for thought in joined for reason in thought.reasons),
        wake_at_s=min(wakes) if wakes else None,
    )


def next_record(
    view: ClusterView,
    host: HostView,
    state: HostState,
    why: Reason,
    *,
    boot_id: BootId | None = None,
    incident: IncidentId | None = None,
) -> HostRecord:
    """Return the host's record in its next state.

    Args:
        view: the world, for term and time.
        host: whose record.
        state: the next state; must be a lawful step.
        why: its code becomes the record's reason.
        boot_id: the boot now admitted; None keeps the recorded one.
        incident: the incident the state belongs to, None outside of incidents.

    Raises:
        IllegalTransitionError: the table has no such step.
    """
    old = host.record.value
    if old is None:
        return HostRecord(
            state=state,
            epoch=view.own.epoch,
            since=view.wall,
            boot_id=boot_id,
            incident=incident,
            reason=why.code,
            is_restoring=state is HostState.RESTARTED,
        )
    check_transition(old.state, state)
    return replace(
        old,
        state=state,
        epoch=view.own.epoch,
        since=view.wall,
        boot_id=boot_id or old.boot_id,
        # nova-compute starts with each boot, and ends some of them each time it does.
        left_open=old.left_open if boot_id in {None, old.boot_id} else (),
        incident=incident,
        reason=why.code,
        is_restoring=state is HostState.RESTARTED
        or (old.is_restoring and state in MISSED_STATES | {HostState.LEAVING}),
    )


def enter(
    view: ClusterView,
    host: HostView,
    state: HostState,
    why: Reason,
    *operations: Operation,
    boot_id: BootId | None = None,
    incident: IncidentId | None = None,
) -> Change:
    """Build the transaction that brings a host into its next state, with what goes along."""
    record = next_record(view, host, state, why, boot_id=boot_id, incident=incident)
    write = Update(key=record_of(host.name), version=host.record.version, value=record)
    return Change(subject=host.name, reason=why, operations=(*operations, write))


def looks_due(
    host: HostView, period_s: float, now_s: float, *, after_shots: bool = False
) -> tuple[tuple[Look, ...], float]:
    """Return the power looks that are due, and when the next one will be.

    Args:
        host: whose devices.
        period_s: least time from a device's last answer to the next question.
        now_s: monotonic seconds.
        after_shots: a device that was not asked since its last shot settled is due at once.
    """
    due: list[Look] = []
    wake_at_s = now_s + period_s
    for device in host.spec.fence:
        if device.is_watchdog:
            continue
        last = [reading for reading in host.readings if reading.device == device.name][-1:]
        shot_s = host.shot_of(device.name).settled_s if after_shots else None
        if last and (shot_s is None or last[0].asked_s >= shot_s):
            next_s = last[0].observed_s + period_s
            if now_s < next_s:
                wake_at_s = min(wake_at_s, next_s)
                continue
        due.append(PowerLook(host=host.name, device=device.name))
    return tuple(due), wake_at_s


def known_since_s(view: ClusterView, incident: IncidentView, now_s: float) -> float:
    """Return since when this leader, in this term, has known of an incident's conviction."""
    opened_s = incident.opened_s if incident.opened_s is not None else now_s
    return max(opened_s, view.own.took_office_s)


def unchanged(view: ClusterView, host: HostView, why: Reason) -> Change:
    """Build a transaction that writes nothing: only still leading, still armed, the same right.

    For actions that may be repeated without harm, and whose effect is read from Nova.
    """
    return Change(
        subject=host.name,
        reason=why,
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
