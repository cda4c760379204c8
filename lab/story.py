"""What happens after a power cut: hamon's logs and the disks, in seconds since the cut."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.event_log import Event, EventLog
from lab.lab import Lab
from lab.names import LabError
from lab.narration import Narrator
from lab.observer import Observer, now_s

LOOK_S = 0.05


@dataclass(slots=True, kw_only=True)
class Story:
    """One power cut.

    Attributes:
        lab: where.
        victim: the host that loses its power.
        moving: the guests on it.
        watching: sees who writes.
        log: the logs, read from before the cut; it knows the guests' names.
        narrator: prints what becomes known; None: silent.
        cut_s: when the power was cut (CLOCK_BOOTTIME).
        events: everything that was logged since, in the order in which it was read.
    """

    lab: Lab
    victim: str
    moving: Sequence[str]
    watching: Observer
    log: EventLog
    narrator: Narrator | None = None
    cut_s: float = 0.0
    events: list[Event] = field(default_factory=list)

    def cut(self) -> None:
        """Cut the power, not through the BMC: nobody is told."""
        self.log.news()
        self.cut_s = now_s()
        self.lab.host(self.victim).power_cut()

    def look(self) -> None:
        """Take in, and print, what became known."""
        news = self.log.news()
        self.events += news
        if self.narrator is not None:
            self.narrator.tell(news)
            self.narrator.tell_writers(self.watching, self.moving)
            self.narrator.speak()

    def follow(self, until: Callable[[], bool], deadline_s: float, what: str) -> None:
        """Look until something has come about.

        Raises:
            LabError: it has not within `deadline_s`; the message names `what`.
        """
        give_up_s = time.monotonic() + deadline_s
        while True:
            self.look()
            if until():
                # What is on the disks may be known before the log was read.
                self.look()
                return
            if time.monotonic() > give_up_s:
                raise LabError(f"waited {deadline_s:g} s in vain for: {what}")
            time.sleep(LOOK_S)

    def has_happened(self, name: str, about: str = "") -> bool:
        """Whether an event was logged, about that host or guest."""
        return any(e.name == name and about in {"", e.about} for e in self.events)

    def after_s(self, name: str, about: str = "") -> float | None:
        """When an event was first logged, in seconds since the cut; None: it was not."""
        times = [e.at_s for e in self.events if e.name == name and about in {"", e.about}]
        return min(times) - self.cut_s if times else None

    def writing_after_s(self, guest: str) -> float | None:
        """When a guest first wrote under a new boot, in seconds since the cut; None: not yet."""
        for absence in self.watching.absences(guest):
            if absence.first_write_s > self.cut_s:
                return absence.first_write_s - self.cut_s
        return None

    def all_writing(self) -> bool:
        """Whether every moving guest has written since the cut, and does so now."""
        return all(
            self.writing_after_s(guest) is not None and self.watching.writing(guest)
            for guest in self.moving
        )

    def boots_since(self, guest: str) -> int:
        """How often a guest was started since the cut."""
        return sum(a.first_write_s > self.cut_s for a in self.watching.absences(guest))
