"""Operators' requests: taken, answered and carried out in one transaction each. Pure.

Rules:

1. A request is answered exactly once; answer and effect commit together.
2. ``evacuate-host`` opens the same incident as the detector. It may pass overridable holds, which
   are written into the incident; never the proof, and never a sign of life.
3. What was shown to the operator binds: a host that has another boot by now is refused.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.admission import (
    check_boot,
    check_known,
    check_lifeless,
    is_shut_out,
    passed_holds,
    verdict_by_hand,
)
from hamon.decide.answering import RefusedError, accepted, answer, known_host
from hamon.decide.fence_by_hand import fence_off, fence_on
from hamon.decide.live import convict
from hamon.decide.naming import one_too_many
from hamon.decide.switches import switch
from hamon.decide.thought import Thought
from hamon.detector.verdict import Call, Verdict
from hamon.evacuator.choices import policy_of_entry
from hamon.evacuator.cloud.judge import Call as Judged
from hamon.evacuator.cloud.judge import judge as judge_server
from hamon.evacuator.cloud.record import record_guest
from hamon.evacuator.cloud.said import policy_of
from hamon.evacuator.flow import record_migration
from hamon.model.change import (
    Change,
    Check,
    Operation,
    Update,
    Versioned,
    guard_of,
    incident_of,
    migration_of,
)
from hamon.model.control import Hold, Request, RequestKind, RequestState
from hamon.model.guest import GuestRecord
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus, Trigger
from hamon.model.names import GuestId, HostName, incident_id
from hamon.model.policy import EvacuationPolicy, Policy
from hamon.model.proof import ProofMethod, ProofRecord
from hamon.model.readings import reads_on
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView

_WAITS_FOR_PROOF = frozenset(
    {HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING}
)
"""States in which an operator's word counts: also when a proven host's devices answer no more."""


def think_request(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Answer one pending request."""
    value = request.value
    try:
        match value.kind:
            case RequestKind.EVACUATE_HOST | RequestKind.EVACUATE:
                change = _evacuate(view, sequence, request, policy, in_force, now_s)
            case RequestKind.CONFIRM_DOWN:
                change = _confirm_down(view, sequence, request, policy, in_force, now_s)
            case RequestKind.FENCE_OFF:
                change = fence_off(view, sequence, request, policy, in_force, now_s)
            case RequestKind.FENCE_ON:
                return fence_on(view, sequence, request, policy, in_force)
            case _:
                change = switch(view, sequence, request, policy, now_s)
    except RefusedError as error:
        refused = replace(value, state=RequestState.REFUSED, answer=error.why, advice=error.advice)
        change = Change(
            subject=sequence,
            reason=reason("request_refused", sequence, kind=value.kind, why=error.why),
            operations=(answer(sequence, request, refused),),
        )
    return Thought(changes=(change,))


# -- evacuate-host, evacuate ----------------------------------------------------------------------


