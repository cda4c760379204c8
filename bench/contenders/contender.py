"""What every contender is asked to do in a run, and the lab it does it on."""

from dataclasses import dataclass
from typing import Any, Protocol

from bench.guest_places import GuestPlaces
from lab.event_log import EventLog
from lab.lab import Lab
from lab.openstack.access import Request
from lab.openstack.cloud import Cloud


class Nova(Protocol):
    """What of Nova the contenders without a program of their own need."""

    def compute(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Call Nova; return what it answers.

        Raises:
            LabError: it refuses, or does not answer.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The lab that all contenders work on.

    Attributes:
        lab: with an OpenStack and hamon.
        cloud: the lab's OpenStack.
        places: where Nova has the guests.
        log: of hamon's daemons; read by whoever needs it.
    """

    lab: Lab
    cloud: Cloud
    places: GuestPlaces
    log: EventLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A host without power.

    Attributes:
        host: its name, also in Nova.
        at_s: when its power was cut (CLOCK_BOOTTIME).
        known_after_s: how long after the cut somebody who watches the host may know that it is
            dead: what hamon took in an earlier run.
    """

    host: str
    at_s: float
    known_after_s: float


class Contender(Protocol):
    """A way to bring the guests of a dead host back."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def is_daemon_armed(self) -> bool:
        """Whether hamon's daemons shall act in its runs."""

    @property
    def asks_again(self) -> bool:
        """Whether it asks again for a guest that Nova has given up."""

    def get_ready(self, ground: Ground, host: str) -> None:
        """Do what is done long before the host dies.

        Raises:
            LabError: it cannot be done.
        """

    def evacuate(self, ground: Ground, cut: Cut) -> float:
        """Begin as soon as the host is dead; return when its death was proven (CLOCK_BOOTTIME).

        Raises:
            LabError: it could not begin.
        """

    def finish(self, ground: Ground, deadline_s: float) -> float | None:
        """Wait until it knows that all is done; return when (CLOCK_BOOTTIME), None: it does not.

        Raises:
            LabError: it failed.
        """

    def sends(self, ground: Ground, request: Request) -> bool:
        """Whether a request to OpenStack is one of its own."""
