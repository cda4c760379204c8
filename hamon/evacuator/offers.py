"""Offering waiting guests to destinations (DESIGN §1 step 7, docs/protocol.md 6). Pure.

Rules:

1. An offer cannot be built without a :class:`FenceProof` of the guest's source in this term (S2).
2. The source's grant is revoked, the generation raised and the offer made in one transaction.
3. NoValidHost is WAITING, with back-off; it blocks nobody else and no return (L2).
4. A guest that another host runs, or may run, is offered to nobody (``copies``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hamon.evacuator.barrier import barrier_of
from hamon.evacuator.copies import kept_back
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves
from hamon.evacuator.reserved import put_to_use
from hamon.evacuator.scheduler import Placement, Scheduler, Wish, entry_of
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Operation,
    Update,
    grant_of,
    guard_of,
    guest_of,
    migration_of,
)
from hamon.model.control import Hold
from hamon.model.guest import (
    OPEN_GRANTS,
    Grant,
    GrantState,
    InventoryEntry,
)
from hamon.model.incident import (
    IN_FLIGHT_MIGRATIONS,
    MigrationRecord,
    MigrationStatus,
)
from hamon.model.names import GuestId
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import FenceProof
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView


def offer_waiting(
    view: ClusterView,
    incident: IncidentView,
    proof: FenceProof | None,
    scheduler: Scheduler,
    policy: EvacuationPolicy,
    *,
    held: Mapping[str, Hold],
    in_flight: int,
    now_s: float,
) -> Moves:
    """Place waiting guests, by priority then size, and offer them (step 7).

    Args:
        view: the world.
        incident: whose guests.
        proof: fresh proof of the source; None: nothing may move, only say whether something could.
        scheduler: this round's placements.
        policy: limits and back-off.
        held: what keeps guests from being moved, by guest.
        in_flight: offers and claims open now over all incidents.
        now_s: monotonic seconds.
    """
    changes: list[Change] = []
    reasons: list[Reason] = []
    wake_at_s: float | None = None
    can_place = False
    is_offering = False
    to_use: Change | None = None
    mine = sum(
        1
        for migration in incident.migrations.values()
        if migration.record.value.status in IN_FLIGHT_MIGRATIONS
    )
    barrier = barrier_of(view, incident, now_s)
    for guest, migration, entry in _waiting(view, incident):
        if guest in held:
            reasons.append(kept_back(migration.record.value, held[guest]))
            continue
        if barrier.holds_back(migration.record.value):
            reasons.append(barrier.told(migration.record.value, now_s))
            continue
        due_s = _due_s(migration, policy)
        if now_s < due_s:
            wake_at_s = due_s if wake_at_s is None else min(wake_at_s, due_s)
            record = migration.record.value
            reasons.append(
                reason("guest_waits", guest, name=record.name, why=record.reason or "back-off")
            )
            continue
        if in_flight >= policy.in_flight_max and mine > 0:
            reasons.append(reason("guest_waits_for_slot", guest, in_flight=in_flight))
            continue
        placement = scheduler.place(_wish(migration.record.value, entry))
        if placement.reserved is not None:
            # The guest waits for a later round, in which that host is like any other.
            can_place = True
            reasons.append(reason("no_valid_host", guest, why=placement.why_not))
            if proof is not None and to_use is None:
                to_use = put_to_use(view, view.hosts[placement.reserved], incident)
            continue
        if placement.host is None:
            reasons.append(reason("no_valid_host", guest, why=placement.why_not))
            changes.append(_no_valid_host(view, migration, placement))
            continue
        can_place = True
        if proof is None:
            reasons.append(reason("proof_not_fresh", guest, source=incident.record.value.host))
            continue
        changes.append(offer(view, migration, entry, view.hosts[placement.host], proof))
        is_offering = True
        in_flight += 1
        mine += 1
    if to_use is not None and not is_offering:
        # In a round of its own: every offer checks the switches that it changes.
        changes.append(to_use)
    return Moves(
        changes=tuple(changes),
        reasons=tuple(reasons),
        can_place=can_place,
        wake_at_s=wake_at_s,
    )


def offer(
    view: ClusterView,
    migration: MigrationView,
    entry: InventoryEntry,
    destination: HostView,
    proof: FenceProof,
) -> Change:
    """Build the transaction that takes a guest from its source and offers it (protocol 6).

    Raises:
        AssertionError: the proof is not of this migration's source, or not of this term.
    """
    record = migration.record.value
    assert proof.host == record.source_compute, "the proof is of another host"
    assert proof.epoch == view.own.epoch, "the proof is of another term"
    source = view.hosts[record.source_compute]
    owned = view.guests[record.guest]
    generation = owned.value.generation + 1
    operations: list[Operation] = [
        Check(key=CONTROL, version=view.control.version),
        Check(key=guard_of(source.name), version=source.guard.version),
        Check(key=guard_of(destination.name), version=destination.guard.version),
        Update(
            key=guest_of(record.guest),
            version=owned.version,
            value=replace(owned.value, generation=generation),
        ),
    ]
    old = source.grants.get(record.guest)
    if old is not None and old.value.state is not GrantState.REVOKED:
        # safety: a claim of the source ends here, by the proof of its boot's death.
        revoked = replace(
            old.value, state=GrantState.REVOKED, incident=record.incident, definition=""
        )
        key = grant_of(source.name, record.guest)
        operations.append(Update(key=key, version=old.version, value=revoked))
    operations.append(_offer_grant(record, entry, destination, generation))
    accepted = replace(
        step(record, view, "scheduled", status=MigrationStatus.ACCEPTED),
        dest_compute=destination.name,
        generation=generation,
        attempts=record.attempts + 1,
    )
    key = migration_of(record.incident, record.guest)
    operations.append(Update(key=key, version=migration.record.version, value=accepted))
    return Change(
        subject=record.guest,
        reason=reason("guest_scheduled", record.guest, name=record.name, host=destination.name),
        operations=tuple(operations),
    )


def _offer_grant(
    record: MigrationRecord, entry: InventoryEntry, destination: HostView, generation: int
) -> Operation:
    assert destination.self_.value is not None, "a destination is registered"
    existing = destination.grants.get(record.guest)
    grant = Grant(
        state=GrantState.OFFERED,
        generation=generation,
        wanted=record.wanted,
        boot_id=destination.self_.value.boot_id,
        incident=record.incident,
        definition=entry.definition,
    )
    key = grant_of(destination.name, record.guest)
    if existing is None:
        return Create(key=key, value=grant)
    assert existing.value.state not in OPEN_GRANTS, "one open grant per guest"
    return Update(key=key, version=existing.version, value=grant)


def _waiting(
    view: ClusterView, incident: IncidentView
) -> list[tuple[GuestId, MigrationView, InventoryEntry]]:
    """Return the waiting guests with their definitions, the first to go first."""
    waiting = []
    for guest, migration in incident.migrations.items():
        entry = entry_of(view, guest)
        if migration.record.value.status is MigrationStatus.WAITING and entry is not None:
            waiting.append((guest, migration, entry))
    return sorted(waiting, key=lambda item: (_priority_of(item[1]), -item[2].ram_mib, item[0]))


def _priority_of(migration: MigrationView) -> int:
    return migration.record.value.policy.priority


def _due_s(migration: MigrationView, policy: EvacuationPolicy) -> float:
    """Return when a waiting guest may be tried (again), on this controller's clock."""
    record = migration.record.value
    if not record.reason:
        return migration.since_s
    pause_s: float = policy.retry_after_s * 2.0 ** min(record.attempts, 10)
    return migration.since_s + min(pause_s, policy.retry_after_max_s)


def _wish(record: MigrationRecord, entry: InventoryEntry) -> Wish:
    excluded = {record.source_compute: "source host"}
    if record.tried and record.tried[-1] != record.target:
        excluded[record.tried[-1]] = f"just tried ({record.reason})"
    return Wish(
        guest=record.guest,
        entry=entry,
        excluded=excluded,
        target=record.target,
        force=record.force,
    )


def _no_valid_host(view: ClusterView, migration: MigrationView, placement: Placement) -> Change:
    """Write down that no host was valid, once per back-off round, so that it is visible."""
    record = migration.record.value
    why = f"NoValidHost: {placement.why_not}"[:500]
    waiting = step(record, view, "no_valid_host", status=MigrationStatus.WAITING, why=why, tried=())
    return write(
        migration,
        replace(waiting, attempts=record.attempts + 1),
        "no_valid_host",
        why=placement.why_not,
    )
