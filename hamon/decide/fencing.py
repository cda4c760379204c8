"""Hosts that are to be shut out for certain: shots, readings, proof, and trying again. Pure.

Fencing goes on until proven. When every level failed, or no order could be given in time, it starts
again after a pause: FENCE_FAILED pages, and an operator's word can end it.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.holds import against_action
from hamon.decide.thought import Thought, enter, known_since_s, looks_due
from hamon.detector.agentless import sign_of_life
from hamon.fencing.ladder import Rung, Step, climb, is_word_over
from hamon.fencing.refutation import Refutation, refutation
from hamon.fencing.shots import was_never_given
from hamon.model.action import Shoot
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Intent,
    Update,
    guard_of,
    incident_of,
)
from hamon.model.control import Hold
from hamon.model.host import FenceDeviceSpec, HostState
from hamon.model.incident import (
    IncidentRecord,
    Shot,
    ShotOutcome,
)
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.model.proof import FenceProof, ProofMethod, ProofRecord
from hamon.model.readings import another_machine, levels
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView

SHOTS_MAX = 16
"""So many shots of an incident are kept."""

LATE_ORDERS_MAX = 10
"""So many orders in a row that could not start within their lease: a human must look."""


def think_fencing(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Think about a host that is convicted and not proven dead yet."""
    record = host.record.value
    assert record is not None
    period_s = min(policy.detection.look_period_s, policy.detection.off_gap_s)
    looks, look_at_s = looks_due(host, period_s, now_s, after_shots=True)
    since_s = known_since_s(view, incident, now_s)
    refuted = refutation(
        host,
        incident.record.value,
        epoch=view.own.epoch,
        since_s=since_s,
        detection=policy.detection,
        fencing=policy.fencing,
        now_s=now_s,
        word_s=incident.proof_s,
    )
    if refuted is not None:
        return drop_proof(view, host, incident, refuted)
    word = incident.record.value.proof
    if word is not None and is_word_over(
        incident.record.value, policy.fencing, now_s, word_s=incident.proof_s
    ):
        why = reason("word_expired", host.name, who=word.operator)
        return Thought(changes=(_without_word(host, incident, why),), reasons=(why,))
    rung = climb(
        host,
        incident.record.value,
        epoch=view.own.epoch,
        since_s=since_s,
        detection=policy.detection,
        fencing=policy.fencing,
        now_s=now_s,
        word_s=incident.proof_s,
    )
    if rung.step is Step.PROVEN and rung.proof is not None:
        return Thought(changes=(_fenced(view, host, incident, rung.proof),))
    strange = _strange(host, rung)
    if record.state is HostState.FENCE_FAILED:
        again_s = host.state_since_s + policy.fencing.retry_after_s
        if now_s >= again_s:
            return Thought(changes=(climb_again(view, host, incident, "fencing_retried"),))
        why = reason("fence_failed", host.name, retry_in_s=again_s - now_s)
        heard = _heard(view, host, policy, now_s)
        reasons = (why, *heard, *strange)
        return Thought(looks=looks, reasons=reasons, wake_at_s=min(again_s, look_at_s))
    held = against_action(in_force, host)
    if held:
        stopped = [reason("fencing_held", host.name, by=h.kind, why=h.reason) for h in held]
        return Thought(looks=looks, reasons=(*stopped, *strange), wake_at_s=look_at_s)
    looking = Thought(looks=looks, reasons=_heard(view, host, policy, now_s), wake_at_s=look_at_s)
    return _take_step(view, host, incident, rung, policy, looking).with_reasons(*strange)


def _strange(host: HostView, rung: Rung) -> tuple[Reason, ...]:
    """Say why a level fails whose device answers for another machine."""
    if rung.device is None or rung.step not in {Step.NEXT_LEVEL, Step.EXHAUSTED}:
        return ()
    name = rung.device.name
    told = another_machine(host, rung.device)
    return (reason("fence_device_of_another", host.name, device=name, identity=told),)


