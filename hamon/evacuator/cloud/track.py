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

from dataclasses import dataclass, replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.close import drop, release_record
from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.judge import GONE
from hamon.evacuator.cloud.looks import whereabouts, whole_lists
from hamon.evacuator.cloud.places import (
    boot_of,
    host_of,
    is_cell_down,
    is_proven_dead,
    is_seen,
    lists_running,
    name_of,
)
from hamon.evacuator.cloud.queues import Request, deny_to_the_dead, held
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves, joined
from hamon.model.action import CloudLook, CloudLookKind, SetPower
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Intent,
    Update,
    migration_of,
)
from hamon.model.cloud import CallState, CloudCall, CloudMigration, CloudView, Server
from hamon.model.guest import PowerState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView

PROGRESS_PERIOD_S = 10.0
"""How far Nova is with a request that is stuck is asked for this often: two calls for each."""

POWER_AGAIN_S = 30.0
"""A start or stop that had no effect is asked for again after this long."""

_IN_FLIGHT = frozenset({MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
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
        if record.status not in _IN_FLIGHT:
            continue
        call = cloud.calls.get(guest)
        the = _Guest(
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


def _track_one(the: _Guest) -> Moves:
    if the.server is not None and the.server.vm_state in GONE:
        return _wrote(drop(the.view, the.migration, "deleted on its way"))
    if the.server is None or the.record.guest in the.cloud.unlisted:
        # Its host's list no longer has it: it arrived, or is gone, and nobody has read yet which.
        look = whereabouts(the.cloud, the.record.guest, the.source)
        return replace(
            _says(the, "guest_in_flight", host="", status=the.record.status), looks=(look,)
        )
    # Wherever it is by now: it may have moved on since.
    has_left = the.server.host not in {"", the.source}
    arrived = [row for row in the.rows if row.status in rows.ARRIVED and has_left]
    claimed = [row for row in the.rows if row.status == rows.PRE_MIGRATING]
    if len(claimed) > 1 or (arrived and claimed):
        where = ",".join(row.destination for row in (*claimed, *arrived))
        return _says(the, "two_evacuations", destinations=where)
    if arrived:
        return _arrived(the, the.server, arrived[-1])
    if claimed:
        return _being_rebuilt(the, claimed[0])
    # A record that was open when we asked and has ended since was taken up instead of ours.
    ended = [row for row in the.rows if row.status not in rows.OPEN]
    if any(row.status in rows.ARRIVED and not _is_settled(the, row) for row in ended):
        # The lists of servers and of migrations are read one after the other (decide/cloud.py).
        return _says(the, "guest_in_flight", host="", status=ended[-1].status)
    if ended:
        return _ended(the, the.server, ended[-1])
    if any(row.number > the.record.newest or the.record.number for row in the.rows):
        return _accepted(the)
    return _nothing_seen(the, the.server)


def _is_settled(the: _Guest, ended: CloudMigration) -> bool:
    """Say whether an arrival that the server does not show can no longer come to light.

    Nova moves the server before it ends the record.
    """
    return ended.status == rows.COMPLETED and _is_read_since(the, ended)


def _is_read_since(the: _Guest, ended: CloudMigration) -> bool:
    """Say whether servers were asked for after a record was seen ended.

    What was known before may lack what became of the guest, and that no task is left.
    """
    seen_s = the.cloud.ended_s.get((ended.guest, ended.number))
    servers_s = the.cloud.servers_fresh_s(the.source)
    return seen_s is not None and servers_s is not None and servers_s >= seen_s


def _wrote(change: Change) -> Moves:
    return Moves(changes=(change,))


def _says(the: _Guest, code: str, **facts: object) -> Moves:
    return Moves(reasons=(reason(code, the.record.guest, name=the.record.name, **facts),))


def _waits_again(the: _Guest, code: str, why: str, *, tried: tuple[HostName, ...] = ()) -> Moves:
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
    return _wrote(write(the.migration, waiting, code, why=why[:500]))


# -- on its way -----------------------------------------------------------------------------------


def _accepted(the: _Guest) -> Moves:
    """Nova has the request; no destination has claimed the guest yet."""
    record = the.record
    stuck_s = the.migration.since_s + the.policy.stuck_after_s
    accepted = [row for row in the.rows if row.status == rows.ACCEPTED]
    number = accepted[-1].number
    request_id = the.call.request_id if the.call is not None else ""
    if the.now_s < stuck_s:
        told = _says(the, "guest_in_flight", host="", status=record.status)
        return replace(told, wake_at_s=stuck_s)
    conducting_s = the.cloud.conducting_since_s
    served_s = None if conducting_s is None else max(conducting_s, the.migration.since_s)
    stuck = _says(the, "evacuation_stuck", number=number, request_id=request_id)
    if served_s is None or the.now_s < served_s + the.policy.stuck_after_s:
        # Without a conductor the request waits in its queue, and is carried out when one is back.
        return stuck
    progress_s = the.cloud.progress_s.get(record.guest)
    if progress_s is None or progress_s < max(stuck_s, the.now_s - PROGRESS_PERIOD_S):
        return replace(stuck, looks=(CloudLook(kind=CloudLookKind.PROGRESS, guest=record.guest),))
    migrations_s = the.cloud.migrations_fresh_s(the.source)
    if migrations_s is None or migrations_s < progress_s:
        # Who has ended its work has written what became of it: that is read first.
        return stuck
    request = Request(
        record=record,
        source=the.source,
        row=accepted[0],
        progress=the.cloud.progress[record.guest],
        since_s=the.migration.since_s,
        patience_s=the.policy.stuck_after_s,
    )
    held_by = held(the.view, the.cloud, request, the.now_s)
    if held_by is not None:
        return Moves(reasons=(held_by,), wake_at_s=progress_s + PROGRESS_PERIOD_S)
    # When asked again, Nova goes on with the oldest accepted record, this one, once. A dead host
    # that finds it in its queue when it returns must not start the guest.
    lost = _waits_again(the, "evacuation_lost", f"stuck: nobody took up Nova's record {number}")
    [change] = lost.changes
    denials = deny_to_the_dead(the.view, record)
    return _wrote(replace(change, operations=(*change.operations, *denials)))


def _being_rebuilt(the: _Guest, row: CloudMigration) -> Moves:
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
        return _wrote(write(the.migration, moving, "guest_claimed", host=name))
    if destination is not None and is_proven_dead(destination):
        # safety: whatever the destination had made of the guest died with it, by its proof; Nova
        # leaves the record as it is for ever, and takes a second request.
        taken = _waits_again(the, "destination_died", f"destination died: {name}", tried=(name,))
        denial = deny(destination, record.guest, HostName(record.source_compute))
        [change] = taken.changes
        return _wrote(replace(change, operations=(*change.operations, *denial)))
    if record.dest_boot is not None and boot_of(destination) not in {record.dest_boot, None}:
        # safety: the destination has booted since it claimed the guest. Whatever it had made of it
        # died with the former boot, and what it had taken from its queue is in no queue any more.
        # But the definition is left, and something of the new boot may have started it.
        in_doubt = _may_run_on(the, destination)
        if in_doubt is not None:
            return in_doubt
        why = f"{name} rebooted while it rebuilt the guest"
        return _waits_again(the, "destination_rebooted", why, tried=(name,))
    stuck_s = the.migration.since_s + 5 * the.policy.stuck_after_s
    code = "rebuild_stuck" if the.now_s >= stuck_s else "guest_in_flight"
    return _says(the, code, host=name, status=record.status)


def _ended(the: _Guest, server: Server, row: CloudMigration) -> Moves:
    """Nova gave the evacuation up (or says it is complete while the guest did not move)."""
    if not _is_read_since(the, row):
        look = CloudLook(kind=CloudLookKind.SERVERS_CHANGED)
        return replace(_says(the, "guest_in_flight", host="", status=row.status), looks=(look,))
    if server.task_state:
        return _says(the, "guest_in_flight", host=row.destination, status=row.status)
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
    return _waits_again(the, code, why, tried=tried)


def _may_run_on(the: _Guest, destination: HostView | None) -> Moves | None:
    """Say that a guest runs, or may run, where its rebuild came to nothing; None: it does not.

    safety: asking again could start a second; so the destination's agent is heard first, if it has
    any say, or had in the boot before and is yet to list in this one.
    """
    if destination is None or destination.spec.agentless:
        return None
    running = lists_running(destination, the.record.guest)
    if running:
        return _says(the, "guest_runs_unknown_to_nova", host=destination.name)
    if running is None and destination.domains is not None:
        return _says(the, "failed_rebuild_not_seen", host=destination.name)
    return None


# -- no record of Nova's --------------------------------------------------------------------------


def _nothing_seen(the: _Guest, server: Server) -> Moves:
    """Nova shows no record of our request: under way, refused, or its answer was lost."""
    gone_s = the.migration.since_s + the.policy.unknown_after_s
    if the.call is not None:
        match the.call.state:
            case CallState.RUNNING:
                return _says(the, "guest_in_flight", host="", status=the.record.status)
            case CallState.DONE if the.now_s < gone_s:
                # Nova lists a record among what changed only when a destination has claimed it.
                told = _says(the, "guest_in_flight", host="", status=the.record.status)
                return replace(told, wake_at_s=gone_s)
            case CallState.NOT_DONE:
                return _waits_again(the, "evacuation_not_sent", the.call.why)
            case CallState.REFUSED:
                return _refused(the, the.call)
            case _:
                pass
    if the.now_s < gone_s:
        told = _says(the, "evacuation_unknown", for_s=gone_s - the.now_s)
        return replace(told, wake_at_s=gone_s)
    looks = whole_lists(the.cloud, the.source, gone_s)
    if looks:
        return replace(_says(the, "evacuation_unknown", for_s=0.0), looks=looks)
    if the.cloud.services_s is None or the.cloud.services_s < the.cloud.traced_s[the.source]:
        # A list that lacks it is worth nothing if its cell was not reached.
        look = CloudLook(kind=CloudLookKind.SERVICES)
        return replace(_says(the, "evacuation_unknown", for_s=0.0), looks=(look,))
    if server.task_state.startswith("rebuild"):
        stuck_s = the.migration.since_s + the.policy.stuck_after_s
        if the.now_s < stuck_s:
            return replace(_says(the, "evacuation_unknown", for_s=0.0), wake_at_s=stuck_s)
    # safety: the request can no longer arrive (client deadline and any proxy's queue are over, by
    # this controller's own clock), and lists asked for after that show no record of it.
    return _waits_again(the, "evacuation_lost", "the request was lost: Nova has no record of it")


def _refused(the: _Guest, call: CloudCall) -> Moves:
    if call.is_missing and the.record.target is None:
        return _wrote(drop(the.view, the.migration, f"Nova: {call.why}"))
    if call.is_conflict or call.is_missing or "still in use" in call.why:
        return _waits_again(the, "evacuation_refused", f"Nova: {call.why}")
    # A plain "no" (400) is said again each time: it is about what the guest is.
    return _wrote(drop(the.view, the.migration, f"Nova: {call.why}"))


# -- at its destination ---------------------------------------------------------------------------


def _arrived(the: _Guest, server: Server, row: CloudMigration) -> Moves:
    """The guest is where Nova says it is; it is done when its agent agrees and it is as wanted."""
    destination = host_of(the.view, server.host)
    if destination is not None and is_proven_dead(destination):
        # Nobody will see it there any more; its own incident takes the guest on, by its own proof.
        return _wrote(_done(the, server, row, by="nova"))
    if server.task_state:
        return _says(the, "guest_in_flight", host=server.host, status=row.status)
    if the.record.wanted is not _power_of(server):
        return _restore_power(the, server)
    seen = is_seen(destination, the.record.guest, the.record.wanted)
    if seen is False:
        return _says(the, "guest_not_seen", host=server.host)
    return _wrote(_done(the, server, row, by="nova" if seen is None else "agent"))


def _power_of(server: Server) -> PowerState:
    return PowerState.SHUTOFF if server.vm_state == "stopped" else PowerState.RUNNING


def _restore_power(the: _Guest, server: Server) -> Moves:
    """Bring the guest into the power state that was wanted before its host died."""
    record = the.record
    code = "power_restored"
    again_s = the.migration.since_s + POWER_AGAIN_S
    if code in record.stamps and record.reason == str(record.wanted) and the.now_s < again_s:
        return replace(_says(the, "waits_for_power", wanted=record.wanted), wake_at_s=again_s)
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


def _done(the: _Guest, server: Server, row: CloudMigration, *, by: str) -> Change:
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
