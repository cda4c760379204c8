"""Hosts without an agent: told of, given up only by a person, watched after their proof. Pure.

Rules:

1. While it may live nothing is done to such a host: Nova's word is told, with what a person can do.
2. A person may give it up when Nova calls its nova-compute down and every probe that could be made
   is silent. From then on the ladder and the proof are those of any other host.
3. It names no boot. So after the proof its power decides whose life it is that anything shows:
   switched on again it comes back; otherwise the proof was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.decide.answering import RefusedError
from hamon.decide.live import records_left_open, settle
from hamon.decide.thought import Thought, enter
from hamon.detector.agentless import NovaWord, Word, not_known, nova_word, sign_of_life
from hamon.detector.verdict import Call, Verdict, fresh_probes, lines_of
from hamon.model.host import MISSED_STATES, HostState
from hamon.model.incident import OPEN_MIGRATIONS
from hamon.model.policy import DetectionPolicy, Policy
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import READING_MAX_AGE_S, devices_at, is_life, levels, settled
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView
from hamon.recovery.return_path import incidents_of

_OF_AN_AGENT = MISSED_STATES | {HostState.DEGRADED, HostState.LEAVING, HostState.RESTARTED}
"""States that only an agent can bring a host into, and out of: left from when it had one."""


# -- while it may live ----------------------------------------------------------------------------


def think_agentless(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> Thought:
    """Think about a host without an agent whose guard reads LIVE: tell Nova's word, do nothing."""
    record = host.record.value
    word = nova_word(view, host, now_s)
    reasons = () if host.name in view.control.value.maintenance else _told(host, word)
    if record is None or record.state in _OF_AN_AGENT:
        if word.word is not Word.UP:
            return Thought(reasons=reasons)
        why = reason("agentless_seen", host.name)
        return Thought(changes=(enter(view, host, HostState.UP, why),))
    return settle(view, host, policy, now_s).with_reasons(*reasons, *records_left_open(host))


def _told(host: HostView, word: NovaWord) -> tuple[Reason, ...]:
    match word.word:
        case Word.DOWN:
            return (reason("agentless_down", host.name, beat_at=word.beat_at),)
        case Word.FORCED_DOWN:
            return (reason("agentless_forced_down", host.name, beat_at=word.beat_at),)
        case Word.UNKNOWN:
            return (reason("agentless_unknown", host.name, why=word.why),)
        case Word.UP:
            return ()


# -- given up by a person -------------------------------------------------------------------------


def give_up(view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float) -> Verdict:
    """Return the verdict that a person's wish convicts by.

    Raises:
        RefusedError: something shows life, or it is not known that nothing does.
    """
    refuse_life(view, host, policy, now_s)
    word = nova_word(view, host, now_s)
    nova = f"Nova: nova-compute {word.word}, row last written {word.beat_at or 'never'}"
    return Verdict(
        call=Call.LOST,
        reason=reason("agentless_given_up", host.name),
        evidence=(nova, *lines_of(host, fresh_probes(host, policy, now_s), now_s)),
    )


def refuse_life(view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float) -> None:
    """Refuse to give up a host that lives, or of which that is not known.

    Raises:
        RefusedError: says which, and what to do.
    """
    life = sign_of_life(view, host, policy, now_s)
    if life is not None:
        facts = " ".join(fact for fact in life.facts.values() if fact)
        msg = (
            f"Compute service of {host.name} is still in use: host {host.name} is alive by {facts}"
        )
        raise RefusedError(
            msg,
            "guests of a live host are live-migrated, not evacuated; if it is to go, power it off,"
            " and wait until Nova calls it down (a minute) and nothing answers there",
        )
    unknown = not_known(view, host, policy, now_s)
    if unknown is not None:
        msg = f"nobody knows whether host {host.name} is down: {unknown.facts['why']}"
        raise RefusedError(
            msg, "look at nova-api and at this controller's network; `hamon explain` tells more"
        )


