"""How long an evacuation will take, by how long earlier ones took. Pure.

From the conviction until the host was evacuated, divided among the guests that moved; the middle
one of the last few incidents counts, so that one bad night does not.
"""

from __future__ import annotations

from datetime import datetime

from hamon.model.incident import MigrationStatus
from hamon.model.view import ClusterView, IncidentView

INCIDENTS = 10
"""So many of the last incidents count."""

_MOVED = frozenset({MigrationStatus.DONE, MigrationStatus.COMPLETED})


def seconds_for(view: ClusterView, guests: int) -> float | None:
    """Return how many seconds so many guests will take; None: nothing was measured yet.

    Args:
        view: the world, with the incidents that are remembered.
        guests: how many are to move.
    """
    measured = [each for each in map(_measured, view.incidents.values()) if each is not None]
    if not measured:
        return None
    recent = sorted(each_s for _, each_s in sorted(measured)[-INCIDENTS:])
    return guests * recent[len(recent) // 2]


def _measured(incident: IncidentView) -> tuple[str, float] | None:
    """Return when an incident was evacuated and the seconds it took for each guest."""
    stamps = incident.record.value.stamps
    moved = sum(1 for m in incident.migrations.values() if m.record.value.status in _MOVED)
    if not moved or "convicted" not in stamps or "evacuated" not in stamps:
        return None
    # Two stamps of controllers' wall clocks: good enough to tell a human minutes (S20).
    took = datetime.fromisoformat(stamps["evacuated"]) - datetime.fromisoformat(stamps["convicted"])
    return (stamps["evacuated"], max(took.total_seconds(), 0.0) / moved)
