"""Asking Nova to evacuate waiting guests, in batches, within the limits (DESIGN §8). Pure.

Rules:

1. A request cannot be built without a :class:`FenceProof` of the guest's source in this term (S2).
2. Before a batch, what Nova says of the source's guests and of their migrations was asked for at
   most :data:`FRESH_S` ago, and the time that two such readings take; a guest is judged on that,
   and on what was known earlier only when Nova says that nothing of it changed since.
3. Every host that is proven dead is shut out in Nova before the first request of anybody: else
   Nova would send guests from one dead host to another.
4. Nova is read for a batch when enough of the window is free for the reading to be paid by many;
   on what was read, requests go out one for each that is answered, a few at a time.
5. A guest that another host runs, or may run, is not asked for (``copies``, ``kept``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hamon.evacuator.barrier import barrier_of
from hamon.evacuator.cloud.close import close_moved, drop
from hamon.evacuator.cloud.judge import GONE, Call, Judgement, judge
from hamon.evacuator.cloud.looks import stale_lists, whereabouts, whole_lists
from hamon.evacuator.cloud.places import is_proven_dead
from hamon.evacuator.cloud.request import adopt, ask
from hamon.evacuator.cloud.tasks import forget_task, is_being_reset, is_refused_for_its_task
from hamon.evacuator.copies import kept_back
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.change import Change, Intent
from hamon.model.cloud import CallState, CloudView, Server
from hamon.model.control import Hold
from hamon.model.incident import IN_FLIGHT_MIGRATIONS, MigrationRecord, MigrationStatus
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import FenceProof
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, IncidentView, MigrationView

FRESH_S = 2.0
"""Nova's lists must be at most this old when a batch is sent on them, from a Nova that is quick."""

_CHANGES = (CloudLookKind.SERVERS_TOUCHED, CloudLookKind.MIGRATIONS_CHANGED)
_DETAILS = (*_CHANGES, CloudLookKind.SERVERS_CHANGED)
_WHOLE = (CloudLookKind.SERVERS_OF, CloudLookKind.MIGRATIONS_OF)

SENDING_MAX = 3
"""Requests under way at once. Nova answers one when it has recorded it, several times sooner than
it can carry one out; more at once only take time of its API from the rebuilds (ADR 0010)."""

BATCH = 8
"""So many free places in the window are worth a reading, however wide it is."""

