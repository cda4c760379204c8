"""Follows what hamon's daemons and agents log on the lab's machines, as it is written.

All machines of a lab share one kernel, so the wall clock in their logs is brought onto the clock
that the observer of the disks uses.
"""

import datetime as dt
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import deployment
from lab.lab import Lab
from lab.observer import now_s
from lab.services import log_of

_SERVICES = (deployment.DAEMON, deployment.HEARTBEAT, deployment.GUESTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a log.

    Attributes:
        at_s: when it was logged (CLOCK_BOOTTIME).
        machine: on which machine, `c1`.
        name: the event's constant name.
        about: the host, guest or thing it is about; "" when the line names none.
        facts: everything on the line.
    """

    at_s: float
    machine: str
    name: str
    about: str
    facts: dict[str, Any] = field(repr=False)

    def fact(self, key: str) -> str:
        """A fact as text, "" if the line does not have it."""
        return str(self.facts.get(key, ""))


class EventLog:
    """Reads the logs of a lab's daemons and agents from now on.

    Args:
        lab: whose logs.
    """

    def __init__(self, lab: Lab) -> None:
        self._files = {
            log_of(lab.layout, machine.name, service): str(machine.name)
            for machine in lab.machines
            for service in _SERVICES
        }
        self._read_to = {file: _size(file) for file in self._files}
        self._names: dict[str, str] = {}

    def know_guests(self, names: Mapping[str, str]) -> None:
        """Call guests by these names where the logs have only their uuids, which are the keys."""
        self._names |= names

    def news(self) -> list[Event]:
        """What was logged since the last call, in the order of time."""
        found: list[Event] = []
        for file, machine in self._files.items():
            found += self._new_in(file, machine)
        return sorted(found, key=lambda event: event.at_s)

    def _new_in(self, file: Path, machine: str) -> list[Event]:
        start = self._read_to[file]
        if _size(file) == start:
            return []
        with file.open("rb") as log:
            log.seek(start)
            text = log.read()
        # A line that is just being written is read when it is whole.
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to[file] = start + len(whole)
        events = (self._event(line, machine) for line in whole.decode(errors="replace").split("\n"))
        return [event for event in events if event is not None]

    def _event(self, line: str, machine: str) -> Event | None:
        try:
            facts = json.loads(line)
            at_s = boottime_s(facts["timestamp"])
            name = str(facts["event"])
        except (ValueError, KeyError, TypeError):
            # Libraries and interpreters also write here, not as JSON.
            return None
        about = str(facts.get("guest") or facts.get("subject") or facts.get("host") or "")
        return Event(
            at_s=at_s,
            machine=machine,
            name=name,
            about=self._names.get(about, about),
            facts=facts,
        )


def boottime_s(stamp: str) -> float:
    """A wall-clock stamp of this machine as seconds of CLOCK_BOOTTIME, the observer's clock.

    Raises:
        ValueError: it is no ISO time.
    """
    return dt.datetime.fromisoformat(stamp).timestamp() - time.time() + now_s()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
