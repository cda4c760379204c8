"""Power cuts under Nova, one after the other: each hits the host to which the last sent all guests.

So no guest is booted anew for each run. Only the host with the guests and the one that they are to
go to are enabled in Nova. Each round begins with new guests, because Nova keeps a record of every
evacuation, and who comes later would have longer lists to read.
"""

import os
from dataclasses import dataclass, field

from bench import calls, guest_places
from bench.contenders.contender import Contender, Cut, Ground, Nova
from bench.contenders.posting import service_of
from bench.guest_places import Guest
from bench.nova_measured import Run
from lab import deployment
from lab.names import LabError
from lab.observer import Observer, now_s
from lab.processes import wait_until

WRITING_TIMEOUT_S = 180.0
ARMED_TIMEOUT_S = 120.0
WATCH_TIMEOUT_S = 150.0
"""Longer than the lab's hamon watches a host that came back."""

EVACUATION_TIMEOUT_S = 300.0
PER_GUEST_S = 3.0
"""How long a guest may take on top of that, on a machine that may be busy."""


@dataclass(slots=True, kw_only=True)
class NovaCuts:
    """The runs on one lab.

    Attributes:
        ground: the lab, of two hosts or more.
        guests: how many.
        watching: sees who writes, None: the guests have no disks.
        home: the number of the host with the guests, from 0.
    """

    ground: Ground
    guests: int
    watching: Observer | None
    home: int = 0
    _placed: int = field(default=0, repr=False)

    def place(self) -> None:
        """Boot new guests on the first host, instead of those that there are; all hosts serve.

        Raises:
            LabError: Nova refused, or one does not run or write in time.
        """
        if self._placed:
            self.ground.lab.repair(remove_guests=True)
        self._placed += 1
        self.home = 0
        cloud, host = self.ground.cloud, self.ground.lab.hosts[0]
        names = cloud.boot_many(f"r{self._placed}", self.guests, host)
        for other in self.ground.lab.hosts[2:]:
            set_enabled(cloud, str(other.name), is_enabled=False)
        if self.watching is None:
            return
        uuids = {guest.name: guest.uuid for guest in self.ground.places.guests()}
        if not self.watching.wait_for(
            lambda o: all(o.writing(uuids[name]) for name in names), WRITING_TIMEOUT_S
        ):
            raise LabError(f"not every guest wrote within {WRITING_TIMEOUT_S:g} s")

    def run(self, number: int, contender: Contender, known_after_s: float) -> Run:
        """Cut the power of the host with the guests, and measure; the host stays off.

        Args:
            number: of the round.
            contender: whose turn it is.
            known_after_s: see `Cut`.

        Raises:
            LabError: the contender could not begin.
        """
        ground, home = self.ground, self._host(self.home)
        self._set_armed(is_armed=contender.is_daemon_armed)
        contender.get_ready(ground, home)
        before = [guest for guest in ground.places.guests() if guest.host == home]
        if len(before) != self.guests:
            raise LabError(f"{len(before)} of {self.guests} guests are on {home}")
        newest = ground.places.newest_migration()
        load = os.getloadavg()[0]
        cut = Cut(host=home, at_s=now_s(), known_after_s=known_after_s)
        ground.lab.host(home).power_cut()
        proof_s = contender.evacuate(ground, cut)
        deadline_s = EVACUATION_TIMEOUT_S + PER_GUEST_S * self.guests
        active_s = ground.places.wait_elsewhere(home, deadline_s, asks_again=contender.asks_again)
        confirmed_s = contender.finish(ground, deadline_s if active_s is not None else 1.0)
        writing_s = self._writing_s(before, cut.at_s)
        requests = calls.seen(ground.lab, lambda r: contender.sends(ground, r), proof_s)
        first_s = calls.first_evacuation_s(requests)
        after = ground.places.guests()
        evacuations = ground.places.evacuations(newest)
        faults = guest_places.faults(before, after, evacuations, home)
        return Run(
            contender=contender.name,
            number=number,
            guests=self.guests,
            host=home,
            load=load,
            proof_s=proof_s - cut.at_s,
            first_s=_since(cut, first_s),
            active_s=_since(cut, active_s),
            writing_s=_since(cut, writing_s),
            confirmed_s=_since(cut, confirmed_s),
            calls=calls.count(requests, confirmed_s if confirmed_s is not None else now_s()),
            faults=tuple(faults),
        )

    def move_on(self) -> None:
        """Have the dead host out of the way; the one with the guests now is the next to die.

        Raises:
            LabError: hamon does not close the incident, the host does not come back, or not every
                guest is on the next one.
        """
        # Whoever evacuated, hamon brings the host back: it knows how, once it has fenced it itself.
        self._set_armed(is_armed=True)
        was, hosts = self._host(self.home), self.ground.lab.hosts
        # What another left behind, hamon moves now.
        deadline_s = EVACUATION_TIMEOUT_S + PER_GUEST_S * self.guests
        wait_until(self._is_evacuated, f"{was} evacuated by hamon's word", deadline_s)
        if self.ground.lab.topology.has_libvirt:
            # Without libvirt nobody on the host can say that no stale copy runs there, and hamon
            # waits for that word: it stays dead.
            self.ground.lab.repair()
            wait_until(self._refuses_nothing, f"{was} to refuse no guest", WATCH_TIMEOUT_S)
        self.home = (self.home + 1) % len(hosts)
        home = self._host(self.home)
        places = [guest.host for guest in self.ground.places.guests()]
        if places != [home] * self.guests:
            raise LabError(f"{places.count(home)} of {self.guests} guests are on {home}")
        if self.home + 1 < len(hosts):
            set_enabled(self.ground.cloud, self._host(self.home + 1), is_enabled=True)

    def _host(self, number: int) -> str:
        return str(self.ground.lab.hosts[number].name)

    def _is_evacuated(self) -> bool:
        leading = deployment.leader(self.ground.lab.daemons)
        if leading is None:
            return False
        lines = deployment.ask(leading, "hosts")["hosts"]
        return any(
            line["host"] == self._host(self.home) and line["state"] == "EVACUATED" for line in lines
        )

    def _refuses_nothing(self) -> bool:
        """Say whether hamon's watch of the host that came back is over.

        Whoever evacuates to it before then waits until hamon has seen that the guests come back.
        """
        leading = deployment.leader(self.ground.lab.daemons)
        if leading is None:
            return False
        told = deployment.ask(leading, "explain", host=self._host(self.home))["reasons"]
        return all(reason["code"] != "guests_refused" for reason in told)

    def _set_armed(self, *, is_armed: bool) -> None:
        def is_set() -> bool:
            leading = deployment.leader(self.ground.lab.daemons)
            if leading is None:
                return False
            if deployment.ask(leading, "status")["armed"] != is_armed:
                deployment.ask(leading, "request", kind="arm" if is_armed else "disarm")
            return bool(deployment.ask(leading, "status")["armed"] == is_armed)

        wait_until(is_set, "hamon armed" if is_armed else "hamon disarmed", ARMED_TIMEOUT_S)

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


def set_enabled(nova: Nova, host: str, *, is_enabled: bool) -> None:
    """Let Nova's scheduler use a host, or not.

    Raises:
        LabError: Nova refuses.
    """
    status = {"status": "enabled" if is_enabled else "disabled"}
    nova.compute("PUT", f"/os-services/{service_of(nova, host)}", status)


def _since(cut: Cut, at_s: float | None) -> float | None:
    return None if at_s is None else at_s - cut.at_s
