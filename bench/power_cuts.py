"""Power cuts of a host with eight guests, one after the other, on one lab."""

import os
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.measured import Measured, Takeover
from lab import deployment, placement
from lab.event_log import Event, EventLog, boottime_s
from lab.lab import Lab
from lab.machine import Machine
from lab.names import LabError
from lab.observer import Observer, now_s
from lab.processes import wait_until
from lab.story import Story

GUESTS = [f"g{number}" for number in range(1, 9)]
EVACUATION_TIMEOUT_S = 240.0
RETURN_TIMEOUT_S = 120.0
AFTERMATH_S = 3.0
SETTLE_S = 5.0
_LOST_AGO = re.compile(r"session lost ([0-9.]+) s ago")
_SHOTS = frozenset({"host_convicted", "fence_shot"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How the leader is lost in a run, `killed` or `paused`, and at which event."""

    how: str
    at: str


LOSSES = (
    Loss(how="killed", at="fence_shot"),
    Loss(how="paused", at="host_fenced"),
    Loss(how="killed", at="guest_scheduled"),
    Loss(how="paused", at="grant_claimed"),
)


@dataclass(slots=True, kw_only=True)
class _Lost:
    """The leader that was lost in a run, and when."""

    leader: Machine
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCuts:
    """The runs on one lab.

    Attributes:
        lab: with three hosts.
        watching: sees who writes.
        log: read from the lab's beginning, so that no false fencing between runs is missed.
        strays: what was fenced between two runs.
    """

    lab: Lab
    watching: Observer
    log: EventLog
    strays: list[str] = field(default_factory=list)

    def run(self, number: int, loss: Loss | None = None) -> Measured:
        """Cut the power of the next host and measure; at the end all hosts serve, without guests.

        Raises:
            LabError: something did not come about at all; says what.
        """
        victim = str(self.lab.hosts[number % len(self.lab.hosts)].name)
        placement.place(self.lab, {victim: GUESTS}, self.watching)
        story = Story(
            lab=self.lab, victim=victim, moving=GUESTS, watching=self.watching, log=self.log
        )
        self.log.know_guests(self.lab.guests.by_uuid(GUESTS))
        # The load of eight guests that boot shall be over.
        time.sleep(SETTLE_S)
        self._note_strays(self.log.news())
        load = os.getloadavg()[0]
        story.cut()
        lost = self._follow(story, loss)
        where = {h: g for h, g in placement.found_on(self.lab, self._others(victim)).items() if g}
        faults = _faults(story, where)
        takeover = self._settle_leadership(story, loss, lost) if loss and lost else None
        faults += _twice(story)
        incident = self._incident(story)
        faults += [f"convicted while {line}" for line in incident["evidence"] if ": alive" in line]
        boot_s = self._cold_start(where)
        self._bring_back(story)
        placement.remove(self.lab, where)
        return Measured(
            number=number,
            victim=victim,
            load=load,
            session_lost_s=_session_lost_s(story, incident),
            convicted_s=_after(story, "host_convicted"),
            fenced_s=_after(story, "host_fenced"),
            first_rebuild_s=_after(story, "grant_claimed"),
            rebuilt_s=max(
                event.at_s - story.cut_s for event in story.events if event.name == "grant_settled"
            ),
            all_writing_s=max(story.writing_after_s(guest) or 0.0 for guest in GUESTS),
            boot_s=boot_s,
            faults=tuple(faults),
            takeover=takeover,
        )

    def _others(self, victim: str) -> list[Machine]:
        return [host for host in self.lab.hosts if str(host.name) != victim]

    # -- the evacuation ---------------------------------------------------------------------------

    def _follow(self, story: Story, loss: Loss | None) -> _Lost | None:
        leader = deployment.leader(self.lab.daemons)
        if leader is None:
            raise LabError("no daemon leads at the cut")
        lost = _Lost(leader=leader) if loss else None

        def is_elsewhere() -> bool:
            if loss and lost and not lost.at_s and story.has_happened(loss.at):
                number = signal.SIGKILL if loss.how == "killed" else signal.SIGSTOP
                lost.at_s = now_s()
                leader.signal_process(deployment.DAEMON, number)
            return story.has_happened("host_evacuated") and story.all_writing()

        story.follow(is_elsewhere, EVACUATION_TIMEOUT_S, "all guests writing again")
        return lost

    def _settle_leadership(self, story: Story, loss: Loss, lost: _Lost) -> Takeover:
        """Give the lost controller its life back, see that it does no harm, and have both again."""
        if loss.how == "paused":
            lost.leader.signal_process(deployment.DAEMON, signal.SIGCONT)
        until_s = now_s() + AFTERMATH_S
        story.follow(lambda: now_s() > until_s, 2 * AFTERMATH_S, "the aftermath")
        # As systemd does. One that was paused may end itself too, because its loop stood still.
        lost.leader.start_service(deployment.DAEMON)
        wait_until(self._both_lead_or_stand_by, "two controllers registered", RETURN_TIMEOUT_S)
        taken = [
            event.at_s
            for event in story.events
            if event.name == "office_taken" and event.at_s > lost.at_s
        ]
        if not taken:
            raise LabError("nobody took over")
        return Takeover(how=loss.how, at=loss.at, took_s=min(taken) - lost.at_s)

    def _both_lead_or_stand_by(self) -> bool:
        leading = deployment.leader(self.lab.daemons)
        if leading is None:
            return False
        return len(deployment.ask(leading, "status")["controllers"]) == len(self.lab.daemons)

    def _incident(self, story: Story) -> dict[str, Any]:
        leading = deployment.leader(self.lab.daemons)
        convicted = next(event for event in story.events if event.name == "host_convicted")
        if leading is None:
            raise LabError("no daemon leads after the evacuation")
        return deployment.ask(leading, "incident", incident=convicted.fact("incident"))

    # -- the yardstick, and back to the start -----------------------------------------------------

    def _cold_start(self, where: placement.Placement) -> float:
        """Start the same guests together where they are now; return until the last one wrote."""
        placement.destroy(self.lab, where)
        began_s = now_s()
        placement.start(self.lab, where)

        def first_writes() -> list[float]:
            return [
                absence.first_write_s
                for guest in GUESTS
                for absence in self.watching.absences(guest)[-1:]
                if absence.first_write_s > began_s
            ]

        if not self.watching.wait_for(
            lambda _: len(first_writes()) == len(GUESTS), placement.BOOT_TIMEOUT_S
        ):
            raise LabError("the guests did not all start for the yardstick")
        return max(first_writes()) - began_s

    def _bring_back(self, story: Story) -> None:
        self.lab.host(story.victim).power_on()
        story.follow(
            lambda: story.has_happened("host_returned"), RETURN_TIMEOUT_S, f"{story.victim} back"
        )
        # It may be in quarantine first.
        deployment.wait_in_service(self.lab.daemons, self.lab.hosts)

    def _note_strays(self, events: list[Event]) -> None:
        self.strays.extend(
            f"{event.about} between the runs: {event.name}"
            for event in events
            if event.name in _SHOTS
        )


def _faults(story: Story, where: placement.Placement) -> list[str]:
    """What must not be once all write again: lost guests, false fencings."""
    homes = Counter(guest for guests in where.values() for guest in guests)
    faults = [f"{guest} lost" for guest in GUESTS if homes[guest] == 0]
    faults += [f"{guest} runs on {homes[guest]} hosts" for guest in GUESTS if homes[guest] > 1]
    shot = {event.about for event in story.events if event.name in _SHOTS}
    faults += [f"{host} fenced, and is not the victim" for host in sorted(shot - {story.victim})]
    return faults


def _twice(story: Story) -> list[str]:
    """What was done twice: writers of one disk, starts of one guest."""
    doubles = story.watching.double_writers()
    faults = [f"{guest} written by two" for guest in sorted(doubles)]
    starts = {guest: story.boots_since(guest) for guest in GUESTS}
    faults += [f"{guest} started {n} times" for guest, n in starts.items() if n != 1]
    return faults


def _after(story: Story, name: str) -> float:
    after_s = story.after_s(name)
    if after_s is None:
        raise LabError(f"no {name} in the logs")
    return after_s


def _session_lost_s(story: Story, incident: dict[str, Any]) -> float | None:
    """By the evidence in the incident's record, which says how long ago it was."""
    for line in incident["evidence"]:
        if found := _LOST_AGO.fullmatch(line):
            convicted = incident["stamps"]["convicted"]
            return boottime_s(convicted) - float(found[1]) - story.cut_s
    return None
