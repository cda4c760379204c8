"""How many evacuations may be in flight: small at first, more while Nova keeps up. Pure.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681): each evacuation that a
destination claims widens the window a little, so that it doubles about once for each window that
was sent; an answer that did not come halves it, once for all that were lost together. A claim is
what tells that Nova keeps up: from then on only that destination works at it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SHRINK_PAUSE_S = 5.0
"""Requests that were lost within this time were lost by the same trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The window; ``limit`` is never passed. ``shrunk_s``: when it was last halved."""

    window: float
    limit: int
    shrunk_s: float | None = None

    def after_claim(self) -> Pace:
        """Return the pace after one evacuation was claimed by its destination."""
        return replace(self, window=min(self.window + 1.0, float(self.limit)))

    def after_loss(self, now_s: float) -> Pace:
        """Return the pace after an answer of Nova did not come, or said that it is overloaded."""
        if self.shrunk_s is not None and now_s < self.shrunk_s + SHRINK_PAUSE_S:
            return self
        return replace(self, window=max(self.window / 2.0, 1.0), shrunk_s=now_s)
