"""Hosts that lost the right to live: fencing, proof, evacuation, return. Pure.

Rules:

1. Fencing goes on until proven; when every level failed it starts again after a pause (FENCE_FAILED
   pages, and an operator's word can end it).
2. A proof ages: while guests are still to move, power is read every few seconds. A sign of life of
   the proven boot, or power On while a guest could move, stops new moves and fences again.
3. A host that registers with a new boot before any of that returns (``recovery``). One that is lost
   once more on its way is convicted once more, in its new boot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hamon.decide.holds import against_action, against_conviction
from hamon.decide.live import convict
from hamon.decide.thought import Thought, enter, looks_due
from hamon.detector.verdict import Call, judge
from hamon.evacuator import flow
from hamon.evacuator.offers import offer_waiting
from hamon.evacuator.scheduler import ARRIVING, Scheduler
from hamon.fencing.ladder import Rung, Step, climb
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Intent,
    Shoot,
    Update,
    guard_of,
    incident_of,
)
from hamon.model.control import Hold
from hamon.model.host import HostState
from hamon.model.incident import (
    OPEN_MIGRATIONS,
    IncidentRecord,
    MigrationStatus,
    Shot,
    ShotOutcome,
    Trigger,
)
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.model.proof import FenceProof, ProofRecord, Vote
from hamon.model.readings import levels, reads_on
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView
from hamon.recovery.return_path import bring_back, is_back


def think_convicted(
    view: ClusterView,
    host: HostView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    proofs: Mapping[HostName, FenceProof],
    scheduler: Scheduler,
    now_s: float,
) -> Thought:
    """Think about a host whose guard reads SHUT_OUT."""
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    if record is None or incident is None:
        return Thought(reasons=(reason("incident_not_read_yet", host.name),))
    match record.state:
        case HostState.FENCING | HostState.FENCE_FAILED:
            return _think_fencing(view, host, incident, policy, in_force, now_s)
        case HostState.FENCED | HostState.EVACUATING | HostState.EVACUATED if is_back(host):
            why = reason("host_returning", host.name, boot_id=_boot(host))
            change = enter(
                view, host, HostState.RETURNING, why, incident=incident.record.value.incident
            )
            return Thought(changes=(change,))
        case HostState.FENCED | HostState.EVACUATING | HostState.EVACUATED:
            proof = proofs.get(host.name)
            return _think_evacuating(
                view, host, incident, policy, in_force, proof, scheduler, now_s
            )
        case HostState.RETURNING:
            step = bring_back(view, host, policy.recovery, policy.fencing, now_s)
            if step.is_gone:
                return _think_lost_again(view, host, policy, in_force, now_s)
            return Thought(changes=step.changes, reasons=step.reasons, wake_at_s=step.wake_at_s)
        case _:
            return Thought(reasons=(reason("guard_and_record_disagree", host.name),))


def _boot(host: HostView) -> str:
    return host.self_.value.boot_id if host.self_.value is not None else ""


def _think_lost_again(
    view: ClusterView,
    host: HostView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Think about a host that went away while it returned: its guests that stayed are down."""
    verdict = judge(view, host, policy.detection, now_s)
    held = against_conviction(in_force, host, view)
    if verdict.call is Call.DEAD and not held:
        change = convict(view, host, verdict, trigger=Trigger.DETECTOR)
        return Thought(changes=(change,), reasons=(verdict.reason,))
    period_s = min(policy.detection.look_period_s, policy.detection.off_gap_s)
    looks, look_at_s = looks_due(host, period_s, now_s)
    reasons = [reason("return_waits_for_host", host.name), verdict.reason]
    if verdict.call is Call.DEAD:
        reasons += [
            reason("conviction_held", host.name, by=hold.kind, why=hold.reason) for hold in held
        ]
    return Thought(looks=looks, reasons=tuple(reasons), wake_at_s=look_at_s)


# -- fencing --------------------------------------------------------------------------------------


