"""What readings, votes and shots amount to: who answered for whom, what is settled. Pure.

Only settled answers about the right machine count; a time-out, an error, "unknown", a transition
and an answer for another machine are as good as none (S3, S12).
"""

from __future__ import annotations

from uuid import UUID

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import Shot, ShotOutcome
from hamon.model.names import Epoch
from hamon.model.proof import Evidence, Power, PowerReading, Source, Vote
from hamon.model.view import HostView

READING_MAX_AGE_S = 30.0
"""An Off older than this is not looked at, whatever a policy says: somebody may have pressed On."""

READINGS_MAX = 6
"""Power readings kept of one device: enough to show Off twice among failures."""


def is_life(host: HostView, vote: Evidence) -> bool:
    """Say whether a vote is life of the very boot that was shut out.

    An echo names its boot. A host without an agent tells none: whatever answers there counts, also
    a kernel alone.
    """
    if host.spec.agentless:
        return vote.vote in {Vote.ALIVE_STRONG, Vote.ALIVE_WEAK}
    return vote.vote is Vote.ALIVE_STRONG and vote.boot_id == host.guard.value.boot_id


def heard_s(host: HostView) -> float | None:
    """Return when the very boot that was shut out was last seen to live; None: never.

    Also where another vote came since: one packet lost says nothing of what was heard before it.
    """
    dead = host.guard.value.boot_id
    times = [vote.observed_s for vote in host.evidence if is_life(host, vote)]
    times += [
        vote.echoed_s
        for vote in host.evidence
        if vote.echoed_s is not None and vote.echoed_boot is not None and vote.echoed_boot == dead
    ]
    return max(times, default=None)


def is_heard_after(host: HostView, since_s: float) -> bool:
    """Say whether the very boot that was shut out was seen to live after a moment."""
    life_s = heard_s(host)
    return life_s is not None and life_s > since_s


def crash_notice(host: HostView, session_timeout_s: float) -> Evidence | None:
    """Return the notice of its crash kernel of a host that lost its session; None: there is none.

    One that came before the session can have been renewed last is of a former crash. Anybody can
    send such a datagram: it counts only where nothing but a kernel is heard of the host.
    """
    if host.session_lost_s is None:
        return None
    since_s = host.session_lost_s - session_timeout_s
    notices = (vote for vote in host.evidence if vote.source is Source.KDUMP)
    return next((vote for vote in notices if vote.observed_s >= since_s), None)


def silent_since_s(host: HostView) -> float | None:
    """Return since when every probe of the host has been silent; None: one is not, or none is."""
    votes = [v for v in host.evidence if v.source in {Source.ECHO, Source.CONNECT}]
    if not votes or any(vote.vote is not Vote.SILENT for vote in votes):
        return None
    return max(vote.changed_s for vote in votes)


def levels(host: HostView) -> tuple[int, ...]:
    """Return the host's configured levels, lowest first."""
    return tuple(sorted({device.level for device in host.spec.fence}))


def devices_at(host: HostView, level: int) -> tuple[FenceDeviceSpec, ...]:
    """Return the devices of one level in the order they were configured."""
    return tuple(device for device in host.spec.fence if device.level == level)


def same_system(one: str, other: str) -> bool:
    """Say whether two system uuids name the same machine, in whichever spelling."""
    try:
        return str(UUID(other)) in spellings(one)
    except ValueError:
        return False


def spellings(uuid: str) -> tuple[str, ...]:
    """Return every way in which a device may spell the uuid of a system; none if it is none.

    IPMI prints a GUID in an order of its own: the whole 16 bytes reversed, or the first three
    fields byte-swapped (SMBIOS). All of them name one machine.
    """
    try:
        known = UUID(uuid)
    except ValueError:
        return ()
    orders = (known.bytes, known.bytes_le, known.bytes[::-1], known.bytes_le[::-1])
    return tuple(str(UUID(bytes=order)) for order in orders)


def identity_of(host: HostView) -> str:
    """Return the uuid that devices of the host must answer for: configured, else registered."""
    if host.spec.product_uuid:
        return host.spec.product_uuid
    return host.self_.value.product_uuid if host.self_.value is not None else ""


