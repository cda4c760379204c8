"""The controller's own health: a leader that is sick itself must not judge others (S10)."""

from __future__ import annotations

from collections.abc import Callable

from hamon.ports.clock import Clock

CLOCK_JUMP_MAX_S = 1.0
"""BOOTTIME and MONOTONIC part only while a machine sleeps; beyond this it was suspended."""


class OwnHealth:
    """Watches the loop's punctuality, the clock, and the freshness of the own session.

    Args:
        clock: time.
        lag_max_s: how late a wake-up may be before the controller is unhealthy.
        session_timeout_s: how long a committed write proves the session.
        asleep_s: how long this machine has been suspended since its boot.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        lag_max_s: float,
        session_timeout_s: float,
        asleep_s: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._lag_max_s = lag_max_s
        self._session_timeout_s = session_timeout_s
        self._lagged_s: float | None = None
        self._proven_s: float | None = None
        self._asleep_s = asleep_s
        self._slept_s = asleep_s()

    @property
    def lagged_s(self) -> float | None:
        """When the loop last lagged or the machine last slept, None: never."""
        return self._lagged_s

    @property
    def session_proven_s(self) -> float | None:
        """When the last write that proved the session was sent, None: never."""
        return self._proven_s

    @property
    def is_session_proven(self) -> bool:
        """Whether a write of the own session, *sent* within the session time-out, was committed."""
        if self._proven_s is None:
            return False
        return self._clock.now_s() - self._proven_s < self._session_timeout_s

    def came_round(self, due_s: float) -> float:
        """Note that the loop came round, and when it was due at the latest; return its lag in s."""
        now_s = self._clock.now_s()
        slept_s = self._asleep_s()
        lag_s = max(0.0, now_s - due_s)
        if lag_s > self._lag_max_s or slept_s - self._slept_s > CLOCK_JUMP_MAX_S:
            self._lagged_s = now_s
        self._slept_s = slept_s
        return lag_s

    def proved_session(self, sent_s: float) -> None:
        """Note that a write sent at ``sent_s`` was committed."""
        self._proven_s = sent_s
