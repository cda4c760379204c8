"""The bounded story of an incident: what is kept of it when there is more than may be kept.

Rules:

1. The first moments say how it began and the newest how it stands: both stay, and the middle goes.
2. What went is counted by a moment of its own, where it went.
3. Every text is cut to its bound. No fact is what a decision rests on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from hamon.model.incident import Moment

FIRST_KEPT = 20
NEWEST_KEPT = 40
FACT_MAX = 240
"""Characters of one fact."""

MOMENT_MAX = 600
"""Bytes of one moment; the first ones together stay below what the whole timeline may have."""

TIMELINE_MAX = 14 * 1024
"""Bytes of all moments of one incident."""

DROPPED = "moments_dropped"
_CUT = "…"


def moment(at: str, code: str, facts: Mapping[str, str]) -> Moment:
    """Build a moment that keeps its bounds.

    Args:
        at: wall-clock time.
        code: of a reason.
        facts: those of the reason; the longest are cut first where all are too much.
    """
    kept = {key: cut(value, FACT_MAX) for key, value in facts.items()}
    made = Moment(at=at, code=code, facts=kept)
    while kept and weight(made) > MOMENT_MAX:
        longest = max(kept, key=lambda key: len(kept[key]))
        half = len(kept[longest]) // 2
        kept = {**kept, longest: cut(kept[longest], half)} if half else {}
        made = Moment(at=at, code=code, facts=kept)
    return made


def extended(timeline: Iterable[Moment], new: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return a timeline with more moments at its end, thinned in the middle if it is too long.

    Args:
        timeline: what this function returned before; empty at first.
        new: what came, oldest first, each built by :func:`moment`.
    """
    known = (*timeline, *new)
    gap = next((each for each in known if each.code == DROPPED), None)
    told = [each for each in known if each.code != DROPPED]
    first = told[:FIRST_KEPT]
    rest = told[FIRST_KEPT:]
    room = TIMELINE_MAX - MOMENT_MAX - sum(map(weight, first))
    newest: list[Moment] = []
    for each in reversed(rest[-NEWEST_KEPT:]):
        room -= weight(each)
        if room < 0:
            break
        newest.insert(0, each)
    gone = rest[: len(rest) - len(newest)]
    if gone:
        count = len(gone) + (int(gap.facts["count"]) if gap is not None else 0)
        gap = moment(gone[-1].at, DROPPED, {"count": str(count)})
    return (*first, *((gap,) if gap is not None else ()), *newest)


def cut(text: str, length: int) -> str:
    """Return a text of at most this many characters, with a sign where something is missing."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + _CUT


def fitting(text: str, size: int) -> str:
    """Return a text, cut where it would take more than this many bytes where it is stored."""
    while _size(text) > size:
        text = cut(text, min(len(text) - 1, size) * 7 // 8)
    return text


def weight(each: Moment) -> int:
    """Return how many bytes a moment takes at most where it is stored."""
    facts = sum(_size(key) + _size(value) + 2 for key, value in each.facts.items())
    return _size(each.at) + _size(each.code) + facts + len('{"at":,"code":,"facts":{}},')


def _size(text: str) -> int:
    # Every character that JSON may escape is escaped here: never less than what is written.
    return len(json.dumps(text))
