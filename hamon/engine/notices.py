"""What other systems are told while it happens: incidents, and holds that need a person.

Rules:

1. Only the leader tells. Who takes office tells the latest of every open incident once more, marked
   as repeated: its predecessor may have left before it was sent.
2. A notice has an id that is the same each time it is told; whoever gets one twice can see it.
3. A hold that comes and goes is told once, until it was gone for a while.
"""

from __future__ import annotations

from collections.abc import Iterator

from hamon.engine.stories import incident_line, whole_incident
from hamon.model.change import Decision
from hamon.model.control import Hold
from hamon.model.names import IncidentId
from hamon.model.notice import Notice, NoticeEvent
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, IncidentView

HOLD_FORGOTTEN_AFTER_S = 300.0


_PHASES = (
    (NoticeEvent.OPENED, "convicted"),
    (NoticeEvent.FENCED, "fenced"),
    (NoticeEvent.FINISHED, "evacuated"),
)


class Notices:
    """Follows what a leader sees, and finds what is to be told.

    Args:
        cluster: its name, told with everything.
        policy: how guests are evacuated.
    """

    def __init__(self, cluster: str, policy: EvacuationPolicy) -> None:
        self._cluster = cluster
        self._policy = policy
        self._told: dict[IncidentId, tuple[NoticeEvent, ...]] | None = None
        self._seen: dict[IncidentId, IncidentView] = {}
        self._held_s: dict[tuple[str, str], float] = {}

    def leave_office(self) -> None:
        """Forget what was told: another leader tells now."""
        self._told = None
        self._seen.clear()
        self._held_s.clear()

    def advance(self, view: ClusterView, decision: Decision, now_s: float) -> tuple[Notice, ...]:
        """Find what is to be told since the last round of this leader.

        Args:
            view: what it sees now.
            decision: what it came to.
            now_s: its monotonic second.
        """
        return (*self._of_incidents(view), *self._of_holds(view, decision, now_s))

    def _of_incidents(self, view: ClusterView) -> Iterator[Notice]:
        is_first = self._told is None
        told = self._told = self._told or {}
        for name in told.keys() - view.incidents.keys():
            del told[name]
            self._seen.pop(name, None)
        for name, incident in view.incidents.items():
            if self._seen.get(name) is incident:
                continue
            self._seen[name] = incident
            reached = _reached(incident)
            news = reached[len(told.get(name, ())) :]
            told[name] = reached
            if is_first:
                # What was closed before this leader came is nobody's news.
                news = () if NoticeEvent.CLOSED in reached else reached[-1:]
            for event in news:
                yield self._about(view, incident, event, is_repeated=is_first)

    def _about(
        self, view: ClusterView, incident: IncidentView, event: NoticeEvent, *, is_repeated: bool
    ) -> Notice:
        line = incident_line(incident)
        whole = whole_incident(view, incident, self._policy)
        guests = [
            {
                "guest": migration["guest"],
                "name": migration["name"],
                "status": migration["status"],
                "destination": migration["dest_compute"],
                "reason": migration["reason"],
            }
            for migration in whole["migrations"]
        ]
        name = f"{self._cluster}/{line['incident']}/{event}"
        body = {
            "id": name,
            "event": event,
            "repeated": is_repeated,
            "cluster": self._cluster,
            "at": view.wall,
            **line,
            "boot_id": incident.record.value.boot_id,
            "host_state": whole["host_state"],
            "guests": guests,
            "not_movable": whole["not_movable"],
        }
        return Notice(id=name, event=event, body=body)

    def _of_holds(self, view: ClusterView, decision: Decision, now_s: float) -> Iterator[Notice]:
        present = {
            (str(hold.kind), hold.scope): hold for hold in decision.holds if hold.needs_human
        }
        for key, hold in sorted(present.items()):
            if key not in self._held_s:
                yield self._about_hold(view, hold)
            self._held_s[key] = now_s
        for key in [k for k, s in self._held_s.items() if now_s - s > HOLD_FORGOTTEN_AFTER_S]:
            del self._held_s[key]

    def _about_hold(self, view: ClusterView, hold: Hold) -> Notice:
        name = f"{self._cluster}/hold/{hold.kind}/{hold.scope}/{view.wall}"
        body = {
            "id": name,
            "event": NoticeEvent.HELD,
            "repeated": False,
            "cluster": self._cluster,
            "at": view.wall,
            "kind": hold.kind,
            "scope": hold.scope,
            "reason": hold.reason,
            "who": hold.who,
        }
        return Notice(id=name, event=NoticeEvent.HELD, body=body)


def _reached(incident: IncidentView) -> tuple[NoticeEvent, ...]:
    """Return what an incident has gone through, in order."""
    value = incident.record.value
    reached = [event for event, stamp in _PHASES if stamp in value.stamps]
    if not reached:
        reached = [NoticeEvent.OPENED]
    if value.closed:
        reached.append(NoticeEvent.CLOSED)
    return tuple(reached)
