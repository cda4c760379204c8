"""A host comes back after an evacuation (DESIGN §9, docs/protocol.md 10). Pure.

Rules:

1. Only a boot other than the one that was shut out returns. The same boot stays shut for ever.
2. What has not been given to another host stays: its migration is closed as ``stays`` and its
   grant, if it was revoked, is offered to the new boot. What is in flight finishes first.
3. The host may live again only when no grant of it is revoked, its listing in the new boot shows
   none of the guests that moved away, and no shot at it can still act (S13, rule 4).
4. It stays shut while a guest that it would start runs, or may run, on another host.
5. Each further return in a row waits longer before the host is a destination again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hamon.evacuator.copies import copies, granted_to
from hamon.evacuator.migration import step
from hamon.model.action import Look
from hamon.model.change import (
    Change,
    Check,
    Intent,
    Operation,
    Update,
    grant_of,
    guard_of,
    guest_of,
    incident_of,
    migration_of,
    record_of,
    self_of,
)
from hamon.model.guest import Grant, GrantState
from hamon.model.host import DomainState, HostGuard, HostRecord, HostState, Right, check_transition
from hamon.model.incident import OPEN_MIGRATIONS, MigrationStatus
from hamon.model.names import GuestId
from hamon.model.policy import FencingPolicy, ReturnPolicy
from hamon.model.readings import is_settled, same_system
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView

RUNNING = frozenset({DomainState.RUNNING, DomainState.PAUSED})
"""A leftover definition that is off cannot start without a permit; one that runs must go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnStep:
    """What a returning host needs now; ``wake_at_s``: when waiting may end by itself.

    ``is_gone``: it is away again, and nothing of its former incident is open any more: it may be
    convicted anew, in the boot that went.
    """

    changes: tuple[Change, ...] = ()
    intents: tuple[Intent, ...] = ()
    looks: tuple[Look, ...] = ()
    reasons: tuple[Reason, ...] = ()
    wake_at_s: float | None = None
    is_gone: bool = False


def is_back(host: HostView) -> bool:
    """Say whether a boot other than the one shut out has registered and is present."""
    return (
        host.heartbeat is not None
        and host.self_.value is not None
        and host.heartbeat.boot_id == host.self_.value.boot_id
        and host.guard.value.right is Right.SHUT_OUT
        and host.self_.value.boot_id != host.guard.value.boot_id
    )


def incidents_of(view: ClusterView, host: HostView) -> tuple[IncidentView, ...]:
    """Return the host's incidents that are not closed, in the order of their names."""
    return tuple(
        incident
        for _, incident in sorted(view.incidents.items())
        if incident.record.value.host == host.name and not incident.record.value.closed
    )


