"""What life has refuted: an Off, a time that was over, a word, a crash notice. Pure.

A sign of life voids a proof while it is fresh (``ladder``). One that came *after* what the proof
stands on shows more: whoever said so was wrong, and is not believed again, however silent the host
is by then.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.fencing.shots import answers_after_s, certain_since_s, is_shot
from hamon.model.incident import IncidentRecord
from hamon.model.names import Epoch
from hamon.model.policy import DetectionPolicy, FencingPolicy
from hamon.model.proof import ProofMethod
from hamon.model.readings import READING_MAX_AGE_S, crash_notice, devices_at, heard_s, levels
from hamon.model.view import HostView


@dataclass(frozen=True, slots=True, kw_only=True)
class Refutation:
    """A proof that life of the very boot has refuted.

    ``method``: OPERATOR or KDUMP, told by ``told_by``; None: by the devices of ``level``.
    """

    method: ProofMethod | None = None
    told_by: str = ""
    level: int = 0


def refutation(
    host: HostView,
    incident: IncidentRecord,
    *,
    epoch: Epoch,
    since_s: float,
    detection: DetectionPolicy,
    fencing: FencingPolicy,
    now_s: float,
    word_s: float,
) -> Refutation | None:
    """Return what life of the very boot has refuted since it was said; None: nothing.

    safety: to be written down at once. Of what voids a proof only the latest is known, and it ages.

    Args:
        host: convicted; not proven dead, or proven dead and with an agent.
        incident: its incident.
        epoch: of this leader.
        since_s: since when this leader has known the conviction.
        detection: how far apart two Off must be, and how old a crash notice may be.
        fencing: whether such a notice counts.
        now_s: monotonic seconds.
        word_s: since when this leader has known what is written down of a proof.
    """
    life_s = heard_s(host)
    if life_s is None:
        return None
    word = incident.proof
    if word is not None and word.method is ProofMethod.OPERATOR and life_s > word_s:
        return Refutation(method=ProofMethod.OPERATOR, told_by=word.operator)
    notice = crash_notice(host, detection.session_timeout_s)
    if (
        notice is not None
        # What another witness proved since stands on its own.
        and (word is None or word.method is ProofMethod.KDUMP)
        and life_s > notice.observed_s
        and fencing.kdump_is_proof
        and incident.attempt == 1
    ):
        told_by = f"the crash kernel at {notice.subject}"
        return Refutation(method=ProofMethod.KDUMP, told_by=told_by)
    known = [level for level in levels(host) if level >= incident.level]
    devices = devices_at(host, known[0]) if known else ()
    if not devices or all(device.is_revocation for device in devices):
        return None
    is_proven = word is not None and word.method in {ProofMethod.POWER, ProofMethod.WATCHDOG}
    powers = [device for device in devices if not device.is_watchdog]
    if not is_proven and (
        host.is_shot_running
        or not all(is_shot(host, incident, device, epoch, since_s) for device in powers)
    ):
        return None
    # What was read before the conviction may be of a former boot, which was off before this one was
    # heard.
    oldest_s = max(now_s - READING_MAX_AGE_S, since_s)
    after_s = {
        device.name: oldest_s if is_proven else answers_after_s(host, device, since_s, now_s)
        for device in devices
    }
    certain_s = certain_since_s(host, devices, after_s, since_s, detection, now_s)
    is_refuted = certain_s is not None and life_s > certain_s
    return Refutation(level=known[0]) if is_refuted else None
