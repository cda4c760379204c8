"""Since when hosts have been lost or convicted, for counting storms and rates. Pure.

Rules:

1. What this controller saw begin, it dates by its own clock (S20).
2. What was so at its first look may have been so for long. It counts from that look, as if all had
   begun together then: who comes up in the middle of a storm sees the storm.
3. A wall-clock stamp dates such a thing only if it says: long before the first look. So it can take
   from a count what is long over, and never adds to one; and it is compared with the wall clock of
   the first look, so that steps of the clock since then change nothing.
"""

from __future__ import annotations

from datetime import datetime

from hamon.detector.verdict import fresh_probes
from hamon.model.host import MISSED_STATES, HostRecord
from hamon.model.policy import Policy
from hamon.model.proof import Vote
from hamon.model.view import ClusterView, HostView, IncidentView

LONG_LOST_S = 86_400.0
"""A stamp dates a loss only if it is older than a day: a clock in use is not wrong by as much."""


def lost_since_s(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> float:
    """Return since when a host that is lost now has been lost.

    safety: only what an earlier term wrote down as missed more than a day before the first look is
    dated by its stamp. That keeps last week's loss out of today's storm. Were this controller's
    clock wrong by more than a day, still no storm would be hidden: the stamps all move alike, so
    what was lost together stays together; what was lost since is dated by the own clock; and
    whoever would be convicted now is counted with it whatever its stamp says. No stamp makes a
    host's own conviction likelier: that needs its verdict.

    Args:
        view: the world.
        host: one that is lost: without a session, or silent with it; one that is given up though
            it is heard is lost as of now.
        policy: the numbers.
        now_s: monotonic seconds.
    """
    if host.heartbeat is not None:
        votes = fresh_probes(host, policy.detection, now_s)
        is_heard = not votes or any(vote.vote is not Vote.SILENT for vote in votes)
        return now_s if is_heard else max(vote.changed_s for vote in votes)
    seen_s = host.session_lost_s if host.session_lost_s is not None else now_s
    record = host.record.value
    if record is None or record.state not in MISSED_STATES or not _is_earlier(record, view):
        return seen_s
    return _began_s(view, seen_s, record.since, LONG_LOST_S)


def convicted_since_s(view: ClusterView, host: HostView, policy: Policy) -> float:
    """Return since when a convicted host has been in its state.

    safety: nobody is convicted because another conviction is old. A stamp that is wrong by more
    than the window of the rate lets a storm's limit be used up twice, once by each leader.

    Args:
        view: the world.
        host: one that was convicted.
        policy: the numbers.
    """
    record = host.record.value
    if record is None or not _is_earlier(record, view):
        return host.state_since_s
    return _began_s(view, host.state_since_s, record.since, policy.holds.rate_window_s)


def opened_since_s(
    view: ClusterView, incident: IncidentView, seen_s: float, policy: Policy
) -> float:
    """Return since when an incident that was seen open has been open.

    safety: what was open at the first look counts for a whole window from then, longer than needed,
    unless its stamp was older than the window by then: hosts that wait for spare parts since last
    year are no series of today. A wrong stamp leaves convictions of an earlier leader uncounted, as
    those are whose incidents were closed by then; the storm and the own convictions are counted.

    Args:
        view: the world.
        incident: it.
        seen_s: when this controller saw it first.
        policy: the numbers.
    """
    stamp = incident.record.value.stamps.get("convicted", "")
    return _began_s(view, seen_s, stamp, policy.holds.rate_window_s)


def _is_earlier(record: HostRecord, view: ClusterView) -> bool:
    """Say whether an earlier term wrote the record."""
    return record.epoch < view.own.epoch


def _began_s(view: ClusterView, seen_s: float, stamp: str, believed_s: float) -> float:
    """Return since when something has been so, by the own clock.

    Args:
        view: the world.
        seen_s: since when this controller has seen it so.
        stamp: since when it is so by the wall clock of whoever wrote it down.
        believed_s: the stamp counts if it was older than so many seconds at the first look.
    """
    first = view.first_look
    if first is None or seen_s > first.at_s:
        return seen_s
    try:
        past = datetime.fromisoformat(first.wall) - datetime.fromisoformat(stamp)
    except (ValueError, TypeError):
        return seen_s
    return first.at_s - past.total_seconds() if past.total_seconds() > believed_s else seen_s
