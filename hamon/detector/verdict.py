"""Verdict: what the evidence says of one host. Pure; suspects fast, convicts slowly.

Rules:

1. A registered heartbeat that is not late is well. A session not yet expired is not life by itself:
   it is late when no probe hears anything.
2. A host that is late or has lost its session is convicted together with an independent witness:
   a. power read Off twice with matching identity, both since anything was heard of it; or
   b. its crash kernel's notice, once the session is gone and at most a kernel answers; or
   c. silence on every plane, late on each of them, heard by as many controllers as must agree, each
      of which still hears other hosts on that plane; once the session is gone.
3. Life holds back, whoever sees it: an echo or a heartbeat on shared storage (strong), a kernel
   that answers or a heartbeat of its nova-compute (weak), another controller that hears it.
4. One that writes to shared storage and is late on every plane is PARTITIONED. One whose kernel
   answers, and nothing else for long, is HUNG. One that is well but for its own checks (storage,
   links, libvirt) is DEGRADED. What follows is policy.
5. Power On is never life. What is missing, stale or failed is no vote at all (S3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hamon.detector.views import heard_by_another, views_of_silence
from hamon.model.host import LIBVIRT_CHECK, STORAGE_CHECK
from hamon.model.policy import DetectionPolicy, LeavingPolicy
from hamon.model.proof import Evidence, Source, Vote
from hamon.model.readings import crash_notice, is_off_twice
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

SERVICE_FRESH_S = 45.0
"""A heartbeat of nova-compute is life for so long: one comes every 10 s, and is seen 10 s later."""


class Call(StrEnum):
    """What is called of a host."""

    WELL = "well"
    DEGRADED = "degraded"
    LATE = "late"
    LEFT = "left"
    LOST = "lost"
    PARTITIONED = "partitioned"
    HUNG = "hung"
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
        WELL; DEGRADED; LATE (session there, every probe silent); LEFT (it announced its leave and
        is gone); LOST (session gone, not enough to convict; the reason says what is missing);
        PARTITIONED; HUNG; DEAD (corroborated).
    """
    policy = policy.of(host.spec.policy)
    probes = fresh_probes(host, policy, now_s)
    if host.heartbeat is not None:
        if not is_silent(probes, policy) or _has_just_come(host, policy, now_s):
            return _judge_well(host)
        lines = lines_of(host, (*probes, *_others(host, policy, now_s)), now_s)
        return _by_power(view, host, policy, now_s, lines) or Verdict(
            call=Call.LATE, reason=reason("heartbeat_late", host.name), evidence=lines
        )
    lost_s = now_s - host.session_lost_s if host.session_lost_s is not None else 0.0
    votes = (*probes, *_others(host, policy, now_s))
    lines = (f"session lost {lost_s:.2f} s ago", *lines_of(host, votes, now_s))
    leaving = host.self_.value.leaving if host.self_.value is not None else None
    if leaving is not None and policy.leaving is not LeavingPolicy.EVACUATE:
        why = reason("host_left", host.name, leaving=leaving)
        return Verdict(call=Call.LEFT, reason=why, evidence=lines)
    if is_silent(probes, policy):
        return _judge_silent(view, host, policy, now_s, lines)
    return _judge_heard(view, host, policy, now_s, lines)


def _judge_well(host: HostView) -> Verdict:
    failed = failed_checks(host)
    if not failed:
        return Verdict(call=Call.WELL, reason=reason("heartbeat_present", host.name))
    why = reason("checks_failed", host.name, checks=", ".join(failed))
    lines = tuple(f"check of {name}: {said}" for name, said in failed.items())
    return Verdict(call=Call.DEGRADED, reason=why, evidence=lines)


