"""From when on Nova is to list what changed, told by the clocks of Nova's own services.

This controller's clock says nothing of theirs, so the stamps on what Nova answers tell the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hamon.model.action import CloudLook, CloudLookKind

OVERLAP_S = 10.0
"""A list of what changed starts this much before the newest stamp that was known when the one
before it was asked for: Nova's controllers stamp changes with clocks of their own."""

_GOES_ON_FROM = {CloudLookKind.SERVERS_TOUCHED: CloudLookKind.SERVERS_CHANGED}
"""Which list of changes another one starts from, that tells too little to be started from."""

_CHANGES_OF = {
    CloudLookKind.SERVERS_OF: CloudLookKind.SERVERS_CHANGED,
    CloudLookKind.SERVERS_CHANGED: CloudLookKind.SERVERS_CHANGED,
    CloudLookKind.MIGRATIONS_OF: CloudLookKind.MIGRATIONS_CHANGED,
    CloudLookKind.MIGRATIONS_CHANGED: CloudLookKind.MIGRATIONS_CHANGED,
}
"""Which list of changes goes on from what a list told."""


class NovaClock:
    """Nova's time, as far as its answers tell it."""

    def __init__(self) -> None:
        self._newest_at: datetime | None = None
        self._asked_at: dict[CloudLook, datetime | None] = {}
        self._known_to: dict[CloudLookKind, datetime] = {}

    def asks(self, look: CloudLook) -> str | None:
        """Note that something is about to be read; return from when on changes are to be listed.

        That is when the list before it was asked for; None: not known, or all there is is listed.
        """
        if look.kind in _CHANGES_OF:
            self._asked_at[look] = self._newest_at
        known_to = self._known_to.get(_GOES_ON_FROM.get(look.kind, look.kind))
        if known_to is None:
            return None
        return (known_to - timedelta(seconds=OVERLAP_S)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def told(self, look: CloudLook, stamps: Iterable[str]) -> None:
        """Note the stamps on an answer, and that all changes until it was asked for are known.

        From the first whole list of any host on, that is: what came before, each whole list has.
        """
        self._note(stamps)
        asked_at, changes = self._asked_at.get(look), _CHANGES_OF.get(look.kind)
        if asked_at is None or changes is None:
            return
        if look.kind is changes:
            self._known_to[changes] = asked_at
        else:
            self._known_to.setdefault(changes, asked_at)

    def forget(self) -> None:
        """Forget what was listed: the next list of changes goes on from the next whole one."""
        self._known_to.clear()

    def _note(self, stamps: Iterable[str]) -> None:
        for stamp in filter(None, stamps):
            at = datetime.fromisoformat(stamp)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            self._newest_at = at if self._newest_at is None else max(self._newest_at, at)
