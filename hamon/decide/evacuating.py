"""Hosts proven dead whose guests are on their way: record, offer, watch the proof. Pure.

A proof ages: while guests are still to move, power is read every few seconds. A sign of life of the
proven boot, or power On while a guest could move, stops new moves and fences again. So does a
device that proved it and falls mute, after a while: the next level is tried, or FENCE_FAILED pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hamon.decide.agentless import Stirring, is_contradicted, is_on_again, stirring
from hamon.decide.fencing import climb_again, distrust, drop_proof
from hamon.decide.holds import against_action, against_moving
from hamon.decide.thought import Thought, enter, known_since_s, looks_due
from hamon.evacuator import flow
from hamon.evacuator.barrier import watch_ready
from hamon.evacuator.choices import told_choices
from hamon.evacuator.cloud import flow as cloud_flow
from hamon.evacuator.moves import Moves, joined
from hamon.evacuator.offers import offer_waiting
from hamon.evacuator.reserved import cloud_host_to_use, told_awaited
from hamon.evacuator.scheduler import ARRIVING, Scheduler
from hamon.fencing.ladder import renewal_overdue_s
from hamon.fencing.refutation import Refutation, refutation
from hamon.model.change import (
    Change,
    Update,
    incident_of,
)
from hamon.model.control import Hold
from hamon.model.host import HostState
from hamon.model.incident import (
    IN_FLIGHT_MIGRATIONS,
    OPEN_MIGRATIONS,
    MigrationStatus,
)
from hamon.model.policy import Policy
from hamon.model.proof import FenceProof, ProofMethod, Vote
from hamon.model.readings import is_undone, levels, reads_on
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView

_SESSIONS_LONG = 2.0
"""A dead host's session has ended after so many of its time-outs, however ZooKeeper rounds them."""

_TOLD = frozenset({ProofMethod.OPERATOR, ProofMethod.KDUMP})
"""Proofs that no device gave."""


def think_evacuating(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    proof: FenceProof | None,
    scheduler: Scheduler,
    now_s: float,
) -> Thought:
    """Think about a host that is proven dead and has not come back."""
    held = against_action(in_force, host)
    stirs = stirring(view, host, policy.detection, now_s) if host.spec.agentless else None
    life = _life_of_proven_boot(view, host, incident, policy, stirs, now_s)
    if life is not None and not held:
        return distrust(view, host, incident, _proving_level(host, incident), life)
    refuted = _refutation(view, host, incident, policy, now_s)
    if refuted is not None and not held:
        return drop_proof(view, host, incident, refuted)
    may_move = None if held else proof
    moves = _moves(view, incident, may_move, policy, scheduler, against_moving(in_force), now_s)
    moves = joined((moves, watch_ready(view, incident, now_s)))
    if held:
        stopped = [reason("evacuation_held", host.name, by=h.kind, why=h.reason) for h in held]
        thought = Thought(reasons=(*moves.reasons, *stopped), looks=moves.looks)
        if not _needs_proof(view, host, incident, policy):
            return thought
        # What is read meanwhile is fresh when the hold ends.
        return _with_looks(thought, host, policy, proof, now_s)
    if moves.can_place and proof is None and reads_on(host, now_s):
        return Thought(changes=(climb_again(view, host, incident, "power_on_again"),))
    if moves.can_place and proof is None and is_undone(host, incident.record.value.level, now_s):
        return Thought(changes=(climb_again(view, host, incident, "storage_granted_again"),))
    is_awaited = moves.can_place or _has_claims(host)
    if is_awaited and proof is None and _is_overdue(view, host, incident, policy, now_s):
        return Thought(changes=(_climb_on(view, host, incident),), reasons=moves.reasons)
    reserved = cloud_host_to_use(view, incident, in_force) if view.cloud is not None else None
    thought = Thought(
        changes=moves.changes if reserved is None else (*moves.changes, reserved),
        intents=moves.intents,
        looks=moves.looks,
        reasons=(
            *moves.reasons,
            *told_choices(incident),
            *told_awaited(view, incident, in_force),
            *_outliving_session(host, policy, now_s),
        ),
        wake_at_s=moves.wake_at_s,
    )
    if stirs is not None:
        is_on = is_on_again(host, incident, now_s)
        code = "agentless_powered_on" if is_on else "agentless_stirs"
        thought = thought.with_reasons(reason(code, host.name, by=stirs.by))
    if stirs is not None or _needs_proof(view, host, incident, policy):
        thought = _with_looks(thought, host, policy, proof, now_s)
    state = _next_state(view, host, incident, policy)
    if state is None:
        return thought
    change = _enter_evacuation(view, host, incident, state)
    return replace(thought, changes=(*thought.changes, change))