def _judge_silent(
    view: ClusterView,
    host: HostView,
    policy: DetectionPolicy,
    now_s: float,
    lines: tuple[str, ...],
) -> Verdict:
    """Judge a host without session that nothing is heard of on its planes."""

    def called(call: Call, why: Reason) -> Verdict:
        return Verdict(call=call, reason=why, evidence=lines)

    heard = heard_by_another(view, host)
    if heard is not None:
        return called(Call.LOST, heard)
    silent_planes = late_planes(fresh_probes(host, policy, now_s), policy)
    storage = _alive_on_storage(host, policy, now_s)
    if storage is not None:
        is_cut_off = all(place.plane in silent_planes for place in host.spec.planes)
        return called(Call.PARTITIONED if is_cut_off else Call.LOST, storage)
    dead = _by_power(view, host, policy, now_s, lines)
    if dead is not None:
        return dead
    beat = _service_beat(view, host, now_s)
    if beat is not None:
        return called(Call.LOST, beat)
    notice = _crash_notice(host, policy)
    if notice is not None:
        return called(Call.DEAD, notice)
    views = views_of_silence(view, host, silent_planes, policy.controllers_agree)
    if views.missing is not None:
        return called(Call.LOST, views.missing)
    seconded = ",".join(views.seconded_by) or "alone"
    return Verdict(
        call=Call.DEAD,
        reason=reason("silent_on_every_plane", host.name, seconded_by=seconded),
        evidence=lines + tuple(f"{name}: silent on every plane" for name in views.seconded_by),
    )


def _judge_heard(
    view: ClusterView,
    host: HostView,
    policy: DetectionPolicy,
    now_s: float,
    lines: tuple[str, ...],
) -> Verdict:
    """Judge a host without session of which something is heard, or not known to be silent."""
    life = _sign_of_life(view, host, policy, now_s)
    if life is None:
        why = reason("probes_undecided", host.name)
        return Verdict(call=Call.LOST, reason=why, evidence=lines)
    if life.code != "alive_by_kernel":
        return Verdict(call=Call.LOST, reason=life, evidence=lines)
    heard = heard_by_another(view, host, but_a_kernel=True)
    if heard is not None:
        return Verdict(call=Call.LOST, reason=heard, evidence=lines)
    notice = _crash_notice(host, policy)
    if notice is not None:
        # The kernel that answers is the crash kernel.
        return Verdict(call=Call.DEAD, reason=notice, evidence=lines)
    since_s = _kernel_only_since_s(host, policy, now_s)
    if since_s is not None and now_s - since_s >= policy.hung_after_s:
        why = reason("kernel_answers_only", host.name, for_s=now_s - since_s)
        return Verdict(call=Call.HUNG, reason=why, evidence=lines)
    return Verdict(call=Call.LOST, reason=life, evidence=lines)


def _by_power(
    view: ClusterView,
    host: HostView,
    policy: DetectionPolicy,
    now_s: float,
    lines: tuple[str, ...],
) -> Verdict | None:
    """Apply rule 2a to a host whose probes are silent; None: it does not hold.

    An Off from before the silence, or before anything else that was heard of it, is void: the host
    was switched on again since.
    """
    if (
        _alive_on_storage(host, policy, now_s) is not None
        or heard_by_another(view, host) is not None
    ):
        return None
    since_s = max(vote.changed_s for vote in fresh_probes(host, policy, now_s))
    beat_s = _beat_s(view, host)
    if beat_s is not None:
        since_s = max(since_s, beat_s)
    if not is_off_twice(host, policy.off_gap_s, now_s, since_s=since_s):
        return None
    code = "power_off_and_silent" if host.heartbeat is None else "power_off_and_late"
    return Verdict(call=Call.DEAD, reason=reason(code, host.name), evidence=lines)


def _has_just_come(host: HostView, policy: DetectionPolicy, now_s: float) -> bool:
    """Say whether the heartbeat is so young that the silence may be that of the time before it."""
    return host.registered_s is not None and now_s - host.registered_s < policy.late_after_s


def failed_checks(host: HostView) -> Mapping[str, str]:
    """Return what the host's own checks say is wrong in its present boot, by check."""
    if host.checks is None or host.checks.boot_id != host.boot_id:
        return {}
    return dict(sorted(host.checks.failed.items()))


def is_harmed(host: HostView, policy: DetectionPolicy, now_s: float) -> bool:
    """Say whether guests suffer by what the checks found.

    A lost libvirt alone harms no guest. Nor does a storage on which this boot's heartbeat is seen
    to move: whatever the check says, what the host writes arrives there.
    """
    moving = {
        f"{STORAGE_CHECK}{vote.subject}"
        for vote in _fresh(host, policy, now_s, Source.STORAGE)
        if vote.vote is Vote.ALIVE_STRONG and vote.boot_id == host.boot_id
    }
    return any(name not in {LIBVIRT_CHECK, *moving} for name in failed_checks(host))


# -- votes ----------------------------------------------------------------------------------------


