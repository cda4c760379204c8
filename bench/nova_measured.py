"""What is measured of one evacuation in Nova, and what the issue wants of all of them together."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.calls import Calls

RATIO_LIMIT = 1.15
DEFAULT_SPEED_UP = 10.0
CALLS_LIMIT = 1.5
LOGINS_LIMIT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender's evacuation of one host. Times: since the power cut, None: it never was.

    Attributes:
        contender: whose.
        number: of the round, from 1.
        guests: on the host.
        host: that died.
        load: this machine's load of the last minute, just before the cut.
        proof_s: when the host's death was proven, or else known.
        first_s: when Nova accepted the first evacuation.
        active_s: when the last guest was active elsewhere.
        writing_s: when the last guest wrote to its disk again; None also without disks.
        confirmed_s: when the contender itself knew that all was done.
        calls: from the proof until then.
        faults: what must not be, in words.
    """

    contender: str
    number: int
    guests: int
    host: str
    load: float
    proof_s: float
    first_s: float | None
    active_s: float | None
    writing_s: float | None
    confirmed_s: float | None
    calls: Calls
    faults: tuple[str, ...] = ()

    @property
    def from_proof_s(self) -> float | None:
        """From the proof until the last guest was active elsewhere."""
        return None if self.active_s is None else self.active_s - self.proof_s

    @property
    def back_s(self) -> float | None:
        """When the last guest was back for its user: it writes, or (without disks) is active."""
        return self.active_s if self.writing_s is None else self.writing_s

    @property
    def calls_a_guest(self) -> float:
        """Requests to OpenStack for each guest."""
        return self.calls.all / self.guests


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What hamon keeps of its work at one moment.

    Attributes:
        znodes: in all of ZooKeeper.
        data_kib: what ZooKeeper keeps in them.
        leader_mib: resident memory of the daemon that leads.
    """

    znodes: int
    data_kib: float
    leader_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What hamon kept before the first power cut, and after the last.

    Attributes:
        guests: that it moved in between.
        before, after: then and there.
    """

    guests: int
    before: Kept
    after: Kept

    @property
    def znodes(self) -> int:
        """How many there are more."""
        return self.after.znodes - self.before.znodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One thing that was to be reached, and whether it was."""

    is_reached: bool
    text: str


def median(runs: Iterable[Run], of: Callable[[Run], float | None]) -> float | None:
    """The median over runs; None: a run does not have it, or there is no run."""
    values = [of(run) for run in runs]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def medians(runs: Iterable[Run], of: Callable[[Run], float | None]) -> dict[str, float | None]:
    """The median of each contender."""
    by_contender: dict[str, list[Run]] = {}
    for run in runs:
        by_contender.setdefault(run.contender, []).append(run)
    return {name: median(found, of) for name, found in by_contender.items()}
