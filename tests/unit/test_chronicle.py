"""The story of an incident: what goes in, when, and what is kept of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.coordination.codec import decode, encode
from hamon.decide.chronicle import (
    ALONE_AFTER_S,
    EVIDENCE_MAX,
    HISTORY_S,
    LINE_MAX,
    told_of_live_hosts,
)
from hamon.decide.holds import OVERRIDABLE
from hamon.decide.naming import NAMED_MAX
from hamon.decide.tick import decide
from hamon.engine.asked import REASON_MAX
from hamon.engine.memory import THOUGHTS_MAX, Memory
from hamon.model.change import Decision, incident_of
from hamon.model.chronicle import (
    DROPPED,
    FACT_MAX,
    FIRST_KEPT,
    MOMENT_MAX,
    NEWEST_KEPT,
    TIMELINE_MAX,
    extended,
    fitting,
    moment,
    weight,
)
from hamon.model.host import HostState
from hamon.model.incident import IncidentRecord, Moment, ShotOutcome
from hamon.model.names import ControllerId, HostName
from hamon.model.policy import HostPolicy, HungPolicy, Mode, Policy, ReturnPolicy
from hamon.model.policy_values import values_of
from hamon.model.proof import Power
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, IncidentView
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    ME,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    WALL,
    a_guest,
    a_host,
    a_lost_host,
    a_power_word,
    a_reading,
    a_report,
    a_shot,
    a_view,
    an_entry,
    an_incident,
    an_own,
    echoes,
    off_twice,
)
from tests.decisions import changes_of, writes

POLICY = Policy()
RECORD_MAX = 32 * 1024
"""Bytes of one incident record."""

MOMENTS = st.lists(
    st.builds(
        moment,
        st.just(WALL),
        st.sampled_from(["fence_shot", "host_fenced", "fencing_held"]),
        st.dictionaries(st.sampled_from(["why", "by", "device"]), st.text(max_size=400)),
    ),
    max_size=100,
)


def tell(number: int) -> Moment:
    """Moment ``number``."""
    return moment(WALL, "fence_shot", {"attempt": str(number)})


def written(view: ClusterView, policy: Policy = POLICY) -> IncidentRecord | None:
    """The incident record that a round writes, None: it writes none."""
    found = writes(*changes_of(decide(view, policy, NOW_S))).get(incident_of(INCIDENT))
    assert found is None or isinstance(found, IncidentRecord)
    return found


def opened(view: ClusterView) -> IncidentRecord:
    """The incident that a round opens."""
    [record] = [
        value
        for value in writes(*changes_of(decide(view, POLICY, NOW_S))).values()
        if isinstance(value, IncidentRecord)
    ]
    return record


def codes(timeline: Sequence[Moment]) -> list[str]:
    """The codes of moments."""
    return [each.code for each in timeline]


# -- what is kept ---------------------------------------------------------------------------------


@given(batches=st.lists(MOMENTS, max_size=4))
def test_extended__whatever_comes__keeps_its_bounds_and_counts_what_went(
    batches: list[list[Moment]],
) -> None:
    """However it is fed, a timeline is bounded, begins and ends as what came, and loses nothing."""
    timeline: tuple[Moment, ...] = ()
    for batch in batches:
        timeline = extended(timeline, batch)
    came = [each for batch in batches for each in batch]

    told = [each for each in timeline if each.code != DROPPED]
    gone = sum(int(each.facts["count"]) for each in timeline if each.code == DROPPED)
    assert len(told) <= FIRST_KEPT + NEWEST_KEPT
    assert len(timeline) - len(told) <= 1
    assert sum(map(weight, timeline)) <= TIMELINE_MAX
    assert len(told) + gone == len(came)
    assert told[:FIRST_KEPT] == came[:FIRST_KEPT]
    assert told[-1:] == came[-1:]


def test_extended__more_than_may_be_kept__the_middle_goes() -> None:
    """How it began and how it stands is what is asked for; the hundredth retry is not."""
    timeline = extended((), [tell(number) for number in range(100)])

    kept = [int(each.facts["attempt"]) for each in timeline if each.code != DROPPED]
    assert [*range(20), *range(60, 100)] == kept
    assert {"count": "40"} == dict(timeline[FIRST_KEPT].facts)


@given(facts=st.dictionaries(st.sampled_from(["why", "by", "a"]), st.text(max_size=3000)))
def test_moment__any_facts__are_cut_to_their_bounds(facts: dict[str, str]) -> None:
    """What a compute host or an operator wrote cannot make a record large."""
    made = moment(WALL, "fencing_held", facts)

    assert weight(made) <= MOMENT_MAX
    assert all(len(value) <= FACT_MAX for value in made.facts.values())
    assert all(made.facts[key] == text for key, text in facts.items() if len(text) < 40)


@given(text=st.text(max_size=400), size=st.integers(20, 300))
def test_fitting__any_text__takes_no_more_than_its_bytes(text: str, size: int) -> None:
    """Bytes are what ZooKeeper counts, not characters."""
    kept = fitting(text, size)

    assert len(json.dumps(kept)) <= size
    assert text == kept or len(json.dumps(text)) > size


def worst() -> IncidentRecord:
    """The largest record that hamon writes: every part full, every character escaped."""
    name = HostName("h" * 63)
    bad = "\x00" * 1000
    record = replace(
        an_incident(host=name).record.value,
        who="w" * 32,
        nonce="n" * 32,
        reason="power_off_and_silent",
        evidence=(fitting(bad, LINE_MAX),) * EVIDENCE_MAX,
        overridden=(fitting(bad, LINE_MAX),) * len(OVERRIDABLE),
        shots=tuple(
            replace(
                a_shot("d" * 63, outcome=ShotOutcome.NOT_DONE),
                controller=ControllerId("c" * 63),
                detail=fitting(bad, LINE_MAX),
            )
            for _ in range(16)
        ),
        proof=replace(a_power_word(), detail="\U0001f50c" * REASON_MAX),
        stamps=dict.fromkeys(("convicted", "fenced", "evacuating", "evacuated", "r"), WALL),
        policy=values_of(POLICY, HostPolicy(hung=HungPolicy.FENCE)),
        policy_hash="f" * 64,
        only=tuple(a_guest(number) for number in range(NAMED_MAX)),
        waits=tuple(f"return_waits_for_something_{number}" for number in range(10)),
    )
    for _ in range(200):
        new = [moment(WALL, "conviction_held", {"by": "storm", "why": bad})]
        record = replace(record, timeline=extended(record.timeline, new))
    return record


def test_record__at_its_worst__stays_below_32_kib() -> None:
    """A hundred of them are remembered, and each is written again at every step."""
    path = f"/incidents/{INCIDENT}/record"

    data = encode(path, worst())

    assert len(data) < RECORD_MAX
    assert worst() == decode(path, data)


def test_record__written_before_there_was_a_story__is_read() -> None:
    """An upgrade in the middle of an incident reads what is there."""
    old = an_incident().record.value
    path = f"/incidents/{INCIDENT}/record"
    data = encode(path, old)
    for new in (b',"timeline":[]', b',"waits":[]', b',"policy":{}', b',"policy_hash":""'):
        assert new in data
        data = data.replace(new, b"")

    assert old == decode(path, data)


# -- the conviction -------------------------------------------------------------------------------


def test_conviction__host_lost__the_story_begins_with_what_was_seen_of_it() -> None:
    """Whoever reads it later sees since when each source was silent, in the order of time."""
    lost = a_lost_host(HOST, history=(moment("2025-12-31T23:59:57.000Z", "heartbeat_late", {}),))

    record = opened(
        a_view(lost, a_host(SPARE), controllers=[replace(a_report(ME), policy_hash="p")])
    )

    assert [
        "session_seen_gone",
        "witness_says",
        "witness_says",
        "heartbeat_late",
        "power_reads",
        "power_off_and_silent",
        "host_convicted",
    ] == codes(record.timeline)
    assert sorted(each.at for each in record.timeline) == [each.at for each in record.timeline]
    assert "2025-12-31T23:59:00.000Z" == record.timeline[0].at
    assert ("p", "2") == (record.policy_hash, record.policy["detection.controllers_agree"])


def test_conviction__evidence_of_long_ago__is_left_to_the_lines() -> None:
    """A plane that has been broken for days is not the first sign of this failure."""
    lost = a_lost_host(HOST, session_lost_s=NOW_S - HISTORY_S - 1.0)

    assert "session_seen_gone" not in codes(opened(a_view(lost, a_host(SPARE))).timeline)


def test_conviction__of_a_host_that_was_convicted_before__tells_its_own_story_only() -> None:
    """What led to an earlier incident, minutes ago, is told there and would mislead here."""
    history = [
        moment(f"2025-12-31T23:5{minute}:00.000Z", code, {})
        for minute, code in enumerate(
            ("old", "host_convicted", "older", "host_convicted", "host_back", "heartbeat_late")
        )
    ]

    told = codes(opened(a_view(a_lost_host(HOST, history=tuple(history)), a_host(SPARE))).timeline)

    assert not {"old", "older"} & set(told)
    assert {"host_back", "heartbeat_late"} <= set(told)
    assert told.count("host_convicted") == 1


# -- what is decided later ------------------------------------------------------------------------


def fencing(**others: Any) -> IncidentView:  # noqa: ANN401 - any field of the record
    """An incident whose only shot is journalled and not settled in it."""
    ordered = moment("2025-12-31T23:59:50.000Z", "fence_shot", {"device": "bmc"})
    noted = moment("2025-12-31T23:59:58.000Z", "fencing", {"step": "confirm"})
    others.setdefault("waits", ("fencing",))
    shots = (a_shot(outcome=ShotOutcome.PENDING),)
    return an_incident(shots=shots, timeline=(ordered, noted), **others)


def test_proof__after_a_shot__is_told_in_the_transaction_that_makes_it() -> None:
    """The end of the shot stands behind its order, when it was, although it is written later."""
    host = a_lost_host(
        HOST,
        HostState.FENCING,
        readings=off_twice(),
        last_shot=ShotOutcome.DONE,
        shot_settled_s=NOW_S - 9.0,
    )

    record = written(a_view(host, a_host(SPARE), incidents=[fencing()]))

    assert record is not None
    assert ["fence_shot", "fence_shot_ended", "fencing", "host_fenced"] == codes(record.timeline)
    assert "2025-12-31T23:59:51.000Z" == record.timeline[1].at
    assert record.proof is not None


def test_contradiction__of_a_proof__says_by_what_life_was_seen() -> None:
    """The device that lied and the sign that showed it are in one moment."""
    host = a_host(
        HOST,
        HostState.EVACUATING,
        is_here=False,
        evidence=echoes(BOOT),
        readings=off_twice(),
        state_since_s=NOW_S - 60.0,
    )
    incident = an_incident(proof=a_power_word(), shots=(a_shot(),))

    record = written(a_view(host, a_host(SPARE), incidents=[incident]))

    assert record is not None
    assert [("proof_contradicted", "echo", "2")] == [
        (each.code, each.facts["by"], each.facts["attempt"]) for each in record.timeline
    ]


def test_shot__device_that_says_much__is_cut_in_the_record() -> None:
    """A program of somebody else's cannot make the record large."""
    said = replace(a_shot(outcome=ShotOutcome.NOT_DONE), detail="x" * 5000)
    host = a_lost_host(HOST, HostState.FENCE_FAILED, state_since_s=NOW_S - 60.0, readings=())

    record = written(a_view(host, a_host(SPARE), incidents=[an_incident(shots=(said,))]))

    assert record is not None
    assert ["fencing_retried"] == codes(record.timeline)
    assert len(record.shots[0].detail) <= LINE_MAX


