"""Operators' requests: taken, answered and carried out in one transaction each. Pure.

Rules:

1. A request is answered exactly once; answer and effect commit together.
2. ``evacuate-host`` opens the same incident as the detector. It may pass overridable holds, which
   are written into the incident; never the proof, and never a sign of life.
3. What was shown to the operator binds: a host that has another boot by now is refused.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.holds import OVERRIDABLE, against_conviction
from hamon.decide.live import convict
from hamon.decide.thought import Thought
from hamon.detector.verdict import Call, Verdict, judge, shows_life
from hamon.evacuator.flow import record_migration
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Operation,
    Update,
    Versioned,
    guard_of,
    incident_of,
    migration_of,
    request_of,
)
from hamon.model.control import Control, Hold, Maintenance, Request, RequestKind, RequestState
from hamon.model.host import SHUT_OUT_STATES, HostState
from hamon.model.incident import MigrationStatus, Trigger
from hamon.model.names import GuestId, HostName, IncidentId, incident_id
from hamon.model.policy import Policy
from hamon.model.proof import ProofMethod, ProofRecord
from hamon.model.readings import reads_on
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView

_WAITS_FOR_PROOF = frozenset(
    {HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING}
)
"""States in which an operator's word counts: also when a proven host's devices answer no more."""


class _RefusedError(Exception):
    """A request that is answered with a refusal: why, and what to do."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.advice = advice


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
            case _:
                change = _control(view, sequence, request)
    except _RefusedError as error:
        refused = replace(value, state=RequestState.REFUSED, answer=error.why, advice=error.advice)
        change = Change(
            subject=sequence,
            reason=reason("request_refused", sequence, kind=value.kind, why=error.why),
            operations=(_answer(sequence, request, refused),),
        )
    return Thought(changes=(change,))


def _answer(sequence: str, request: Versioned[Request], answered: Request) -> Operation:
    return Update(key=request_of(sequence), version=request.version, value=answered)


def _accepted(request: Request, answer: str, incident: IncidentId | None = None) -> Request:
    return replace(request, state=RequestState.ACCEPTED, answer=answer, incident=incident)


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
        host = _known_host(view, value.host)
    _check_target(view, host, value.target)
    record = host.record.value
    if record is None or host.self_.value is None:
        msg = f"host {host.name} has never registered; there is nothing known to evacuate"
        raise _RefusedError(msg)
    if record.state in SHUT_OUT_STATES:
        return _widen(view, sequence, request, host, only)
    _check_boot(value, host)
    life = shows_life(host, policy.detection, now_s)
    if life is not None:
        raise _RefusedError(
            f"host {host.name} is alive: {life.code} {_facts(life.facts)}",
            "guests of a live host are live-migrated, not evacuated; if it is to go, power it off "
            "and wait until its session has ended",
        )
    overridden = _passed_holds(view, host, in_force)
    verdict = judge(view, host, policy.detection, now_s)
    if verdict.call not in {Call.LOST, Call.DEAD, Call.LEFT}:
        msg = f"host {host.name} is not down: {verdict.call}"
        raise _RefusedError(msg, "wait until its session has ended, or power it off")
    incident = incident_id(host.name, host.guard.version + 1)
    answered = _accepted(value, f"incident {incident} opened", incident)
    return convict(
        view,
        host,
        verdict,
        trigger=Trigger.OPERATOR,
        request=value,
        overridden=overridden,
        only=only,
        also=(_answer(sequence, request, answered),),
    )


def _known_host(view: ClusterView, name: HostName | None) -> HostView:
    host = view.hosts.get(name) if name is not None else None
    if host is None:
        msg = f"host {name} is not enrolled"
        raise _RefusedError(msg, "`hamon host list` shows the hosts; the exact name is needed")
    return host