def _moves(
    view: ClusterView,
    incident: IncidentView,
    proof: FenceProof | None,
    policy: Policy,
    scheduler: Scheduler,
    held: Mapping[str, Hold],
    now_s: float,
) -> Moves:
    """Say what the guests of the incident need now, by whoever rebuilds them."""
    busy = in_flight(view)
    if view.cloud is not None:
        return cloud_flow.move_guests(
            view, incident, proof, policy.evacuation, held=held, in_flight=busy, now_s=now_s
        )
    recorded = flow.record_migrations(view, incident, policy.evacuation)
    offered = offer_waiting(
        view, incident, proof, scheduler, policy.evacuation, held=held, in_flight=busy, now_s=now_s
    )
    return joined((recorded, offered))


def _is_finished(view: ClusterView, incident: IncidentView, policy: Policy) -> bool | None:
    """Say whether every guest's way is over; None: it cannot be told yet."""
    if view.cloud is not None:
        return cloud_flow.is_finished(view, incident)
    return flow.is_finished(view, incident, policy.evacuation)


def _life_of_proven_boot(
    view: ClusterView,
    host: HostView,
    incident: IncidentView,
    policy: Policy,
    stirs: Stirring | None,
    now_s: float,
) -> Reason | None:
    """Name a fresh sign of life of the very boot that was proven dead (rule 2 of DESIGN)."""
    if host.spec.agentless:
        record = host.record.value
        is_over = record is not None and record.state is HostState.EVACUATED
        is_needed = not is_over or _needs_proof(view, host, incident, policy)
        if stirs is None or not is_contradicted(
            host, incident, stirs, policy.detection, now_s, is_needed=is_needed
        ):
            return None
        return reason("proof_contradicted", host.name, by=stirs.by)
    dead = host.guard.value.boot_id
    written = incident.record.value.proof
    if dead is None or (written is not None and written.method is ProofMethod.STORAGE):
        # A host that lost its storage may live: that it cannot write is what was proven.
        return None
    # safety: a session from before the conviction is no life by itself: it ends only with its
    # time-out, or never (ZOOKEEPER-4837). The agent of one that lives reads that its boot is shut
    # out, and ends its guests; whoever could not read that is not the owner of a living session.
    is_new = host.registered_s is not None and host.registered_s > host.state_since_s
    if is_new and host.heartbeat is not None and host.heartbeat.boot_id == dead:
        return reason("proof_contradicted", host.name, by="session", boot_id=dead)
    for vote in host.evidence:
        is_fresh = now_s - vote.observed_s <= policy.detection.fresh_s
        is_later = vote.observed_s > host.state_since_s
        if vote.vote is Vote.ALIVE_STRONG and vote.boot_id == dead and is_fresh and is_later:
            return reason("proof_contradicted", host.name, by="echo", boot_id=dead)
    return None


def _outliving_session(host: HostView, policy: Policy, now_s: float) -> tuple[Reason, ...]:
    """Tell of a session of the dead boot that should have ended by now."""
    dead, session = host.guard.value.boot_id, host.heartbeat
    limit_s = _SESSIONS_LONG * policy.detection.session_timeout_s
    if session is None or dead is None or session.boot_id != dead:
        return ()
    if now_s - host.state_since_s <= limit_s:
        return ()
    return (reason("session_outlives_proof", host.name, boot_id=dead),)


def _proving_level(host: HostView, incident: IncidentView) -> int:
    """Return the level whose devices proved the host dead, or where the ladder stood."""
    value = incident.record.value
    known = [level for level in levels(host) if level >= value.level]
    by_device = value.proof is not None and value.proof.method in {
        ProofMethod.POWER,
        ProofMethod.WATCHDOG,
    }
    return known[0] if by_device and known else value.level