def test_return__change_that_writes_no_incident__gets_the_write() -> None:
    """That the host came back is part of the story, in one transaction with it."""
    host = a_host(HOST, HostState.EVACUATED, boot_id=NEXT_BOOT, is_here=True)

    [change] = [
        change
        for change in changes_of(decide(a_view(host, incidents=[an_incident()]), POLICY, NOW_S))
        if change.reason.code == "host_returning"
    ]

    record = writes(change)[incident_of(INCIDENT)]
    assert isinstance(record, IncidentRecord)
    assert ["host_returning"] == codes(record.timeline)


# -- why not yet ----------------------------------------------------------------------------------


def held(since_written_s: float, **others: Any) -> ClusterView:  # noqa: ANN401 - of the record
    """A proven host whose evacuation a disarm holds, its record written so long ago."""
    host = a_lost_host(HOST, HostState.EVACUATING, entries=[an_entry(1)])
    incident = an_incident(proof=a_power_word(), **others)
    incident = replace(incident, written_s=NOW_S - since_written_s)
    return a_view(host, a_host(SPARE), incidents=[incident], is_armed=False)


def test_wait__new__is_written_once_the_record_has_rested() -> None:
    """A story that somebody reads while it waits says for what."""
    soon, later = held(ALONE_AFTER_S - 0.1), held(ALONE_AFTER_S)

    assert None is written(soon)
    record = written(later)
    assert record is not None
    assert ["evacuation_held"] == codes(record.timeline)
    assert ("evacuation_held",) == record.waits


