"""What is to be written, done and read about one incident's guests in one round. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hamon.model.action import Look
from hamon.model.change import Change, Intent
from hamon.model.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What one round came to for an incident's guests.

    ``can_place``: some guest could move if only it were allowed to, so that a fresh proof is worth
    fighting for. ``wake_at_s``: when waiting ends by itself, None: never.
    """

    changes: tuple[Change, ...] = ()
    intents: tuple[Intent, ...] = ()
    looks: tuple[Look, ...] = ()
    reasons: tuple[Reason, ...] = ()
    can_place: bool = False
    wake_at_s: float | None = None


def joined(parts: Iterable[Moves]) -> Moves:
    """Join the moves of several guests or stages in their order; the earliest wake-up counts."""
    moves = tuple(parts)
    wakes = [part.wake_at_s for part in moves if part.wake_at_s is not None]
    return Moves(
        changes=tuple(change for part in moves for change in part.changes),
        intents=tuple(intent for part in moves for intent in part.intents),
        looks=tuple(dict.fromkeys(look for part in moves for look in part.looks)),
        reasons=tuple(reason for part in moves for reason in part.reasons),
        can_place=any(part.can_place for part in moves),
        wake_at_s=min(wakes) if wakes else None,
    )