def _think_fencing(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    record = host.record.value
    assert record is not None
    period_s = min(policy.detection.look_period_s, policy.detection.off_gap_s)
    looks, look_at_s = looks_due(host, period_s, now_s, since_s=host.shot_settled_s)
    rung = climb(
        host,
        incident.record.value,
        epoch=view.own.epoch,
        detection=policy.detection,
        fencing=policy.fencing,
        now_s=now_s,
    )
    if rung.step is Step.PROVEN and rung.proof is not None:
        return Thought(changes=(_fenced(view, host, incident, rung.proof),))
    if record.state is HostState.FENCE_FAILED:
        again_s = host.state_since_s + policy.fencing.retry_after_s
        if now_s >= again_s:
            return Thought(changes=(_climb_again(view, host, incident, "fencing_retried"),))
        why = reason("fence_failed", host.name, retry_in_s=again_s - now_s)
        return Thought(looks=looks, reasons=(why,), wake_at_s=min(again_s, look_at_s))
    held = against_action(in_force, host)
    if held:
        reasons = [reason("fencing_held", host.name, by=h.kind, why=h.reason) for h in held]
        return Thought(looks=looks, reasons=tuple(reasons), wake_at_s=look_at_s)
    return _take_step(view, host, incident, rung, policy, Thought(looks=looks, wake_at_s=look_at_s))


def _take_step(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    rung: Rung,
    policy: Policy,
    looking: Thought,
) -> Thought:
    value = incident.record.value
    match rung.step:
        case Step.SHOOT if rung.device is not None:
            return Thought(intents=(_shoot(view, host, incident, rung, policy),))
        case Step.NEXT_LEVEL:
            known = [level for level in levels(host) if level > value.level]
            why = reason("fence_level_failed", host.name, level=value.level)
            higher = replace(_settle_shots(value, host, view), level=known[0] if known else 0)
            write = Update(
                key=incident_of(value.incident), version=incident.record.version, value=higher
            )
            change = Change(subject=host.name, reason=why, operations=(write,))
            return Thought(changes=(change,))
        case Step.EXHAUSTED:
            why = reason("fence_failed", host.name, attempt=value.attempt)
            write = Update(
                key=incident_of(value.incident),
                version=incident.record.version,
                value=_settle_shots(value, host, view),
            )
            change = enter(view, host, HostState.FENCE_FAILED, why, write, incident=value.incident)
            return Thought(changes=(change,))
        case _:
            return looking.with_reasons(reason("fencing", host.name, step=rung.step))


def _shoot(
    view: ClusterView, host: HostView, incident: IncidentView, rung: Rung, policy: Policy
) -> Intent:
    """Journal a shot; its action may start only within the lease of this write (rule 4)."""
    value = incident.record.value
    assert rung.device is not None
    deadline_s = policy.fencing.shot_deadline_s
    shot = Shot(
        device=rung.device.name,
        level=rung.device.level,
        attempt=value.attempt,
        epoch=view.own.epoch,
        controller=view.own.controller,
        at=view.wall,
        deadline_s=deadline_s,
    )
    settled = _settle_shots(value, host, view)
    kept = replace(settled, shots=(*settled.shots[-15:], shot), level=rung.device.level)
    why = reason("fence_shot", host.name, device=rung.device.name, attempt=value.attempt)
    change = Change(
        subject=host.name,
        reason=why,
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(host.name), version=host.guard.version),
            Update(key=incident_of(value.incident), version=incident.record.version, value=kept),
        ),
    )
    action = Shoot(
        host=host.name,
        incident=value.incident,
        device=rung.device.name,
        attempt=value.attempt,
        deadline_s=deadline_s,
    )
    return Intent(change=change, action=action)


def _settle_shots(value: IncidentRecord, host: HostView, view: ClusterView) -> IncidentRecord:
    """Write down what became of this term's shots that have ended."""
    if host.is_shot_running:
        return value
    outcome = host.last_shot if host.last_shot is not None else ShotOutcome.NOT_DONE
    shots = tuple(
        replace(shot, outcome=outcome)
        if shot.outcome is ShotOutcome.PENDING and shot.epoch == view.own.epoch
        else shot
        for shot in value.shots
    )
    return replace(value, shots=shots)


def _fenced(view: ClusterView, host: HostView, incident: IncidentView, proof: FenceProof) -> Change:
    value = _settle_shots(incident.record.value, host, view)
    why = reason("host_fenced", host.name, method=proof.method, detail=proof.detail)
    written = value.proof or ProofRecord(
        method=proof.method,
        boot_id=proof.boot_id,
        epoch=proof.epoch,
        at=view.wall,
        detail=proof.detail,
    )
    stamps = {**value.stamps, "fenced": view.wall}
    return enter(
        view,
        host,
        HostState.FENCED,
        why,
        Check(key=guard_of(host.name), version=host.guard.version),
        Update(
            key=incident_of(value.incident),
            version=incident.record.version,
            value=replace(value, proof=written, stamps=stamps),
        ),
        incident=value.incident,
    )


def _climb_again(
    view: ClusterView, host: HostView, incident: IncidentView, code: str, *, level: int = 0
) -> Change:
    """Start the ladder anew, from ``level`` up; what was proven before no longer counts."""
    value = _settle_shots(incident.record.value, host, view)
    again = replace(value, attempt=value.attempt + 1, level=level, proof=None)
    why = reason(code, host.name, attempt=again.attempt, level=level)
    return enter(
        view,
        host,
        HostState.FENCING,
        why,
        Update(key=incident_of(value.incident), version=incident.record.version, value=again),
        incident=value.incident,
    )