def _host_of_guest(view: ClusterView, request: Request) -> HostView:
    owned = view.guests.get(request.guest) if request.guest is not None else None
    if owned is None or owned.value.owner is None:
        msg = f"guest {request.guest} is not known to hamon"
        raise _RefusedError(msg, "only protected guests are moved; `hamon host show` lists them")
    if owned.value.migration is not None:
        incident = view.incidents.get(owned.value.migration)
        on = f" (incident {incident.record.value.incident})" if incident is not None else ""
        msg = f"guest {owned.value.name} is in an evacuation already{on}"
        raise _RefusedError(msg, "watch it with `hamon status --watch`")
    return _known_host(view, owned.value.owner)


def _check_target(view: ClusterView, host: HostView, target: HostName | None) -> None:
    if target is None:
        return
    if target not in view.hosts:
        msg = f"ComputeHostNotFound: host {target} is not enrolled"
        raise _RefusedError(msg, "`hamon host list` shows the hosts; the exact name is needed")
    if target == host.name:
        raise _RefusedError("The target host can't be the same one.")


def _check_boot(request: Request, host: HostView) -> None:
    boot_id = host.self_.value.boot_id if host.self_.value is not None else None
    if request.boot_id is not None and request.boot_id != boot_id:
        msg = f"host {host.name} has rebooted since it was shown to you"
        raise _RefusedError(msg, "look again, and repeat the command if it is still needed")


def _passed_holds(
    view: ClusterView, host: HostView, in_force: tuple[Hold, ...]
) -> tuple[Hold, ...]:
    """Return the holds the operator passes; refuse where one may not be passed."""
    held = against_conviction(in_force, host, view)
    for hold in held:
        if hold.kind not in OVERRIDABLE:
            advice = "`hamon arm` first" if hold.kind.value == "disarmed" else ""
            msg = f"held by {hold.kind}: {hold.reason}"
            raise _RefusedError(msg, advice)
    return held


def _widen(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    host: HostView,
    only: tuple[GuestId, ...],
) -> Change:
    """Join an incident that is open already: all guests, or one more of them."""
    value = request.value
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    if record is None or incident is None or record.state is HostState.RETURNING:
        msg = f"host {host.name} is returning; its guests stay where they are"
        raise _RefusedError(msg, "`hamon explain` says what it waits for")
    opened = incident.record.value
    scope = () if not only or not opened.only else tuple(dict.fromkeys((*opened.only, *only)))
    answered = _accepted(value, f"joined incident {opened.incident}", opened.incident)
    operations: list[Operation] = [
        _answer(sequence, request, answered),
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
    operations += _record_with_target(view, incident, value, only)
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
                migration.record.value, target=request.target, force=request.force, reason=""
            ),
        )
        for guest, migration in sorted(incident.migrations.items())
        if migration.record.value.status is MigrationStatus.WAITING and (not only or guest in only)
    ]