def is_off_twice(host: HostView, gap_s: float, now_s: float, *, since_s: float) -> bool:
    """Say whether the power of any one level reads Off twice, without asking for a shot.

    safety: storage that is taken away says nothing here. It may be left from an earlier incident,
    and a host that lives without its storage must not be taken for one without power.

    Args:
        host: whose devices.
        gap_s: least time between two Off answers that together count.
        now_s: monotonic seconds.
        since_s: when life was last seen; what was asked before says nothing of what came after.
    """
    after_s = max(since_s, now_s - READING_MAX_AGE_S)
    powers = [
        [device for device in devices_at(host, level) if device.is_power] for level in levels(host)
    ]
    return any(
        all(reads_off(host, device, after_s=after_s, gap_s=gap_s) for device in power)
        for power in filter(None, powers)
    )


def reads_on(host: HostView, now_s: float) -> bool:
    """Say whether the newest settled answer about power is On: no proof holds against that.

    A dead host has its storage until somebody takes it away: that says nothing.
    """
    for device in host.spec.fence:
        if not device.is_power:
            continue
        answers = settled(host, device, now_s - READING_MAX_AGE_S)
        if answers and answers[-1].power is Power.ON:
            return True
    return False


def is_undone(host: HostView, level: int, now_s: float) -> bool:
    """Say whether a device of the level that proved it reads On (or storage granted) again.

    Args:
        host: proven dead.
        level: the lowest level still trusted; the first one from there on is meant.
        now_s: monotonic seconds.
    """
    known = [one for one in levels(host) if one >= level]
    for device in devices_at(host, known[0]) if known else ():
        answers = settled(host, device, now_s - READING_MAX_AGE_S)
        if answers and answers[-1].power is Power.ON:
            return True
    return False


def settled(host: HostView, device: FenceDeviceSpec, after_s: float) -> tuple[PowerReading, ...]:
    """Return the device's On and Off answers about the right machine, asked after ``after_s``."""
    expected = identity_of(host)
    return tuple(
        reading
        for reading in host.readings
        if reading.device == device.name
        and reading.power in {Power.ON, Power.OFF}
        and reading.asked_s >= after_s
        and _is_identified(device, reading, expected)
    )


def _is_identified(device: FenceDeviceSpec, reading: PowerReading, expected: str) -> bool:
    """Say whether the answer is about this host.

    A device that cannot say whom it answers for is believed: its plug is the operator's word.
    """
    if not device.names_system:
        return True
    return bool(expected) and same_system(reading.identity, expected)


def another_machine(host: HostView, device: FenceDeviceSpec) -> str:
    """Return the uuid of another machine that a device answers for, by its newest answer; "": none.

    Also by the newest scheduled check: an order to such a device hits a host that is well (S12).
    """
    expected = identity_of(host)
    if not device.names_system or not expected:
        return ""
    told = [
        (reading.observed_s, reading.identity)
        for reading in host.readings
        if reading.device == device.name
        and reading.power in {Power.ON, Power.OFF}
        and reading.identity
    ]
    check = host.device_checks.get(device.name)
    if check is not None and check.identified_s is not None:
        told.append((check.identified_s, check.identity))
    newest = max(told, default=(0.0, ""))[1]
    return newest if newest and not same_system(newest, expected) else ""


def reads_off(host: HostView, device: FenceDeviceSpec, *, after_s: float, gap_s: float) -> bool:
    """Say whether the newest settled answers are Off and reach back at least the gap."""
    return off_since_s(host, device, after_s=after_s, gap_s=gap_s) is not None


def off_since_s(
    host: HostView, device: FenceDeviceSpec, *, after_s: float, gap_s: float
) -> float | None:
    """Return when the newest settled answers, all Off, first reached back the gap; None: not yet.

    From then on the device has said for certain that the host is off.
    """
    newest_offs: list[PowerReading] = []
    for reading in reversed(settled(host, device, after_s)):
        if reading.power is not Power.OFF:
            break
        newest_offs.append(reading)
    first_s = newest_offs[-1].observed_s if newest_offs else 0.0
    certain = (one for one in reversed(newest_offs) if one.asked_s - first_s >= gap_s)
    return next((one.observed_s for one in certain), None)


def is_settled(
    shot: Shot, host: HostView, *, epoch: Epoch, took_office_s: float, lease_s: float, now_s: float
) -> bool:
    """Say whether nothing of a journalled shot can act any more.

    safety: a shot of this term is over when its child ended. One of an earlier term is over once
    this leader has been in office for its deadline plus the lease: the child that carries it ends
    itself by then, wherever its controller is.
    """
    if shot.outcome in {ShotOutcome.DONE, ShotOutcome.NOT_DONE, ShotOutcome.LATE}:
        return True
    if shot.epoch == epoch:
        return not host.shot_of(shot.device).is_running
    return now_s - took_office_s >= shot.deadline_s + lease_s
