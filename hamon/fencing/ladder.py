"""The fencing ladder: which device is to shoot next, and when a boot is proven dead. Pure.

Rules:

1. Levels are climbed in order. All devices of a level are ordered at once, and all must prove Off;
   one that fails ends the level.
2. A device proves Off by two settled Off answers, asked at least ``off_gap_s`` apart, with no other
   settled answer in between, the identity of the system matching the host's (S12), both asked after
   the shot settled. A time-out, an error, "unknown" and a transition prove nothing (S3). Where
   policy says so, two Off answers since the host fell silent need no shot.
   A device that answers for another machine is not shot with: its level has failed.
3. Already off is success: a device that refuses the order may still be read.
4. Only this module builds a :class:`FenceProof`. It ages: the newest answer must be young, and a
   sign of life of the boot voids it, also when packets were lost since; what it stands on must be
   later, and every plane silent for long enough. Life that came after it refutes it: then the
   device lies. Of a host without an agent, which names no boot, any fresh answer is life. Storage
   that was taken away proves that the host cannot write, whether it lives or not.
5. A watchdog of the host's own proves by time: a boot that said it was guarded by one has been
   reset so long after its conviction (``fencing/watchdog``), counted anew by each leader.
6. An operator's word proves only the boot that was shown to the operator, only while nothing shows
   life, and only if it does so within its time. So does, where policy takes it, the notice of the
   host's crash kernel, without that limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hamon.fencing.shots import (
    answers_after_s,
    certain_since_s,
    expiry_s,
    has_expired,
    is_shot,
    shot_settled_s,
)
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import IncidentRecord, ShotOutcome
from hamon.model.names import Epoch
from hamon.model.policy import DetectionPolicy, FencingPolicy
from hamon.model.proof import Evidence, FenceProof, Power, ProofMethod, Source, Vote
from hamon.model.readings import (
    READING_MAX_AGE_S,
    another_machine,
    crash_notice,
    devices_at,
    heard_s,
    is_heard_after,
    is_life,
    levels,
    reads_off,
    reads_on,
    settled,
    silent_since_s,
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
    """The next step; ``device`` with SHOOT, ``proof`` with PROVEN, ``wake_at_s`` with the rest.

    ``device`` with NEXT_LEVEL and EXHAUSTED: the one that answers for another machine.
    """

    step: Step
    device: FenceDeviceSpec | None = None
    proof: FenceProof | None = None
    wake_at_s: float | None = None


def climb(
    host: HostView,
    incident: IncidentRecord,
    *,
    epoch: Epoch,
    since_s: float,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
    word_s: float | None = None,
) -> Rung:
    """Say what to do next about a host that is to be fenced.

    Args:
        host: convicted, and not proven dead.
        incident: its incident.
        epoch: of this leader.
        since_s: since when this leader has known the conviction.
        detection: how old what counts may be.
        fencing: how long a level may take, and what needs no shot.
        now_s: monotonic seconds.
        word_s: since when this leader has known an operator's word; None: as the conviction.

    Returns:
        PROVEN with the proof; SHOOT with a device; CONFIRM: read power, come back at ``wake_at_s``;
        WAIT: an order is under way or not due; NEXT_LEVEL: this one failed; EXHAUSTED: all failed.
    """
    word_s = since_s if word_s is None else word_s
    told = _told_proof(host, incident, epoch, detection, fencing, now_s, word_s=word_s)
    if told is not None:
        return Rung(step=Step.PROVEN, proof=told)
    known = [level for level in levels(host) if level >= incident.level]
    if not known:
        return Rung(step=Step.WAIT if host.is_shot_running else Step.EXHAUSTED)
    level = known[0]
    devices = devices_at(host, level)
    if fencing.off_without_shot and _is_off_unshot(host, devices, detection, now_s):
        return Rung(step=Step.PROVEN, proof=_device_proof(host, devices, epoch, now_s))
    stranger = next((device for device in devices if another_machine(host, device)), None)
    if stranger is not None:
        # safety: an order through it would cut the power of a host that is well.
        if host.is_shot_running:
            return Rung(step=Step.WAIT)
        return Rung(step=_failed(known), device=stranger)
    waits = []
    for device in devices:
        if device.is_watchdog:
            continue
        if host.shot_of(device.name).is_running or is_shot(host, incident, device, epoch, since_s):
            continue
        due_s = since_s + device.delay_s if incident.attempt == 1 else now_s
        if now_s >= due_s:
            return Rung(step=Step.SHOOT, device=device)
        waits.append(due_s)
    if waits or host.is_shot_running:
        return Rung(step=Step.WAIT, wake_at_s=min(waits, default=None))
    after_s = {device.name: answers_after_s(host, device, since_s, now_s) for device in devices}
    if _is_level_proven(host, devices, after_s, since_s, detection, now_s):
        return Rung(step=Step.PROVEN, proof=_device_proof(host, devices, epoch, now_s))
    give_up_s = max(
        expiry_s(host, device, since_s) + _listen_s(host, detection, now_s)
        if device.is_watchdog
        else shot_settled_s(host, device, now_s) + _patience_s(host, device, detection, fencing)
        for device in devices
    )
    if now_s < give_up_s:
        return Rung(step=Step.CONFIRM, wake_at_s=give_up_s)
    return Rung(step=_failed(known))


def _failed(known: list[int]) -> Step:
    """Return what follows when the first of the levels that are left has failed."""
    return Step.EXHAUSTED if len(known) == 1 else Step.NEXT_LEVEL


def _listen_s(host: HostView, detection: DetectionPolicy, now_s: float) -> float:
    """Return for how long to listen on after a watchdog's time, to a host that was just heard."""
    return detection.fresh_s if _is_heard(host, detection, now_s) else 0.0


