"""Hosts that lost the right to live: fencing, proof, evacuation, return. Pure.

Rules:

1. Until it is proven dead it is fenced (``fencing``); then its guests leave (``evacuating``).
2. A host that registers with a new boot after the proof returns (``recovery``). One that is lost
   once more on its way is convicted once more, in its new boot.
3. A host without an agent returns when it was switched on again and its nova-compute sends
   heartbeats (``agentless``).
"""

from __future__ import annotations

from collections.abc import Mapping

from hamon.decide.agentless import is_back_in_nova
from hamon.decide.evacuating import think_evacuating
from hamon.decide.fencing import think_fencing
from hamon.decide.holds import against_action, against_conviction
from hamon.decide.live import convict, wait_for_left
from hamon.decide.storage_return import after_storage
from hamon.decide.thought import Thought, enter, looks_due
from hamon.detector.verdict import Call, judge
from hamon.evacuator.scheduler import Scheduler
from hamon.model.control import Hold
from hamon.model.host import HostState
from hamon.model.incident import Trigger
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.model.proof import FenceProof
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView
from hamon.recovery import cloud_return, return_path
from hamon.recovery.return_path import is_back


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
        case (
            HostState.FENCE_FAILED | HostState.FENCED | HostState.EVACUATING | HostState.EVACUATED
        ) if is_back(host):
            # safety: also where fencing failed: the boot that was shut out is over, because a later
            # one of the same host registered; what was not given away stays there.
            why = reason("host_returning", host.name, boot_id=_boot(host))
            change = enter(
                view, host, HostState.RETURNING, why, incident=incident.record.value.incident
            )
            return Thought(changes=(change,))
        case HostState.EVACUATED | HostState.EVACUATING if is_back_in_nova(
            view, host, incident, now_s
        ):
            # safety: Off was proven, On was read since, by the same device: what works now started
            # after the boot that was shut out.
            why = reason("agentless_returning", host.name)
            change = enter(
                view, host, HostState.RETURNING, why, incident=incident.record.value.incident
            )
            return Thought(changes=(change,))
        case HostState.FENCING | HostState.FENCE_FAILED:
            return think_fencing(view, host, incident, policy, in_force, now_s)
        case HostState.FENCED | HostState.EVACUATING | HostState.EVACUATED:
            proof = proofs.get(host.name)
            return think_evacuating(view, host, incident, policy, in_force, proof, scheduler, now_s)
        case HostState.RETURNING:
            bring = return_path.bring_back if view.cloud is None else cloud_return.bring_back
            step = after_storage(
                view,
                host,
                return_path.incidents_of(view, host),
                bring(view, host, policy.recovery, policy.fencing, now_s),
                policy.fencing,
                now_s,
            )
            if step.is_gone:
                return _think_lost_again(view, host, policy, in_force, now_s)
            return Thought(
                changes=step.changes,
                intents=() if against_action(in_force, host) else step.intents,
                looks=step.looks,
                reasons=step.reasons,
                wake_at_s=step.wake_at_s,
            )
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
    reasons = [reason("return_waits_for_host", host.name)]
    if verdict.call is Call.LEFT:
        # What it announced counts on its way back as it does in service.
        left_s = host.session_lost_s if host.session_lost_s is not None else host.state_since_s
        reasons += wait_for_left(host, verdict, policy, left_s, now_s).reasons
    else:
        reasons.append(verdict.reason)
    if verdict.call is Call.DEAD:
        reasons += [
            reason("conviction_held", host.name, by=hold.kind, why=hold.reason) for hold in held
        ]
    return Thought(looks=looks, reasons=tuple(reasons), wake_at_s=look_at_s)
