"""One guest's request to Nova: asked for, or somebody else's followed instead. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.migration import step, write
from hamon.model.action import Evacuate
from hamon.model.change import CONTROL, Change, Check, Intent, Update, guard_of, migration_of
from hamon.model.cloud import CloudView, Server
from hamon.model.incident import MigrationStatus
from hamon.model.reason import reason
from hamon.model.view import ClusterView, MigrationView


def ask(view: ClusterView, cloud: CloudView, migration: MigrationView) -> Intent:
    """Journal a request to Nova; it may start only within the lease of this write (rule 4).

    safety: the source's guard and ``control`` are checked in the same transaction, so a host that
    is back, and a disarm, stop it. What Nova had recorded of this guest until now is written down,
    so that our own record can be told from every earlier one, by any later leader.
    """
    record = migration.record.value
    source = view.hosts[record.source_compute]
    left_open = tuple(
        row.number
        for row in rows.evacuations(cloud, record.guest, source.service_host)
        if row.status == rows.ACCEPTED
    )
    accepted = replace(
        step(record, view, "sent", status=MigrationStatus.ACCEPTED),
        dest_compute=None,
        number=0,
        request_id="",
        newest=rows.newest(cloud, record.guest),
        joined=left_open,
        attempts=record.attempts + 1,
    )
    target = view.hosts.get(record.target) if record.target is not None else None
    change = Change(
        subject=record.guest,
        reason=reason("evacuation_sent", record.guest, name=record.name, attempt=accepted.attempts),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(source.name), version=source.guard.version),
            Update(
                key=migration_of(record.incident, record.guest),
                version=migration.record.version,
                value=accepted,
            ),
        ),
    )
    action = Evacuate(
        guest=record.guest,
        attempt=accepted.attempts,
        target=target.service_host if target is not None else (record.target or ""),
        force=record.force,
    )
    return Intent(change=change, action=action)


def adopt(
    view: ClusterView, cloud: CloudView, migration: MigrationView, server: Server
) -> Change | None:
    """Follow an evacuation that somebody else asked for, rather than asking for a second one."""
    record = migration.record.value
    source = view.hosts[record.source_compute].service_host
    is_moving = server.task_state.startswith("rebuild")
    # What was open when an attempt of ours was given up is over, whatever Nova says of it; but for
    # what nobody had claimed then, and somebody has since.
    found = rows.evacuations(cloud, record.guest, source)
    open_rows = [row for row in found if row.status in rows.OPEN and row.number > record.newest]
    late = [
        row for row in found if row.status == rows.PRE_MIGRATING and row.number in record.joined
    ]
    if not late and not (open_rows and is_moving):
        return None
    open_rows = [*late, *open_rows]
    adopted = replace(
        step(record, view, "adopted", status=MigrationStatus.ACCEPTED),
        number=open_rows[-1].number,
        newest=rows.newest(cloud, record.guest),
        joined=tuple(row.number for row in open_rows),
    )
    return write(migration, adopted, "evacuation_adopted", number=adopted.number)
