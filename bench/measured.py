"""What is measured of one power cut, and the limits that the issue sets for it."""

from dataclasses import dataclass

from lab.hamon_files import SESSION_TIMEOUT_S

FIRST_REBUILD_MARGIN_S = 1.5 + 1.0
ALL_WRITING_MARGIN_S = 4.0
TAKEOVER_MARGIN_S = 2.0
TAKEOVER_LIMIT_S = SESSION_TIMEOUT_S + TAKEOVER_MARGIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """The leader was lost in the middle of an evacuation.

    Attributes:
        how: `killed` or `paused`.
        at: the event of the evacuation at which it was.
        took_s: from then until another controller led.
    """

    how: str
    at: str
    took_s: float

    @property
    def is_well(self) -> bool:
        """Whether the other controller led in time."""
        return self.took_s <= TAKEOVER_LIMIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One power cut of a host with eight guests. Times without another word: since the cut.

    Attributes:
        number: of the run, from 1.
        victim: the host.
        load: this machine's load of the last minute, just before the cut.
        session_lost_s: when the leader saw the session gone; None: convicted before.
        convicted_s: when the conviction was written.
        fenced_s: when the proof was.
        first_rebuild_s: when a destination first claimed a guest.
        rebuilt_s: when libvirt had started the last one.
        all_writing_s: when the last guest wrote to its disk again.
        boot_s: the same guests cold-started together on the same hosts, until the last one wrote.
        faults: everything that must never be, in words.
        takeover: the leader was lost in this run; None: it was not.
    """

    number: int
    victim: str
    load: float
    session_lost_s: float | None
    convicted_s: float
    fenced_s: float
    first_rebuild_s: float
    rebuilt_s: float
    all_writing_s: float
    boot_s: float
    faults: tuple[str, ...] = ()
    takeover: Takeover | None = None

    @property
    def fencing_s(self) -> float:
        """From the conviction to the proof."""
        return self.fenced_s - self.convicted_s

    @property
    def first_rebuild_limit_s(self) -> float:
        """By when the first guest should be being rebuilt."""
        return SESSION_TIMEOUT_S + FIRST_REBUILD_MARGIN_S + self.fencing_s

    @property
    def all_writing_limit_s(self) -> float:
        """By when all guests should write again."""
        return self.first_rebuild_limit_s + ALL_WRITING_MARGIN_S + self.boot_s

    @property
    def is_first_rebuild_well(self) -> bool:
        """Whether the first rebuild was in time; the limits are for runs that keep their leader."""
        return self.first_rebuild_s <= self.first_rebuild_limit_s

    @property
    def is_all_writing_well(self) -> bool:
        """Whether all wrote again in time."""
        return self.all_writing_s <= self.all_writing_limit_s

    @property
    def is_well(self) -> bool:
        """Whether the run reached all that it is to reach."""
        if self.faults:
            return False
        if self.takeover is not None:
            return self.takeover.is_well
        return self.is_first_rebuild_well and self.is_all_writing_well
