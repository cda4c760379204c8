"""Verdict: what the evidence says of one host. Pure; suspects fast, convicts slowly.

Rules:

1. A registered heartbeat that is not late is well. A session not yet expired is not life by itself.
2. A lost session is an alarm. It convicts only together with an independent witness:
   a. power read Off twice with matching identity, both since no probe hears anything; or
   b. silence on every plane, heard by this controller and another one (or the only one there is),
      each of which still hears other hosts on that plane.
3. A strong sign of life (an echo with a boot id) or a weak one (a kernel answers) holds back.
4. Power On is never life. What is missing, stale or failed is no vote at all (S3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.model.policy import DetectionPolicy, LeavingPolicy
from hamon.model.proof import Evidence, Source, Vote
from hamon.model.readings import is_off_twice
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView


class Call(StrEnum):
    """What is called of a host."""

    WELL = "well"
    LATE = "late"
    LEFT = "left"
    LOST = "lost"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The call, what carried it, and what stands against a conviction.

    ``evidence``: one line for each vote that was counted, for the incident record.
    """

    call: Call
    reason: Reason
    evidence: tuple[str, ...] = ()


def judge(view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float) -> Verdict:
    """Judge one live host that has been seen at least once.

    Returns:
        WELL; LATE (session there, every probe silent); LEFT (it announced its leave and is gone);
        LOST (session gone, not enough to convict; the reason says what is missing);
        DEAD (session gone and corroborated).
    """
    votes = fresh_probes(host, policy, now_s)
    if host.heartbeat is not None:
        if is_silent(votes, policy) and not _has_just_come(host, policy, now_s):
            return Verdict(call=Call.LATE, reason=reason("heartbeat_late", host.name))
        return Verdict(call=Call.WELL, reason=reason("heartbeat_present", host.name))
    lost_s = now_s - host.session_lost_s if host.session_lost_s is not None else 0.0
    lines = (f"session lost {lost_s:.2f} s ago", *lines_of(host, votes, now_s))
    leaving = host.self_.value.leaving if host.self_.value is not None else None
    if leaving is not None and policy.leaving is not LeavingPolicy.EVACUATE:
        why = reason("host_left", host.name, leaving=leaving)
        return Verdict(call=Call.LEFT, reason=why, evidence=lines)
    against = _sign_of_life(host, votes)
    if against is not None:
        return Verdict(call=Call.LOST, reason=against, evidence=lines)
    if is_silent(votes, policy):
        # An Off from before the silence is void: the host was switched on again since.
        silent_since_s = max(vote.changed_s for vote in votes)
        if is_off_twice(host, policy.off_gap_s, now_s, since_s=silent_since_s):
            why = reason("power_off_and_silent", host.name)
            return Verdict(call=Call.DEAD, reason=why, evidence=lines)
        return _by_network(view, host, votes, lines)
    return Verdict(call=Call.LOST, reason=reason("probes_undecided", host.name), evidence=lines)


def _has_just_come(host: HostView, policy: DetectionPolicy, now_s: float) -> bool:
    """Say whether the heartbeat is so young that the silence may be that of the time before it."""
    return host.registered_s is not None and now_s - host.registered_s < policy.late_after_s


def fresh_probes(host: HostView, policy: DetectionPolicy, now_s: float) -> tuple[Evidence, ...]:
    """Return the probes' latest votes that are young enough to count."""
    return tuple(
        evidence
        for evidence in host.evidence
        if evidence.source in {Source.ECHO, Source.CONNECT}
        and now_s - evidence.observed_s <= policy.fresh_s
    )


def shows_life(host: HostView, policy: DetectionPolicy, now_s: float) -> Reason | None:
    """Name a fresh sign of life by a probe, strong or weak, or the session; None: there is none."""
    if host.heartbeat is not None:
        return reason("alive_by_session", host.name, boot_id=host.heartbeat.boot_id)
    return _sign_of_life(host, fresh_probes(host, policy, now_s))


def _sign_of_life(host: HostView, votes: tuple[Evidence, ...]) -> Reason | None:
    for vote in votes:
        if vote.vote is Vote.ALIVE_STRONG:
            return reason(
                "alive_by_echo", host.name, plane=vote.subject, boot_id=vote.boot_id or ""
            )
    for vote in votes:
        if vote.vote is Vote.ALIVE_WEAK:
            return reason("alive_by_kernel", host.name, plane=vote.subject, detail=vote.detail)
    return None


def is_silent(votes: tuple[Evidence, ...], policy: DetectionPolicy) -> bool:
    """Say whether probes were made, all that count are silent, and one has been for long enough."""
    return (
        bool(votes)
        and all(vote.vote is Vote.SILENT for vote in votes)
        and any(vote.observed_s - vote.changed_s >= policy.late_after_s for vote in votes)
    )


def _by_network(
    view: ClusterView, host: HostView, votes: tuple[Evidence, ...], lines: tuple[str, ...]
) -> Verdict:
    """Apply rule 2b."""

    def undecided(code: str, **facts: object) -> Verdict:
        return Verdict(call=Call.LOST, reason=reason(code, host.name, **facts), evidence=lines)

    silent_planes = {vote.subject for vote in votes}
    for plane in host.spec.planes:
        if plane.plane not in silent_planes:
            return undecided("plane_not_heard", plane=plane.plane)
    me = view.controllers.get(view.own.controller)
    others = [c for name, c in sorted(view.controllers.items()) if name != view.own.controller]
    for plane in host.spec.planes:
        if me is None or plane.plane not in me.reaches:
            return undecided("own_plane_suspect", plane=plane.plane)
        for other in others:
            agrees = host.name in other.silent.get(plane.plane, ())
            if not agrees or plane.plane not in other.reaches:
                return undecided(
                    "other_controller_disagrees", plane=plane.plane, controller=other.controller
                )
    seconded = ",".join(other.controller for other in others) or "alone"
    agreed = tuple(
        f"{other.controller}: silent on {','.join(sorted(silent_planes))}" for other in others
    )
    return Verdict(
        call=Call.DEAD,
        reason=reason("silent_on_every_plane", host.name, seconded_by=seconded),
        evidence=lines + agreed,
    )


def lines_of(host: HostView, votes: tuple[Evidence, ...], now_s: float) -> tuple[str, ...]:
    """Put the counted votes, and power, into words for the incident record."""
    lines = [
        f"{vote.observer}: {vote.source} on {vote.subject}: {vote.vote}"
        f" for {now_s - vote.changed_s:.2f} s"
        for vote in votes
    ]
    lines += [
        f"power by {reading.device}: {reading.power}, {now_s - reading.observed_s:.2f} s ago"
        for reading in host.readings[-2:]
    ]
    return tuple(lines)
