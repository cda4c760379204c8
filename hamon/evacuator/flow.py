"""Recording and following evacuations (DESIGN §1 steps 5, 6, 8, 9; docs/protocol.md 5, 8). Pure.

Rules:

1. What a guest is moved with is in ``offers.py``; here it is recorded before and followed after.
2. One open migration per guest: its record names the incident; opening is a conditional write.
3. A claim ends only by the destination's ``released`` or by proof of that boot's death (rule 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hamon.evacuator.choices import policy_of_entry, wanted_after
from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Operation,
    Update,
    Versioned,
    grant_of,
    guard_of,
    guest_of,
    migration_of,
)
from hamon.model.guest import (
    Grant,
    GrantState,
    GuestRecord,
    InventoryEntry,
    PowerState,
)
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import DomainState
from hamon.model.incident import (
    IN_FLIGHT_MIGRATIONS,
    OPEN_MIGRATIONS,
    IncidentRecord,
    MigrationRecord,
    MigrationStatus,
)
from hamon.model.names import GuestId, HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import FenceProof
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView


def candidates(
    view: ClusterView, incident: IncidentRecord, policy: EvacuationPolicy
) -> tuple[dict[GuestId, InventoryEntry], tuple[Reason, ...]]:
    """Return the guests an incident is to move, and a reason for each that it cannot or shall not.

    Who opted out is moved only when an operator asks for this very guest.
    """
    host = view.hosts[incident.host]
    movable: dict[GuestId, InventoryEntry] = {}
    reasons: list[Reason] = []
    for guest, entry in sorted(host.inventory.items()):
        if incident.only and guest not in incident.only:
            continue
        record = view.guests.get(guest)
        if not entry.is_protected:
            why = ",".join(entry.not_movable)
            reasons.append(reason("guest_not_movable", guest, name=entry.name, why=why))
        elif record is None:
            reasons.append(reason("guest_never_adopted", guest, name=entry.name))
        elif record.value.owner == host.name:
            by = policy_of_entry(entry, policy).opted_out
            if by and guest not in incident.only:
                reasons.append(reason("guest_opted_out", guest, name=entry.name, by=by))
            else:
                movable[guest] = entry
    reasons += [
        reason("guest_without_definition", guest, name=record.value.name)
        for guest, record in sorted(view.guests.items())
        if record.value.owner == host.name
        and guest not in host.inventory
        and (not incident.only or guest in incident.only)
    ]
    return movable, tuple(reasons)


def record_migrations(view: ClusterView, incident: IncidentView, policy: EvacuationPolicy) -> Moves:
    """Write the migration record of every guest that is to move and has none (steps 5 and 6)."""
    movable, reasons = candidates(view, incident.record.value, policy)
    changes = []
    foreign = []
    for guest, entry in movable.items():
        record = view.guests[guest]
        if guest in incident.migrations:
            continue
        if record.value.migration is not None:
            other = record.value.migration
            foreign.append(reason("guest_in_other_migration", guest, incident=other))
            continue
        known = policy_of_entry(entry, policy)
        changes.append(record_migration(view, incident.record.value, entry, record, known))
    return Moves(changes=tuple(changes), reasons=(*reasons, *foreign))


def record_migration(
    view: ClusterView,
    incident: IncidentRecord,
    entry: InventoryEntry,
    record: Versioned[GuestRecord],
    policy: GuestPolicy,
) -> Change:
    """Build the transaction that records one guest's migration and names it in its record.

    The record of the guest keeps the power state that is wanted of it where it is: it may stay.
    """
    guest = entry.guest
    source = view.hosts[incident.host]
    migration = MigrationRecord(
        guest=guest,
        name=entry.name,
        incident=incident.incident,
        status=MigrationStatus.WAITING,
        source_compute=source.name,
        source_node=source.name,
        wanted=wanted_after(policy, entry.wanted),
        dest_compute=incident.target,
        target=incident.target,
        force=incident.force,
        policy=policy,
        by_hand=guest in incident.only,
        generation=record.value.generation,
        stamps={"recorded": view.wall},
    )
    owned = replace(record.value, migration=incident.incident, wanted=entry.wanted)
    return Change(
        subject=guest,
        reason=reason("migration_recorded", guest, name=entry.name, source=source.name),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(source.name), version=source.guard.version),
            Update(key=guest_of(guest), version=record.version, value=owned),
            Create(key=migration_of(incident.incident, guest), value=migration),
        ),
    )


def follow(
    view: ClusterView, incident: IncidentView, proofs: Mapping[HostName, FenceProof]
) -> Moves:
    """Bring every open migration's record up to what its destination did (steps 8 and 9).

    Args:
        view: the world.
        incident: whose migrations.
        proofs: fresh proofs of hosts that are dead now, to end claims there.
    """
    changes = []
    reasons = []
    for guest, migration in sorted(incident.migrations.items()):
        record = migration.record.value
        if record.status not in IN_FLIGHT_MIGRATIONS:
            continue
        change = _follow_one(view, guest, migration, proofs)
        if change is not None:
            changes.append(change)
        else:
            # Only its destination can end it: say so, however long that takes.
            where = record.dest_compute or ""
            reasons.append(reason("guest_in_flight", guest, host=where, status=record.status))
    return Moves(changes=tuple(changes), reasons=tuple(reasons))


def _follow_one(
    view: ClusterView,
    guest: GuestId,
    migration: MigrationView,
    proofs: Mapping[HostName, FenceProof],
) -> Change | None:
    record = migration.record.value
    destination = view.hosts.get(record.dest_compute) if record.dest_compute else None
    grant = destination.grants.get(guest) if destination is not None else None
    if destination is None or grant is None or grant.value.generation != record.generation:
        return None
    match grant.value.state:
        case GrantState.OFFERED | GrantState.CLAIMED | GrantState.RUNNING if _is_dead(
            destination, grant.value, proofs
        ):
            return _take_back(view, migration, destination, grant, "destination_died")
        case GrantState.OFFERED if _has_rebooted(destination, grant.value):
            return _take_back(view, migration, destination, grant, "destination_restarted")
        case GrantState.CLAIMED if record.status is MigrationStatus.ACCEPTED:
            moving = step(record, view, "claimed", status=MigrationStatus.PRE_MIGRATING)
            return write(migration, moving, "guest_claimed", host=destination.name)
        case GrantState.RUNNING if _is_seen(destination, grant.value, guest):
            return _confirm(view, migration, destination)
        case GrantState.RELEASED:
            why = grant.value.reason
            waiting = step(
                record,
                view,
                "released",
                status=MigrationStatus.WAITING,
                why=f"{destination.name}: {why}",
                tried=(*record.tried[-7:], destination.name),
            )
            return write(migration, waiting, "guest_released", host=destination.name, why=why)
        case _:
            return None


def _is_dead(host: HostView, grant: Grant, proofs: Mapping[HostName, FenceProof]) -> bool:
    """Say whether the boot this grant is bound to is proven dead.

    safety: an offer is bound to one boot by its ``boot_id``, and so is the proof; a claim of any
    other boot is left alone.
    """
    proof = proofs.get(host.name)
    return proof is not None and proof.boot_id == grant.boot_id


def _has_rebooted(host: HostView, grant: Grant) -> bool:
    """Say whether the host is there in another boot than the one an offer was bound to.

    safety: only for offers. The boot it was bound to is over, as a later one registered; nobody
    can claim it any more, and the exact version makes a claim that came first win. A claim is left
    to the new boot, which goes on with it.
    """
    return (
        host.heartbeat is not None
        and host.self_.value is not None
        and host.heartbeat.boot_id == host.self_.value.boot_id
        and host.self_.value.boot_id != grant.boot_id
    )


def _take_back(
    view: ClusterView,
    migration: MigrationView,
    destination: HostView,
    grant: Versioned[Grant],
    code: str,
) -> Change | None:
    """Revoke what a dead or restarted destination held; whatever it defined is stale from now on.

    The generation grows, so that the destination tells its leftover from a later offer when it is
    back, and removes it without waiting for the guest to settle elsewhere.
    """
    record = migration.record.value
    owned = view.guests.get(record.guest)
    if owned is None:
        return None
    generation = owned.value.generation + 1
    revoked = replace(
        grant.value,
        state=GrantState.REVOKED,
        generation=generation,
        moved_to=record.source_compute,
        definition="",
    )
    waiting = step(
        record,
        view,
        code,
        status=MigrationStatus.WAITING,
        why=f"{code.replace('_', ' ')}: {destination.name}",
        tried=(*record.tried[-7:], destination.name),
    )
    key = migration_of(record.incident, record.guest)
    return Change(
        subject=record.guest,
        reason=reason(code, record.guest, host=destination.name),
        operations=(
            Check(key=guard_of(destination.name), version=destination.guard.version),
            Update(
                key=guest_of(record.guest),
                version=owned.version,
                value=replace(owned.value, generation=generation),
            ),
            Update(
                key=grant_of(destination.name, record.guest), version=grant.version, value=revoked
            ),
            Update(key=key, version=migration.record.version, value=waiting),
        ),
    )


def _is_seen(host: HostView, grant: Grant, guest: GuestId) -> bool:
    """Say whether the destination's agent lists the domain as wanted, in the boot of the claim."""
    if host.domains is None or host.domains.boot_id != grant.boot_id:
        return False
    state = host.domains.domains.get(guest)
    if grant.wanted is PowerState.RUNNING:
        return state is DomainState.RUNNING
    return state is not None