def fresh_probes(host: HostView, policy: DetectionPolicy, now_s: float) -> tuple[Evidence, ...]:
    """Return the probes' latest votes that are young enough to count."""
    return _fresh(host, policy, now_s, Source.ECHO, Source.CONNECT)


def _others(host: HostView, policy: DetectionPolicy, now_s: float) -> tuple[Evidence, ...]:
    notices = tuple(vote for vote in host.evidence if vote.source is Source.KDUMP)
    return (*_fresh(host, policy, now_s, Source.STORAGE), *notices)


def _fresh(
    host: HostView, policy: DetectionPolicy, now_s: float, *sources: Source
) -> tuple[Evidence, ...]:
    return tuple(
        evidence
        for evidence in host.evidence
        if evidence.source in sources and now_s - evidence.observed_s <= policy.fresh_s
    )


def shows_life(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Reason | None:
    """Name a fresh sign of life by any witness, strong or weak, or the session; None: no sign."""
    if host.heartbeat is not None:
        return reason("alive_by_session", host.name, boot_id=host.heartbeat.boot_id)
    return _sign_of_life(view, host, policy, now_s) or heard_by_another(view, host)


def _sign_of_life(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Reason | None:
    votes = fresh_probes(host, policy, now_s)
    for vote in votes:
        if vote.vote is Vote.ALIVE_STRONG:
            return reason(
                "alive_by_echo", host.name, plane=vote.subject, boot_id=vote.boot_id or ""
            )
    stronger = _alive_on_storage(host, policy, now_s) or _service_beat(view, host, now_s)
    if stronger is not None:
        return stronger
    for vote in votes:
        if vote.vote is Vote.ALIVE_WEAK:
            return reason("alive_by_kernel", host.name, plane=vote.subject, detail=vote.detail)
    return None


def _alive_on_storage(host: HostView, policy: DetectionPolicy, now_s: float) -> Reason | None:
    for vote in _fresh(host, policy, now_s, Source.STORAGE):
        if vote.vote is Vote.ALIVE_STRONG:
            return reason(
                "alive_on_storage", host.name, mount=vote.subject, boot_id=vote.boot_id or ""
            )
    return None


def _crash_notice(host: HostView, policy: DetectionPolicy) -> Reason | None:
    notice = crash_notice(host, policy.session_timeout_s)
    return None if notice is None else reason("crash_notice", host.name, address=notice.subject)


def _beat_s(view: ClusterView, host: HostView) -> float | None:
    """Return a moment after which a heartbeat of its nova-compute came, None: none was seen."""
    return view.cloud.beats_s.get(host.service_host) if view.cloud is not None else None


def _service_beat(view: ClusterView, host: HostView, now_s: float) -> Reason | None:
    """Return a heartbeat of its nova-compute that came after its session was lost.

    nova-compute may die with its host and be called up for a minute: only a new one is life.
    """
    beat_s = _beat_s(view, host)
    if beat_s is None or host.session_lost_s is None or host.heartbeat is not None:
        return None
    if beat_s < host.session_lost_s or now_s - beat_s > SERVICE_FRESH_S:
        return None
    return reason("alive_by_service", host.name, service_host=host.service_host)


def _kernel_only_since_s(host: HostView, policy: DetectionPolicy, now_s: float) -> float | None:
    """Return since when nothing but the kernel has answered, None: that is not so."""
    if host.session_lost_s is None:
        return None
    weak = [v for v in fresh_probes(host, policy, now_s) if v.vote is Vote.ALIVE_WEAK]
    return max((host.session_lost_s, *(vote.changed_s for vote in weak))) if weak else None


def is_silent(votes: tuple[Evidence, ...], policy: DetectionPolicy) -> bool:
    """Say whether probes were made, all that count are silent, and one has been for long enough.

    Enough to suspect and to look at the power; silence as evidence needs :func:`late_planes`.
    """
    return (
        bool(votes)
        and all(vote.vote is Vote.SILENT for vote in votes)
        and bool(late_planes(votes, policy))
    )


def late_planes(votes: tuple[Evidence, ...], policy: DetectionPolicy) -> frozenset[str]:
    """Return the planes that have been silent for long enough.

    safety: where all but one plane are dead for long, a single knock that got lost on the last one
    makes the host silent. Silence is evidence of death only on planes on which several were lost.
    """
    return frozenset(
        vote.subject
        for vote in votes
        if vote.vote is Vote.SILENT and vote.observed_s - vote.changed_s >= policy.late_after_s
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