def _patience_s(
    host: HostView, device: FenceDeviceSpec, detection: DetectionPolicy, fencing: FencingPolicy
) -> float:
    """Return how long after its order a device may take to prove Off.

    One that took no order and answers nothing gets the time of one more look: the next level waits.
    """
    shot = host.shot_of(device.name)
    is_mute = shot.settled_s is not None and not settled(host, device, shot.settled_s)
    if shot.last is ShotOutcome.DONE or not is_mute:
        return fencing.confirm_timeout_s
    return min(fencing.confirm_timeout_s, detection.look_timeout_s + detection.off_gap_s)


def renew(
    host: HostView,
    incident: IncidentRecord,
    *,
    epoch: Epoch,
    since_s: float,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
    word_s: float | None = None,
) -> FenceProof | None:
    """Prove again that a fenced host is still off; None: not known well enough to move guests.

    A proof written down earlier, also by an earlier leader, is never enough by itself: this leader
    must have read Off twice itself, and the newest answer within ``proof_fresh_s``. What ended a
    boot for good (a crash, an operator's word) is not read again, and holds while nothing shows
    life. A watchdog's time counts from ``since_s``, when this leader knew of the conviction: a new
    leader waits it out once more.
    """
    if incident.proof is None:
        return None
    if incident.proof.method is ProofMethod.OPERATOR:
        word_s = since_s if word_s is None else word_s
        return _operator_proof(host, incident, epoch, detection, now_s, word_s=word_s)
    if incident.proof.method is ProofMethod.KDUMP:
        return _crash_proof(host, epoch, detection, now_s, detail=incident.proof.detail)
    known = [level for level in levels(host) if level >= incident.level]
    devices = devices_at(host, known[0]) if known else ()
    oldest_s = now_s - READING_MAX_AGE_S
    after_s = {device.name: oldest_s for device in devices}
    if not devices or not _is_level_proven(host, devices, after_s, since_s, detection, now_s):
        return None
    for device in devices:
        if device.is_watchdog:
            continue
        newest = settled(host, device, oldest_s)[-1]
        if now_s - newest.observed_s > fencing.proof_fresh_s:
            return None
    return _device_proof(host, devices, epoch, now_s)


def renewal_overdue_s(
    host: HostView,
    incident: IncidentRecord,
    *,
    asked_since_s: float,
    since_s: float,
    fencing: FencingPolicy,
    now_s: float,
) -> float:
    """Return from when on a proof that :func:`renew` does not give is not waited for any more.

    A device gets as long to answer Off again as it gets after an order: from when its last Off went
    stale. A watchdog's own time is waited out first. A word that was told is not read again: what
    voided it stays.

    Args:
        host: proven dead.
        incident: its incident.
        asked_since_s: since when this leader has asked the devices without a pause.
        since_s: since when this leader has known the conviction.
        fencing: how long Off counts, and how long a device may take.
        now_s: monotonic seconds.
    """
    word = incident.proof
    known = [level for level in levels(host) if level >= incident.level]
    devices = devices_at(host, known[0]) if known else ()
    if word is None or word.method in {ProofMethod.OPERATOR, ProofMethod.KDUMP} or not devices:
        return asked_since_s + fencing.confirm_timeout_s
    stale_s = []
    for device in devices:
        if not device.is_watchdog:
            answers = settled(host, device, now_s - READING_MAX_AGE_S)
            offs = [each.observed_s for each in answers if each.power is Power.OFF]
            stale_s.append(max([asked_since_s, *(off_s + fencing.proof_fresh_s for off_s in offs)]))
        elif not has_expired(host, device, since_s, now_s):
            stale_s.append(max(asked_since_s, expiry_s(host, device, since_s)))
    return min(stale_s, default=now_s) + fencing.confirm_timeout_s


# -- Off without a shot --------------------------------------------------------------------------


def _is_off_unshot(
    host: HostView,
    devices: tuple[FenceDeviceSpec, ...],
    detection: DetectionPolicy,
    now_s: float,
) -> bool:
    """Say whether the power of a level reads Off twice since every probe fell silent.

    safety: only power. Storage that reads revoked may have been revoked in an earlier incident.
    """
    since_s = silent_since_s(host)
    if since_s is None or _is_heard(host, detection, now_s):
        return False
    after_s = max(since_s, now_s - READING_MAX_AGE_S)
    return all(
        device.is_power and reads_off(host, device, after_s=after_s, gap_s=detection.off_gap_s)
        for device in devices
    )


# -- proofs ---------------------------------------------------------------------------------------


