"""An incident: one conviction of one boot of a host, and the evacuations that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.guest import PowerState
from hamon.model.guest_policy import GuestPolicy
from hamon.model.names import BootId, ControllerId, GuestId, HostName, IncidentId
from hamon.model.proof import ProofRecord


class Trigger(StrEnum):
    """Who opened the incident."""

    DETECTOR = "detector"
    OPERATOR = "operator"


class ShotOutcome(StrEnum):
    """What is known of a shot; UNKNOWN and PENDING are settled by time only (its deadline).

    LATE: never given, because the lease of its intent had run out, perhaps while another order was
    under way at the same device, or its commit was never confirmed; it is journalled anew.
    """

    PENDING = "pending"
    DONE = "done"
    NOT_DONE = "not_done"
    LATE = "late"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One order to cut a host's power, journalled before it is given.

    The child that carries it ends itself at most ``deadline_s`` after its start, and starts at most
    the intent lease after the journal entry; so nothing of it can act later than both added up.
    """

    device: str
    level: int
    attempt: int
    epoch: int
    controller: ControllerId
    at: str
    deadline_s: float
    outcome: ShotOutcome = ShotOutcome.PENDING
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened or was thought about a host, for whoever reads it later.

    ``at``: wall-clock time in ISO form, for humans only (S20). ``code`` and ``facts``: as in a
    :class:`hamon.model.reason.Reason`.
    """

    at: str
    code: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRecord:
    """What is remembered of an incident (znode ``incidents/<id>/record``).

    ``only``: the guests to move; empty means every movable guest. ``target``: the destination an
    operator gave, None: the scheduler's. ``attempt``: how often the fencing ladder was climbed
    from its bottom; ``level``: where it stands; ``floor``: the lowest level still trusted, because
    one below said Off of a boot that lived. ``stamps``: phase to wall-clock time, for humans,
    metrics and the demo's timeline. ``closed`` incidents are history. ``beat_at``: the last
    heartbeat of the host's nova-compute, in Nova's clock, before it might start again.

    For whoever reads it later, decided by nobody: ``timeline``, oldest first and bounded
    (``chronicle``); ``waits``: the codes of what was last said to be in the way; ``policy`` and
    ``policy_hash``: the configuration in force when it was opened, by key.
    """

    incident: IncidentId
    host: HostName
    boot_id: BootId | None
    trigger: Trigger
    reason: str
    who: str = ""
    nonce: str = ""
    evidence: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    only: tuple[GuestId, ...] = ()
    target: HostName | None = None
    force: bool = False
    needs_password: bool = False
    attempt: int = 1
    level: int = 0
    floor: int = 0
    shots: tuple[Shot, ...] = ()
    proof: ProofRecord | None = None
    stamps: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
    beat_at: str = ""
    timeline: tuple[Moment, ...] = ()
    waits: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)
    policy_hash: str = ""


class MigrationStatus(StrEnum):
    """Status of a guest's migration: Nova's words, plus WAITING before and ``stays``.

    ``accepted``: recorded and scheduled, the destination has not claimed. ``pre-migrating``: the
    destination claimed and rebuilds. ``done``: runs (or is defined, off) at the destination.
    ``completed``: and the stale copy at the returned source is gone. ``stays``: the source came
    back before any destination was offered it.
    """

    WAITING = "WAITING"
    ACCEPTED = "accepted"
    PRE_MIGRATING = "pre-migrating"
    DONE = "done"
    COMPLETED = "completed"
    FAILED = "failed"
    ERROR = "error"
    STAYS = "stays"


_M = MigrationStatus

MIGRATION_TRANSITIONS: Mapping[MigrationStatus, frozenset[MigrationStatus]] = {
    _M.WAITING: frozenset({_M.WAITING, _M.ACCEPTED, _M.STAYS, _M.FAILED}),
    _M.ACCEPTED: frozenset(
        {_M.ACCEPTED, _M.PRE_MIGRATING, _M.DONE, _M.WAITING, _M.STAYS, _M.FAILED},
    ),
    _M.PRE_MIGRATING: frozenset({_M.PRE_MIGRATING, _M.DONE, _M.WAITING, _M.FAILED}),
    _M.DONE: frozenset({_M.DONE, _M.COMPLETED}),
    _M.COMPLETED: frozenset(),
    _M.FAILED: frozenset({_M.WAITING}),
    _M.ERROR: frozenset(),
    _M.STAYS: frozenset(),
}
"""Lawful steps of a migration. FAILED: the guest cannot move at all (told beforehand if known), or
was deleted on its way; WAITING again when an operator asks once more. DONE is written again when
a guest that others wait for is ready.
"""

IN_FLIGHT_MIGRATIONS = frozenset({_M.ACCEPTED, _M.PRE_MIGRATING})
OPEN_MIGRATIONS = IN_FLIGHT_MIGRATIONS | {_M.WAITING}


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationRecord:
    """The evacuation of one guest (znode ``incidents/<id>/migrations/<uuid>``): Nova's fields.

    ``wanted`` is recorded before the first attempt and is what the guest ends in. ``generation``
    is that of the offer in flight (or of the last one). ``tried``: destinations that released it,
    newest last. ``attempts`` counts offers, for the back-off. ``reason``: why it waits or failed.
    ``target`` and ``force``: the destination an operator gave, and Nova's meaning of force.
    ``policy``: what held for the guest when it was recorded, or last sent. ``by_hand``: an operator
    asked for this very guest, also if it opted out.

    In a nova cloud ``number`` is the row of Nova's that is followed (0: none is known yet),
    ``request_id`` that of our request, ``newest`` the highest row of this guest when our request
    was journalled, and ``joined`` the rows that were open already then: Nova may go on with one of
    them instead of a new one. ``dest_boot``: the destination's boot when it was seen to have
    claimed the guest. ``needs_password``: an operator gave one, which only the leader that was told
    it knows.
    """

    guest: GuestId
    name: str
    incident: IncidentId
    status: MigrationStatus
    source_compute: HostName
    source_node: str
    wanted: PowerState
    dest_compute: HostName | None = None
    generation: int = 0
    target: HostName | None = None
    force: bool = False
    attempts: int = 0
    tried: tuple[HostName, ...] = ()
    reason: str = ""
    policy: GuestPolicy = field(default_factory=GuestPolicy)
    by_hand: bool = False
    number: int = 0
    request_id: str = ""
    newest: int = 0
    joined: tuple[int, ...] = ()
    dest_boot: BootId | None = None
    needs_password: bool = False
    stamps: Mapping[str, str] = field(default_factory=dict)
