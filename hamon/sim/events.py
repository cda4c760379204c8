"""What happened in a simulated world, in order: one line an event, the same for the same seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from hamon.sim.process import PROCESS

WORLD = "world"
"""Who does what no process does: faults, power, operators."""

_SUBJECTS = ("subject", "guest", "host", "incident", "epoch", "change")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. ``facts`` are for people; what a test compares is the rest."""

    at_s: float
    who: str
    event: str
    subject: str
    facts: str = ""

    def golden(self) -> str:
        """Return the line of a golden log: codes and subjects, no wording, whole seconds."""
        content = {"s": round(self.at_s), "who": self.who, "event": self.event}
        return json.dumps({**content, "subject": self.subject})

    def plain(self) -> str:
        """Return the line that a person reads."""
        return f"{self.at_s:9.3f}  {self.who:<18} {self.event:<28} {self.subject:<14} {self.facts}"


class Events:
    """The log of one world.

    Args:
        now_s: its time.
        echo: told of every event at once.
    """

    def __init__(
        self, now_s: Callable[[], float], echo: Callable[[Event], None] | None = None
    ) -> None:
        self._now_s = now_s
        self._echo = echo
        self._digest = hashlib.sha256()
        self.names: dict[str, str] = {}
        self.all: list[Event] = []

    def add(self, event: str, facts: Mapping[str, object]) -> None:
        """Note an event of the process that runs now, or of the world."""
        process = PROCESS.get(None)
        who = process.name if process is not None else WORLD
        subject = next((str(facts[key]) for key in _SUBJECTS if key in facts), "")
        found = Event(
            at_s=self._now_s(),
            who=who,
            event=event,
            subject=self.names.get(subject, subject),
            facts=" ".join(f"{key}={value}" for key, value in facts.items()),
        )
        self._digest.update(f"{found.at_s!r} {found.who} {event} {subject}\n".encode())
        self.all.append(found)
        if self._echo is not None:
            self._echo(found)

    def digest(self) -> str:
        """Return what two runs of the same seed have in common."""
        return self._digest.hexdigest()

    # -- as an agent's log ------------------------------------------------------------------------

    def info(self, event: str, **facts: object) -> None:
        """Take an agent's event."""
        self.add(event, facts)

    warning = info
    error = info

    # -- as structlog's end -----------------------------------------------------------------------

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Take what structlog is told while this lasts."""
        before = structlog.get_config()

        def take(_: object, level: str, content: MutableMapping[str, Any]) -> NoReturn:
            event = str(content.pop("event"))
            if level != "debug":
                self.add(event, content)
            raise structlog.DropEvent

        structlog.configure(processors=[take])
        try:
            yield
        finally:
            structlog.configure(**before)