def may_be_given_up_anew(view: ClusterView, host: HostView) -> bool:
    """Say whether a host that was coming back may be given up once more.

    Without an agent nothing convicts it by itself when it is lost on its way; with one, a hold may
    keep it from that. The guests that stayed are down.
    """
    record = host.record.value
    if record is None or record.state is not HostState.RETURNING:
        return False
    if not host.spec.agentless and (
        host.heartbeat is not None or host.boot_id in {None, host.guard.value.boot_id}
    ):
        return False
    return not any(
        migration.record.value.status in OPEN_MIGRATIONS
        for incident in incidents_of(view, host)
        for migration in incident.migrations.values()
    )


# -- after its proof ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stirring:
    """Life of a host without an agent after the proof of its death, and by what it is seen.

    ``since_s``: it was there by then; ``latest_s``: and still was then.
    """

    by: str
    since_s: float
    latest_s: float


def stirring(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Stirring | None:
    """Return the life that a host shows after its proof; None: none."""
    if host.heartbeat is not None:
        return Stirring(by="a session of an agent", since_s=now_s, latest_s=now_s)
    for vote in host.evidence:
        is_fresh = now_s - vote.observed_s <= policy.fresh_s
        if is_life(host, vote) and is_fresh and vote.observed_s > host.state_since_s:
            by = f"plane {vote.subject}"
            return Stirring(by=by, since_s=vote.changed_s, latest_s=vote.observed_s)
    beat_s = _beat_s(view, host)
    if beat_s is not None:
        return Stirring(by="a heartbeat of nova-compute", since_s=beat_s, latest_s=now_s)
    return None


def is_contradicted(
    host: HostView,
    incident: IncidentView,
    life: Stirring,
    policy: DetectionPolicy,
    now_s: float,
    *,
    is_needed: bool,
) -> bool:
    """Say whether life shows that the proof was wrong, and not that somebody switched it on.

    While the proof is needed power is read all the time, and a power button shows before anything
    answers; so what answers then, without On having been read, was never off. Later power is read
    only because something answered: Off, while it went on answering, is a lie.
    """
    newest = _newest_answers(host, incident, now_s)
    if any(answer.power is Power.ON for answer in newest):
        return False
    return is_needed or any(
        answer.asked_s >= life.since_s and answer.observed_s + policy.off_gap_s <= life.latest_s
        for answer in newest
    )


def is_back_in_nova(
    view: ClusterView, host: HostView, incident: IncidentView, now_s: float
) -> bool:
    """Say whether a host without an agent was switched on after its proof, and works again."""
    return _beat_s(view, host) is not None and is_on_again(host, incident, now_s)


def is_on_again(host: HostView, incident: IncidentView, now_s: float) -> bool:
    """Say whether a device that could prove its death reads On since."""
    return any(answer.power is Power.ON for answer in _newest_answers(host, incident, now_s))


def _beat_s(view: ClusterView, host: HostView) -> float | None:
    """Return a moment after which its nova-compute sent a heartbeat, None: none since the proof.

    By what this leader has read since it saw the host as it is: before, it may still have lived.
    """
    if view.cloud is None:
        return None
    beat_s = view.cloud.beats_s.get(host.service_host)
    is_later = beat_s is not None and beat_s > max(host.state_since_s, view.own.took_office_s)
    return beat_s if is_later else None


def _newest_answers(
    host: HostView, incident: IncidentView, now_s: float
) -> tuple[PowerReading, ...]:
    """Return the newest settled answer since the proof of each device that could prove the death.

    Those of other levels may well read On: an outlet, when the BMC switched the machine off.
    """
    trusted = [level for level in levels(host) if level >= incident.record.value.level]
    devices = devices_at(host, trusted[0]) if trusted else host.spec.fence
    after_s = max(host.state_since_s, now_s - READING_MAX_AGE_S)
    return tuple(answers[-1] for device in devices if (answers := settled(host, device, after_s)))