_UNTOLD = (
    "what it is to have as password was told to a former leader only: "
    "`hamon evacuate SERVER HOST --password` once more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What one round of sending works with."""

    view: ClusterView
    cloud: CloudView
    incident: IncidentView
    source: str
    policy: EvacuationPolicy
    now_s: float


def send_waiting(
    view: ClusterView,
    incident: IncidentView,
    proof: FenceProof | None,
    policy: EvacuationPolicy,
    *,
    held: Mapping[str, Hold],
    in_flight: int,
    now_s: float,
) -> Moves:
    """Ask for the waiting guests whose turn it is, the most important first.

    Args:
        view: the world.
        incident: whose guests.
        proof: fresh proof of the source; None: nothing may be sent, only say whether it could.
        policy: limits and back-off.
        held: what keeps guests from being moved, by guest.
        in_flight: evacuations under way now over all incidents.
        now_s: monotonic seconds.
    """
    assert view.cloud is not None, "there is a cloud"
    source = view.hosts[incident.record.value.host].service_host
    the = _Round(
        view=view,
        cloud=view.cloud,
        incident=incident,
        source=source,
        policy=policy,
        now_s=now_s,
    )
    due, later = _due(the)
    due = [m for m in due if not is_being_reset(the.cloud, m.record.value.guest)]
    barrier = barrier_of(view, incident, now_s)
    held_back = [m.record.value for m in due if barrier.holds_back(m.record.value)]
    due = [m for m in due if not barrier.holds_back(m.record.value)]
    kept = [m.record.value for m in due if m.record.value.guest in held]
    due = [m for m in due if m.record.value.guest not in held]
    reasons = [_waits(migration) for migration in later]
    reasons += [kept_back(record, held[record.guest]) for record in kept]
    reasons += [barrier.told(record, now_s) for record in held_back]
    wakes = [_due_s(migration, policy) for migration in later]
    moves = Moves(reasons=tuple(reasons), wake_at_s=min(wakes) if wakes else None)
    if not due:
        return moves
    not_yet = _not_yet(the, proof)
    if not_yet is not None:
        blocked = tuple(replace(not_yet, subject=m.record.value.guest) for m in due)
        # Shutting the host out takes Nova a moment: what is read before a batch is read meanwhile.
        looks = _stale_lists(the, due) if _is_being_shut_out(the) else ()
        return replace(moves, reasons=(*moves.reasons, *blocked), looks=looks, can_place=True)
    free = _free_slots(the, in_flight)
    looks = _stale_lists(the, due)
    # A reading is made when many will go by it; whoever still fits on the last one goes without.
    if looks and free >= min(len(due), _worth_reading(the)):
        return replace(moves, looks=looks)
    may_start = min(free, SENDING_MAX - _being_sent(the.cloud))
    if not looks and may_start > 0:
        return _send(the, due, may_start, moves)
    full = tuple(
        reason("guest_waits_for_slot", m.record.value.guest, in_flight=in_flight) for m in due
    )
    return replace(moves, reasons=(*moves.reasons, *full))


def _due(the: _Round) -> tuple[list[MigrationView], list[MigrationView]]:
    """Return the waiting guests that may be tried now, in their order, and those that may not."""
    waiting = [
        migration
        for migration in the.incident.migrations.values()
        if migration.record.value.status is MigrationStatus.WAITING
    ]
    ordered = sorted(waiting, key=lambda migration: _order(the, migration))
    due = [m for m in ordered if the.now_s >= _due_s(m, the.policy)]
    return due, [m for m in ordered if the.now_s < _due_s(m, the.policy)]


def _order(the: _Round, migration: MigrationView) -> tuple[int, int, str]:
    record = migration.record.value
    server = the.cloud.servers.get(record.guest)
    ram_mib = server.ram_mib if server is not None else 0
    return (record.policy.priority, -ram_mib, record.guest)


def _due_s(migration: MigrationView, policy: EvacuationPolicy) -> float:
    """Return when a waiting guest may be tried (again), on this controller's clock."""
    record = migration.record.value
    if not record.reason:
        return migration.since_s
    pause_s: float = policy.retry_after_s * 2.0 ** min(max(record.attempts - 1, 0), 10)
    return migration.since_s + min(pause_s, policy.retry_after_max_s)


def _waits(migration: MigrationView) -> Reason:
    record = migration.record.value
    return reason("guest_waits", record.guest, name=record.name, why=record.reason)


def _not_yet(the: _Round, proof: FenceProof | None) -> Reason | None:
    """Say what must come before any request; None: nothing."""
    host = the.incident.record.value.host
    if proof is None:
        return reason("proof_not_fresh", host, source=host)
    assert proof.host == host, "the proof is of another host"
    assert proof.epoch == the.view.own.epoch, "the proof is of another term"
    unsafe = not_shut_out(the.view)
    if unsafe:
        return reason("waits_for_shut_out", host, hosts=",".join(unsafe))
    if the.cloud.hard_affinity is None:
        return reason("waits_for_cloud", host, what="server groups")
    return None


def _is_being_shut_out(the: _Round) -> bool:
    call = the.cloud.calls.get(the.source)
    return call is not None and call.state is CallState.RUNNING


def not_shut_out(view: ClusterView) -> tuple[str, ...]:
    """Name the hosts that are proven dead and that Nova may still send guests to."""
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    dead = tuple(host for _, host in sorted(view.hosts.items()) if is_proven_dead(host))
    if cloud.services_s is None:
        return tuple(str(host.name) for host in dead)
    # A host without a nova-compute, or in a cell that is down, is given no guests either.
    return tuple(
        str(host.name)
        for host in dead
        if (service := cloud.services.get(host.service_host)) is not None
        and service.is_up is not None
        and not service.is_forced_down
    )


def _free_slots(the: _Round, in_flight: int) -> int:
    """Return how many guests more may be in flight."""
    # One slot of each incident is its own, however busy the others are.
    return max(_window(the) - in_flight, 0 if _is_moving(the) else 1)


def _worth_reading(the: _Round) -> int:
    """Return how many places must be free for Nova to be read for them."""
    return min(max(_window(the) // 4, 1), BATCH) if _is_moving(the) else 1


def _window(the: _Round) -> int:
    return min(the.cloud.window, the.policy.in_flight_max)


def _is_moving(the: _Round) -> bool:
    return any(
        migration.record.value.status in IN_FLIGHT_MIGRATIONS
        for migration in the.incident.migrations.values()
    )


def _being_sent(cloud: CloudView) -> int:
    """Count the requests to evacuate that Nova has not answered yet."""
    return sum(
        1 for call in cloud.calls.values() if call.state is CallState.RUNNING and call.attempt
    )


def _stale_lists(the: _Round, due: list[MigrationView]) -> tuple[CloudLook, ...]:
    """Return what must be read again before a batch may be sent; empty: it is fresh enough."""
    guests = [migration.record.value.guest for migration in due]
    is_first = not _is_moving(the)
    is_listed = is_first or not the.cloud.touched.isdisjoint(guests)
    since_s = _fresh_since_s(the, _DETAILS if is_listed else _CHANGES)
    return stale_lists(the.cloud, the.source, guests, since_s, is_first=is_first)


def _fresh_since_s(the: _Round, kinds: tuple[CloudLookKind, ...]) -> float:
    """Return from when on what was asked for is fresh.

    A list counts from the moment it was asked for. From a Nova that takes longer than FRESH_S to
    answer none would ever be fresh, so the time it takes is granted: once for the one list, and
    once for the other, which may only be asked for when the first has come.
    """
    return the.now_s - FRESH_S - 2.0 * max(the.cloud.took_s.get(kind, 0.0) for kind in kinds)


def _send(the: _Round, due: list[MigrationView], may_start: int, moves: Moves) -> Moves:
    changes: list[Change] = []
    intents: list[Intent] = []
    looks: list[CloudLook] = []
    sought: list[CloudLook] = []
    for migration in due:
        if len(intents) == may_start:
            break
        server = the.cloud.servers.get(migration.record.value.guest)
        if server is None or server.guest in the.cloud.unlisted:
            # Nobody else waits for it: one server that Nova cannot show holds up no others.
            guest = migration.record.value.guest
            sought.append(whereabouts(the.cloud, guest, the.source))
            continue
        if server.vm_state in GONE or server.host != the.source:
            changes.append(close_moved(the.view, migration, server))
            continue
        judgement = judge(
            the.view,
            the.incident.record.value,
            server,
            the.policy,
            by_hand=migration.record.value.by_hand,
        )
        if migration.record.value.needs_password and server.guest not in the.cloud.passwords:
            judgement = Judgement(call=Call.WAITS, why=_UNTOLD)
        if judgement.call is Call.STAYS:
            changes.append(drop(the.view, migration, judgement.why))
        elif judgement.call is Call.WAITS:
            waiting = _again(the, migration, judgement.why)
            changes.append(write(migration, waiting, "guest_waits", why=judgement.why))
        else:
            adopted = adopt(the.view, the.cloud, migration, server)
            looks += _unseen(the, server)
            if adopted is not None:
                changes.append(adopted)
            elif not looks and is_refused_for_its_task(
                the.cloud, server, migration.record.value.attempts
            ):
                dead = the.view.hosts[migration.record.value.source_compute]
                is_error = server.vm_state == "error"
                intents.append(forget_task(the.view, dead, server, is_error=is_error))
            elif not looks:
                intents.append(ask(the.view, the.cloud, migration))
    return replace(
        moves,
        changes=(*moves.changes, *changes),
        intents=(*moves.intents, *intents),
        looks=tuple(dict.fromkeys((*looks, *sought))),
        can_place=True,
    )


def _again(the: _Round, migration: MigrationView, why: str) -> MigrationRecord:
    record = migration.record.value
    waiting = step(record, the.view, "waited", status=MigrationStatus.WAITING, why=why)
    return replace(waiting, attempts=record.attempts + 1)


def _unseen(the: _Round, server: Server) -> tuple[CloudLook, ...]:
    """Return what must be read because a guest is being rebuilt and nobody knows by whom.

    It is not to be asked for again before the records of its host were read as they are now: also
    a request of ours that was given up may have been carried out since, when Nova was held up.
    """
    if not server.task_state.startswith("rebuild"):
        return ()
    return whole_lists(the.cloud, the.source, _fresh_since_s(the, _WHOLE))