def _confirm(view: ClusterView, migration: MigrationView, destination: HostView) -> Change | None:
    record = migration.record.value
    owned = view.guests.get(record.guest)
    source = view.hosts.get(record.source_compute)
    if owned is None:
        return None
    done = step(record, view, "done", status=MigrationStatus.DONE)
    key = migration_of(record.incident, record.guest)
    operations: list[Operation] = [
        Update(
            key=guest_of(record.guest),
            version=owned.version,
            value=replace(
                owned.value, owner=destination.name, migration=None, wanted=record.wanted
            ),
        ),
        Update(key=key, version=migration.record.version, value=done),
    ]
    old = source.grants.get(record.guest) if source is not None else None
    if old is not None and old.value.state is GrantState.REVOKED and source is not destination:
        stale = replace(old.value, moved_to=destination.name, generation=record.generation)
        operations.append(
            Update(
                key=grant_of(record.source_compute, record.guest), version=old.version, value=stale
            )
        )
    return Change(
        subject=record.guest,
        reason=reason("guest_evacuated", record.guest, name=record.name, host=destination.name),
        operations=tuple(operations),
    )


def is_finished(view: ClusterView, incident: IncidentView, policy: EvacuationPolicy) -> bool:
    """Say whether every guest that is to move has a migration, and none is open."""
    movable, _ = candidates(view, incident.record.value, policy)
    return all(guest in incident.migrations for guest in movable) and not any(
        migration.record.value.status in OPEN_MIGRATIONS
        for migration in incident.migrations.values()
    )
