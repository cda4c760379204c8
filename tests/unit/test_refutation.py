"""What life has refuted, and that it is written down before it is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.fencing.ladder import Step, climb
from hamon.model.change import Decision
from hamon.model.host import FenceDeviceSpec, HostState, WatchdogFacts
from hamon.model.incident import IncidentRecord, ShotOutcome
from hamon.model.policy import FencingPolicy, Policy
from hamon.model.proof import Evidence, Power, ProofMethod, Source, Vote
from hamon.model.view import HostView, IncidentView
from tests.builders import (
    BOOT,
    EPOCH,
    HOST,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_device,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_power_word,
    a_reading,
    a_shot,
    a_view,
    a_vote,
    an_entry,
    an_incident,
    an_operators_word,
    off_twice,
    owned_by,
)
from tests.decisions import changes_of, codes, offered, state_written, writes

POLICY = Policy()
SHOTS = (a_shot(),)
BMC_AND_PDU = (a_device("bmc"), a_device("pdu", level=2, kind="agent"))
DOG = replace(a_device("dog", kind="watchdog"), margin_s=5.0, reset_latency_s=5.0)
FACTS = WatchdogFacts(timeout_s=10, r_max_s=2.0, is_soft=False, nowayout=True, identity="iTCO_wdt")
CONVICTED_S = NOW_S - 100.0
"""Its watchdog's time, 3 * 10 * 1.01 + 10 s, was over a minute ago."""

ECHO = a_vote(Vote.ALIVE_STRONG, age_s=0.5, for_s=500.0, boot_id=BOOT)
LOST_KNOCK = a_vote(Vote.SILENT, age_s=0.05, for_s=0.55)
LONG_SILENT = a_vote(Vote.SILENT, age_s=0.1, for_s=5.0)


def echoed(vote: Evidence, *, age_s: float) -> Evidence:
    """A vote of a plane where the boot in the guard was heard before."""
    return replace(vote, echoed_s=NOW_S - age_s, echoed_boot=BOOT)


def shot_host(*evidence: Evidence, **others: Any) -> HostView:  # noqa: ANN401
    """A host whose BMC was ordered five seconds ago, and has said Off twice since."""
    others.setdefault("readings", off_twice(newest_age_s=1.5))
    return a_host(
        HOST,
        others.pop("state", HostState.FENCING),
        evidence=evidence,
        last_shot=ShotOutcome.DONE,
        shot_settled_s=NOW_S - 5.0,
        **others,
    )


def guarded(*evidence: Evidence, **others: Any) -> HostView:  # noqa: ANN401
    """A convicted host whose own watchdog should have reset it."""
    state = others.pop("state", HostState.FENCING)
    others = {"fence": (DOG,), "state_since_s": CONVICTED_S, **others}
    host = a_host(HOST, state, evidence=evidence, **others)
    assert host.self_.value is not None
    return replace(host, self_=replace(host.self_, value=replace(host.self_.value, watchdog=FACTS)))


def decided(host: HostView, incident: IncidentView, policy: Policy = POLICY) -> Decision:
    """One round about a host that holds one guest."""
    guests = {a_guest(): owned_by(HOST, migration=incident.record.value.incident)}
    view = a_view(host, a_host(SPARE), guests=guests, incidents=[incident])
    return decide(view, policy, NOW_S)


def incident_after(decision: Decision) -> IncidentRecord | None:
    """The incident's record as it is written, None: it is not."""
    written = writes(*changes_of(decision)).values()
    return next((value for value in written if isinstance(value, IncidentRecord)), None)


# -- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.FENCE_FAILED])
@pytest.mark.parametrize(
    "vote", [ECHO, echoed(LOST_KNOCK, age_s=1.0), echoed(LONG_SILENT, age_s=1.2)]
)
@pytest.mark.parametrize(("fence", "expected"), [(BMC_AND_PDU, 2), (BMC_AND_PDU[:1], 2)])
def test_bmc_said_off__its_host_was_heard_since__the_level_is_distrusted(
    state: HostState, vote: Evidence, fence: tuple[FenceDeviceSpec, ...], expected: int
) -> None:
    """It lied; however silent the host is by now, what it says is not believed again (rule 2)."""
    decision = decided(shot_host(vote, state=state, fence=fence), an_incident(shots=SHOTS))

    record = incident_after(decision)
    assert record is not None
    assert (expected, expected, 2) == (record.floor, record.level, record.attempt)
    assert "proof_contradicted" in codes(decision)
    assert HostState.FENCED is not state_written(decision, HOST)


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("before it said so", shot_host(echoed(LONG_SILENT, age_s=2.0))),
        ("another boot", shot_host(replace(ECHO, boot_id=NEXT_BOOT))),
        ("a kernel alone", shot_host(replace(ECHO, vote=Vote.ALIVE_WEAK))),
        ("it says On by now", shot_host(ECHO, readings=(*off_twice(newest_age_s=1.5),
                                                       a_reading(Power.ON, age_s=0.6)))),
        ("it said Off once", shot_host(ECHO, readings=off_twice(newest_age_s=1.5)[1:])),
        ("its order is under way", shot_host(ECHO, is_shot_running=True)),
        ("storage", shot_host(ECHO, fence=(a_device("bmc", kind="storage"),))),
    ],
)  # fmt: skip
def test_bmc_said_off__no_later_life_of_that_boot__is_not_refuted(
    case: str, host: HostView
) -> None:
    """Only life of this boot, after the device was certain, shows that it lies."""
    record = incident_after(decided(host, an_incident(shots=SHOTS)))

    assert record is None or record.floor == 0, case


