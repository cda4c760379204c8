"""What would have to be so for the next step against a host, and what of it is so already. Pure.

It restates the rules of ``verdict`` and ``ladder`` one by one, for a person; nothing is decided by
it. Of a host that a person or the ladder's own steps decide about, there is nothing to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.decide.holds import against_action, against_conviction
from hamon.decide.thought import known_since_s
from hamon.detector.verdict import (
    Call,
    Verdict,
    failed_checks,
    fresh_probes,
    is_harmed,
    is_silent,
    judge,
    late_planes,
    shows_life,
)
from hamon.detector.views import views_of_silence
from hamon.fencing.watchdog import proof_time_s, unfit
from hamon.model.control import Hold
from hamon.model.host import FenceDeviceSpec, HostState, Right
from hamon.model.policy import (
    DegradedPolicy,
    DetectionPolicy,
    HungPolicy,
    PartitionedPolicy,
    Policy,
)
from hamon.model.proof import Source
from hamon.model.readings import devices_at, is_off_twice, levels, reads_off
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView


class Next(StrEnum):
    """What the needs are needed for."""

    CONVICTED = "convicted"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that must be so. ``is_witness``: of all these one is enough."""

    reason: Reason
    is_met: bool
    is_witness: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The verdict now, None: it is not judged; and what the next step would need."""

    verdict: Verdict | None = None
    step: Next | None = None
    needs: tuple[Need, ...] = ()


def outlook(
    view: ClusterView, host: HostView, policy: Policy, in_force: tuple[Hold, ...], now_s: float
) -> Outlook:
    """Say what is thought of a host now, and what the next step against it would need.

    Args:
        view: the world.
        host: the host.
        policy: the numbers and choices.
        in_force: every hold.
        now_s: monotonic seconds.
    """
    record = host.record.value
    if record is None or host.spec.agentless or host.self_.value is None:
        return Outlook()
    if host.guard.value.right is Right.LIVE:
        verdict = judge(view, host, policy.detection, now_s)
        if verdict.call in {Call.WELL, Call.LEFT}:
            return Outlook(verdict=verdict)
        detection = policy.detection.of(host.spec.policy)
        needs = (
            *_needs(view, host, verdict, detection, now_s),
            _no_hold(host, against_conviction(in_force, host, view)),
        )
        return Outlook(verdict=verdict, step=Next.CONVICTED, needs=needs)
    incident = view.incidents.get(record.incident) if record.incident else None
    if incident is None or record.state not in {HostState.FENCING, HostState.FENCE_FAILED}:
        return Outlook()
    needs = (
        *_devices_off(view, host, incident, policy.detection.off_gap_s, now_s),
        _no_hold(host, against_action(in_force, host)),
    )
    return Outlook(step=Next.PROVEN, needs=needs)


def _needs(
    view: ClusterView, host: HostView, verdict: Verdict, detection: DetectionPolicy, now_s: float
) -> tuple[Need, ...]:
    match verdict.call:
        case Call.HUNG:
            is_met = detection.hung is HungPolicy.FENCE
            after_s = detection.hung_after_s
            return (_by_policy(host, "detection.hung", detection.hung, after_s, is_met=is_met),)
        case Call.PARTITIONED:
            chosen = detection.partitioned
            wait_s = detection.partitioned_wait_s if chosen is PartitionedPolicy.WAIT else 0.0
            is_met = chosen is not PartitionedPolicy.ALERT and now_s - host.state_since_s >= wait_s
            return (_by_policy(host, "detection.partitioned", chosen, wait_s, is_met=is_met),)
        case Call.DEGRADED:
            fences, wait_s = detection.degraded, detection.degraded_wait_s
            record = host.record.value
            # The time counts from the state, and one in quarantine or restoring does not enter it.
            is_degraded = record is not None and record.state is HostState.DEGRADED
            is_due = is_degraded and now_s - host.state_since_s >= wait_s
            is_met = fences is DegradedPolicy.FENCE and is_due
            return (
                _by_policy(host, "detection.degraded", fences, wait_s, is_met=is_met),
                Need(
                    reason=reason("need_harm", host.name, checks=", ".join(failed_checks(host))),
                    is_met=is_harmed(host, detection, now_s),
                ),
            )
        case _:
            return _witnesses_of_death(view, host, verdict, detection, now_s)


def _by_policy(host: HostView, key: str, value: str, for_s: float, *, is_met: bool) -> Need:
    told = reason("need_policy", host.name, key=key, value=value, for_s=for_s)
    return Need(reason=told, is_met=is_met)


def _witnesses_of_death(
    view: ClusterView, host: HostView, verdict: Verdict, detection: DetectionPolicy, now_s: float
) -> tuple[Need, ...]:
    """Say what rule 2 of ``verdict`` asks for: silence, nothing that shows life, and a witness."""
    name = host.name
    is_dead = verdict.call is Call.DEAD
    is_gone = host.heartbeat is None
    probes = fresh_probes(host, detection, now_s)
    silent = is_silent(probes, detection)
    life = shows_life(view, host, detection, now_s) if is_gone else None
    fell_silent_s = max((vote.changed_s for vote in probes), default=now_s)
    is_off = silent and is_off_twice(host, detection.off_gap_s, now_s, since_s=fell_silent_s)
    planes = late_planes(probes, detection) if silent else frozenset()
    views = views_of_silence(view, host, planes, detection.controllers_agree)
    wanted = min(detection.controllers_agree, max(1, len(view.controllers)))
    agree = 1 + len(views.seconded_by) if silent else 0
    seconded = ", ".join((str(view.own.controller), *views.seconded_by)) if agree else "none yet"
    said = seconded if views.missing is None else views.missing.code.replace("_", " ")
    needs = [
        Need(reason=reason("need_session_gone", name), is_met=is_gone or is_dead),
        Need(
            reason=reason("need_silence", name, after_s=detection.late_after_s),
            is_met=silent or is_dead,
        ),
        Need(
            reason=reason(
                "need_no_life", name, sign="none" if life is None else life.code.replace("_", " ")
            ),
            is_met=life is None or is_dead,
        ),
        Need(
            reason=reason(
                "need_power_off_twice", name, gap_s=detection.off_gap_s, last=_last(host)
            ),
            is_met=is_off,
            is_witness=True,
        ),
        Need(
            reason=reason("need_views", name, wanted=wanted, said=said),
            is_met=is_gone and silent and views.missing is None,
            is_witness=True,
        ),
    ]
    if any(vote.source is Source.KDUMP for vote in host.evidence):
        is_met = verdict.reason.code == "crash_notice"
        told = reason("need_crash_notice", name)
        needs.append(Need(reason=told, is_met=is_met, is_witness=True))
    return tuple(needs)


def _devices_off(
    view: ClusterView, host: HostView, incident: IncidentView, gap_s: float, now_s: float
) -> tuple[Need, ...]:
    """Say which devices of the level that is being climbed must prove the death, and which do."""
    known = [level for level in levels(host) if level >= incident.record.value.level]
    since_s = known_since_s(view, incident, now_s)
    return tuple(
        _watchdog_time(host, device, since_s, now_s)
        if device.is_watchdog
        else _device_off(host, device, gap_s)
        for level in known[:1]
        for device in devices_at(host, level)
    )


def _device_off(host: HostView, device: FenceDeviceSpec, gap_s: float) -> Need:
    settled_s = host.shot_of(device.name).settled_s
    told = reason(
        "need_device_off",
        host.name,
        device=device.name,
        level=device.level,
        last=_last(host, device.name),
    )
    is_off = settled_s is not None and reads_off(host, device, after_s=settled_s, gap_s=gap_s)
    return Need(reason=told, is_met=is_off)


def _watchdog_time(host: HostView, device: FenceDeviceSpec, since_s: float, now_s: float) -> Need:
    """Say how long the host's own watchdog may still take; none that counts is never enough."""
    seen = host.self_.value
    facts = seen.watchdog if seen is not None else None
    is_guarded = seen is not None and seen.boot_id == host.guard.value.boot_id
    left = "no watchdog guarded that boot"
    left_s: float | None = None
    if facts is not None and is_guarded:
        left = unfit(facts)
        if not left:
            time_s = proof_time_s(
                facts, margin_s=device.margin_s, reset_latency_s=device.reset_latency_s
            )
            left_s = max(since_s + time_s - now_s, 0.0)
            left = f"{left_s:.0f} s left"
    told = reason(
        "need_watchdog_time", host.name, device=device.name, level=device.level, left=left
    )
    return Need(reason=told, is_met=left_s == 0.0)


def _last(host: HostView, device: str = "") -> str:
    """Return what was read last, of one device or of any."""
    for reading in reversed(host.readings):
        if device in {"", reading.device}:
            why = f" ({reading.detail})" if reading.detail else ""
            return f"{reading.device} last said {reading.power}{why}"
    return "not read yet" if host.spec.fence else "it has no fence device"


def _no_hold(host: HostView, held: tuple[Hold, ...]) -> Need:
    kinds = ", ".join(sorted({hold.kind for hold in held})) or "none"
    return Need(reason=reason("need_no_hold", host.name, held=kinds), is_met=not held)
