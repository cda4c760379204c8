"""Evidence of life and death, and the proof that a boot of a host is over.

Rules:

1. A timeout, an error or an unknown answer is never evidence of death (S3).
2. A :class:`FenceProof` is built in ``fencing/ladder.py`` only (a test holds this). What is stored
   is a :class:`ProofRecord`; it proves nothing by itself: a later leader must look again.
3. Ages are measured on the observer's own clock from when *it* saw something (S20).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.model.names import BootId, Epoch, HostName


class Vote(StrEnum):
    """What one source says of a host."""

    ALIVE_STRONG = "alive_strong"
    ALIVE_WEAK = "alive_weak"
    SILENT = "silent"
    DEAD = "dead"


class Source(StrEnum):
    """Where evidence comes from."""

    SESSION = "session"
    ECHO = "echo"
    CONNECT = "connect"
    STORAGE = "storage"  # its heartbeat on shared storage
    KDUMP = "kdump"  # the notice of its crash kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation of a host.

    ``subject``: the plane, the mount or the address it came through. ``observed_s``: monotonic
    seconds of the observer. ``observer``: the controller that saw it. ``boot_id``: the boot that
    answered, if it said. ``changed_s``: since when the vote has been the same, same clock.
    ``echoed_s``: when a boot was last heard strongly there, whatever the vote is by now, and
    ``echoed_boot`` which one: a vote that follows must not wipe out that it lived.
    """

    source: Source
    subject: str
    vote: Vote
    observed_s: float
    changed_s: float
    observer: str
    boot_id: BootId | None = None
    detail: str = ""
    echoed_s: float | None = None
    echoed_boot: BootId | None = None


class Power(StrEnum):
    """A power state as a device tells it; only a settled OFF counts as off."""

    ON = "on"
    OFF = "off"
    TRANSITION = "transition"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReading:
    """One answer of one device about one host.

    ``identity``: the system uuid the device answers for, canonical form, "" when it does not say.
    ``observed_s``: monotonic seconds when the answer arrived; ``asked_s`` when it was asked.
    """

    device: str
    power: Power
    identity: str
    asked_s: float
    observed_s: float
    detail: str = ""


class ProofMethod(StrEnum):
    """How the death of a boot was proven."""

    POWER = "power"
    STORAGE = "storage"
    WATCHDOG = "watchdog"
    KDUMP = "kdump"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceProof:
    """This boot of this host cannot run or write any more, as seen by this leader.

    Needed to build any evacuation change. Built by ``fencing/ladder.py`` only.
    """

    host: HostName
    boot_id: BootId | None
    method: ProofMethod
    epoch: Epoch
    observed_s: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRecord:
    """A proof as written down: for humans, audit and ``explain``; not itself a proof."""

    method: ProofMethod
    boot_id: BootId | None
    epoch: int
    at: str
    detail: str
    operator: str = ""
