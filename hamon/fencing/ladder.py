"""The fencing ladder: which device is to shoot next, and when a boot is proven dead. Pure.

Rules:

1. Levels are climbed in order. All devices of a level must prove Off; one that fails ends it.
2. A device proves Off by two settled Off answers, asked at least ``off_gap_s`` apart, with no other
   settled answer in between, the identity of the system matching the host's (S12), both asked after
   the shot settled. A time-out, an error, "unknown" and a transition prove nothing (S3).
3. Already off is success: a device that refuses the order may still be read.
4. Only this module builds a :class:`FenceProof`. It ages: the newest answer must be young, and a
   fresh echo of the boot voids it: then the device lies. Of a host without an agent, which names no
   boot, any fresh answer does.
5. An operator's word proves only the boot that was shown to the operator, and only while nothing
   shows life.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import IncidentRecord, Shot, ShotOutcome
from hamon.model.names import Epoch
from hamon.model.policy import DetectionPolicy, FencingPolicy
from hamon.model.proof import FenceProof, ProofMethod
from hamon.model.readings import (
    READING_MAX_AGE_S,
    devices_at,
    is_life,
    levels,
    reads_off,
    reads_on,
    settled,
)
from hamon.model.view import HostView


class Step(StrEnum):
    """What the ladder wants next."""

    SHOOT = "shoot"
    CONFIRM = "confirm"
    WAIT = "wait"
    NEXT_LEVEL = "next_level"
    EXHAUSTED = "exhausted"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """The next step; ``device`` with SHOOT, ``proof`` with PROVEN, ``wake_at_s`` with the rest."""

    step: Step
    device: FenceDeviceSpec | None = None
    proof: FenceProof | None = None
    wake_at_s: float | None = None


def climb(
    host: HostView,
    incident: IncidentRecord,
    *,
    epoch: Epoch,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
) -> Rung:
    """Say what to do next about a host that is to be fenced.

    Returns:
        PROVEN with the proof; SHOOT with a device; CONFIRM: read power, come back at ``wake_at_s``;
        WAIT: an order is under way; NEXT_LEVEL: this one failed; EXHAUSTED: all failed.
    """
    if incident.proof is not None and incident.proof.method is ProofMethod.OPERATOR:
        proof = _operator_proof(host, incident, epoch, detection, now_s)
        if proof is not None:
            return Rung(step=Step.PROVEN, proof=proof)
    if host.is_shot_running:
        return Rung(step=Step.WAIT)
    known = [level for level in levels(host) if level >= incident.level]
    if not known:
        return Rung(step=Step.EXHAUSTED)
    level = known[0]
    for device in devices_at(host, level):
        shot = _last_shot(incident, device, epoch)
        if shot is None or _was_never_given(shot, incident, host):
            return Rung(step=Step.SHOOT, device=device)
    settled_s = host.shot_settled_s if host.shot_settled_s is not None else now_s
    if not _is_heard(host, detection, now_s) and all(
        reads_off(host, device, after_s=settled_s, gap_s=detection.off_gap_s)
        for device in devices_at(host, level)
    ):
        return Rung(step=Step.PROVEN, proof=_power_proof(host, level, epoch, now_s))
    give_up_s = settled_s + fencing.confirm_timeout_s
    if now_s < give_up_s:
        return Rung(step=Step.CONFIRM, wake_at_s=give_up_s)
    return Rung(step=Step.NEXT_LEVEL if len(known) > 1 else Step.EXHAUSTED)


def renew(
    host: HostView,
    incident: IncidentRecord,
    *,
    epoch: Epoch,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
) -> FenceProof | None:
    """Prove again that a fenced host is still off; None: not known well enough to move guests.

    A proof written down earlier, also by an earlier leader, is never enough by itself: this leader
    must have read Off twice itself, and the newest answer within ``proof_fresh_s``.
    """
    if incident.proof is None:
        return None
    if incident.proof.method is ProofMethod.OPERATOR:
        return _operator_proof(host, incident, epoch, detection, now_s)
    known = [level for level in levels(host) if level >= incident.level]
    if not known or _is_heard(host, detection, now_s):
        return None
    oldest_s = now_s - READING_MAX_AGE_S
    for device in devices_at(host, known[0]):
        if not reads_off(host, device, after_s=oldest_s, gap_s=detection.off_gap_s):
            return None
        newest = settled(host, device, oldest_s)[-1]
        if now_s - newest.observed_s > fencing.proof_fresh_s:
            return None
    return _power_proof(host, known[0], epoch, now_s)


def _last_shot(incident: IncidentRecord, device: FenceDeviceSpec, epoch: Epoch) -> Shot | None:
    """Return this term's shot by the device in the present attempt, None: there is none."""
    for shot in reversed(incident.shots):
        if (shot.device, shot.attempt, shot.epoch) == (device.name, incident.attempt, epoch):
            return shot
    return None


def _power_proof(host: HostView, level: int, epoch: Epoch, now_s: float) -> FenceProof:
    names = ", ".join(device.name for device in devices_at(host, level))
    return FenceProof(
        host=host.name,
        boot_id=host.guard.value.boot_id,
        method=ProofMethod.POWER,
        epoch=epoch,
        observed_s=now_s,
        detail=f"power read Off twice by {names}",
    )


def _was_never_given(shot: Shot, incident: IncidentRecord, host: HostView) -> bool:
    """Say whether a journalled shot that is not under way was never given.

    Either its intent's lease had run out, or nobody confirmed its commit, so that it was not begun.
    """
    if shot.outcome is ShotOutcome.PENDING and shot is incident.shots[-1]:
        return host.last_shot in {None, ShotOutcome.LATE}
    return shot.outcome is ShotOutcome.LATE


def _is_heard(host: HostView, detection: DetectionPolicy, now_s: float) -> bool:
    """Say whether the very boot in the guard has just answered: then it is not dead."""
    if host.spec.agentless and host.heartbeat is not None:
        return True
    return any(
        is_life(host, vote) and now_s - vote.observed_s <= detection.fresh_s
        for vote in host.evidence
    )


def _operator_proof(
    host: HostView,
    incident: IncidentRecord,
    epoch: Epoch,
    detection: DetectionPolicy,
    now_s: float,
) -> FenceProof | None:
    """Turn an operator's recorded word into a proof, unless something shows life since."""
    word = incident.proof
    if word is None or word.boot_id != host.guard.value.boot_id:
        return None
    if host.heartbeat is not None or reads_on(host, now_s) or _is_heard(host, detection, now_s):
        return None
    return FenceProof(
        host=host.name,
        boot_id=word.boot_id,
        method=ProofMethod.OPERATOR,
        epoch=epoch,
        observed_s=now_s,
        detail=f"confirmed down by {word.operator}: {word.detail}",
    )
