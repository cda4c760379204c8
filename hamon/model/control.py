"""What operators say: armed or not, maintenance, requests; and holds: why nothing moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.names import BootId, GuestId, HostName, IncidentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A host an operator takes care of: never suspected, never fenced.

    ``until``: wall-clock end in ISO form for humans and the daemon that lifts it; "" = until
    lifted by hand.
    """

    reason: str
    who: str
    since: str
    until: str = ""


RELEASE_MAX_S = 24 * 3600.0
"""A release from a storm lasts no longer: it opens a brake, and what was known of hosts ages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An operator's word that hosts held by a storm are really lost (``hamon hold release``).

    ``hosts``: which, with the boot of each that was shown; another boot of it is not released, and
    one that is well again in that boot is taken out.
    ``until``: wall-clock end in ISO form; it opens a brake, so it always has one.
    """

    hosts: Mapping[HostName, BootId]
    reason: str
    who: str
    since: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedUse:
    """A reserved host that was put to use: for which incident, and when (wall clock)."""

    incident: IncidentId
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Cluster-wide switches (znode ``control``); every intent checks this znode's version."""

    is_armed: bool = True
    reason: str = ""
    who: str = ""
    since: str = ""
    maintenance: Mapping[HostName, Maintenance] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()
    reserved_in_use: Mapping[HostName, ReservedUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StormRecord:
    """Where there is a storm, or was one a moment ago (znode ``storms``), for the next leader.

    ``scopes``: as in a :class:`Hold`; since when, wall clock, for humans. A scope goes when its
    cool-down is over. A znode of its own, and no field of ``control``: an older controller reads
    neither this znode nor an unknown field, but a ``control`` that it cannot read stops everything.
    """

    scopes: Mapping[str, str] = field(default_factory=dict)


class HoldKind(StrEnum):
    """Why hamon holds back."""

    STORM = "storm"
    RATE = "rate"
    SHADOW = "shadow"
    PROTECTED = "protected"
    OPERATOR_DISABLED = "operator_disabled"
    NOVA_NOT_READ = "nova_not_read"
    OWN_HEALTH = "own_health"
    START_UP = "start_up"
    MAINTENANCE = "maintenance"
    DISARMED = "disarmed"
    UNREADABLE = "unreadable"
    TWO_COPIES = "two_copies"
    ROLLED_BACK = "rolled_back"
    UNGATED = "ungated"
    DEFINITIONS_LOST = "definitions_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Something that keeps hamon from acting: visible, counted, paged; never a silent drop.

    ``scope``: a host's name, a guest, ``label=value`` for the hosts that carry this label, or
    "cluster". ``until_s``: monotonic second at which it may end, None:
    not known. ``needs_human``: it pages, because it does not end by itself.
    """

    kind: HoldKind
    scope: str
    reason: str
    who: str = "hamon"
    until_s: float | None = None
    needs_human: bool = False


class RequestKind(StrEnum):
    """What can be asked of the leader through a request znode."""

    EVACUATE_HOST = "evacuate_host"
    EVACUATE = "evacuate"
    CONFIRM_DOWN = "confirm_down"
    MAINTENANCE_ON = "maintenance_on"
    MAINTENANCE_OFF = "maintenance_off"
    DISARM = "disarm"
    ARM = "arm"
    RELEASE = "release"
    FENCE_OFF = "fence_off"
    FENCE_ON = "fence_on"
    RESERVE = "reserve"


class RequestState(StrEnum):
    """Life of a request."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An operator's command on its way to the leader (ephemeral znode ``requests/<seq>``).

    Dies with the daemon that wrote it; the leader ignores it after 60 s. ``boot_id``: the boot of
    the host that the operator was shown. ``nonce`` makes a request recognisable in what it opened.
    ``needs_password``: one was given to the leader itself; it is nowhere but in its memory.
    ``boots``: for a release, the hosts and the boots that were shown. ``answer`` and ``advice`` are
    the leader's words; ``incident`` what was opened.
    """

    kind: RequestKind
    nonce: str
    who: str
    state: RequestState = RequestState.PENDING
    host: HostName | None = None
    guest: GuestId | None = None
    target: HostName | None = None
    boot_id: BootId | None = None
    reason: str = ""
    until: str = ""
    boots: Mapping[HostName, BootId] = field(default_factory=dict)
    force: bool = False
    needs_password: bool = False
    answer: str = ""
    advice: str = ""
    incident: IncidentId | None = None