# -- evacuating -----------------------------------------------------------------------------------


def _think_evacuating(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    proof: FenceProof | None,
    scheduler: Scheduler,
    now_s: float,
) -> Thought:
    life = _life_of_proven_boot(host, policy, now_s)
    held = against_action(in_force, host)
    if life is not None and not held:
        return _contradicted(view, host, incident, life)
    recorded = flow.record_migrations(view, incident)
    offered = offer_waiting(
        view,
        incident,
        None if held else proof,
        scheduler,
        policy.evacuation,
        in_flight=in_flight(view),
        now_s=now_s,
    )
    reasons = (*recorded.reasons, *offered.reasons)
    if held:
        stopped = [reason("evacuation_held", host.name, by=h.kind, why=h.reason) for h in held]
        return Thought(reasons=(*reasons, *stopped))
    if offered.can_place and proof is None and reads_on(host, now_s):
        return Thought(changes=(_climb_again(view, host, incident, "power_on_again"),))
    thought = Thought(
        changes=(*recorded.changes, *offered.changes), reasons=reasons, wake_at_s=offered.wake_at_s
    )
    if _needs_proof(view, host, incident):
        looks, look_at_s = looks_due(host, _look_period_s(policy, proof), now_s)
        wakes = [w for w in (thought.wake_at_s, look_at_s) if w is not None]
        thought = replace(thought, looks=looks, wake_at_s=min(wakes))
    state = _next_state(view, host, incident)
    if state is None:
        return thought
    change = _enter_evacuation(view, host, incident, state)
    return replace(thought, changes=(*thought.changes, change))


def _life_of_proven_boot(host: HostView, policy: Policy, now_s: float) -> Reason | None:
    """Name a fresh sign of life of the very boot that was proven dead (rule 2 of DESIGN)."""
    dead = host.guard.value.boot_id
    if dead is None:
        return None
    if host.heartbeat is not None and host.heartbeat.boot_id == dead:
        return reason("proof_contradicted", host.name, by="session", boot_id=dead)
    for vote in host.evidence:
        is_fresh = now_s - vote.observed_s <= policy.detection.fresh_s
        is_later = vote.observed_s > host.state_since_s
        if vote.vote is Vote.ALIVE_STRONG and vote.boot_id == dead and is_fresh and is_later:
            return reason("proof_contradicted", host.name, by="echo", boot_id=dead)
    return None


def _contradicted(
    view: ClusterView, host: HostView, incident: IncidentView, life: Reason
) -> Thought:
    """Distrust the level that lied and go on from the next; without one, fencing has failed."""
    value = incident.record.value
    higher = [level for level in levels(host) if level > value.level]
    beyond = max(levels(host), default=0) + 1
    change = _climb_again(
        view, host, incident, "proof_contradicted", level=higher[0] if higher else beyond
    )
    return Thought(changes=(change,), reasons=(life,))


def in_flight(view: ClusterView) -> int:
    """Count the guests that are on their way, over all incidents."""
    return sum(
        1
        for incident in view.incidents.values()
        for migration in incident.migrations.values()
        if migration.record.value.status
        in {MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING}
    )


def _needs_proof(view: ClusterView, host: HostView, incident: IncidentView) -> bool:
    """Say whether power must be watched: guests are to leave, or claims here are to be ended."""
    if any(g.value.state in ARRIVING for g in host.grants.values()):
        return True
    return not flow.is_finished(view, incident) or any(
        migration.record.value.status in OPEN_MIGRATIONS
        for migration in incident.migrations.values()
    )


def _look_period_s(policy: Policy, proof: FenceProof | None) -> float:
    if proof is None:
        return min(policy.detection.look_period_s, policy.detection.off_gap_s)
    return policy.fencing.reread_period_s


def _next_state(view: ClusterView, host: HostView, incident: IncidentView) -> HostState | None:
    record = host.record.value
    assert record is not None
    is_finished = flow.is_finished(view, incident)
    match record.state:
        case HostState.FENCED:
            return HostState.EVACUATING
        case HostState.EVACUATING if is_finished:
            return HostState.EVACUATED
        case HostState.EVACUATED if not is_finished:
            return HostState.EVACUATING
        case _:
            return None


def _enter_evacuation(
    view: ClusterView, host: HostView, incident: IncidentView, state: HostState
) -> Change:
    value = incident.record.value
    code = "host_evacuated" if state is HostState.EVACUATED else "evacuation_started"
    stamp = "evacuated" if state is HostState.EVACUATED else "evacuating"
    write = Update(
        key=incident_of(value.incident),
        version=incident.record.version,
        value=replace(value, stamps={**value.stamps, stamp: view.wall}),
    )
    why = reason(code, host.name, incident=value.incident)
    return enter(view, host, state, why, write, incident=value.incident)