def test_wait__as_before__is_not_written_again() -> None:
    """An incident that waits for hours costs ZooKeeper nothing."""
    assert None is written(held(3600.0, waits=("evacuation_held",)))


def test_wait__over__is_told() -> None:
    """What no longer stands in the way is seen as well."""
    view = held(3600.0, waits=("evacuation_held", "session_outlives_proof"))

    record = written(view)

    assert record is not None
    assert [("no_longer", {"codes": "session_outlives_proof"})] == [
        (each.code, dict(each.facts)) for each in record.timeline
    ]


@pytest.mark.parametrize("is_armed", [True, False])
def test_hold__over_when_the_next_thing_is_done__is_told_with_it(*, is_armed: bool) -> None:
    """A proof may come while it is held; then the hold is not over."""
    settled = {"last_shot": ShotOutcome.DONE, "shot_settled_s": NOW_S - 9.0}
    host = a_lost_host(HOST, HostState.FENCING, **settled)
    incident = fencing(waits=("fencing", "fencing_held"))

    record = written(a_view(host, a_host(SPARE), incidents=[incident], is_armed=is_armed))

    assert record is not None
    assert "host_fenced" in codes(record.timeline)
    over = [dict(each.facts) for each in record.timeline if each.code == "no_longer"]
    assert [{"codes": "fencing_held"}] * is_armed == over


