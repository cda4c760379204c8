"""Nova's migration records of one guest: which are ours, which are open, which are in the way."""

from __future__ import annotations

from hamon.model.cloud import EVACUATION, LIVE_MIGRATION, CloudMigration, CloudView
from hamon.model.incident import MigrationRecord
from hamon.model.names import GuestId

ACCEPTED, PRE_MIGRATING, DONE, COMPLETED = "accepted", "pre-migrating", "done", "completed"
OPEN = frozenset({ACCEPTED, PRE_MIGRATING})
ARRIVED = frozenset({DONE, COMPLETED})
"""``completed``: the source has cleaned up as well; it came back before we looked."""
CLAIMED = ARRIVED | {PRE_MIGRATING}
"""Those that a destination has taken."""

_MIGRATES_LIVE = frozenset({"accepted", "queued", "preparing", "running", "post-migrating"})


def evacuations(cloud: CloudView, guest: GuestId, source: str) -> tuple[CloudMigration, ...]:
    """Return Nova's evacuation records of a guest away from a service host, oldest first."""
    return tuple(
        row
        for row in cloud.migrations.get(guest, ())
        if row.kind == EVACUATION and row.source == source
    )


def ours(cloud: CloudView, record: MigrationRecord, source: str) -> tuple[CloudMigration, ...]:
    """Return the records that our request made, or that Nova may go on with instead.

    The conductor takes up the oldest accepted record of a guest, whoever's it is (nova.md 3.4), so
    what was open when we asked belongs to it.
    """
    return tuple(
        row
        for row in evacuations(cloud, record.guest, source)
        if row.number > record.newest or row.number in record.joined
    )


def has_arrived(cloud: CloudView, record: MigrationRecord, source: str) -> bool:
    """Say whether Nova is through with a guest's evacuation: what is left is hamon's to see."""
    return any(row.status in ARRIVED for row in ours(cloud, record, source))


def newest(cloud: CloudView, guest: GuestId) -> int:
    """Return the highest number of any migration record known of a guest, 0: none."""
    return max((row.number for row in cloud.migrations.get(guest, ())), default=0)


def live_migrations(cloud: CloudView, guest: GuestId) -> tuple[CloudMigration, ...]:
    """Return the live migrations of a guest that had not ended when Nova was last asked."""
    return tuple(
        row
        for row in cloud.migrations.get(guest, ())
        if row.kind == LIVE_MIGRATION and row.status in _MIGRATES_LIVE
    )
