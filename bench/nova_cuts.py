"""Power cuts under Nova, one after the other: the guests go to and fro between two hosts.

So there is no need to boot guests anew for each run: what was evacuated to one host is what the
next power cut hits. Only each round begins with new guests, because Nova keeps a record of every
evacuation, and who comes later would have longer lists to read.
"""

import os
from dataclasses import dataclass, field

from bench import calls, guest_places
from bench.contenders.contender import Contender, Cut, Ground
from bench.guest_places import Guest
from bench.nova_measured import Run
from lab import deployment
from lab.names import LabError
from lab.observer import Observer, now_s
from lab.processes import wait_until

WRITING_TIMEOUT_S = 180.0
FENCED_TIMEOUT_S = 120.0
EVACUATION_TIMEOUT_S = 300.0
PER_GUEST_S = 3.0
"""How long a guest may take on top of that, on a machine that may be busy."""


@dataclass(slots=True, kw_only=True)
class NovaCuts:
    """The runs on one lab of two hosts.

    Attributes:
        ground: the lab.
        guests: how many.
        watching: sees who writes, None: the guests have no disks.
        home: the host with the guests.
    """

    ground: Ground
    guests: int
    watching: Observer | None
    home: str = "h1"
    _placed: int = field(default=0, repr=False)

    def place(self) -> None:
        """Boot new guests on the first host, instead of those that there are.

        Raises:
            LabError: Nova refused, or one does not run or write in time.
        """
        if self._placed:
            self.ground.lab.repair(remove_guests=True)
        self._placed += 1
        self.home = "h1"
        names = self._boot(f"r{self._placed}")
        if self.watching is None:
            return
        uuids = {guest.name: guest.uuid for guest in self.ground.places.guests()}
        if not self.watching.wait_for(
            lambda o: all(o.writing(uuids[name]) for name in names), WRITING_TIMEOUT_S
        ):
            raise LabError(f"not every guest wrote within {WRITING_TIMEOUT_S:g} s")

    def _boot(self, prefix: str) -> list[str]:
        cloud, host = self.ground.cloud, self.ground.lab.host(self.home)
        return cloud.boot_many(prefix, self.guests, host)

    def run(self, number: int, contender: Contender, known_after_s: float) -> Run:
        """Cut the power of the host with the guests, and measure; the host stays off.

        Args:
            number: of the round.
            contender: whose turn it is.
            known_after_s: see `Cut`.

        Raises:
            LabError: the contender could not begin.
        """
        ground = self.ground
        self._set_armed(is_armed=contender.is_daemon_armed)
        contender.get_ready(ground, self.home)
        before = [guest for guest in ground.places.guests() if guest.host == self.home]
        if len(before) != self.guests:
            raise LabError(f"{len(before)} of {self.guests} guests are on {self.home}")
        newest = ground.places.newest_migration()
        load = os.getloadavg()[0]
        cut = Cut(host=self.home, at_s=now_s(), known_after_s=known_after_s)
        ground.lab.host(self.home).power_cut()
        proof_s = contender.evacuate(ground, cut)
        deadline_s = EVACUATION_TIMEOUT_S + PER_GUEST_S * self.guests
        active_s = ground.places.wait_elsewhere(self.home, deadline_s)
        confirmed_s = contender.finish(ground, deadline_s if active_s is not None else 1.0)
        writing_s = self._writing_s(before, cut.at_s)
        requests = calls.seen(ground.lab, lambda r: contender.sends(ground, r), proof_s)
        first_s = calls.first_evacuation_s(requests)
        after = ground.places.guests()
        evacuations = ground.places.evacuations(newest)
        faults = guest_places.faults(before, after, evacuations, self.home)
        return Run(
            contender=contender.name,
            number=number,
            guests=self.guests,
            host=self.home,
            load=load,
            proof_s=proof_s - cut.at_s,
            first_s=_since(cut, first_s),
            active_s=_since(cut, active_s),
            writing_s=_since(cut, writing_s),
            confirmed_s=_since(cut, confirmed_s),
            calls=calls.count(requests, confirmed_s if confirmed_s is not None else now_s()),
            faults=tuple(faults),
        )

    def give_back(self) -> None:
        """Have the dead host serve again, without guests; the other one is the home now.

        Raises:
            LabError: it does not come back, or not every guest is on the other host.
        """
        # Whoever evacuated, hamon brings the host back: it knows how, once it has fenced it itself.
        self._set_armed(is_armed=True)
        wait_until(self._is_evacuated, f"{self.home} evacuated by hamon's word", FENCED_TIMEOUT_S)
        self.ground.lab.repair()
        self.home = "h2" if self.home == "h1" else "h1"
        places = [guest.host for guest in self.ground.places.guests()]
        if places != [self.home] * self.guests:
            raise LabError(f"{places.count(self.home)} of {self.guests} guests are on {self.home}")

    def _is_evacuated(self) -> bool:
        leading = deployment.leader(self.ground.lab.daemons)
        if leading is None:
            return False
        lines = deployment.ask(leading, "hosts")["hosts"]
        return any(line["host"] == self.home and line["state"] == "EVACUATED" for line in lines)

    def _set_armed(self, *, is_armed: bool) -> None:
        def is_set() -> bool:
            leading = deployment.leader(self.ground.lab.daemons)
            if leading is None:
                return False
            if deployment.ask(leading, "status")["armed"] != is_armed:
                deployment.ask(leading, "request", kind="arm" if is_armed else "disarm")
            return bool(deployment.ask(leading, "status")["armed"] == is_armed)

        wait_until(is_set, "hamon armed" if is_armed else "hamon disarmed", FENCED_TIMEOUT_S)

    def _writing_s(self, guests: list[Guest], cut_s: float) -> float | None:
        """When the last guest wrote again, None: not all did, or nobody can see it."""
        watching = self.watching
        if watching is None:
            return None

        def times() -> list[float]:
            return [
                absence.first_write_s
                for guest in guests
                for absence in watching.absences(guest.uuid)[-1:]
                if absence.first_write_s > cut_s
            ]

        if not watching.wait_for(lambda _: len(times()) == len(guests), WRITING_TIMEOUT_S):
            return None
        return max(times())


def _since(cut: Cut, at_s: float | None) -> float | None:
    return None if at_s is None else at_s - cut.at_s
