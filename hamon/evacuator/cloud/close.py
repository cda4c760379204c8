"""Closing the migration of a guest that hamon does not move: it stays, moved, or is gone. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.judge import GONE
from hamon.evacuator.cloud.places import name_of
from hamon.evacuator.migration import step
from hamon.model.change import Change, Delete, Operation, Update, guest_of, migration_of
from hamon.model.cloud import Server
from hamon.model.incident import MigrationStatus
from hamon.model.reason import reason
from hamon.model.view import ClusterView, MigrationView


def drop(view: ClusterView, migration: MigrationView, why: str) -> Change:
    """Build the transaction that closes a migration which will not happen, visibly."""
    record = migration.record.value
    failed = step(record, view, "failed", status=MigrationStatus.FAILED, why=why)
    operations: list[Operation] = [
        Update(
            key=migration_of(record.incident, record.guest),
            version=migration.record.version,
            value=failed,
        ),
        *release_record(view, migration),
    ]
    told = reason("guest_not_movable", record.guest, name=record.name, why=why)
    return Change(subject=record.guest, reason=told, operations=tuple(operations))


def close_moved(view: ClusterView, migration: MigrationView, server: Server) -> Change:
    """Close the migration of a guest that Nova no longer gives to the dead host.

    safety: wherever it went, it went without this host, which must not start its copy either.
    """
    source = view.hosts[migration.record.value.source_compute]
    left = f"not on {source.service_host} any more"
    if server.vm_state in GONE:
        return drop(view, migration, f"{left}: deleted")
    closed = drop(view, migration, f"{left}: Nova gives it to {server.host or 'no host'}")
    if not server.host:
        return closed
    denial = deny(source, server.guest, name_of(view, server.host))
    return replace(closed, operations=(*closed.operations, *denial))


def release_record(view: ClusterView, migration: MigrationView) -> tuple[Operation, ...]:
    """Return what lets the guest have another migration once this one is closed."""
    record = migration.record.value
    owned = view.guests.get(record.guest)
    if owned is None or owned.value.migration != record.incident:
        return ()
    return (Delete(key=guest_of(record.guest), version=owned.version),)
