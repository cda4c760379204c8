"""A guest at its destination: confirmed, and brought into the power state that was wanted. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud.close import release_record
from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.followed import Followed, says, wrote
from hamon.evacuator.cloud.places import host_of, is_proven_dead, is_seen, name_of
from hamon.evacuator.cloud.tasks import forget_rebuild
from hamon.evacuator.migration import step
from hamon.evacuator.moves import Moves, joined
from hamon.model.action import SetPower
from hamon.model.change import CONTROL, Change, Check, Intent, Update, migration_of
from hamon.model.cloud import CloudMigration, Server
from hamon.model.guest import PowerState
from hamon.model.incident import MigrationStatus
from hamon.model.reason import reason

POWER_AGAIN_S = 30.0
"""A start or stop that had no effect is asked for again after this long."""


def confirm(the: Followed, server: Server, row: CloudMigration) -> Moves:
    """The guest is where Nova says it is; it is done when its agent agrees and it is as wanted."""
    destination = host_of(the.view, server.host)
    if destination is not None and is_proven_dead(destination):
        # Nobody will see it there any more; its own incident takes the guest on, by its own proof.
        return wrote(_done(the, server, row, by="nova"))
    if server.task_state:
        told = says(the, "guest_in_flight", host=server.host, status=row.status)
        stuck_s = the.migration.since_s + the.policy.stuck_after_s
        if the.now_s < stuck_s:
            return replace(told, wake_at_s=stuck_s)
        return joined([told, forget_rebuild(the.view, the.cloud, server, the.now_s)])
    if the.record.wanted is not _power_of(server):
        return _restore_power(the, server)
    seen = is_seen(destination, the.record.guest, the.record.wanted)
    if seen is False:
        return says(the, "guest_not_seen", host=server.host)
    return wrote(_done(the, server, row, by="nova" if seen is None else "agent"))


def _power_of(server: Server) -> PowerState:
    return PowerState.SHUTOFF if server.vm_state == "stopped" else PowerState.RUNNING


def _restore_power(the: Followed, server: Server) -> Moves:
    """Bring the guest into the power state that was wanted before its host died."""
    record = the.record
    code = "power_restored"
    again_s = the.migration.since_s + POWER_AGAIN_S
    if code in record.stamps and record.reason == str(record.wanted) and the.now_s < again_s:
        return replace(says(the, "waits_for_power", wanted=record.wanted), wake_at_s=again_s)
    status = MigrationStatus.PRE_MIGRATING
    asked = step(record, the.view, code, status=status, why=str(record.wanted))
    change = Change(
        subject=record.guest,
        reason=reason(code, record.guest, name=record.name, wanted=record.wanted, host=server.host),
        operations=(
            Check(key=CONTROL, version=the.view.control.version),
            Update(
                key=migration_of(record.incident, record.guest),
                version=the.migration.record.version,
                value=asked,
            ),
        ),
    )
    action = SetPower(guest=record.guest, wanted=record.wanted)
    return Moves(intents=(Intent(change=change, action=action),))


def _done(the: Followed, server: Server, row: CloudMigration, *, by: str) -> Change:
    """Close the migration, and deny the guest to its former host from the same moment on."""
    record, view = the.record, the.view
    name = name_of(the.view, server.host)
    done = replace(
        step(record, view, "done", status=MigrationStatus.DONE),
        dest_compute=name,
        number=row.number,
    )
    source = view.hosts[record.source_compute]
    return Change(
        subject=record.guest,
        reason=reason("guest_evacuated", record.guest, name=record.name, host=name, seen_by=by),
        operations=(
            Update(
                key=migration_of(record.incident, record.guest),
                version=the.migration.record.version,
                value=done,
            ),
            *release_record(view, the.migration),
            *deny(source, record.guest, name),
        ),
    )
