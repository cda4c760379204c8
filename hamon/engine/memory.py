"""What a controller remembers between rounds because ZooKeeper cannot tell: when *it* saw things.

All times are seconds of this controller's own clock, from the moment it saw something itself (S20).
A later leader starts with its own memory, which makes it wait longer, never shorter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hamon.decide.chronicle import HISTORY_S
from hamon.model.action import Shoot
from hamon.model.chronicle import moment
from hamon.model.incident import Moment, ShotOutcome
from hamon.model.names import GuestId, HostName
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import READINGS_MAX
from hamon.model.reason import Reason
from hamon.model.view import DeviceCheck, DeviceShot, ReadyReading

T = TypeVar("T")

THOUGHTS_MAX = 25
"""Changes of mind about one host that are remembered."""


READY_MAX = 1000
"""So many guests that others wait for are remembered, the last ones asked."""


@dataclass(slots=True)
class HostMemory:
    """What is remembered of one host.

    ``thoughts``: when this controller, leading, thought something new of it; ``thinks``: the codes
    of what it thought in the last round.
    """

    session_lost_s: float | None = None
    registered_s: float | None = None
    by_device: dict[str, deque[PowerReading]] = field(default_factory=dict)
    shots: dict[str, DeviceShot] = field(default_factory=dict)
    power_ons: dict[str, DeviceShot] = field(default_factory=dict)
    checks: dict[str, DeviceCheck] = field(default_factory=dict)
    thoughts: deque[tuple[float, Moment]] = field(
        default_factory=lambda: deque(maxlen=THOUGHTS_MAX)
    )
    thinks: frozenset[str] = frozenset()

    @property
    def readings(self) -> tuple[PowerReading, ...]:
        """The power readings of every device, newest last."""
        every = (reading for kept in self.by_device.values() for reading in kept)
        return tuple(sorted(every, key=lambda reading: reading.observed_s))

    def recent_thoughts(self, now_s: float) -> tuple[Moment, ...]:
        """Return what was thought lately, oldest first."""
        return tuple(each for at_s, each in self.thoughts if now_s - at_s <= HISTORY_S)


class Memory:
    """Times of first sight, power readings and shots, by host."""

    def __init__(self) -> None:
        self._hosts: dict[HostName, HostMemory] = {}
        self._since: dict[Hashable, tuple[object, float]] = {}
        self._first: dict[Hashable, Any] = {}
        self._thought_of: frozenset[HostName] = frozenset()
        self._ready: dict[GuestId, ReadyReading] = {}

    def host(self, name: HostName) -> HostMemory:
        """Return the memory of a host, empty at first."""
        return self._hosts.setdefault(name, HostMemory())

    def saw_session(self, name: HostName, session: int | None, now_s: float) -> HostMemory:
        """Note whether the host has a heartbeat now, by the session that owns it."""
        host = self.host(name)
        if session is None:
            host.registered_s = None
            if host.session_lost_s is None:
                host.session_lost_s = now_s
        elif self.since(("session", name), session, now_s) == now_s or host.registered_s is None:
            host.registered_s = now_s
            host.session_lost_s = None
        else:
            host.session_lost_s = None
        return host

    def since(self, subject: Hashable, value: object, now_s: float) -> float:
        """Return since when ``subject`` has been seen with ``value``; now, if that is new."""
        known = self._since.get(subject)
        if known is None or known[0] != value:
            self._since[subject] = (value, now_s)
            return now_s
        return known[1]

    def first(self, subject: Hashable, value: T) -> T:
        """Return what ``subject`` was when it was seen first; ``value``, if that is now."""
        first: T = self._first.setdefault(subject, value)
        return first

    def saw_power(self, name: HostName, reading: PowerReading) -> None:
        """Keep a power reading."""
        kept = self.host(name).by_device.setdefault(reading.device, deque(maxlen=READINGS_MAX))
        kept.append(reading)

    def saw_ready(self, guest: GuestId, reading: ReadyReading) -> None:
        """Keep what a guest told that others wait for."""
        self._ready.pop(guest, None)
        self._ready[guest] = reading
        while len(self._ready) > READY_MAX:
            del self._ready[next(iter(self._ready))]

    def ready(self) -> Mapping[GuestId, ReadyReading]:
        """Return what such guests told last."""
        return dict(self._ready)

    def thought(self, told: Mapping[HostName, tuple[Reason, ...]], now_s: float, wall: str) -> None:
        """Note what a round thought of hosts, where it is something new.

        Args:
            told: what was thought, by host; of every other host nothing was.
            now_s: monotonic seconds.
            wall: the time for humans.
        """
        for name in self._thought_of - told.keys():
            self.host(name).thinks = frozenset()
        for name, reasons in told.items():
            host = self.host(name)
            new = {r.code: r for r in reversed(reasons) if r.code not in host.thinks}
            for each in reversed(new.values()):
                host.thoughts.append((now_s, moment(wall, each.code, each.facts)))
            host.thinks = frozenset(r.code for r in reasons)
        self._thought_of = frozenset(told)

    def shot_started(self, shoot: Shoot) -> None:
        """Note that an order to one of a host's fence devices is under way."""
        self.host(shoot.host).shots[shoot.device] = DeviceShot(
            is_running=True, incident=shoot.incident, attempt=shoot.attempt
        )

    def shot_ended(self, shoot: Shoot, outcome: ShotOutcome, now_s: float) -> None:
        """Note what became of it, also if it was never begun."""
        self.host(shoot.host).shots[shoot.device] = DeviceShot(
            last=outcome, settled_s=now_s, incident=shoot.incident, attempt=shoot.attempt
        )

    def power_on_started(self, name: HostName, device: str) -> None:
        """Note that an order to switch the host on is under way."""
        self.host(name).power_ons[device] = DeviceShot(is_running=True)

    def power_on_ended(
        self, name: HostName, device: str, outcome: ShotOutcome, now_s: float
    ) -> None:
        """Note what became of it."""
        self.host(name).power_ons[device] = DeviceShot(last=outcome, settled_s=now_s)

    def checked(
        self, name: HostName, device: str, reading: PowerReading, *, why: str, now_s: float
    ) -> None:
        """Note what a check of a fence device came to; ``why``: what is wrong, "": nothing."""
        checks = self.host(name).checks
        known = checks.get(device)
        good_s = now_s if not why else known.good_s if known is not None else None
        identity = known.identity if known is not None else ""
        identified_s = known.identified_s if known is not None else None
        if reading.identity and reading.power in {Power.ON, Power.OFF}:
            identity, identified_s = reading.identity, reading.observed_s
        checks[device] = DeviceCheck(
            checked_s=now_s,
            good_s=good_s,
            why=why,
            power=reading.power,
            identity=identity,
            identified_s=identified_s,
        )