def _evacuate(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Change:
    value = request.value
    only: tuple[GuestId, ...] = ()
    if value.kind is RequestKind.EVACUATE:
        host = _host_of_guest(view, value)
        only = (value.guest,) if value.guest is not None else ()
    else:
        host = known_host(view, value.host)
    _check_target(view, host, value.target)
    check_known(host, "; there is nothing known to evacuate")
    if is_shut_out(view, host):
        return _widen(view, sequence, request, host, only, policy.evacuation)
    check_boot(value, host)
    verdict = verdict_by_hand(view, host, policy.detection, now_s)
    overridden = passed_holds(view, host, in_force)
    incident = incident_id(host.name, host.guard.version + 1)
    answered = accepted(value, f"incident {incident} opened", incident)
    return convict(
        view,
        host,
        verdict,
        trigger=Trigger.OPERATOR,
        request=value,
        overridden=overridden,
        only=only,
        also=(answer(sequence, request, answered),),
    )


def _host_of_guest(view: ClusterView, request: Request) -> HostView:
    if view.cloud is not None:
        # Whose guest it is, the controller that was asked has read from Nova.
        opened = view.guests.get(request.guest) if request.guest is not None else None
        if opened is not None:
            _check_waits(view, opened.value, request)
        return known_host(view, request.host)
    owned = view.guests.get(request.guest) if request.guest is not None else None
    if owned is None or owned.value.owner is None:
        msg = f"guest {request.guest} is not known to hamon"
        raise RefusedError(msg, "only protected guests are moved; `hamon host show` lists them")
    if owned.value.migration is not None:
        _check_waits(view, owned.value, request)
    return known_host(view, owned.value.owner)


def _check_waits(view: ClusterView, owned: GuestRecord, request: Request) -> None:
    """Refuse a guest that is on its way; one that waits may be given another destination."""
    incident = view.incidents.get(owned.migration) if owned.migration is not None else None
    migration = incident.migrations.get(request.guest) if incident and request.guest else None
    on = f" (incident {incident.record.value.incident})" if incident is not None else ""
    msg = f"guest {owned.name} is in an evacuation already{on}"
    if migration is None or migration.record.value.status is not MigrationStatus.WAITING:
        raise RefusedError(msg, "watch it with `hamon status --watch`")
    if request.target is None:
        why = migration.record.value.reason or "its turn has not come"
        raise RefusedError(f"{msg} and waits: {why}", "name a destination, or wait with it")


def _check_target(view: ClusterView, host: HostView, target: HostName | None) -> None:
    if target is None:
        return
    is_compute = view.cloud is not None and target in view.cloud.services
    if target not in view.hosts and not is_compute:
        msg = f"ComputeHostNotFound: host {target} is not enrolled"
        raise RefusedError(msg, "`hamon host list` shows the hosts; the exact name is needed")
    if target == host.name:
        raise RefusedError("The target host can't be the same one.")


def _widen(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    host: HostView,
    only: tuple[GuestId, ...],
    policy: EvacuationPolicy,
) -> Change:
    """Join an incident that is open already: all guests, or one more of them.

    Raises:
        RefusedError: the host returns, as many guests are named as may be, or one cannot move.
    """
    value = request.value
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    if record is None or incident is None or record.state is HostState.RETURNING:
        msg = f"host {host.name} is returning; its guests stay where they are"
        raise RefusedError(msg, "`hamon explain` says what it waits for")
    opened = incident.record.value
    for guest in only:
        if (refused := one_too_many(host.name, opened.incident, opened.only, guest)) is not None:
            raise RefusedError(*refused)
    scope = () if not only or not opened.only else tuple(dict.fromkeys((*opened.only, *only)))
    answered = accepted(value, f"joined incident {opened.incident}", opened.incident)
    operations: list[Operation] = [
        answer(sequence, request, answered),
        Check(key=guard_of(host.name), version=host.guard.version),
    ]
    wider = replace(opened, only=scope)
    if not only and value.target is not None:
        wider = replace(wider, target=value.target)
    if wider != opened:
        operations.append(
            Update(key=incident_of(opened.incident), version=incident.record.version, value=wider)
        )
    operations += _retarget(incident, value, only)
    if view.cloud is not None:
        operations += _record_in_cloud(view, incident, value, only, policy)
    else:
        operations += _record_now(view, incident, value, only, policy)
    why = reason("request_accepted", host.name, kind=value.kind, incident=opened.incident)
    return Change(subject=host.name, reason=why, operations=tuple(operations))


def _retarget(
    incident: IncidentView, request: Request, only: tuple[GuestId, ...]
) -> list[Operation]:
    """Give waiting migrations the destination that the operator now asks for."""
    if request.target is None:
        return []
    return [
        Update(
            key=migration_of(incident.record.value.incident, guest),
            version=migration.record.version,
            value=replace(
                migration.record.value,
                target=request.target,
                force=request.force,
                needs_password=request.needs_password,
                reason="",
            ),
        )
        for guest, migration in sorted(incident.migrations.items())
        if migration.record.value.status is MigrationStatus.WAITING and (not only or guest in only)
    ]


def _record_now(
    view: ClusterView,
    incident: IncidentView,
    request: Request,
    only: tuple[GuestId, ...],
    policy: EvacuationPolicy,
) -> list[Operation]:
    """Record the migration of a guest that has none yet, as it was asked for.

    Without a destination it is recorded like all others; but for one that opted out, which none
    but this request asks for.
    """
    asked = replace(incident.record.value, target=request.target, force=request.force, only=only)
    host = view.hosts[asked.host]
    operations: list[Operation] = []
    for guest in only:
        entry, record = host.inventory.get(guest), view.guests.get(guest)
        if guest in incident.migrations or entry is None or record is None:
            continue
        known = policy_of_entry(entry, policy)
        if request.target is None and not known.is_opted_out:
            continue
        operations += record_migration(view, asked, entry, record, known).operations
    return operations


def _record_in_cloud(
    view: ClusterView,
    incident: IncidentView,
    request: Request,
    only: tuple[GuestId, ...],
    policy: EvacuationPolicy,
) -> list[Operation]:
    """Record a guest that has no migration yet, or whose last one could not be, as asked for.

    Raises:
        RefusedError: Nova was not read yet, or cannot evacuate the guest as it is.
    """
    assert view.cloud is not None, "there is a cloud"
    asked = replace(
        incident.record.value,
        target=request.target,
        force=request.force,
        needs_password=request.needs_password,
        only=only,
    )
    operations: list[Operation] = []
    for guest in only:
        known = incident.migrations.get(guest)
        if known is not None and known.record.value.status is not MigrationStatus.FAILED:
            continue
        server = view.cloud.servers.get(guest)
        if server is None:
            msg = f"guest {guest} has not been read from Nova yet"
            raise RefusedError(msg, "repeat the command in a moment")
        judgement = judge_server(view, asked, server, policy)
        source = view.hosts[asked.host].service_host
        said = policy_of(view.cloud, server, source, policy)
        if judgement.call is Judged.STAYS:
            raise RefusedError(f"guest {server.name} cannot be evacuated: {judgement.why}")
        operations += record_guest(view, asked, server, judgement, said, known).operations
    return operations


# -- confirm-down ---------------------------------------------------------------------------------


def _confirm_down(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Change:
    value = request.value
    host = known_host(view, value.host)
    check_known(host)
    check_lifeless(view, host, policy.detection, now_s)
    if reads_on(host, now_s):
        msg = f"a fence device reads power On for host {host.name}"
        raise RefusedError(msg, "switch it off, or pull its plugs, then repeat the command")
    word = ProofRecord(
        method=ProofMethod.OPERATOR,
        boot_id=value.boot_id,
        epoch=view.own.epoch,
        at=view.wall,
        detail=value.reason,
        operator=value.who,
    )
    if is_shut_out(view, host):
        return _word_in_incident(view, sequence, request, host, word)
    check_boot(value, host)
    overridden = passed_holds(view, host, in_force)
    incident = incident_id(host.name, host.guard.version + 1)
    answered = accepted(value, f"incident {incident} opened", incident)
    verdict = Verdict(call=Call.DEAD, reason=reason("confirmed_down", host.name, who=value.who))
    return convict(
        view,
        host,
        verdict,
        trigger=Trigger.OPERATOR,
        request=value,
        overridden=overridden,
        proof=word,
        also=(answer(sequence, request, answered),),
    )


def _word_in_incident(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    host: HostView,
    word: ProofRecord,
) -> Change:
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    if record is None or incident is None:
        msg = "its incident has not been read yet"
        raise RefusedError(msg, "repeat the command in a moment")
    if record.state not in _WAITS_FOR_PROOF:
        msg = f"host {host.name} is {record.state}: nothing is waiting for your word"
        raise RefusedError(msg)
    if word.boot_id != host.guard.value.boot_id:
        msg = f"host {host.name}: the boot shown to you is not the one that was shut out"
        raise RefusedError(msg, "look again, and repeat the command if it is still needed")
    opened = incident.record.value
    answered = accepted(request.value, f"proof of incident {opened.incident}", opened.incident)
    why = reason("confirmed_down", host.name, who=word.operator, incident=opened.incident)
    write = Update(
        key=incident_of(opened.incident),
        version=incident.record.version,
        value=replace(opened, proof=word),
    )
    return Change(
        subject=host.name,
        reason=why,
        operations=(
            answer(sequence, request, answered),
            Check(key=guard_of(host.name), version=host.guard.version),
            write,
        ),
    )
