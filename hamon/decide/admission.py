"""Whether a person may give a host up: known, not alive, the boot that was shown, no hold. Pure."""

from __future__ import annotations

from hamon.decide.agentless import give_up, may_be_given_up_anew, refuse_life
from hamon.decide.answering import RefusedError
from hamon.decide.holds import OVERRIDABLE, against_conviction
from hamon.detector.verdict import Call, Verdict, judge, shows_life
from hamon.model.control import Hold, Request
from hamon.model.host import SHUT_OUT_STATES
from hamon.model.policy import DetectionPolicy
from hamon.model.view import ClusterView, HostView


def check_known(host: HostView, what_follows: str = "") -> None:
    """Refuse a host that never registered; one without an agent never does, and Nova knows it."""
    if host.spec.agentless:
        return
    if host.record.value is None or host.self_.value is None:
        msg = f"host {host.name} has never registered{what_follows}"
        raise RefusedError(msg)


def is_shut_out(view: ClusterView, host: HostView) -> bool:
    """Say whether there is an incident to join, instead of one to open."""
    record = host.record.value
    if record is None or may_be_given_up_anew(view, host):
        return False
    return record.state in SHUT_OUT_STATES


def check_boot(request: Request, host: HostView) -> None:
    """Refuse when the host has another boot by now than the one shown to the person."""
    if request.boot_id is not None and request.boot_id != host.boot_id:
        msg = f"host {host.name} has rebooted since it was shown to you"
        raise RefusedError(msg, "look again, and repeat the command if it is still needed")


def verdict_by_hand(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> Verdict:
    """Judge a host that a person gives up.

    Raises:
        RefusedError: it shows life, or is not down.
    """
    if host.spec.agentless:
        return give_up(view, host, policy, now_s)
    verdict = judge(view, host, policy, now_s)
    if verdict.call is Call.DEAD:
        # Its session may not have ended yet: the detector would not wait for that either.
        return verdict
    life = shows_life(view, host, policy, now_s)
    if life is not None:
        in_use = f"Compute service of {host.name} is still in use: " if view.cloud else ""
        raise RefusedError(
            f"{in_use}host {host.name} is alive: {life.code} {_facts(life.facts)}",
            "guests of a live host are live-migrated, not evacuated; if it is to go, power it off "
            "and wait until its session has ended",
        )
    if verdict.call not in {Call.LOST, Call.LEFT}:
        msg = f"host {host.name} is not down: {verdict.call}"
        raise RefusedError(msg, "wait until its session has ended, or power it off")
    return verdict


def life_of(view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float) -> str:
    """Say how a host shows that it lives, "" if nothing does."""
    life = shows_life(view, host, policy, now_s)
    return "" if life is None else f"{life.code} {_facts(life.facts)}".strip()


def check_lifeless(
    view: ClusterView, host: HostView, policy: DetectionPolicy, now_s: float
) -> None:
    """Refuse to take a person's word against a sign of life."""
    if host.spec.agentless:
        refuse_life(view, host, policy, now_s)
        return
    life = shows_life(view, host, policy, now_s)
    if life is not None:
        msg = f"host {host.name} is alive: {life.code} {_facts(life.facts)}"
        raise RefusedError(msg, "a host that anybody sees alive cannot be confirmed down")


def passed_holds(view: ClusterView, host: HostView, in_force: tuple[Hold, ...]) -> tuple[str, ...]:
    """Return the holds the operator passes, in words; refuse where one may not be passed."""
    held = against_conviction(in_force, host, view)
    for hold in held:
        if hold.kind not in OVERRIDABLE:
            advice = "`hamon arm` first" if hold.kind.value == "disarmed" else ""
            msg = f"held by {hold.kind}: {hold.reason}"
            raise RefusedError(msg, advice)
    return tuple(f"{hold.kind}: {hold.reason}" for hold in held)


def _facts(facts: object) -> str:
    if not isinstance(facts, dict):
        return ""
    return ", ".join(f"{key}={value}" for key, value in facts.items() if value)
