"""Hosts that have the right to live: coming up, suspicion, leaving, restart, conviction. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.holds import against_action, against_conviction
from hamon.decide.remedy import remedy_of
from hamon.decide.thought import Thought, enter, looks_due, next_record, together
from hamon.detector.verdict import Call, Verdict, failed_checks, is_harmed, judge
from hamon.evacuator.cloud.in_place import start_in_place
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Operation,
    Update,
    guard_of,
    incident_of,
    mode_of,
    record_of,
    self_of,
)
from hamon.model.control import Hold, Request
from hamon.model.guest import OPEN_GRANTS, GrantState
from hamon.model.host import HostGuard, HostState, Right
from hamon.model.incident import IncidentRecord, Trigger
from hamon.model.names import GuestId, incident_id
from hamon.model.policy import DegradedPolicy, LeavingPolicy, Policy
from hamon.model.proof import ProofRecord
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView
from hamon.recovery.return_path import another_machine, quarantine_s


def think_live(
    view: ClusterView,
    host: HostView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Think about a host whose guard reads LIVE."""
    record = host.record.value
    if host.self_.value is None:
        return Thought(reasons=(reason("never_seen", host.name),))
    if record is None:
        if host.heartbeat is None:
            return Thought(reasons=(reason("never_seen", host.name),))
        boot_id = host.self_.value.boot_id
        why = reason("host_registered", host.name, boot_id=boot_id)
        return Thought(changes=(enter(view, host, HostState.UP, why, boot_id=boot_id),))
    verdict = judge(view, host, policy.detection, now_s)
    match verdict.call:
        case Call.WELL:
            told = (*records_left_open(host), *_stranger(host))
            return _think_well(view, host, policy, in_force, now_s).with_reasons(*told)
        case Call.DEGRADED:
            return _think_degraded(view, host, verdict, policy, in_force, now_s)
        case Call.LEFT:
            return _think_left(view, host, verdict, policy, now_s)
        case Call.LATE | Call.LOST | Call.PARTITIONED | Call.HUNG | Call.DEAD:
            return _think_missed(view, host, verdict, policy, in_force, now_s)


def _stranger(host: HostView) -> tuple[Reason, ...]:
    stranger = another_machine(host)
    return () if stranger is None else (stranger,)


def records_left_open(host: HostView) -> tuple[Reason, ...]:
    """Say that records of Nova's could destroy a guest that comes back to the host."""
    record = host.record.value
    if record is None or not record.left_open:
        return ()
    numbers = ",".join(map(str, record.left_open))
    return (reason("records_left_open", host.name, records=numbers),)


