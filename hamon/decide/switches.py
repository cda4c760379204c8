"""Switches for the whole cluster: armed or not, maintenance, releases from a storm. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hamon.decide.answering import RefusedError, accepted, answer, known_host
from hamon.decide.storms import MAY_BE_CONVICTED, is_released, named
from hamon.decide.thought import Thought
from hamon.detector.verdict import Call, judge
from hamon.model.change import CONTROL, Change, Update, Versioned
from hamon.model.control import (
    RELEASE_MAX_S,
    Control,
    Maintenance,
    Release,
    Request,
    RequestKind,
)
from hamon.model.names import CLUSTER, HostName
from hamon.model.policy import DegradedPolicy, Policy
from hamon.model.reason import reason
from hamon.model.view import ClusterView

UNREADABLE = "/control"
"""As the view names the switches' znode when it holds a newer schema or rubbish."""


def switch(
    view: ClusterView, sequence: str, request: Versioned[Request], policy: Policy, now_s: float
) -> Change:
    """Carry out a request that changes the switches.

    Args:
        view: the world.
        sequence: the request's name.
        request: what is asked.
        policy: the numbers and choices.
        now_s: monotonic seconds.

    Raises:
        RefusedError: it makes no sense, or nobody knows how the switches stand.
    """
    if UNREADABLE in view.unreadable:
        msg = f"znode {UNREADABLE} cannot be read: everything is held, and nothing is overwritten"
        raise RefusedError(msg, "upgrade this controller, or mend the znode")
    value = request.value
    control = view.control.value
    match value.kind:
        case RequestKind.DISARM | RequestKind.ARM:
            is_armed = value.kind is RequestKind.ARM
            changed = replace(
                control, is_armed=is_armed, reason=value.reason, who=value.who, since=view.wall
            )
            said = "armed" if is_armed else "disarmed: nothing new is started"
        case RequestKind.RELEASE:
            changed, said = _released(view, control, value, policy, now_s)
        case RequestKind.RESERVE:
            changed, said = _reserved(view, control, value)
        case RequestKind.MAINTENANCE_ON:
            host = known_host(view, value.host)
            changed = _maintained(view, control, host.name, value)
            said = f"host {host.name} is in maintenance"
        case _:
            name = value.host
            if name is None or name not in control.maintenance:
                msg = f"host {name} is not in maintenance"
                raise RefusedError(msg)
            rest = {host: entry for host, entry in control.maintenance.items() if host != name}
            changed = replace(control, maintenance=rest)
            said = f"host {name} is no longer in maintenance"
    return Change(
        subject=sequence,
        reason=reason("request_accepted", sequence, kind=value.kind, who=value.who),
        operations=(
            Update(key=CONTROL, version=view.control.version, value=changed),
            answer(sequence, request, accepted(value, said)),
        ),
    )


def _maintained(view: ClusterView, control: Control, host: HostName, request: Request) -> Control:
    entry = Maintenance(
        reason=request.reason, who=request.who, since=view.wall, until=request.until
    )
    return replace(control, maintenance={**control.maintenance, host: entry})


def _reserved(view: ClusterView, control: Control, request: Request) -> tuple[Control, str]:
    """Keep a reserved host free again that was put to use.

    Raises:
        RefusedError: it is not reserved, or is kept free already.
    """
    host = known_host(view, request.host)
    if not host.spec.reserved:
        msg = f"host {host.name} is not a reserved one"
        raise RefusedError(msg, "set reserved = true in hosts.d on every controller")
    if host.name not in control.reserved_in_use:
        raise RefusedError(f"host {host.name} is not in use")
    rest = {name: use for name, use in control.reserved_in_use.items() if name != host.name}
    said = f"host {host.name} is reserved again; the guests it has stay there"
    return replace(control, reserved_in_use=rest), said


