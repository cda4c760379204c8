"""What the agent tells its log: one JSON line an event. structlog would be too heavy here."""

from __future__ import annotations

import json
from typing import Protocol, TextIO

from hamon.ports.clock import Clock


class EventLog(Protocol):
    """Takes events: a constant name in the past tense, and facts by key (no secrets)."""

    def info(self, event: str, **facts: object) -> None:
        """Tell what happened in the normal course."""
        ...

    def warning(self, event: str, **facts: object) -> None:
        """Tell of something degraded."""
        ...

    def error(self, event: str, **facts: object) -> None:
        """Tell what a human must look at."""
        ...


class JsonEventLog:
    """Writes each event as one line of JSON, with the keys that the daemon's log has."""

    def __init__(self, stream: TextIO, clock: Clock, **bound: object) -> None:
        self._stream = stream
        self._clock = clock
        self._bound = bound

    def info(self, event: str, **facts: object) -> None:
        """Tell what happened in the normal course."""
        self._write("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Tell of something degraded."""
        self._write("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        """Tell what a human must look at."""
        self._write("error", event, facts)

    def _write(self, level: str, event: str, facts: dict[str, object]) -> None:
        line = {"event": event, "level": level, "timestamp": self._clock.wall()}
        self._stream.write(json.dumps({**line, **self._bound, **facts}, default=str) + "\n")
        self._stream.flush()