def _think_well(
    view: ClusterView,
    host: HostView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    record = host.record.value
    assert record is not None
    assert host.self_.value is not None
    boot_id = host.self_.value.boot_id
    if record.boot_id != boot_id:
        why = reason("host_restarted", host.name, boot_id=boot_id)
        return Thought(changes=(enter(view, host, HostState.RESTARTED, why, boot_id=boot_id),))
    if host.self_.value.leaving is not None:
        if record.state is HostState.LEAVING:
            return Thought()
        why = reason("host_leaving", host.name, leaving=host.self_.value.leaving)
        return Thought(changes=(enter(view, host, HostState.LEAVING, why),))
    # A suspicion, a reboot or a leave in between does not shorten a quarantine.
    is_quarantined = quarantine_s(record.returns, policy.recovery) > 0
    well = HostState.QUARANTINED if is_quarantined else HostState.UP
    match record.state:
        case HostState.LEAVING | HostState.SUSPECT | HostState.PARTITIONED | HostState.HUNG:
            why = reason("host_well_again", host.name)
            again = HostState.RESTARTED if record.is_restoring else well
            return Thought(changes=(enter(view, host, again, why),))
        case HostState.DEGRADED:
            why = reason("host_well_again", host.name)
            return Thought(changes=(enter(view, host, HostState.UP, why),))
        case HostState.RESTARTED:
            return _think_restarted(view, host, well, in_force, now_s)
        case _:
            return settle(view, host, policy, now_s)


def _think_degraded(
    view: ClusterView,
    host: HostView,
    verdict: Verdict,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Think about a host that lives while its own checks fail: no new guests, perhaps more."""
    record = host.record.value
    assert record is not None, "a host that was judged has a record"
    detection = policy.detection.of(host.spec.policy)
    told = Thought(reasons=(reason("host_degraded", host.name, checks=_checks(host)),))
    if detection.degraded is DegradedPolicy.ALERT or record.state not in _MAY_DEGRADE:
        return together((_think_well(view, host, policy, in_force, now_s), told))
    if record.state is HostState.UP:
        change = enter(view, host, HostState.DEGRADED, verdict.reason)
        return replace(told, changes=(change,))
    if detection.degraded is not DegradedPolicy.FENCE or not is_harmed(host, detection, now_s):
        return told
    due_s = host.state_since_s + detection.degraded_wait_s
    if now_s < due_s:
        return replace(told, wake_at_s=due_s)
    return _conviction(view, host, verdict, in_force, told)


_MAY_DEGRADE = frozenset({HostState.UP, HostState.DEGRADED})


def _checks(host: HostView) -> str:
    return "; ".join(f"{name}: {said}" for name, said in failed_checks(host).items())


def settle(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> Thought:
    """Let a quarantine end in its time, and the count of returns of a host that stays up."""
    record = host.record.value
    assert record is not None, "a host that settles has a record"
    if record.state is not HostState.QUARANTINED:
        return _forget_returns(view, host, policy, now_s)
    until_s = host.state_since_s + quarantine_s(record.returns, policy.recovery)
    if now_s >= until_s:
        why = reason("quarantine_over", host.name)
        return Thought(changes=(enter(view, host, HostState.UP, why),))
    why = reason("quarantined", host.name, for_s=until_s - now_s, returns=record.returns)
    return Thought(reasons=(why,), wake_at_s=until_s)


def _think_restarted(
    view: ClusterView,
    host: HostView,
    well: HostState,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """A host that rebooted before anybody convicted it has its guests restored in place."""
    assert host.self_.value is not None
    if view.cloud is not None:
        restored = start_in_place(view, host, now_s)
        if restored is not None:
            held = against_action(in_force, host) if restored.intents else ()
            return Thought(
                intents=() if held else restored.intents,
                looks=restored.looks,
                reasons=(
                    *restored.reasons,
                    *(reason("restart_held", host.name, by=h.kind, why=h.reason) for h in held),
                ),
            )
    missing = [
        guest
        for guest, grant in sorted(host.grants.items())
        if grant.value.state in OPEN_GRANTS
        and (
            grant.value.state is not GrantState.RUNNING
            or grant.value.boot_id != host.self_.value.boot_id
        )
    ]
    if missing:
        why = reason("restart_waits_for_guests", host.name, guests=",".join(missing))
        return Thought(reasons=(why,))
    why = reason("host_restored_in_place", host.name)
    return Thought(changes=(enter(view, host, well, why),))


def _forget_returns(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> Thought:
    """A host that has stayed up long enough starts its count of returns from zero."""
    record = host.record.value
    assert record is not None
    until_s = host.state_since_s + policy.recovery.forget_after_s
    if record.returns == 0 or now_s < until_s:
        return Thought()
    why = reason("returns_forgotten", host.name, returns=record.returns)
    fresh = replace(record, returns=0, epoch=view.own.epoch)
    write = Update(key=record_of(host.name), version=host.record.version, value=fresh)
    return Thought(changes=(Change(subject=host.name, reason=why, operations=(write,)),))


def _think_left(
    view: ClusterView, host: HostView, verdict: Verdict, policy: Policy, now_s: float
) -> Thought:
    record = host.record.value
    assert record is not None
    if record.state is not HostState.LEAVING:
        return Thought(changes=(enter(view, host, HostState.LEAVING, verdict.reason),))
    return wait_for_left(host, verdict, policy, host.state_since_s, now_s)


def wait_for_left(
    host: HostView, verdict: Verdict, policy: Policy, left_s: float, now_s: float
) -> Thought:
    """Tell of a host that announced its leave and is gone; in time, that it is overdue.

    Args:
        host: the host, whose policy is to wait or to leave it.
        verdict: that it left.
        policy: how long it may stay away.
        left_s: since when it has been away.
        now_s: monotonic seconds.
    """
    detection = policy.detection.of(host.spec.policy)
    if detection.leaving is LeavingPolicy.LEAVE:
        return Thought(reasons=(verdict.reason,))
    overdue_s = left_s + detection.leaving_wait_s
    if now_s < overdue_s:
        return Thought(reasons=(verdict.reason,), wake_at_s=overdue_s)
    return Thought(reasons=(reason("leaving_overdue", host.name),))


def _think_missed(
    view: ClusterView,
    host: HostView,
    verdict: Verdict,
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Thought:
    """Think about a host of which something is not heard: look, say what it is, perhaps convict."""
    record = host.record.value
    assert record is not None
    period_s = min(policy.detection.look_period_s, policy.detection.off_gap_s)
    looks, look_at_s = looks_due(host, period_s, now_s)
    thought = Thought(looks=looks, reasons=(verdict.reason,), wake_at_s=look_at_s)
    remedy = remedy_of(host, verdict, policy, now_s)
    if remedy.convicts:
        thought = _conviction(view, host, verdict, in_force, thought)
        if thought.changes:
            return thought
    thought = replace(
        thought.with_reasons(*remedy.reasons),
        wake_at_s=min(look_at_s, remedy.wake_at_s if remedy.wake_at_s is not None else look_at_s),
    )
    state = _MISSED.get(verdict.call, HostState.SUSPECT)
    if record.state is state:
        return thought
    return replace(thought, changes=(enter(view, host, state, verdict.reason),))


def _conviction(
    view: ClusterView,
    host: HostView,
    verdict: Verdict,
    in_force: tuple[Hold, ...],
    otherwise: Thought,
) -> Thought:
    """Convict the host, or do what is done otherwise and say what holds the conviction."""
    held = against_conviction(in_force, host, view)
    if not held:
        change = convict(view, host, verdict, trigger=Trigger.DETECTOR)
        return Thought(changes=(change,), reasons=(verdict.reason,))
    return otherwise.with_reasons(
        *(reason("conviction_held", host.name, by=hold.kind, why=hold.reason) for hold in held)
    )


_MISSED = {Call.PARTITIONED: HostState.PARTITIONED, Call.HUNG: HostState.HUNG}


def convict(  # noqa: PLR0913 - each argument is one part of the transaction
    view: ClusterView,
    host: HostView,
    verdict: Verdict,
    *,
    trigger: Trigger,
    request: Request | None = None,
    overridden: tuple[str, ...] = (),
    only: tuple[GuestId, ...] = (),
    proof: ProofRecord | None = None,
    also: tuple[Operation, ...] = (),
) -> Change:
    """Build the conviction: the host loses its right to live, and an incident opens (protocol 2).

    The check of ``self`` at the version the evidence was seen with makes a registration that comes
    first win (S4); the check of ``control`` does the same for a disarm, that of ``mode`` for a host
    that begins to go by shadow mode.

    Args:
        view: the world.
        host: the host; registered at least once, or without an agent.
        verdict: what carried it.
        trigger: who asked.
        request: the operator's request, if one did; its nonce and who go into the incident.
        overridden: holds the operator passed, for the audit.
        only: guests to move; empty: all.
        proof: an operator's word, when that is the proof.
        also: operations of the same transaction (taking the request).
    """
    incident = incident_id(host.name, host.guard.version + 1)
    boot_id = host.boot_id
    why = reason("host_convicted", host.name, incident=incident, by=verdict.reason.code)
    opened = IncidentRecord(
        incident=incident,
        host=host.name,
        boot_id=boot_id,
        trigger=trigger,
        reason=verdict.reason.code,
        who=request.who if request is not None else "",
        nonce=request.nonce if request is not None else "",
        evidence=verdict.evidence,
        overridden=overridden,
        only=only,
        target=request.target if request is not None else None,
        force=request.force if request is not None else False,
        needs_password=request.needs_password if request is not None else False,
        proof=proof,
        stamps={"convicted": view.wall},
    )
    record = next_record(
        view, host, HostState.FENCING, verdict.reason, boot_id=boot_id, incident=incident
    )
    guard = HostGuard(right=Right.SHUT_OUT, boot_id=boot_id, incident=incident)
    return Change(
        subject=host.name,
        reason=why,
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=self_of(host.name), version=host.self_.version),
            *_mode_check(host),
            Update(key=guard_of(host.name), version=host.guard.version, value=guard),
            Update(key=record_of(host.name), version=host.record.version, value=record),
            Create(key=incident_of(incident), value=opened),
            *also,
        ),
    )


def _mode_check(host: HostView) -> tuple[Check, ...]:
    # safety: a host may only just have said that it goes by shadow mode: what held its conviction
    # then was not seen.
    if host.mode is None:
        return ()
    return (Check(key=mode_of(host.name), version=host.mode.version),)