def _refutation(
    view: ClusterView, host: HostView, incident: IncidentView, policy: Policy, now_s: float
) -> Refutation | None:
    """Return what life has refuted that was seen before the host was called fenced, or is old.

    Not of a host without an agent: whose life that is, its power decides.
    """
    if host.spec.agentless:
        return None
    return refutation(
        host,
        incident.record.value,
        epoch=view.own.epoch,
        since_s=known_since_s(view, incident, now_s),
        detection=policy.detection,
        fencing=policy.fencing,
        now_s=now_s,
        word_s=incident.proof_s,
    )


def _is_overdue(
    view: ClusterView, host: HostView, incident: IncidentView, policy: Policy, now_s: float
) -> bool:
    """Say whether the proof was asked for so long in vain that it is not waited for any more."""
    own = view.own
    since_s = [host.state_since_s, own.took_office_s, own.watching_since_s]
    if host.registered_s is not None:
        since_s.append(host.registered_s)
    waiting_s = [
        migration.since_s
        for migration in incident.migrations.values()
        if migration.record.value.status is MigrationStatus.WAITING
    ]
    if waiting_s and not _has_claims(host):
        # Before a guest was to move nobody read the power.
        since_s.append(min(waiting_s))
    overdue_s = renewal_overdue_s(
        host,
        incident.record.value,
        asked_since_s=max(since_s),
        since_s=known_since_s(view, incident, now_s),
        fencing=policy.fencing,
        now_s=now_s,
    )
    return now_s >= overdue_s


def _climb_on(view: ClusterView, host: HostView, incident: IncidentView) -> Change:
    """Go on from the next level, or try the last one again: when that fails it pages.

    The device that fell mute has not lied: should that fail too, its level is tried again.
    """
    value = incident.record.value
    trusted = [level for level in levels(host) if level >= value.level]
    is_read = value.proof is not None and value.proof.method not in _TOLD
    level = trusted[:2][-1] if is_read and trusted else None
    return climb_again(view, host, incident, "proof_not_renewed", level=level)


def in_flight(view: ClusterView) -> int:
    """Count the guests that are on their way, over all incidents."""
    return sum(
        1
        for incident in view.incidents.values()
        for migration in incident.migrations.values()
        if migration.record.value.status in IN_FLIGHT_MIGRATIONS
    )


def _needs_proof(view: ClusterView, host: HostView, incident: IncidentView, policy: Policy) -> bool:
    """Say whether power must be watched: guests are to leave, or claims here are to be ended."""
    if _has_claims(host):
        return True
    return _is_finished(view, incident, policy) is False or any(
        migration.record.value.status in OPEN_MIGRATIONS
        for migration in incident.migrations.values()
    )


def _has_claims(host: HostView) -> bool:
    """Say whether guests were on their way to it: only proof of its death ends their claims."""
    return any(grant.value.state in ARRIVING for grant in host.grants.values())


def _with_looks(
    thought: Thought, host: HostView, policy: Policy, proof: FenceProof | None, now_s: float
) -> Thought:
    """Have the power read beside what else is thought."""
    looks, look_at_s = looks_due(host, _look_period_s(policy, proof), now_s)
    wakes = [w for w in (thought.wake_at_s, look_at_s) if w is not None]
    return replace(thought, looks=(*thought.looks, *looks), wake_at_s=min(wakes))


def _look_period_s(policy: Policy, proof: FenceProof | None) -> float:
    if proof is None:
        return min(policy.detection.look_period_s, policy.detection.off_gap_s)
    return policy.fencing.reread_period_s


def _next_state(
    view: ClusterView, host: HostView, incident: IncidentView, policy: Policy
) -> HostState | None:
    record = host.record.value
    assert record is not None
    is_finished = _is_finished(view, incident, policy)
    match record.state:
        case HostState.FENCED:
            return HostState.EVACUATING
        case HostState.EVACUATING if is_finished:
            return HostState.EVACUATED
        case HostState.EVACUATED if is_finished is False:
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