def _heard(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> tuple[Reason, ...]:
    """Say what keeps a host without an agent from being proven dead: anything that answers."""
    if not host.spec.agentless:
        return ()
    life = sign_of_life(view, host, policy.detection, now_s)
    return () if life is None else (life,)


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
            taken_by = _taken_by(view, host, rung.device)
            if taken_by is not None:
                facts = {"device": rung.device.name, "by": taken_by}
                return looking.with_reasons(reason("fence_device_taken", host.name, **facts))
            shoot = _shoot(view, host, incident, rung, policy)
            late = _late_orders(value, rung.device, view)
            if not late:
                return Thought(intents=(shoot,))
            why = reason("fence_orders_late", host.name, device=rung.device.name, late=late)
            if late >= LATE_ORDERS_MAX:
                return Thought(changes=(_failed(view, host, incident, why),))
            return replace(looking.with_reasons(why), intents=(shoot,))
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
            return Thought(changes=(_failed(view, host, incident, why),))
        case _:
            return looking.with_reasons(reason("fencing", host.name, step=rung.step))


def _late_orders(value: IncidentRecord, device: FenceDeviceSpec, view: ClusterView) -> int:
    """Count the orders to a device that is to be ordered now which were journalled in vain.

    In one attempt a device is ordered once: what stands there for it was never given.
    """
    of_this = (device.name, value.attempt, view.own.epoch)
    return sum((shot.device, shot.attempt, shot.epoch) == of_this for shot in value.shots)


def _failed(view: ClusterView, host: HostView, incident: IncidentView, why: Reason) -> Change:
    """Give up for now: it pages, and is tried again after a pause."""
    value = incident.record.value
    write = Update(
        key=incident_of(value.incident),
        version=incident.record.version,
        value=_settle_shots(value, host, view),
    )
    return enter(view, host, HostState.FENCE_FAILED, why, write, incident=value.incident)


def _taken_by(view: ClusterView, host: HostView, device: FenceDeviceSpec) -> HostName | None:
    """Return the host for which an order is under way where the device would take this one.

    One strip or chassis takes one at a time: the next is journalled when that one has ended, which
    wakes the loop, rather than again and again while it waits.
    """
    if not device.place:
        return None
    for name, other in view.hosts.items():
        if name == host.name or not other.is_shot_running:
            continue
        for one in other.spec.fence:
            if one.place == device.place and other.shot_of(one.name).is_running:
                return name
    return None


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
    kept = replace(settled, shots=_kept((*settled.shots, shot)), level=rung.device.level)
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


def _kept(shots: tuple[Shot, ...]) -> tuple[Shot, ...]:
    """Return the newest shots; those that were never given go before any that can still act."""
    late = [number for number, one in enumerate(shots) if one.outcome is ShotOutcome.LATE]
    surplus = set(late[: max(len(shots) - SHOTS_MAX, 0)])
    left = tuple(one for number, one in enumerate(shots) if number not in surplus)
    return left[-SHOTS_MAX:]


def _settle_shots(value: IncidentRecord, host: HostView, view: ClusterView) -> IncidentRecord:
    """Write down what became of this term's shots that have ended."""

    def settled(shot: Shot) -> Shot:
        own = host.shot_of(shot.device)
        is_open = shot.outcome is ShotOutcome.PENDING and shot.epoch == view.own.epoch
        if not is_open or own.is_running:
            return shot
        is_given = not was_never_given(shot, host, value.incident, view.own.took_office_s)
        outcome = own.last if is_given and own.last is not None else ShotOutcome.LATE
        return replace(shot, outcome=outcome)

    return replace(value, shots=tuple(settled(shot) for shot in value.shots))


def _fenced(view: ClusterView, host: HostView, incident: IncidentView, proof: FenceProof) -> Change:
    value = _settle_shots(incident.record.value, host, view)
    why = reason("host_fenced", host.name, method=proof.method, detail=proof.detail)
    written = value.proof
    if written is None or written.method is not proof.method:
        # Not a word that was given, and did not prove it: what did is what is looked for again.
        written = ProofRecord(
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


def climb_again(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    code: str,
    *,
    floor: int | None = None,
    level: int | None = None,
) -> Change:
    """Start the ladder anew; what was proven before no longer counts.

    Args:
        view: the world.
        host: the host.
        incident: its incident.
        code: why.
        floor: levels below it lied and are never asked again; None: as before.
        level: where to start this time; None: at the floor.
    """
    value = _settle_shots(incident.record.value, host, view)
    floor = value.floor if floor is None else floor
    level = floor if level is None else level
    again = replace(value, attempt=value.attempt + 1, level=level, floor=floor, proof=None)
    why = reason(code, host.name, attempt=again.attempt, level=level)
    write = Update(key=incident_of(value.incident), version=incident.record.version, value=again)
    if host.record.value is not None and host.record.value.state is HostState.FENCING:
        return Change(subject=host.name, reason=why, operations=(write,))
    return enter(view, host, HostState.FENCING, why, write, incident=value.incident)


def drop_proof(
    view: ClusterView, host: HostView, incident: IncidentView, refuted: Refutation
) -> Thought:
    """Write down that life refuted a proof: it, and the level that lied, count no more (rule 2)."""
    if refuted.method is None:
        life = reason("proof_contradicted", host.name, level=refuted.level)
        return distrust(view, host, incident, refuted.level, life)
    why = reason("word_contradicted", host.name, told_by=refuted.told_by)
    record = host.record.value
    is_fencing = record is not None and record.state in {
        HostState.FENCING,
        HostState.FENCE_FAILED,
    }
    if refuted.method is not ProofMethod.OPERATOR or not is_fencing:
        # A crash notice is believed in the first attempt only.
        change = climb_again(view, host, incident, "word_contradicted")
    else:
        change = _without_word(host, incident, why)
    return Thought(changes=(change,), reasons=(why,))


def _without_word(host: HostView, incident: IncidentView, why: Reason) -> Change:
    """Drop an operator's word that counts no more; the ladder goes on where it stands."""
    value = replace(incident.record.value, proof=None)
    write = Update(key=incident_of(value.incident), version=incident.record.version, value=value)
    return Change(subject=host.name, reason=why, operations=(write,))


def distrust(
    view: ClusterView, host: HostView, incident: IncidentView, level: int, life: Reason
) -> Thought:
    """Distrust a level that lied and go on from the next; without one, fencing has failed."""
    higher = [one for one in levels(host) if one > level]
    beyond = max(levels(host), default=0) + 1
    change = climb_again(
        view, host, incident, "proof_contradicted", floor=higher[0] if higher else beyond
    )
    return Thought(changes=(change,), reasons=(life,))
