"""How many requests of a contender OpenStack had to answer, from the logs of the lab's own."""

from collections.abc import Callable
from dataclasses import dataclass

from lab.lab import Lab
from lab.names import LabError
from lab.openstack import access
from lab.openstack.access import Request
from lab.services import log_of

_LOGS = ("nova-proxy", "keystone", "placement")

Sends = Callable[[Request], bool]
"""Whether a request is one of the contender's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What a contender asked OpenStack in one evacuation.

    Attributes:
        all: requests to any API, keystone's among them.
        logins: those for a token.
        evacuations: those to evacuate that Nova accepted.
    """

    all: int
    logins: int
    evacuations: int


def seen(lab: Lab, sends: Sends, since_s: float) -> list[Request]:
    """The requests of a contender, in the order of their answers.

    Args:
        lab: with an OpenStack.
        sends: tells them from those of others.
        since_s: CLOCK_BOOTTIME; earlier ones are left out.

    Raises:
        LabError: the lab has no OpenStack.
    """
    if lab.cloud is None:
        raise LabError("a lab without OpenStack")
    logs = [log_of(lab.layout, lab.cloud.machine.name, log) for log in _LOGS]
    found = [r for log in logs for r in access.requests_in(log, since_s) if sends(r)]
    return sorted(found, key=lambda request: request.answered_s)


def count(requests: list[Request], until_s: float) -> Calls:
    """Count the requests that came by `until_s` (CLOCK_BOOTTIME)."""
    counted = [request for request in requests if request.asked_s <= until_s]
    return Calls(
        all=len(counted),
        logins=sum(request.is_login for request in counted),
        evacuations=sum(request.is_evacuation for request in counted),
    )


def first_evacuation_s(requests: list[Request]) -> float | None:
    """When Nova first accepted an evacuation (CLOCK_BOOTTIME), None: it did not."""
    return min((r.answered_s for r in requests if r.is_evacuation), default=None)