def test_wait__what_the_last_change_said__is_not_said_twice() -> None:
    """A failed fencing waits for its next try: the change itself has told."""
    host = a_lost_host(HOST, HostState.FENCE_FAILED, state_since_s=NOW_S - 6.0, readings=())
    told = (moment(WALL, "fence_failed", {"attempt": "1"}),)
    incident = replace(an_incident(timeline=told), written_s=NOW_S - 6.0)

    assert None is written(a_view(host, a_host(SPARE), incidents=[incident]))


def test_wait__closed_incident__is_history() -> None:
    """Nothing is added to what is over."""
    assert None is written(held(3600.0, closed=True))


def test_wait__of_another_host__is_not_told_by_a_controller_that_stands_alone() -> None:
    """It thinks about its one host only; of the others it knows nothing."""
    view = held(3600.0)

    assert None is written(replace(view, own=an_own(only_host=SPARE)))


# -- before the conviction ------------------------------------------------------------------------


def test_memory__the_same_thought_round_after_round__is_remembered_once() -> None:
    """What is remembered are changes of mind, each with the time it was new."""
    memory = Memory()
    late: dict[HostName, tuple[Reason, ...]] = {HOST: (reason("heartbeat_late", HOST),)}
    held_too = {HOST: (*late[HOST], reason("conviction_held", HOST, by="storm", why="many"))}

    for second, told in enumerate(
        (late, late, held_too, dict[HostName, tuple[Reason, ...]](), late)
    ):
        memory.thought(told, float(second), f"second {second}")

    assert [
        ("second 0", "heartbeat_late"),
        ("second 2", "conviction_held"),
        ("second 4", "heartbeat_late"),
    ] == [(each.at, each.code) for each in memory.host(HOST).recent_thoughts(10.0)]


