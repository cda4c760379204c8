"""New passwords of guests, kept in this process until they are used (DESIGN §8)."""

from __future__ import annotations

from collections.abc import Iterable

from hamon.model.names import GuestId

LIFE_S = 120.0
"""A password whose guest does not begin to move within this is forgotten."""


class Passwords:
    """Given by an operator over the leader's socket; in no journal, log or znode."""

    def __init__(self) -> None:
        self._given: dict[GuestId, tuple[str, float]] = {}

    def keep(self, guest: GuestId, password: str, now_s: float) -> None:
        """Remember the password for a guest."""
        self._given[guest] = (password, now_s)

    def of(self, guest: GuestId) -> str:
        """Return the password that was given for a guest, "": none was."""
        return self._given.get(guest, ("", 0.0))[0]

    def known(self) -> frozenset[GuestId]:
        """Tell for which guests there is one."""
        return frozenset(self._given)

    def forget(self, but: Iterable[GuestId], now_s: float) -> None:
        """Forget all but those of guests that move now, or are about to be asked for."""
        kept = frozenset(but)
        self._given = {
            guest: (password, given_s)
            for guest, (password, given_s) in self._given.items()
            if guest in kept or now_s < given_s + LIFE_S
        }
