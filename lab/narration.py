"""Tells what happens to a dead host and its guests, a line for each thing, as it becomes known."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab import deployment
from lab.event_log import Event, boottime_s
from lab.lab import Lab
from lab.names import LabError
from lab.observer import Observer, now_s
from lab.wording import words

POWER_TWICE_S = 0.05
"""Two looks at one reading differ by less than this; two readings by more."""

HOLD_S = 0.5
"""Lines wait for so long, because what happened first is not always known first."""


class Narrator:
    """Prints lines with the seconds since the power was cut.

    Args:
        cut_s: when it was (CLOCK_BOOTTIME).
        wording: what is told of each event (`lab.wording`).
    """

    def __init__(self, cut_s: float, wording: Mapping[str, str]) -> None:
        self._cut_s = cut_s
        self._wording = wording
        self._votes: dict[tuple[str, str], str] = {}
        self._read_s = cut_s
        self._is_session_lost = False
        self._writing: set[str] = set()
        self._scheduled: set[tuple[str, str]] = set()
        self._held: list[tuple[float, str, str]] = []

    def say(self, at_s: float, who: str, text: str) -> None:
        """Take in one line, to be printed in its order."""
        self._held.append((at_s, who, text))

    def speak(self, *, all_of_it: bool = False) -> None:
        """Print the lines that have waited for long enough, or all."""
        until_s = now_s() - (0.0 if all_of_it else HOLD_S)
        self._held.sort()
        while self._held and (all_of_it or self._held[0][0] <= until_s):
            at_s, who, text = self._held.pop(0)
            print(f"  {at_s - self._cut_s:+7.2f} s  {who:<4} {text}", flush=True)

    # -- from the logs ----------------------------------------------------------------------------

    def tell(self, events: Iterable[Event]) -> None:
        """Print those events that a spectator wants to see."""
        for event in events:
            text = words(event, self._wording)
            if text:
                self.say(event.at_s, event.about or event.machine, text)

    # -- from the leader's answers ----------------------------------------------------------------

    def tell_evidence(self, lab: Lab, host: str) -> None:
        """Print what the leader newly knows of a host: session, probes, power readings."""
        leading = deployment.leader(lab.daemons)
        if leading is None:
            return
        try:
            answer = deployment.ask(leading, "host", host=host)
        except LabError:
            return
        asked_s = now_s()
        for vote in answer["evidence"]:
            self._tell_vote(host, vote, asked_s)
        for reading in answer["power"]:
            read_s = asked_s - reading["age_s"]
            if read_s > self._read_s + POWER_TWICE_S:
                self._read_s = read_s
                self.say(read_s, host, f"power read {reading['power']} by {reading['device']}")

    def tell_schedule(self, lab: Lab, incident: str) -> None:
        """Print where the leader newly decided to rebuild a guest.

        Its log tells this too, but only after ZooKeeper acknowledged, when some are claimed.
        """
        leading = deployment.leader(lab.daemons)
        if leading is None:
            return
        try:
            migrations = deployment.ask(leading, "incident", incident=incident)["migrations"]
        except LabError:
            return
        for migration in migrations:
            stamp = migration["stamps"].get("scheduled")
            key = (migration["name"], stamp)
            if stamp and key not in self._scheduled:
                self._scheduled.add(key)
                text = f"scheduled to {migration['dest_compute']}"
                self.say(boottime_s(stamp), migration["name"], text)

    def _tell_vote(self, host: str, vote: dict[str, Any], asked_s: float) -> None:
        if vote["source"] == "session":
            if not self._is_session_lost:
                self._is_session_lost = True
                self.say(asked_s - vote["age_s"], host, "session lost: ZooKeeper let it expire")
            return
        key = (vote["source"], vote["subject"])
        since_s = asked_s - vote["for_s"]
        if self._votes.get(key) == vote["vote"] or since_s < self._cut_s:
            return
        self._votes[key] = vote["vote"]
        detail = f" ({vote['detail']})" if vote.get("detail") else ""
        self.say(since_s, host, f"{vote['vote']} on the {vote['subject']} plane{detail}")

    # -- from the disks ---------------------------------------------------------------------------

    def tell_writers(self, watching: Observer, guests: Sequence[str]) -> None:
        """Print each guest that is newly seen writing to its disk under a new boot."""
        for guest in guests:
            if guest in self._writing:
                continue
            for absence in watching.absences(guest):
                if absence.first_write_s > self._cut_s:
                    self._writing.add(guest)
                    self.say(
                        absence.first_write_s,
                        guest,
                        f"WRITES to its disk again, after {absence.downtime_s:.2f} s",
                    )