def _record_with_target(
    view: ClusterView, incident: IncidentView, request: Request, only: tuple[GuestId, ...]
) -> list[Operation]:
    """Record the migration of a guest that has none yet, with the destination it was asked for."""
    if request.target is None:
        return []
    asked = replace(incident.record.value, target=request.target, force=request.force)
    host = view.hosts[asked.host]
    operations: list[Operation] = []
    for guest in only:
        entry, record = host.inventory.get(guest), view.guests.get(guest)
        if guest in incident.migrations or entry is None or record is None:
            continue
        operations += record_migration(view, asked, guest, entry, record).operations
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
    host = _known_host(view, value.host)
    record = host.record.value
    if record is None or host.self_.value is None:
        msg = f"host {host.name} has never registered"
        raise _RefusedError(msg)
    life = shows_life(host, policy.detection, now_s)
    if life is not None:
        msg = f"host {host.name} is alive: {life.code} {_facts(life.facts)}"
        raise _RefusedError(msg, "a host that anybody sees alive cannot be confirmed down")
    if reads_on(host, now_s):
        msg = f"a fence device reads power On for host {host.name}"
        raise _RefusedError(msg, "switch it off, or pull its plugs, then repeat the command")
    word = ProofRecord(
        method=ProofMethod.OPERATOR,
        boot_id=value.boot_id,
        epoch=view.own.epoch,
        at=view.wall,
        detail=value.reason,
        operator=value.who,
    )
    if record.state in SHUT_OUT_STATES:
        return _word_in_incident(view, sequence, request, host, word)
    _check_boot(value, host)
    overridden = _passed_holds(view, host, in_force)
    incident = incident_id(host.name, host.guard.version + 1)
    answered = _accepted(value, f"incident {incident} opened", incident)
    verdict = Verdict(call=Call.DEAD, reason=reason("confirmed_down", host.name, who=value.who))
    return convict(
        view,
        host,
        verdict,
        trigger=Trigger.OPERATOR,
        request=value,
        overridden=overridden,
        proof=word,
        also=(_answer(sequence, request, answered),),
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
        raise _RefusedError(msg, "repeat the command in a moment")
    if record.state not in _WAITS_FOR_PROOF:
        msg = f"host {host.name} is {record.state}: nothing is waiting for your word"
        raise _RefusedError(msg)
    if word.boot_id != host.guard.value.boot_id:
        msg = f"host {host.name}: the boot shown to you is not the one that was shut out"
        raise _RefusedError(msg, "look again, and repeat the command if it is still needed")
    opened = incident.record.value
    answered = _accepted(request.value, f"proof of incident {opened.incident}", opened.incident)
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
            _answer(sequence, request, answered),
            Check(key=guard_of(host.name), version=host.guard.version),
            write,
        ),
    )


# -- control --------------------------------------------------------------------------------------


def _control(view: ClusterView, sequence: str, request: Versioned[Request]) -> Change:
    value = request.value
    control = view.control.value
    match value.kind:
        case RequestKind.DISARM | RequestKind.ARM:
            is_armed = value.kind is RequestKind.ARM
            changed = replace(
                control, is_armed=is_armed, reason=value.reason, who=value.who, since=view.wall
            )
            answer = "armed" if is_armed else "disarmed: nothing new is started"
        case RequestKind.MAINTENANCE_ON:
            host = _known_host(view, value.host)
            changed = _maintained(view, control, host.name, value)
            answer = f"host {host.name} is in maintenance"
        case _:
            name = value.host
            if name is None or name not in control.maintenance:
                msg = f"host {name} is not in maintenance"
                raise _RefusedError(msg)
            rest = {host: entry for host, entry in control.maintenance.items() if host != name}
            changed = replace(control, maintenance=rest)
            answer = f"host {name} is no longer in maintenance"
    return Change(
        subject=sequence,
        reason=reason("request_accepted", sequence, kind=value.kind, who=value.who),
        operations=(
            Update(key=CONTROL, version=view.control.version, value=changed),
            _answer(sequence, request, _accepted(value, answer)),
        ),
    )


def _maintained(view: ClusterView, control: Control, host: HostName, request: Request) -> Control:
    entry = Maintenance(
        reason=request.reason, who=request.who, since=view.wall, until=request.until
    )
    return replace(control, maintenance={**control.maintenance, host: entry})


def end_of_maintenance(view: ClusterView) -> Thought:
    """Lift maintenance whose end has come.

    The end is a wall-clock time because an operator said it; that a host is looked after again a
    little early or late decides nothing by itself (S20).
    """
    control = view.control.value
    over = [
        host
        for host, entry in sorted(control.maintenance.items())
        if entry.until and entry.until <= view.wall
    ]
    if not over:
        return Thought()
    rest = {host: entry for host, entry in control.maintenance.items() if host not in over}
    return Thought(
        changes=(
            Change(
                subject=over[0],
                reason=reason("maintenance_ended", over[0], hosts=",".join(over)),
                operations=(
                    Update(
                        key=CONTROL,
                        version=view.control.version,
                        value=replace(control, maintenance=rest),
                    ),
                ),
            ),
        )
    )


def _facts(facts: object) -> str:
    if not isinstance(facts, dict):
        return ""
    return ", ".join(f"{key}={value}" for key, value in facts.items() if value)