def test_memory__thoughts_of_long_ago_and_too_many__are_forgotten() -> None:
    """A host that flaps for days fills no memory, and yesterday explains nothing."""
    memory = Memory()

    for second in range(2 * THOUGHTS_MAX):
        told = {HOST: (reason("heartbeat_late" if second % 2 else "host_well_again", HOST),)}
        memory.thought(told, float(second), WALL)

    assert THOUGHTS_MAX == len(memory.host(HOST).recent_thoughts(2.0 * THOUGHTS_MAX))
    assert () == memory.host(HOST).recent_thoughts(HISTORY_S + 2.0 * THOUGHTS_MAX)


@pytest.mark.parametrize(("state", "is_told"), [(HostState.UP, True), (HostState.FENCED, False)])
def test_told__of_hosts__those_that_may_live(state: HostState, *, is_told: bool) -> None:
    """What is thought of a host that was shut out stands in its incident."""
    view = a_view(a_host(HOST, state), incidents=[an_incident()])
    decision = Decision(reasons=(reason("heartbeat_late", HOST), reason("hold", "cluster")))

    assert is_told is (HOST in told_of_live_hosts(view, decision))


# -- the configuration ----------------------------------------------------------------------------


def test_values__of_a_host_with_a_choice_of_its_own__are_those_in_force() -> None:
    """What is told is what was decided by, in the words of the configuration."""
    policy = Policy(mode=Mode.SHADOW, recovery=ReturnPolicy(before_gate=("/run/it", "secret")))

    values = values_of(policy, HostPolicy(hung=HungPolicy.FENCE))

    assert ("fence", "alert") == (values["detection.hung"], values["detection.partitioned"])
    assert ("shadow", "6") == (values["cluster.mode"], values["zookeeper.session_timeout_s"])
    assert "false" == values["holds.fence_controllers"]
    assert not any("secret" in value for value in values.values())


def test_power__read_again_and_again__is_one_moment() -> None:
    """What is told is when a device began to say something."""
    readings = tuple(
        a_reading(power, age_s=age_s)
        for power, age_s in ((Power.ON, 9.0), (Power.ON, 8.0), (Power.OFF, 4.0), (Power.OFF, 1.0))
    )

    record = opened(a_view(a_lost_host(HOST, readings=readings), a_host(SPARE)))

    assert ["on", "off"] == [
        each.facts["power"] for each in record.timeline if each.code == "power_reads"
    ]
    assert BOOT == record.boot_id


def test_power__read_off_in_an_earlier_trouble__begins_anew() -> None:
    """A host that was off a minute ago, too, has been off since the later look, not since then."""
    readings = tuple(a_reading(Power.OFF, age_s=age_s) for age_s in (62.0, 61.0, 4.0, 1.0))

    record = opened(a_view(a_lost_host(HOST, readings=readings), a_host(SPARE)))

    [off] = [each for each in record.timeline if each.code == "power_reads"]
    assert "2025-12-31T23:59:56.000Z" == off.at


def test_power__read_only_in_an_earlier_trouble__is_left_to_the_lines() -> None:
    """Nobody looked in this one."""
    readings = tuple(a_reading(Power.OFF, age_s=age_s) for age_s in (62.0, 61.0))

    assert "power_reads" not in codes(
        opened(a_view(a_lost_host(HOST, readings=readings), a_host(SPARE))).timeline
    )
