"""Recording the evacuation of each guest of a dead host, before anything is asked of Nova. Pure.

A guest's record names its one open migration (S5) and is gone when that is closed: who a guest
belongs to is Nova's to say.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.choices import wanted_after
from hamon.evacuator.cloud.judge import GONE, Call, Judgement, judge, wanted_of
from hamon.evacuator.cloud.said import READ_WITHIN_S, is_awaited, policy_of
from hamon.evacuator.moves import Moves
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Operation,
    Update,
    guard_of,
    guest_of,
    migration_of,
)
from hamon.model.cloud import Server
from hamon.model.guest import GuestRecord
from hamon.model.guest_policy import GuestPolicy
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus
from hamon.model.policy import EvacuationPolicy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, IncidentView, MigrationView


def servers_of(view: ClusterView, incident: IncidentRecord) -> tuple[Server, ...]:
    """Return the guests that Nova gives to the incident's host and that are to move, by id."""
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    source = view.hosts[incident.host].service_host
    return tuple(
        server
        for guest, server in sorted(cloud.servers.items())
        if server.host == source
        and server.vm_state not in GONE
        and guest not in cloud.unlisted
        and (not incident.only or guest in incident.only)
    )


def record_guests(
    view: ClusterView, incident: IncidentView, policy: EvacuationPolicy, now_s: float
) -> Moves:
    """Write the migration of every guest that has none yet, also of those that cannot move."""
    assert view.cloud is not None, "there is a cloud"
    value = incident.record.value
    source = view.hosts[value.host].service_host
    wakes: list[float] = []
    changes: list[Change] = []
    reasons: list[Reason] = []
    for server in servers_of(view, value):
        if server.guest in incident.migrations:
            continue
        other = view.guests.get(server.guest)
        if other is not None:
            facts = {"name": server.name, "incident": other.value.migration}
            reasons.append(reason("guest_in_other_migration", server.guest, **facts))
            continue
        if is_awaited(view.cloud, server, source, now_s):
            reasons.append(reason("waits_for_choices", server.guest, name=server.name))
            wakes.append(view.cloud.listed_s[source] + READ_WITHIN_S)
            continue
        judgement = judge(view, value, server, policy)
        known = policy_of(view.cloud, server, source, policy)
        changes.append(record_guest(view, value, server, judgement, known))
    wake_at_s = min(wakes) if wakes else None
    return Moves(changes=tuple(changes), reasons=tuple(reasons), wake_at_s=wake_at_s)


def record_guest(
    view: ClusterView,
    incident: IncidentRecord,
    server: Server,
    judgement: Judgement,
    policy: GuestPolicy,
    failed: MigrationView | None = None,
) -> Change:
    """Build the transaction that records one guest's evacuation, or that it cannot be evacuated.

    Args:
        view: the world.
        incident: whose guest.
        server: the guest.
        judgement: whether it can move.
        policy: what was said of it.
        failed: its former migration in this incident, which is opened again; None: it has none.
    """
    source = view.hosts[incident.host]
    stays = judgement.call is Call.STAYS
    wanted = wanted_after(policy, wanted_of(server, source))
    migration = MigrationRecord(
        guest=server.guest,
        name=server.name,
        incident=incident.incident,
        status=MigrationStatus.FAILED if stays else MigrationStatus.WAITING,
        source_compute=source.name,
        source_node=server.node,
        wanted=wanted,
        target=incident.target,
        force=incident.force,
        needs_password=incident.needs_password and server.guest in incident.only,
        policy=policy,
        by_hand=server.guest in incident.only,
        reason=judgement.why,
        stamps={"recorded": view.wall},
    )
    if failed is not None:
        # By these, what Nova recorded and answered of the earlier attempts is told from the next.
        known = failed.record.value
        migration = replace(
            migration, attempts=known.attempts, newest=known.newest, joined=known.joined
        )
    key = migration_of(incident.incident, server.guest)
    operations: list[Operation] = [
        Check(key=CONTROL, version=view.control.version),
        Check(key=guard_of(source.name), version=source.guard.version),
        Create(key=key, value=migration)
        if failed is None
        else Update(key=key, version=failed.record.version, value=migration),
    ]
    if stays:
        why = reason("guest_not_movable", server.guest, name=server.name, why=judgement.why)
        return Change(subject=server.guest, reason=why, operations=tuple(operations))
    owned = GuestRecord(
        name=server.name,
        owner=source.name,
        generation=0,
        wanted=wanted,
        migration=incident.incident,
    )
    operations.append(Create(key=guest_of(server.guest), value=owned))
    why = reason("migration_recorded", server.guest, name=server.name, source=source.name)
    return Change(subject=server.guest, reason=why, operations=tuple(operations))
