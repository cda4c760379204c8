"""A host of a nova cloud comes back (DESIGN §9, nova.md 5). Pure.

Rules:

1. Nova removes the copies of evacuated guests only when nova-compute starts, so that start is let
   happen while the host is still forced down and disabled, and its outcome is waited for.
2. The gate opens when nothing of the incident can still change: no guest is on its way, no shot can
   act, and the host's agent has answered every denial: no copy runs, and none can be started.
3. The host serves when Nova's records of every evacuation away from it are ``completed``, its
   service is up, and the guests that stayed run again.
4. A record that stays open is waited for, visibly: by it nova-compute would destroy the guest of
   that name at its next start, wherever it belongs by then. Of several open records of one guest
   Nova completes only one at each start; the others are written down, and said. One of them that
   is ``done`` is waited for: Nova lets no host up again before that is completed too.
5. On a host without an agent there is no gate, nobody looks for copies, and guests that stay are
   left as they are: that is said, and the records are waited for all the same.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.close import release_record
from hamon.evacuator.cloud.in_place import start_in_place
from hamon.evacuator.migration import step
from hamon.model.action import CloudLook, CloudLookKind, LiftForceDown, RunBeforeGate
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Intent,
    Update,
    guard_of,
    incident_of,
    migration_of,
    self_of,
)
from hamon.model.cloud import EVACUATION, CallState, CloudMigration, CloudView, ComputeService
from hamon.model.incident import MigrationStatus
from hamon.model.policy import FencingPolicy, ReturnPolicy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView
from hamon.recovery.return_path import ReturnStep, incidents_of, let_live, wait_before_serving

CALL_AGAIN_S = 2.0
_NAMES_SHOWN = 8


def bring_back(
    view: ClusterView,
    host: HostView,
    recovery: ReturnPolicy,
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep:
    """Say what to do next for a host in RETURNING."""
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    step = _next_step(view, host, cloud, recovery, fencing, now_s)
    if not host.spec.agentless:
        return step
    return replace(step, reasons=(*step.reasons, _unchecked(host, cloud)))


def _next_step(
    view: ClusterView,
    host: HostView,
    cloud: CloudView,
    recovery: ReturnPolicy,
    fencing: FencingPolicy,
    now_s: float,
) -> ReturnStep:
    incidents = incidents_of(view, host)
    stays = tuple(
        _stay(view, host, migration)
        for incident in incidents
        for _, migration in sorted(incident.migrations.items())
        if migration.record.value.status is MigrationStatus.WAITING
    )
    if stays:
        return ReturnStep(changes=stays)
    blocked = wait_before_serving(view, host, incidents, fencing, now_s)
    if blocked is not None:
        return blocked
    service = cloud.services.get(host.service_host)
    if service is None:
        return ReturnStep(reasons=(reason("return_waits_for_nova", host.name, what="services"),))
    if not host.spec.agentless and not host.guard.value.is_gate_open:
        prepared = _prepare(view, host, cloud, incidents, recovery)
        if prepared is not None:
            return prepared
        return _open_gate(view, host, incidents, service)
    return _after_gate(view, host, cloud, service, incidents, recovery, now_s)


def _unchecked(host: HostView, cloud: CloudView) -> Reason:
    """Say what nobody can see to on a host without an agent, and name the guests that stayed."""
    stayed = [
        server.name
        for _, server in sorted(cloud.servers.items())
        if server.host == host.service_host and server.vm_state == "active"
    ]
    shown = ",".join(stayed[:_NAMES_SHOWN]) or "none"
    return reason("agentless_return_unchecked", host.name, guests=shown)


def _stay(view: ClusterView, host: HostView, migration: MigrationView) -> Change:
    """Close the migration of a guest that Nova was not asked to evacuate: it stays.

    safety: WAITING means that no request for it is under way: none was made, or Nova ended it, or
    it was given up when it could no longer arrive.
    """
    record = migration.record.value
    why = "source came back"
    if host.spec.agentless:
        why = f"{why}; it has no agent: look whether the guest runs there"
    closed = step(record, view, "stays", status=MigrationStatus.STAYS, why=why)
    return Change(
        subject=record.guest,
        reason=reason("guest_stays", record.guest, name=record.name, host=host.name),
        operations=(
            Check(key=self_of(host.name), version=host.self_.version),
            Check(key=guard_of(host.name), version=host.guard.version),
            Update(
                key=migration_of(record.incident, record.guest),
                version=migration.record.version,
                value=closed,
            ),
            *release_record(view, migration),
        ),
    )


def _prepare(
    view: ClusterView,
    host: HostView,
    cloud: CloudView,
    incidents: tuple[IncidentView, ...],
    recovery: ReturnPolicy,
) -> ReturnStep | None:
    """Run the operator's program once before the gate opens; None: it has ended, or there is none.

    safety: its failure stops nothing, because what it prevents is prevented without it too: an
    order that waited for the host is refused by the libvirt hook.
    """
    if not recovery.before_gate or not incidents:
        return None
    action = RunBeforeGate(
        service_host=host.service_host, incident=incidents[-1].record.value.incident
    )
    call = cloud.calls.get(action.subject)
    if call is not None:
        if call.state is not CallState.RUNNING:
            return None
        why = reason("return_waits_for_program", host.name, program=recovery.before_gate[0])
        return ReturnStep(reasons=(why,))
    change = Change(
        subject=host.name,
        reason=reason("before_gate_run", host.name, program=recovery.before_gate[0]),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=self_of(host.name), version=host.self_.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
    return ReturnStep(intents=(Intent(change=change, action=action),))


def _open_gate(
    view: ClusterView,
    host: HostView,
    incidents: tuple[IncidentView, ...],
    service: ComputeService,
) -> ReturnStep:
    """Let nova-compute start, and write down its last heartbeat, to know the next one by it."""
    assert host.self_.value is not None, "a returning host is registered"
    opened = replace(host.guard.value, is_gate_open=True)
    change = Change(
        subject=host.name,
        reason=reason("gate_opened", host.name, boot_id=host.self_.value.boot_id),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=self_of(host.name), version=host.self_.version),
            Update(key=guard_of(host.name), version=host.guard.version, value=opened),
            *(
                Update(
                    key=incident_of(incident.record.value.incident),
                    version=incident.record.version,
                    value=replace(
                        incident.record.value,
                        beat_at=service.beat_at,
                        stamps={**incident.record.value.stamps, "gate_opened": view.wall},
                    ),
                )
                for incident in incidents
            ),
        ),
    )
    return ReturnStep(changes=(change,))


def _after_gate(
    view: ClusterView,
    host: HostView,
    cloud: CloudView,
    service: ComputeService,
    incidents: tuple[IncidentView, ...],
    recovery: ReturnPolicy,
    now_s: float,
) -> ReturnStep:
    beats = {incident.record.value.beat_at for incident in incidents}
    # One without an agent is here because of a heartbeat: none was written down at a gate.
    if service.beat_at in beats:
        return ReturnStep(reasons=(reason("return_waits_for_nova_compute", host.name),))
    left = _open_records(cloud, host.service_host)
    if left is None:
        look = CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=host.service_host)
        why = reason("return_waits_for_nova", host.name, what="migrations")
        return ReturnStep(looks=(look,), reasons=(why,))
    if left:
        numbers = ",".join(f"{row.number} ({row.status})" for row in left[:_NAMES_SHOWN])
        guests = ",".join(row.guest for row in left[:_NAMES_SHOWN])
        code = "agentless_waits_for_records" if host.spec.agentless else "return_waits_for_records"
        why = reason(code, host.name, records=numbers, guests=guests)
        return ReturnStep(reasons=(why,))
    if service.is_forced_down:
        return _lift(view, host, cloud, service, now_s)
    if not service.is_up:
        return ReturnStep(reasons=(reason("return_waits_for_service_up", host.name),))
    # Only an agent sees whether a guest runs: what runs already must not be rebooted.
    restored = None if host.spec.agentless else start_in_place(view, host, now_s)
    if restored is not None:
        return ReturnStep(intents=restored.intents, looks=restored.looks, reasons=restored.reasons)
    left_open = tuple(row.number for row in _open_rows(cloud, host.service_host))
    return ReturnStep(changes=let_live(view, host, incidents, recovery, left_open))


def _open_records(cloud: CloudView, service_host: str) -> tuple[CloudMigration, ...] | None:
    """Return the evacuations away from the host that nova-compute has not completed; None: unread.

    nova-compute completes them before its first heartbeat, so a list asked for after that heartbeat
    was read shows all that is ever going to be completed by this start.
    """
    traced_s = cloud.traced_s.get(service_host)
    if traced_s is None or cloud.services_s is None or traced_s < cloud.services_s:
        return None
    return tuple(
        row
        for row in _open_rows(cloud, service_host)
        if row.status == rows.DONE
        or not any(
            later.number > row.number and later.status == rows.COMPLETED
            for later in rows.evacuations(cloud, row.guest, service_host)
        )
    )


def _open_rows(cloud: CloudView, service_host: str) -> tuple[CloudMigration, ...]:
    """Return Nova's evacuation records away from a host that a start of nova-compute acts on.

    Those of a server that was deleted are in no list; nothing ever completes them, and there is no
    guest left that they could destroy.
    """
    return tuple(
        row
        for _, found in sorted(cloud.migrations.items())
        for row in found
        if row.kind == EVACUATION
        and row.source == service_host
        and row.status in {*rows.OPEN, rows.DONE}
        and (row.guest, row.number) not in cloud.unlisted_rows
    )


def _lift(
    view: ClusterView, host: HostView, cloud: CloudView, service: ComputeService, now_s: float
) -> ReturnStep:
    why = reason("force_down_lifted", host.name)
    call = cloud.calls.get(host.service_host)
    if call is not None and (
        call.state is CallState.RUNNING
        or (call.state is not CallState.DONE and now_s < call.at_s + CALL_AGAIN_S)
    ):
        told = reason("return_waits_for_service_up", host.name)
        if call.why:
            told = reason("force_down_not_lifted", host.name, why=call.why)
        return ReturnStep(reasons=(told,))
    change = Change(
        subject=host.name,
        reason=why,
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=self_of(host.name), version=host.self_.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
    action = LiftForceDown(service_host=host.service_host, service_id=service.id)
    return ReturnStep(intents=(Intent(change=change, action=action),))