def _device_proof(
    host: HostView, devices: tuple[FenceDeviceSpec, ...], epoch: Epoch, now_s: float
) -> FenceProof:
    if all(device.is_revocation for device in devices):
        method, said = ProofMethod.STORAGE, "storage read revoked twice by"
    elif all(device.is_watchdog for device in devices):
        method, said = ProofMethod.WATCHDOG, "it must have been reset by now by its"
    else:
        method, said = ProofMethod.POWER, "power read Off twice by"
    names = ", ".join(device.name for device in devices)
    return FenceProof(
        host=host.name,
        boot_id=host.guard.value.boot_id,
        method=method,
        epoch=epoch,
        observed_s=now_s,
        detail=f"{said} {names}",
    )


def _is_level_proven(
    host: HostView,
    devices: tuple[FenceDeviceSpec, ...],
    after_s: Mapping[str, float],
    since_s: float,
    detection: DetectionPolicy,
    now_s: float,
) -> bool:
    """Say whether the devices of a level prove the host dead, and no sign of life voids it.

    safety: life does not void what storage says. A host without access to its guests' disks cannot
    harm them, and its agent ends their copies when it reads that its boot is shut out.
    """
    life_s = heard_s(host)
    if all(device.is_revocation for device in devices):
        return certain_since_s(host, devices, after_s, since_s, detection, now_s) is not None
    if life_s is not None:
        after_s = {name: max(after, life_s) for name, after in after_s.items()}
    certain_s = certain_since_s(host, devices, after_s, since_s, detection, now_s)
    if certain_s is None or (life_s is not None and life_s > certain_s):
        return False
    return not _is_heard(host, detection, now_s)


def _told_proof(
    host: HostView,
    incident: IncidentRecord,
    epoch: Epoch,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
    *,
    word_s: float,
) -> FenceProof | None:
    """Return a proof that somebody told: an operator, or the crash kernel."""
    is_told = incident.proof is not None and incident.proof.method is ProofMethod.OPERATOR
    if is_told and not is_word_over(incident, fencing, now_s, word_s=word_s):
        proof = _operator_proof(host, incident, epoch, detection, now_s, word_s=word_s)
        if proof is not None:
            return proof
    if not fencing.kdump_is_proof or incident.attempt > 1:
        return None
    notice = crash_notice(host, detection.session_timeout_s)
    if notice is None or is_heard_after(host, notice.observed_s):
        return None
    detail = f"its crash kernel told of its end, from {notice.subject}"
    return _crash_proof(host, epoch, detection, now_s, detail=detail)


def is_word_over(
    incident: IncidentRecord, fencing: FencingPolicy, now_s: float, *, word_s: float
) -> bool:
    """Say whether an operator's word is too old to become a proof: who gave it has to look again.

    Args:
        incident: of a host that is not fenced yet.
        fencing: how long a word counts.
        now_s: monotonic seconds.
        word_s: since when this leader has known the word; a new one counts anew.
    """
    word = incident.proof
    is_told = word is not None and word.method is ProofMethod.OPERATOR
    return is_told and now_s - word_s > fencing.operator_word_s


def _crash_proof(
    host: HostView, epoch: Epoch, detection: DetectionPolicy, now_s: float, *, detail: str
) -> FenceProof | None:
    """Turn the crash kernel's notice into a proof, unless something shows life.

    safety: the kernel that ran the guests is gone. That the one after it mounts none of their disks
    is what whoever sets ``kdump_is_proof`` vouches for.
    """
    if host.heartbeat is not None or _is_heard(host, detection, now_s):
        return None
    return FenceProof(
        host=host.name,
        boot_id=host.guard.value.boot_id,
        method=ProofMethod.KDUMP,
        epoch=epoch,
        observed_s=now_s,
        detail=detail,
    )


def _is_heard(host: HostView, detection: DetectionPolicy, now_s: float) -> bool:
    """Say whether the very boot in the guard has just answered, or may have: it is not dead then.

    safety: a plane where it might have been heard before is silent only once it has been for
    ``late_after_s``; one packet lost is no silence.
    """
    if host.spec.agentless and host.heartbeat is not None:
        return True
    return any(
        now_s - vote.observed_s <= detection.fresh_s
        and (is_life(host, vote) or _is_undecided(vote, detection))
        for vote in host.evidence
    )


def _is_undecided(vote: Evidence, detection: DetectionPolicy) -> bool:
    """Say whether a vote of a probe is so young that the host may have been heard right before.

    An echo is not: it names its boot.
    """
    is_probe = vote.source in {Source.ECHO, Source.CONNECT} and vote.vote is not Vote.ALIVE_STRONG
    return is_probe and vote.observed_s - vote.changed_s < detection.late_after_s


def _operator_proof(
    host: HostView,
    incident: IncidentRecord,
    epoch: Epoch,
    detection: DetectionPolicy,
    now_s: float,
    *,
    word_s: float,
) -> FenceProof | None:
    """Turn an operator's recorded word into a proof, unless something shows life since."""
    word = incident.proof
    if word is None or word.boot_id != host.guard.value.boot_id:
        return None
    if is_heard_after(host, word_s):
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