@pytest.mark.parametrize(
    "vote", [ECHO, replace(ECHO, observed_s=NOW_S - 20), echoed(LONG_SILENT, age_s=20.0)]
)
def test_watchdog_time_is_over__its_boot_was_heard_since__is_distrusted(vote: Evidence) -> None:
    """One that did not reset its host proves nothing any more, also when no knock is possible."""
    incident = replace(an_incident(), opened_s=CONVICTED_S)

    decision = decided(guarded(vote), incident)

    record = incident_after(decision)
    assert record is not None
    assert (2, 2) == (record.floor, record.attempt)
    again = climb(
        guarded(LONG_SILENT),
        record,
        epoch=EPOCH,
        since_s=CONVICTED_S,
        detection=POLICY.detection,
        fencing=POLICY.fencing,
        now_s=NOW_S,
    )
    assert Step.EXHAUSTED is again.step


def test_watchdog_time_is_over__its_boot_was_heard_before_only__is_fenced() -> None:
    """Until its time is over it may live, and be heard."""
    incident = replace(an_incident(), opened_s=CONVICTED_S)

    decision = decided(guarded(echoed(LONG_SILENT, age_s=70.0)), incident)

    assert HostState.FENCED is state_written(decision, HOST)


@pytest.mark.parametrize("vote", [echoed(LONG_SILENT, age_s=20.0), LOST_KNOCK])
def test_evacuating__watchdog_refuted_a_moment_ago__offers_no_guest(vote: Evidence) -> None:
    """Life that was heard before the host was called fenced refutes the proof all the same."""
    host = guarded(
        vote,
        state=HostState.EVACUATING,
        state_since_s=NOW_S - 0.2,
        entries=[an_entry()],
        grants={a_guest(): a_grant()},
    )
    word = replace(a_power_word(), method=ProofMethod.WATCHDOG)
    incident = replace(an_incident(a_migration(), proof=word, level=1), opened_s=CONVICTED_S)

    decision = decided(host, incident)

    assert not offered(decision)
    assert (vote is LOST_KNOCK) is (state_written(decision, HOST) is not HostState.FENCING)


def test_evacuating__its_former_boot_was_off_before_it_was_heard__is_not_refuted() -> None:
    """A host that died twice within half a minute was off, then lived, then was off for good."""
    silent = a_vote(Vote.SILENT, age_s=0.1, for_s=4.0)
    offs = tuple(a_reading(Power.OFF, age_s=age_s) for age_s in (14.0, 12.5, 2.5, 1.0))
    host = shot_host(
        echoed(silent, age_s=4.5),
        state=HostState.FENCED,
        readings=offs,
        state_since_s=NOW_S - 1.0,
    )
    incident = an_incident(proof=a_power_word(), shots=SHOTS, level=1)

    decision = decided(host, replace(incident, opened_s=NOW_S - 3.0))

    assert "proof_contradicted" not in codes(decision)
    assert state_written(decision, HOST) is not HostState.FENCING


def test_evacuating__proven_without_a_shot_and_refuted__that_level_is_distrusted() -> None:
    """The ladder stood at its foot; the level whose devices lied is the lowest."""
    host = a_host(
        HOST, HostState.EVACUATING, evidence=(ECHO,), readings=off_twice(), fence=BMC_AND_PDU
    )

    record = incident_after(decided(host, an_incident(proof=a_power_word(), level=0)))

    assert record is not None
    assert 2 == record.floor


# -- what was told --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.FENCE_FAILED])
@pytest.mark.parametrize(
    "vote", [ECHO, replace(ECHO, observed_s=NOW_S - 3.5), echoed(LONG_SILENT, age_s=9.0)]
)
def test_operators_word__host_was_heard_since__is_dropped_for_good(
    state: HostState, vote: Evidence
) -> None:
    """The operator has to look again, and confirm anew."""
    host = shot_host(vote, state=state, readings=(), state_since_s=NOW_S - 1.0)

    decision = decided(host, an_incident(proof=an_operators_word(), shots=SHOTS))

    record = incident_after(decision)
    assert record is not None
    assert (None, 1, 0) == (record.proof, record.attempt, record.floor)
    assert "word_contradicted" in codes(decision)
    assert HostState.FENCED is not state_written(decision, HOST)


