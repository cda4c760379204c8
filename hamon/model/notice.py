"""What is told to other systems while it happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class NoticeEvent(StrEnum):
    """What happened. ``finished``: every guest that moves has; ``closed``: the host is back."""

    OPENED = "opened"
    FENCED = "fenced"
    HELD = "held"
    FINISHED = "finished"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell. ``body``: JSON-ready, without secrets."""

    id: str
    event: NoticeEvent
    body: dict[str, Any]
