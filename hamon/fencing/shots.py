"""Which orders were given in this attempt, and since when devices say that it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hamon.fencing.watchdog import proof_time_s, unfit
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import IncidentRecord, Shot, ShotOutcome
from hamon.model.names import Epoch, IncidentId
from hamon.model.policy import DetectionPolicy
from hamon.model.readings import READING_MAX_AGE_S, off_since_s
from hamon.model.view import HostView


def is_shot(
    host: HostView,
    incident: IncidentRecord,
    device: FenceDeviceSpec,
    epoch: Epoch,
    since_s: float,
) -> bool:
    """Say whether the device has had its order in the present attempt, under this leader.

    Args:
        host: whose device.
        incident: its incident.
        device: the device.
        epoch: of this leader.
        since_s: since when this leader has known the conviction.
    """
    shot = _last_shot(incident, device, epoch)
    return shot is not None and not was_never_given(shot, host, incident.incident, since_s)


def _last_shot(incident: IncidentRecord, device: FenceDeviceSpec, epoch: Epoch) -> Shot | None:
    """Return this term's shot by the device in the present attempt, None: there is none."""
    for shot in reversed(incident.shots):
        if (shot.device, shot.attempt, shot.epoch) == (device.name, incident.attempt, epoch):
            return shot
    return None


def was_never_given(shot: Shot, host: HostView, incident: IncidentId, since_s: float) -> bool:
    """Say whether a journalled shot of this term that is not under way was never given.

    Either its intent's lease had run out, or nobody confirmed its commit, so that it was not begun.

    safety: what this controller remembers of the device may be of a former incident or attempt; an
    order that was given then does not stand for this one.
    """
    if shot.outcome is not ShotOutcome.PENDING:
        return shot.outcome is ShotOutcome.LATE
    own = host.shot_of(shot.device)
    is_of_this = (own.incident, own.attempt) == (incident, shot.attempt)
    is_of_before = own.settled_s is not None and own.settled_s < since_s
    return not is_of_this or is_of_before or own.last in {None, ShotOutcome.LATE}


def shot_settled_s(host: HostView, device: FenceDeviceSpec, now_s: float) -> float:
    """Return since when nothing of this controller's last order to a device acts any more.

    ``now_s`` when it has given none: then no answer is later than it.
    """
    ended_s = host.shot_of(device.name).settled_s
    return ended_s if ended_s is not None else now_s


def answers_after_s(host: HostView, device: FenceDeviceSpec, since_s: float, now_s: float) -> float:
    """Return from when on a device's answers say something of its order in this attempt.

    Args:
        host: whose device.
        device: it has had its order.
        since_s: since when this leader has known the conviction.
        now_s: monotonic seconds.
    """
    return max(shot_settled_s(host, device, now_s), since_s, now_s - READING_MAX_AGE_S)


def certain_since_s(
    host: HostView,
    devices: tuple[FenceDeviceSpec, ...],
    after_s: Mapping[str, float],
    since_s: float,
    detection: DetectionPolicy,
    now_s: float,
) -> float | None:
    """Return since when all devices of a level have said that the host is over; None: not yet.

    Args:
        host: the host.
        devices: of one level, at least one.
        after_s: by device: answers from before do not count.
        since_s: since when this leader has known the conviction.
        detection: how far apart two Off must be.
        now_s: monotonic seconds.
    """
    times = []
    for device in devices:
        if device.is_watchdog:
            is_over = has_expired(host, device, since_s, now_s)
            certain_s = expiry_s(host, device, since_s) if is_over else None
        else:
            after = after_s[device.name]
            certain_s = off_since_s(host, device, after_s=after, gap_s=detection.off_gap_s)
        if certain_s is None:
            return None
        times.append(certain_s)
    return max(times)


def expiry_s(host: HostView, device: FenceDeviceSpec, since_s: float) -> float:
    """Return when the boot in the guard must have been reset by its own watchdog.

    ``since_s`` itself when there was none that counts: then nothing is to be waited for.
    """
    seen = host.self_.value
    if seen is None or seen.watchdog is None or seen.boot_id != host.guard.value.boot_id:
        return since_s
    if unfit(seen.watchdog):
        return since_s
    return since_s + proof_time_s(
        seen.watchdog, margin_s=device.margin_s, reset_latency_s=device.reset_latency_s
    )


def has_expired(host: HostView, device: FenceDeviceSpec, since_s: float, now_s: float) -> bool:
    """Say whether a watchdog was armed for the boot in the guard, and its time is over."""
    return since_s < expiry_s(host, device, since_s) <= now_s