def bring_back(
    view: ClusterView,
    host: HostView,
    recovery: ReturnPolicy,
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep:
    """Say what to do next for a host in RETURNING."""
    incidents = incidents_of(view, host)
    # One whose record cannot be read stays open, and is waited for below.
    stays = tuple(
        _stay(view, host, migration)
        for incident in incidents
        for guest, migration in sorted(incident.migrations.items())
        if migration.record.value.status is MigrationStatus.WAITING and guest in view.guests
    )
    if stays:
        return ReturnStep(changes=stays)
    blocked = wait_before_serving(view, host, incidents, fencing, now_s)
    if blocked is not None:
        return blocked
    elsewhere = copies(view, dict.fromkeys(granted_to(host), host.name))
    if elsewhere:
        # safety: an agent starts what it was granted as soon as its host may live, without asking.
        where = ",".join(f"{guest} ({copy.told})" for guest, copy in sorted(elsewhere.items()))
        why = reason("return_waits_for_copies", host.name, guests=where)
        return ReturnStep(reasons=(why,))
    return ReturnStep(changes=let_live(view, host, incidents, recovery))


def _stay(view: ClusterView, host: HostView, migration: MigrationView) -> Change:
    """Close a migration that no destination holds; give the guest back to the host's new boot.

    safety: WAITING means no grant of the guest is open anywhere (an offer is taken back only as
    released, or by proof), so the new offer is again the only one.
    """
    record = migration.record.value
    owned = view.guests[record.guest]
    closed = step(record, view, "stays", status=MigrationStatus.STAYS, why="source came back")
    generation = owned.value.generation
    operations: list[Operation] = [
        Check(key=self_of(host.name), version=host.self_.version),
        Check(key=guard_of(host.name), version=host.guard.version),
        Update(
            key=migration_of(record.incident, record.guest),
            version=migration.record.version,
            value=closed,
        ),
    ]
    grant = host.grants.get(record.guest)
    if grant is not None and grant.value.state in {GrantState.REVOKED, GrantState.RELEASED}:
        generation += 1
        again = Grant(
            state=GrantState.OFFERED,
            generation=generation,
            # As it was wanted here: what its policy asks for concerns another host.
            wanted=owned.value.wanted,
            boot_id=host.self_.value.boot_id if host.self_.value is not None else None,
            incident=record.incident,
        )
        operations.append(
            Update(key=grant_of(host.name, record.guest), version=grant.version, value=again)
        )
    operations.append(
        Update(
            key=guest_of(record.guest),
            version=owned.version,
            value=replace(owned.value, migration=None, generation=generation),
        )
    )
    return Change(
        subject=record.guest,
        reason=reason("guest_stays", record.guest, name=record.name, host=host.name),
        operations=tuple(operations),
    )


def wait_before_serving(
    view: ClusterView,
    host: HostView,
    incidents: tuple[IncidentView, ...],
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep | None:
    """Return why the host must stay shut for now; None: nothing is in the way."""
    in_flight = [
        migration.record.value.name
        for incident in incidents
        for migration in incident.migrations.values()
        if migration.record.value.status in OPEN_MIGRATIONS
    ]
    if in_flight:
        why = reason("return_waits_for_migrations", host.name, guests=",".join(sorted(in_flight)))
        return ReturnStep(reasons=(why,))
    for incident in incidents:
        for shot in incident.record.value.shots:
            if not is_settled(
                shot,
                host,
                epoch=view.own.epoch,
                took_office_s=view.own.took_office_s,
                lease_s=fencing.lease_s,
                now_s=now_s,
            ):
                until_s = view.own.took_office_s + shot.deadline_s + fencing.lease_s
                why = reason("return_waits_for_shot", host.name, device=shot.device)
                return ReturnStep(reasons=(why,), wake_at_s=until_s)
    if host.spec.agentless:
        return None
    if not is_back(host):
        why = reason("return_waits_for_host", host.name)
        return ReturnStep(reasons=(why,), is_gone=host.heartbeat is None)
    stranger = another_machine(host)
    if stranger is not None:
        return ReturnStep(reasons=(stranger,))
    stale = stale_guests(view, host)
    if stale:
        why = reason("return_waits_for_stale_guests", host.name, guests=",".join(stale))
        return ReturnStep(reasons=(why,))
    own_boot = host.self_.value.boot_id if host.self_.value is not None else None
    if host.domains is None or host.domains.boot_id != own_boot or not host.domains.is_healthy:
        return ReturnStep(reasons=(reason("return_waits_for_libvirt", host.name),))
    return None


def another_machine(host: HostView) -> Reason | None:
    """Say that what registered under the host's name is another machine; None: it is the one.

    safety: its fence devices answer for the configured machine, so that a shot would hit that one
    and prove nothing of this one (S12). Without a configured identity nobody can tell.
    """
    seen = host.self_.value
    wanted = host.spec.product_uuid
    if seen is None or not wanted or same_system(seen.product_uuid, wanted):
        return None
    return reason("host_is_another_machine", host.name, found=seen.product_uuid, wanted=wanted)


def stale_guests(view: ClusterView, host: HostView) -> tuple[GuestId, ...]:
    """Name the guests whose stale copy is not known to be gone from the host's new boot."""
    own_boot = host.self_.value.boot_id if host.self_.value is not None else None
    listed = (
        host.domains.domains
        if host.domains is not None and host.domains.boot_id == own_boot
        else {}
    )
    return tuple(
        guest
        for guest, grant in sorted(host.grants.items())
        if grant.value.state is GrantState.REVOKED
        or (
            grant.value.state is GrantState.RELEASED
            and listed.get(guest) in RUNNING
            and (view.cloud is not None or _is_away(view, host, guest))
        )
    )


def _is_away(view: ClusterView, host: HostView, guest: GuestId) -> bool:
    record = view.guests.get(guest)
    return record is not None and record.value.owner not in {host.name, None}


def let_live(
    view: ClusterView,
    host: HostView,
    incidents: tuple[IncidentView, ...],
    recovery: ReturnPolicy,
    left_open: tuple[int, ...] = (),
) -> tuple[Change, ...]:
    """Give the right to live back and close the books, in one transaction for the host.

    ``left_open``: records of Nova's that stay open.
    """
    record = host.record.value
    assert record is not None, "a returning host has a record"
    assert host.spec.agentless or host.boot_id is not None, "a returning host is registered"
    returns = record.returns + 1
    state = HostState.QUARANTINED if quarantine_s(returns, recovery) > 0 else HostState.UP
    check_transition(record.state, state)
    operations: list[Operation] = [
        Check(key=self_of(host.name), version=host.self_.version),
        Update(
            key=guard_of(host.name),
            version=host.guard.version,
            value=HostGuard(right=Right.LIVE),
        ),
        Update(
            key=record_of(host.name),
            version=host.record.version,
            value=HostRecord(
                state=state,
                epoch=view.own.epoch,
                since=view.wall,
                boot_id=host.boot_id,
                reason="returned",
                returns=returns,
                left_open=left_open,
            ),
        ),
    ]
    for incident in incidents:
        value = incident.record.value
        stamps = {**value.stamps, "returned": view.wall}
        operations.append(
            Update(
                key=incident_of(value.incident),
                version=incident.record.version,
                value=replace(value, closed=True, stamps=stamps),
            )
        )
        operations += [
            Update(
                key=migration_of(value.incident, guest),
                version=migration.record.version,
                value=step(
                    migration.record.value, view, "completed", status=MigrationStatus.COMPLETED
                ),
            )
            for guest, migration in sorted(incident.migrations.items())
            if migration.record.value.status is MigrationStatus.DONE
        ]
    why = reason("host_returned", host.name, boot_id=host.boot_id or "", returns=returns)
    if host.spec.agentless:
        why = reason("agentless_returned", host.name, returns=returns)
    return (Change(subject=host.name, reason=why, operations=tuple(operations)),)


def quarantine_s(returns: int, policy: ReturnPolicy) -> float:
    """Return how long a host waits after its n-th return in a row: 0, q, 2q, 4q … to the limit."""
    if returns <= 1:
        return 0.0
    doubled: float = policy.quarantine_s * 2.0 ** min(returns - 2, 30)
    return min(doubled, policy.quarantine_max_s)
