"""A request that no destination has claimed yet: on its way, refused, lost or stuck. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.close import drop
from hamon.evacuator.cloud.followed import Followed, says, waits_again, wrote
from hamon.evacuator.cloud.looks import whole_lists
from hamon.evacuator.cloud.queues import Request, deny_to_the_dead, held
from hamon.evacuator.cloud.tasks import PROGRESS_PERIOD_S
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import CallState, CloudCall, Server


def accepted(the: Followed) -> Moves:
    """Nova has the request; no destination has claimed the guest yet."""
    record = the.record
    stuck_s = the.migration.since_s + the.policy.stuck_after_s
    open_rows = [row for row in the.rows if row.status == rows.ACCEPTED]
    number = open_rows[-1].number
    request_id = the.call.request_id if the.call is not None else ""
    if the.now_s < stuck_s:
        told = says(the, "claim_awaited", status=record.status)
        return replace(told, wake_at_s=stuck_s)
    conducting_s = the.cloud.conducting_since_s
    served_s = None if conducting_s is None else max(conducting_s, the.migration.since_s)
    stuck = says(the, "evacuation_stuck", number=number, request_id=request_id)
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
        row=open_rows[0],
        progress=the.cloud.progress[record.guest],
        since_s=the.migration.since_s,
        patience_s=the.policy.stuck_after_s,
    )
    held_by = held(the.view, the.cloud, request, the.now_s)
    if held_by is not None:
        return Moves(reasons=(held_by,), wake_at_s=progress_s + PROGRESS_PERIOD_S)
    # When asked again, Nova goes on with the oldest accepted record, this one, once. A dead host
    # that finds it in its queue when it returns must not start the guest.
    lost = waits_again(the, "evacuation_lost", f"stuck: nobody took up Nova's record {number}")
    [change] = lost.changes
    denials = deny_to_the_dead(the.view, record)
    return wrote(replace(change, operations=(*change.operations, *denials)))


def nothing_seen(the: Followed, server: Server) -> Moves:
    """Nova shows no record of our request: under way, refused, or its answer was lost."""
    gone_s = the.migration.since_s + the.policy.unknown_after_s
    if the.call is not None:
        match the.call.state:
            case CallState.RUNNING:
                return says(the, "claim_awaited", status=the.record.status)
            case CallState.DONE if the.now_s < gone_s:
                # Nova lists a record among what changed only when a destination has claimed it.
                told = says(the, "claim_awaited", status=the.record.status)
                return replace(told, wake_at_s=gone_s)
            case CallState.NOT_DONE:
                return waits_again(the, "evacuation_not_sent", the.call.why)
            case CallState.REFUSED:
                return _refused(the, the.call)
            case _:
                pass
    if the.now_s < gone_s:
        told = says(the, "evacuation_unknown", for_s=gone_s - the.now_s)
        return replace(told, wake_at_s=gone_s)
    looks = whole_lists(the.cloud, the.source, gone_s)
    if looks:
        return replace(says(the, "evacuation_unknown", for_s=0.0), looks=looks)
    if the.cloud.services_s is None or the.cloud.services_s < the.cloud.traced_s[the.source]:
        # A list that lacks it is worth nothing if its cell was not reached.
        look = CloudLook(kind=CloudLookKind.SERVICES)
        return replace(says(the, "evacuation_unknown", for_s=0.0), looks=(look,))
    if server.task_state.startswith("rebuild"):
        stuck_s = the.migration.since_s + the.policy.stuck_after_s
        if the.now_s < stuck_s:
            return replace(says(the, "evacuation_unknown", for_s=0.0), wake_at_s=stuck_s)
    # safety: the request can no longer arrive (client deadline and any proxy's queue are over, by
    # this controller's own clock), and lists asked for after that show no record of it.
    return waits_again(the, "evacuation_lost", "the request was lost: Nova has no record of it")


def _refused(the: Followed, call: CloudCall) -> Moves:
    if call.is_missing and the.record.target is None:
        return wrote(drop(the.view, the.migration, f"Nova: {call.why}"))
    if call.is_conflict or call.is_missing or "still in use" in call.why:
        return waits_again(the, "evacuation_refused", f"Nova: {call.why}")
    # A plain "no" (400) is said again each time: it is about what the guest is.
    return wrote(drop(the.view, the.migration, f"Nova: {call.why}"))
