"""What the lab's OpenStack was asked, and by whom: a line of JSON for each request, in logs."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from msgspec import ValidationError, convert


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that was answered.

    Attributes:
        asked_s: when it came (CLOCK_BOOTTIME).
        answered_s: when its answer began.
        sender: the address it came from.
        agent: what the sender says it is.
        method: of HTTP.
        path: with the query where a proxy saw it, without where the API itself did.
        action: the first word of a body of JSON, as `evacuate`.
        status: of the answer.
    """

    asked_s: float
    answered_s: float
    sender: str
    agent: str
    method: str
    path: str
    action: str
    status: int

    @property
    def is_evacuation(self) -> bool:
        """Whether nova accepted an evacuation."""
        return self.action == "evacuate" and self.status == 200

    @property
    def is_login(self) -> bool:
        """Whether keystone gave a token."""
        return (self.method, self.path, self.status) == ("POST", "/v3/auth/tokens", 201)


def now_s() -> float:
    """The clock of the lines: CLOCK_BOOTTIME, as the daemons and the observer use."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def print_request(request: Request) -> None:
    """Print a request, in one piece: many threads print."""
    os.write(sys.stdout.fileno(), json.dumps(asdict(request)).encode() + b"\n")


def requests_in(log: Path, since_s: float) -> Iterator[Request]:
    """The requests in a log that came at `since_s` or later; whatever else is in it is left out."""
    with log.open(errors="replace") as lines:
        for line in lines:
            if not line.startswith('{"asked_s"'):
                continue
            try:
                request = convert(json.loads(line), Request)
            except (ValueError, ValidationError):
                # The last line may be half written.
                continue
            if request.asked_s >= since_s:
                yield request
