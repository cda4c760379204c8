"""Writing a migration's record: stamps and single-record changes. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.model.change import Change, Update, migration_of
from hamon.model.incident import MIGRATION_TRANSITIONS, MigrationRecord, MigrationStatus
from hamon.model.names import HostName
from hamon.model.reason import reason
from hamon.model.view import ClusterView, MigrationView


def step(
    record: MigrationRecord,
    view: ClusterView,
    stamp: str,
    *,
    status: MigrationStatus,
    why: str = "",
    tried: tuple[HostName, ...] | None = None,
) -> MigrationRecord:
    """Return the record in its next status, stamped with the wall-clock time for humans.

    Raises:
        AssertionError: the table of transitions does not have the step.
    """
    assert status in MIGRATION_TRANSITIONS[record.status], f"{record.status} -> {status}"
    return replace(
        record,
        status=status,
        reason=why,
        tried=record.tried if tried is None else tried,
        stamps={**record.stamps, stamp: view.wall},
    )


def write(migration: MigrationView, value: MigrationRecord, code: str, **facts: object) -> Change:
    """Build the transaction that changes nothing but the migration's record."""
    key = migration_of(value.incident, value.guest)
    return Change(
        subject=value.guest,
        reason=reason(code, value.guest, name=value.name, **facts),
        operations=(Update(key=key, version=migration.record.version, value=value),),
    )
