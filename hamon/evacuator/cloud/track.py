"""Following what was asked of Nova to its end, by Nova's migration records (nova.md 7). Pure.

Rules:

1. Success is all of: our record ``done``, the server at its destination, no task, and its domain
   seen by the destination's agent, in the power state that was wanted (nova.md 2.7).
2. No answer is no outcome. "Nothing was done" is said only when the request can no longer arrive
   and two lists, asked for after that, show nothing of it (S8); a new leader waits anew.
3. Two evacuations of one guest that both have a destination are left to a human.
4. A rebuild ends only by Nova's word, by the proof that its destination died, or because the
   destination has booted since.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.arrival import confirm
from hamon.evacuator.cloud.close import drop
from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.followed import Followed, says, waits_again, wrote
from hamon.evacuator.cloud.judge import GONE
from hamon.evacuator.cloud.looks import whereabouts
from hamon.evacuator.cloud.places import (
    boot_of,
    host_of,
    is_cell_down,
    is_proven_dead,
    lists_running,
    name_of,
)
from hamon.evacuator.cloud.unclaimed import accepted, nothing_seen
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves, joined
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import CloudMigration, Server
from hamon.model.incident import IN_FLIGHT_MIGRATIONS, MigrationStatus
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView


def track(
    view: ClusterView, incident: IncidentView, policy: EvacuationPolicy, now_s: float
) -> Moves:
    """Bring every migration in flight up to what Nova, and the destinations, say of it."""
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    source = view.hosts[incident.record.value.host].service_host
    if source not in cloud.listed_s or source not in cloud.traced_s:
        return Moves()
    if is_cell_down(cloud, source):
        # safety: what Nova does not list is not gone, and what is known may be long over.
        return Moves(reasons=(reason("waits_for_cell", incident.record.value.host),))
    parts = []
    for guest, migration in sorted(incident.migrations.items()):
        record = migration.record.value
        if record.status not in IN_FLIGHT_MIGRATIONS:
            continue
        call = cloud.calls.get(guest)
        the = Followed(
            view=view,
            cloud=cloud,
            migration=migration,
            record=record,
            source=source,
            server=cloud.servers.get(guest),
            rows=rows.ours(cloud, record, source),
            call=call if call is not None and call.attempt == record.attempts else None,
            policy=policy,
            now_s=now_s,
        )
        parts.append(_track_one(the))
    return joined(parts)


def _track_one(the: Followed) -> Moves:
    if the.server is not None and the.server.vm_state in GONE:
        return wrote(drop(the.view, the.migration, "deleted on its way"))
    if the.server is None or the.record.guest in the.cloud.unlisted:
        # Its host's list no longer has it: it arrived, or is gone, and nobody has read yet which.
        look = whereabouts(the.cloud, the.record.guest, the.source)
        return replace(says(the, "outcome_awaited", status=the.record.status), looks=(look,))
    # Wherever it is by now: it may have moved on since.
    has_left = the.server.host not in {"", the.source}
    arrived = [row for row in the.rows if row.status in rows.ARRIVED and has_left]
    claimed = [row for row in the.rows if row.status == rows.PRE_MIGRATING]
    if len(claimed) > 1 or (arrived and claimed):
        where = ",".join(row.destination for row in (*claimed, *arrived))
        return says(the, "two_evacuations", destinations=where)
    if arrived:
        return confirm(the, the.server, arrived[-1])
    if claimed:
        return _being_rebuilt(the, claimed[0])
    # A record that was open when we asked and has ended since was taken up instead of ours.
    ended = [row for row in the.rows if row.status not in rows.OPEN]
    if any(row.status in rows.ARRIVED and not _is_settled(the, row) for row in ended):
        # The lists of servers and of migrations are read one after the other (decide/cloud.py).
        return says(the, "outcome_awaited", status=ended[-1].status)
    if ended:
        return _ended(the, the.server, ended[-1])
    if any(row.number > the.record.newest or the.record.number for row in the.rows):
        return accepted(the)
    return nothing_seen(the, the.server)


def _is_settled(the: Followed, ended: CloudMigration) -> bool:
    """Say whether an arrival that the server does not show can no longer come to light.

    Nova moves the server before it ends the record.
    """
    return ended.status == rows.COMPLETED and _is_read_since(the, ended)


def _is_read_since(the: Followed, ended: CloudMigration) -> bool:
    """Say whether servers were asked for after a record was seen ended.

    What was known before may lack what became of the guest, and that no task is left.
    """
    seen_s = the.cloud.ended_s.get((ended.guest, ended.number))
    servers_s = the.cloud.servers_fresh_s(the.source)
    return seen_s is not None and servers_s is not None and servers_s >= seen_s


# -- on its way -----------------------------------------------------------------------------------


def _being_rebuilt(the: Followed, row: CloudMigration) -> Moves:
    """A destination has claimed the guest and rebuilds it."""
    record = the.record
    destination = host_of(the.view, row.destination)
    name = name_of(the.view, row.destination)
    if record.status is not MigrationStatus.PRE_MIGRATING or record.number != row.number:
        moving = replace(
            step(record, the.view, "claimed", status=MigrationStatus.PRE_MIGRATING),
            dest_compute=name,
            dest_boot=boot_of(destination),
            number=row.number,
            request_id=the.call.request_id if the.call is not None else record.request_id,
        )
        return wrote(write(the.migration, moving, "guest_claimed", host=name))
    if destination is not None and is_proven_dead(destination):
        # safety: whatever the destination had made of the guest died with it, by its proof; Nova
        # leaves the record as it is for ever, and takes a second request.
        taken = waits_again(the, "destination_died", f"destination died: {name}", tried=(name,))
        denial = deny(destination, record.guest, HostName(record.source_compute))
        [change] = taken.changes
        return wrote(replace(change, operations=(*change.operations, *denial)))
    if record.dest_boot is not None and boot_of(destination) not in {record.dest_boot, None}:
        # safety: the destination has booted since it claimed the guest. Whatever it had made of it
        # died with the former boot, and what it had taken from its queue is in no queue any more.
        # But the definition is left, and something of the new boot may have started it.
        in_doubt = _may_run_on(the, destination)
        if in_doubt is not None:
            return in_doubt
        why = f"{name} rebooted while it rebuilt the guest"
        return waits_again(the, "destination_rebooted", why, tried=(name,))
    stuck_s = the.migration.since_s + 5 * the.policy.stuck_after_s
    code = "rebuild_stuck" if the.now_s >= stuck_s else "guest_in_flight"
    return says(the, code, host=name, status=record.status)


def _ended(the: Followed, server: Server, row: CloudMigration) -> Moves:
    """Nova gave the evacuation up (or says it is complete while the guest did not move)."""
    if not _is_read_since(the, row):
        look = CloudLook(kind=CloudLookKind.SERVERS_CHANGED)
        return replace(says(the, "outcome_awaited", status=row.status), looks=(look,))
    if server.task_state:
        return says(the, "outcome_awaited", status=row.status)
    destination = host_of(the.view, row.destination) if row.destination else None
    if destination is not None and not is_proven_dead(destination):
        # safety: a failed rebuild may leave a guest that runs, or that libvirt starts late.
        in_doubt = _may_run_on(the, destination)
        if in_doubt is not None:
            return in_doubt
    why = server.fault or f"Nova's record {row.number} is {row.status}"
    code = "no_valid_host" if row.status == "error" else "rebuild_failed"
    if row.status in rows.ARRIVED:
        code = "source_took_record"
    tried = (name_of(the.view, row.destination),) if row.destination else ()
    return waits_again(the, code, why, tried=tried)


def _may_run_on(the: Followed, destination: HostView | None) -> Moves | None:
    """Say that a guest runs, or may run, where its rebuild came to nothing; None: it does not.

    safety: asking again could start a second; so the destination's agent is heard first, if it has
    any say, or had in the boot before and is yet to list in this one.
    """
    if destination is None or destination.spec.agentless:
        return None
    running = lists_running(destination, the.record.guest)
    if running:
        return says(the, "guest_runs_unknown_to_nova", host=destination.name)
    if running is None and destination.domains is not None:
        return says(the, "failed_rebuild_not_seen", host=destination.name)
    return None
