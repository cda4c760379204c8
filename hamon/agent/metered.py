"""A log that counts its lines."""

from __future__ import annotations

from collections.abc import Callable

from hamon.agent.events import EventLog


class MeteredEventLog:
    """Another log, counted (implements ``EventLog``).

    Args:
        log: takes the events.
        count: told event and level of each.
    """

    def __init__(self, log: EventLog, count: Callable[[str, str], None]) -> None:
        self._log = log
        self._count = count

    def info(self, event: str, **facts: object) -> None:
        """Tell what happened in the normal course."""
        self._count(event, "info")
        self._log.info(event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """Tell of something degraded."""
        self._count(event, "warning")
        self._log.warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        """Tell what a human must look at."""
        self._count(event, "error")
        self._log.error(event, **facts)
