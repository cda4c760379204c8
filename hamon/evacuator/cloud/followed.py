"""One guest that Nova was asked to evacuate: what is known of it, and what may be said. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves
from hamon.model.change import Change
from hamon.model.cloud import CloudCall, CloudMigration, CloudView, Server
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, MigrationView


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One guest that Nova was asked to evacuate, and all that is known of it."""

    view: ClusterView
    cloud: CloudView
    migration: MigrationView
    record: MigrationRecord
    source: str
    server: Server | None
    rows: tuple[CloudMigration, ...]
    call: CloudCall | None
    policy: EvacuationPolicy
    now_s: float


def wrote(change: Change) -> Moves:
    """Return the moves that are one change and nothing else."""
    return Moves(changes=(change,))


def says(the: Followed, code: str, **facts: object) -> Moves:
    """Return the moves that only say how the guest is getting on."""
    return Moves(reasons=(reason(code, the.record.guest, name=the.record.name, **facts),))


def waits_again(the: Followed, code: str, why: str, *, tried: tuple[HostName, ...] = ()) -> Moves:
    """Give the attempt up: the guest waits, and is asked for again after a while.

    Args:
        the: the guest.
        code: the reason's code.
        why: in words, of which 500 characters are kept.
        tried: destinations where it came to nothing.
    """
    waiting = step(
        the.record,
        the.view,
        code,
        status=MigrationStatus.WAITING,
        why=why[:500],
        tried=(*the.record.tried[-7:], *tried),
    )
    # What Nova has recorded until now is over; what it records later is of a request that is not.
    # safety: but for what nobody has claimed yet: a claim that comes after all is still of use, and
    # to ask for another beside it would start the guest twice.
    unclaimed = tuple(row.number for row in the.rows if row.status == rows.ACCEPTED)
    waiting = replace(waiting, newest=rows.newest(the.cloud, the.record.guest), joined=unclaimed)
    return wrote(write(the.migration, waiting, code, why=why[:500]))
