"""How long the phases of an incident took, on this controller's own clock.

Stamps in records are wall-clock time of whichever controller led, and only for humans (S20). So
each controller notes by its own clock when it sees a phase reached. An incident that was open
before this controller watched is not timed: nobody here saw it begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.incident import OPEN_MIGRATIONS, MigrationStatus, Trigger
from hamon.model.names import GuestId, IncidentId
from hamon.model.proof import Vote
from hamon.model.view import ClusterView, HostView, IncidentView


class Phase(StrEnum):
    """What an incident goes through, in this order."""

    SESSION_LOST = "session_lost"
    CONVICTED = "convicted"
    FENCED = "fenced"
    FIRST_REBUILT = "first_rebuilt"
    EVACUATED = "evacuated"
    RETURNED = "returned"


_REBUILT = frozenset({MigrationStatus.DONE, MigrationStatus.COMPLETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseReached:
    """An incident reached a phase so long after the first sign of failure."""

    phase: Phase
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOpened:
    """An incident was opened, by whom."""

    trigger: Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationEnded:
    """A migration left its open states. ``took_s``: since it was recorded; None: not seen."""

    guest: GuestId
    result: MigrationStatus
    took_s: float | None


Event = PhaseReached | IncidentOpened | MigrationEnded


@dataclass(slots=True)
class _Course:
    """What was seen of one open incident. ``began_s`` None: it began unseen."""

    began_s: float | None
    last: IncidentView | None = None
    reached: set[Phase] = field(default_factory=set)
    recorded_s: dict[GuestId, float | None] = field(default_factory=dict)


class Timeline:
    """Follows incidents from view to view."""

    def __init__(self) -> None:
        self._courses: dict[IncidentId, _Course] = {}
        self._has_seen_a_view = False

    def advance(self, view: ClusterView, now_s: float) -> tuple[Event, ...]:
        """Tell what has happened since the last view.

        Args:
            view: the new view; work is done only for incidents that changed.
            now_s: this controller's monotonic second.
        """
        events: list[Event] = []
        for name, incident in view.incidents.items():
            is_closed = incident.record.value.closed
            course = self._courses.get(name)
            if course is None:
                if is_closed:
                    continue
                course = self._begin(view, incident, now_s)
                self._courses[name] = course
                if self._has_seen_a_view:
                    events.append(IncidentOpened(trigger=incident.record.value.trigger))
            if course.last is not incident:
                events += _phases(course, view, incident, now_s)
                events += _migrations(course, incident, now_s)
                course.last = incident
            if is_closed:
                del self._courses[name]
        for gone in self._courses.keys() - view.incidents.keys():
            del self._courses[gone]
        self._has_seen_a_view = True
        return tuple(events)

    def _begin(self, view: ClusterView, incident: IncidentView, now_s: float) -> _Course:
        if self._has_seen_a_view:
            host = view.hosts.get(incident.record.value.host)
            return _Course(began_s=now_s if host is None else first_sign_s(host, now_s))
        # Neither its beginning nor that of its migrations was seen; what ended is not news.
        recorded: dict[GuestId, float | None] = {
            guest: None
            for guest, migration in incident.migrations.items()
            if migration.record.value.status in OPEN_MIGRATIONS
        }
        return _Course(began_s=None, recorded_s=recorded)


def first_sign_s(host: HostView, now_s: float) -> float:
    """Return the second of the first sign that the host failed; ``now_s`` when there was none."""
    signs = [e.changed_s for e in host.evidence if e.vote is Vote.SILENT]
    if host.session_lost_s is not None:
        signs.append(host.session_lost_s)
    return min(signs, default=now_s)


def _phases(
    course: _Course, view: ClusterView, incident: IncidentView, now_s: float
) -> Iterator[Event]:
    began_s = course.began_s
    if began_s is None:
        return
    value = incident.record.value
    host = view.hosts.get(value.host)
    if Phase.SESSION_LOST not in course.reached and host is not None:
        lost_s = host.session_lost_s
        if lost_s is not None:
            course.reached.add(Phase.SESSION_LOST)
            yield PhaseReached(phase=Phase.SESSION_LOST, after_s=lost_s - began_s)
    now_reached = {phase for phase in Phase if phase in value.stamps} | {Phase.CONVICTED}
    if any(m.record.value.status in _REBUILT for m in incident.migrations.values()):
        now_reached.add(Phase.FIRST_REBUILT)
    for phase in Phase:
        if phase in now_reached - course.reached:
            course.reached.add(phase)
            yield PhaseReached(phase=phase, after_s=now_s - began_s)


def _migrations(course: _Course, incident: IncidentView, now_s: float) -> Iterator[Event]:
    is_first = course.last is None
    before = {} if course.last is None else course.last.migrations
    for guest, migration in incident.migrations.items():
        if migration is before.get(guest):
            continue
        status = migration.record.value.status
        if status in OPEN_MIGRATIONS:
            course.recorded_s.setdefault(guest, now_s)
        elif guest in course.recorded_s:
            recorded_s = course.recorded_s.pop(guest)
            took_s = None if recorded_s is None else now_s - recorded_s
            yield MigrationEnded(guest=guest, result=status, took_s=took_s)
        elif guest not in before and not (is_first and course.began_s is None):
            yield MigrationEnded(guest=guest, result=status, took_s=None)
