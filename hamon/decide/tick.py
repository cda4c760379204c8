"""One round of thinking over the whole cluster: ``decide(view, policy, now_s) -> Decision``. Pure.

The order of a round: holds, fresh proofs of dead hosts, requests, hosts one by one, open
migrations, ownership. A znode is written by at most one change of a round; a host that a request
just changed is not thought about until it has been read again.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.agentless import think_agentless
from hamon.decide.chronicle import chronicled
from hamon.decide.cloud import think_cloud
from hamon.decide.convicted import think_convicted
from hamon.decide.cooldown import think_storms
from hamon.decide.device_checks import failing_devices
from hamon.decide.history import think_history
from hamon.decide.holds import against_action, holds
from hamon.decide.live import think_live
from hamon.decide.mode import think_mode
from hamon.decide.ownership import think_ownership, think_retirement
from hamon.decide.requests import think_request
from hamon.decide.standing import who_should_lead
from hamon.decide.switches import end_of_switches
from hamon.decide.thought import Thought, known_since_s, together
from hamon.evacuator import flow
from hamon.evacuator.cloud.track import track
from hamon.evacuator.moves import Moves
from hamon.evacuator.scheduler import Scheduler
from hamon.fencing.ladder import renew
from hamon.model.change import Change, Create, Decision, Delete, NodeKey, Update
from hamon.model.control import Hold, RequestState
from hamon.model.host import HostState, Right
from hamon.model.names import HostName
from hamon.model.policy import Mode, Policy
from hamon.model.proof import FenceProof
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView

LEASE_MARGIN = 1.01
"""A new leader waits this many leases, so that clocks running 1 % apart do not matter (rule 4)."""

_PROVEN = frozenset({HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED})


def decide(view: ClusterView, policy: Policy, now_s: float) -> Decision:
    """Decide what is to be written, done and looked at now, and why, or why not.

    Args:
        view: the world as this leader sees it.
        policy: the numbers and choices.
        now_s: this controller's monotonic seconds.
    """
    in_force = holds(view, policy, now_s)
    proofs = fresh_proofs(view, policy, now_s)
    scheduler = Scheduler(view, policy.evacuation, in_force)
    hosts = [host for name, host in sorted(view.hosts.items()) if _is_mine(view, name)]
    thoughts = [
        *(_asked(view, policy, in_force, now_s)),
        *(_think_host(view, host, policy, in_force, proofs, scheduler, now_s) for host in hosts),
        *(
            _think_in_flight(view, incident, policy, in_force, proofs, now_s)
            for _, incident in sorted(view.incidents.items())
            if not incident.record.value.closed and _is_mine(view, incident.record.value.host)
        ),
    ]
    if view.cloud is not None:
        thoughts.append(think_cloud(view, policy, in_force, now_s))
    elif view.own.only_host is None:
        # Of Nova's guests Nova knows the owner.
        thoughts += [*(think_ownership(view, host) for host in hosts), think_retirement(view)]
    thoughts.append(think_storms(view, policy, in_force))
    if view.own.only_host is None:
        thoughts += [
            end_of_switches(view, policy, now_s),
            think_history(view, policy.recovery),
            think_mode(view, policy),
        ]
    thought = chronicled(view, _once_each(together(thoughts)), policy, in_force, now_s)
    return _as_decision(view, policy, in_force, thought, now_s)


def _is_mine(view: ClusterView, host: HostName) -> bool:
    return view.own.only_host in {None, host}


def fresh_proofs(view: ClusterView, policy: Policy, now_s: float) -> dict[HostName, FenceProof]:
    """Prove anew every host that was proven dead, as far as that is possible right now."""
    proofs = {}
    for name, host in sorted(view.hosts.items()):
        record = host.record.value
        if record is None or record.state not in _PROVEN or record.incident is None:
            continue
        incident = view.incidents.get(record.incident)
        if incident is None:
            continue
        proof = renew(
            host,
            incident.record.value,
            epoch=view.own.epoch,
            since_s=known_since_s(view, incident, now_s),
            detection=policy.detection,
            fencing=policy.fencing,
            now_s=now_s,
            word_s=incident.proof_s,
        )
        if proof is not None:
            proofs[name] = proof
    return proofs


def _asked(
    view: ClusterView, policy: Policy, in_force: tuple[Hold, ...], now_s: float
) -> list[Thought]:
    return [
        think_request(view, sequence, request, policy, in_force, now_s)
        for sequence, request in sorted(view.requests.items())
        if request.value.state is RequestState.PENDING
    ]


def _think_host(
    view: ClusterView,
    host: HostView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    proofs: dict[HostName, FenceProof],
    scheduler: Scheduler,
    now_s: float,
) -> Thought:
    if host.guard.value.right is Right.LIVE and host.spec.agentless:
        return think_agentless(view, host, policy, now_s)
    if host.guard.value.right is Right.LIVE:
        return think_live(view, host, policy, in_force, now_s)
    return think_convicted(view, host, policy, in_force, proofs, scheduler, now_s)


def _think_in_flight(
    view: ClusterView,
    incident: IncidentView,
    policy: Policy,
    in_force: tuple[Hold, ...],
    proofs: dict[HostName, FenceProof],
    now_s: float,
) -> Thought:
    value = incident.record.value
    host = view.hosts.get(value.host)
    if view.cloud is None:
        moves = flow.follow(view, incident, proofs)
    elif host is None:
        # What Nova calls it is not known any more.
        why = reason("host_not_configured", value.host, incident=value.incident)
        moves = Moves(reasons=(why,))
    else:
        moves = track(view, incident, policy.evacuation, now_s)
    held = host is None or against_action(in_force, host)
    return Thought(
        changes=moves.changes,
        intents=() if held else moves.intents,
        looks=moves.looks,
        reasons=moves.reasons,
        wake_at_s=moves.wake_at_s,
    )


def _once_each(thought: Thought) -> Thought:
    """Keep the first change of each znode; what is left out is decided again once that is read."""
    written: set[NodeKey] = set()

    def is_first(change: Change) -> bool:
        keys = {
            operation.key
            for operation in change.operations
            if isinstance(operation, Update | Create | Delete)
        }
        if keys & written:
            return False
        written.update(keys)
        return True

    changes = tuple(change for change in thought.changes if is_first(change))
    intents = tuple(intent for intent in thought.intents if is_first(intent.change))
    return replace(thought, changes=changes, intents=intents)


def _as_decision(
    view: ClusterView, policy: Policy, in_force: tuple[Hold, ...], thought: Thought, now_s: float
) -> Decision:
    """Turn the thought into a decision; a leader too young to act starts no action yet (rule 4)."""
    wakes = [] if thought.wake_at_s is None else [thought.wake_at_s]
    wakes += [hold.until_s for hold in in_force if hold.until_s is not None]
    may_act_s = view.own.took_office_s + LEASE_MARGIN * policy.fencing.lease_s
    intents = thought.intents
    reasons = (
        thought.reasons
        + failing_devices(view, now_s)
        + tuple(
            reason("hold", hold.scope, kind=hold.kind, why=hold.reason, who=hold.who)
            for hold in in_force
        )
    )
    if view.own.is_rolled_back:
        return Decision(reasons=reasons, holds=in_force, wake_at_s=min(wakes) if wakes else None)
    if policy.mode is Mode.SHADOW:
        intents = ()
    if intents and now_s < may_act_s:
        intents = ()
        wakes.append(may_act_s)
        reasons += (reason("new_leader_waits", "cluster", for_s=may_act_s - now_s),)
    return Decision(
        transitions=thought.changes,
        intents=intents,
        looks=thought.looks,
        reasons=reasons,
        yields=who_should_lead(view, now_s),
        holds=in_force,
        wake_at_s=min(wakes) if wakes else None,
    )