def test_operators_word__host_was_heard_before_it__is_fenced() -> None:
    """Of what was heard before, the operator knew."""
    host = shot_host(echoed(LONG_SILENT, age_s=11.0), readings=())

    decision = decided(host, an_incident(proof=an_operators_word(), shots=SHOTS))

    assert HostState.FENCED is state_written(decision, HOST)


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.FENCE_FAILED])
@pytest.mark.parametrize(("age_s", "is_over"), [(599.9, False), (600.1, True)])
def test_operators_word__proved_nothing_in_its_time__has_to_be_given_anew(
    state: HostState, age_s: float, *, is_over: bool
) -> None:
    """Who looked ten minutes ago knows nothing of now."""
    host = shot_host(LONG_SILENT, state=state, readings=(), state_since_s=NOW_S - 1.0)
    incident = replace(an_incident(proof=an_operators_word(), shots=SHOTS), proof_s=NOW_S - age_s)

    decision = decided(host, incident)

    record = incident_after(decision)
    assert record is not None
    assert is_over is (record.proof is None)
    assert is_over is ("word_expired" in codes(decision))
    assert is_over is not (state_written(decision, HOST) is HostState.FENCED)


def test_evacuating__operators_word_of_long_ago__holds_while_nothing_shows_life() -> None:
    """Once it was the proof, it ends with a sign of life only."""
    host = a_host(
        HOST,
        HostState.EVACUATING,
        evidence=(LONG_SILENT,),
        entries=[an_entry()],
        grants={a_guest(): a_grant()},
    )
    incident = replace(an_incident(a_migration(), proof=an_operators_word()), proof_s=0.0)

    assert offered(decided(host, incident))


def test_operators_word_waits_and_power_is_read_off__power_is_the_proof() -> None:
    """What is written down is what proved it: a word that waited is not revived by a device."""
    host = shot_host(LONG_SILENT, heartbeat=a_host().heartbeat)

    record = incident_after(decided(host, an_incident(proof=an_operators_word(), shots=SHOTS)))

    assert record is not None
    assert record.proof is not None
    assert ProofMethod.POWER is record.proof.method


def test_evacuating__operators_word_refuted__is_fenced_again() -> None:
    """Guests on their way stop, and no device is blamed for what an operator said."""
    host = a_host(HOST, HostState.EVACUATING, evidence=(echoed(LONG_SILENT, age_s=5.0),))
    incident = an_incident(proof=an_operators_word())

    decision = decided(host, incident)

    record = incident_after(decision)
    assert record is not None
    assert (None, 0) == (record.proof, record.floor)
    assert HostState.FENCING is state_written(decision, HOST)


@pytest.mark.parametrize(
    ("method", "is_refuted"),
    [(ProofMethod.KDUMP, True), (ProofMethod.POWER, False), (ProofMethod.STORAGE, False)],
)
def test_evacuating__heard_after_a_crash_notice__is_refuted_where_that_was_the_proof(
    method: ProofMethod, *, is_refuted: bool
) -> None:
    """A host that was heard, and shot after that, is dead although the notice was forged."""
    policy = replace(POLICY, fencing=FencingPolicy(kdump_is_proof=True))
    notice = a_vote(Vote.DEAD, "192.0.2.1", source=Source.KDUMP, age_s=20.0)
    host = shot_host(echoed(LONG_SILENT, age_s=10.0), notice, state=HostState.EVACUATING)
    word = replace(a_power_word(), method=method)

    decision = decided(host, an_incident(proof=word, shots=SHOTS), policy)

    assert is_refuted is (state_written(decision, HOST) is HostState.FENCING)


@pytest.mark.parametrize(("age_s", "attempt"), [(3.0, 2), (6.0, None)])
def test_crash_notice__host_was_heard_since__is_believed_no_more(
    age_s: float, attempt: int | None
) -> None:
    """Anybody can send such a datagram; the boot that answers after it has not crashed."""
    policy = replace(POLICY, fencing=FencingPolicy(kdump_is_proof=True))
    notice = a_vote(Vote.DEAD, "192.0.2.1", source=Source.KDUMP, age_s=5.0)
    host = shot_host(echoed(LONG_SILENT, age_s=age_s), notice, readings=())

    decision = decided(host, an_incident(shots=SHOTS), policy)

    record = incident_after(decision)
    assert record is not None
    assert attempt == (None if record.proof is not None else record.attempt)