def _released(
    view: ClusterView, control: Control, request: Request, policy: Policy, now_s: float
) -> tuple[Control, str]:
    """Let the named hosts pass the storm brakes, in the boots that were shown to the operator.

    Raises:
        RefusedError: no host, no end to come, a host that lives, or one with another boot by now.
    """
    if not request.boots:
        raise RefusedError("no host is named", "name hosts, or a label that lost hosts carry")
    if not request.until:
        raise RefusedError("a release needs an end", "say for how long, for example --for 30m")
    until = _bounded(request.until, view.wall)
    for name, boot_id in sorted(request.boots.items()):
        if known_host(view, name).boot_id != boot_id:
            msg = f"host {name} has rebooted since it was shown to you"
            raise RefusedError(msg, "look again, and repeat the command if it is still needed")
    living = [name for name in sorted(request.boots) if _lives(view, name, policy, now_s)]
    if living:
        # safety: a release is a word about a loss that is there. Given before, it would be an open
        # brake for whatever happens next to a well host.
        msg = f"not lost, but alive: {named(living)}"
        raise RefusedError(msg, "look at `hamon host list`, and name only hosts that are lost")
    release = Release(
        hosts=request.boots,
        reason=request.reason,
        who=request.who,
        since=view.wall,
        until=until,
    )
    said = f"{len(request.boots)} hosts are released until {until}"
    return replace(control, releases=(*control.releases, release)), said


def _bounded(until: str, wall: str) -> str:
    """Return the end of a release, as stamps are written, at most so long from now as it may last.

    The command line bounds it too, but anything may speak to the socket. It counts from the
    leader's clock; one that goes differently from the operator's only makes it a little shorter.

    Raises:
        RefusedError: it is no time with a zone, or past.
    """
    now = datetime.fromisoformat(wall)
    try:
        end = datetime.fromisoformat(until)
        is_past = end <= now
    except (ValueError, TypeError):
        msg = f"{until!r} is no time such as {wall}"
        raise RefusedError(msg, "say for how long, for example --for 30m") from None
    if is_past:
        raise RefusedError(f"{until} is past by the leader's clock, {wall}", "compare the clocks")
    end = min(end, now + timedelta(seconds=RELEASE_MAX_S))
    return end.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lives(view: ClusterView, name: HostName, policy: Policy, now_s: float) -> bool:
    """Say whether a host has a session and is heard, or its agent answers without one.

    One that policy fences for what its own checks find is as good as lost.
    """
    host = view.hosts[name]
    verdict = judge(view, host, policy.detection, now_s)
    if verdict.call is Call.DEGRADED:
        return policy.detection.of(host.spec.policy).degraded is not DegradedPolicy.FENCE
    return verdict.call is Call.WELL or verdict.reason.code == "alive_by_echo"


def end_of_switches(view: ClusterView, policy: Policy, now_s: float) -> Thought:
    """Lift maintenance and releases whose end has come, and releases of hosts that are well again.

    The end is a wall-clock time because an operator said it. That a host is looked after again a
    little early or late decides nothing by itself (S20); a release that lasts too long still needs
    every witness of a verdict, and counts for one boot.
    """
    control = view.control.value
    over = [
        host
        for host, entry in sorted(control.maintenance.items())
        if entry.until and entry.until <= view.wall
    ]
    releases = tuple(release for release in control.releases if release.until > view.wall)
    if not over and releases == control.releases:
        return _end_of_losses(view, policy, now_s)
    rest = {host: entry for host, entry in control.maintenance.items() if host not in over}
    subject = over[0] if over else CLUSTER
    code = "maintenance_ended" if over else "release_ended"
    write = Update(
        key=CONTROL,
        version=view.control.version,
        value=replace(control, maintenance=rest, releases=releases),
    )
    why = reason(code, subject, hosts=",".join(over))
    return Thought(changes=(Change(subject=subject, reason=why, operations=(write,)),))


def _end_of_losses(view: ClusterView, policy: Policy, now_s: float) -> Thought:
    """Take hosts out of their releases that are well again in the boot that was shown.

    safety: the loss that the operator spoke of is over. If it stayed, the next cut of the same
    network would pass the storm and its cool-down. One that was convicted in that boot stays: the
    rate does not count it, and no host lives again in a boot that was shut out.
    """
    well = [
        name
        for name, host in sorted(view.hosts.items())
        if is_released(view, host)
        and host.record.value is not None
        and host.record.value.state in MAY_BE_CONVICTED
        and _lives(view, name, policy, now_s)
    ]
    if not well:
        return Thought()
    control = view.control.value
    boots = {name: view.hosts[name].boot_id for name in well}
    shorter = (
        replace(r, hosts={name: boot for name, boot in r.hosts.items() if boots.get(name) != boot})
        for r in control.releases
    )
    releases = tuple(release for release in shorter if release.hosts)
    write = Update(
        key=CONTROL, version=view.control.version, value=replace(control, releases=releases)
    )
    why = reason("release_of_living_ended", CLUSTER, hosts=",".join(well))
    return Thought(changes=(Change(subject=CLUSTER, reason=why, operations=(write,)),))
