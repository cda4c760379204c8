"""The ladder: which device shoots next, and what it takes to prove a boot dead."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hamon
from hamon.fencing.ladder import Rung, Step, climb, renew
from hamon.model.host import HostState, WatchdogFacts
from hamon.model.incident import IncidentRecord, Shot, ShotOutcome
from hamon.model.names import BootId, IncidentId
from hamon.model.policy import DetectionPolicy, FencingPolicy
from hamon.model.proof import (
    Evidence,
    FenceProof,
    Power,
    PowerReading,
    ProofMethod,
    ProofRecord,
    Source,
    Vote,
)
from hamon.model.view import DeviceCheck, DeviceShot, HostView
from tests.builders import (
    BOOT,
    EPOCH,
    HOST,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_device,
    a_host,
    a_power_word,
    a_reading,
    a_shot,
    a_vote,
    an_incident,
    an_operators_word,
    echoes,
    off_twice,
    silence,
    uuid_of,
)

DETECTION = DetectionPolicy()
FENCING = FencingPolicy()
SETTLED_S = NOW_S - 5.0
TWO_LEVELS = (a_device("bmc"), a_device("pdu", level=2))
TWO_FEEDS = (a_device("left"), a_device("right"))


def fencing_host(**others: object) -> HostView:
    """A host in FENCING whose last shot settled five seconds ago."""
    others.setdefault("shot_settled_s", SETTLED_S)
    others.setdefault("last_shot", ShotOutcome.DONE)
    return a_host(HOST, HostState.FENCING, **others)  # type: ignore[arg-type]


def record(*shots: Shot, **others: Any) -> IncidentRecord:  # noqa: ANN401
    """The incident's record with these shots."""
    return an_incident(shots=shots, **others).record.value


def next_rung(
    host: HostView,
    incident: IncidentRecord,
    *,
    fencing: FencingPolicy = FENCING,
    known_for_s: float = 60.0,
) -> Rung:
    """The next step at ``NOW_S``."""
    return climb(
        host,
        incident,
        epoch=EPOCH,
        since_s=NOW_S - known_for_s,
        detection=DETECTION,
        fencing=fencing,
        now_s=NOW_S,
    )


def renewed(
    host: HostView, incident: IncidentRecord, *, known_for_s: float = 60.0
) -> FenceProof | None:
    """The proof anew at ``NOW_S``."""
    return renew(
        host,
        incident,
        epoch=EPOCH,
        since_s=NOW_S - known_for_s,
        detection=DETECTION,
        fencing=FENCING,
        now_s=NOW_S,
    )


# -- only here ------------------------------------------------------------------------------------


def test_fence_proof__in_all_of_hamon__is_built_in_the_ladder_only() -> None:
    """A proof that could be built elsewhere would be no proof (rule 4)."""
    root = Path(hamon.__file__).parent
    builders = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("FenceProof")
    }

    assert {"fencing/ladder.py"} == builders


# -- climbing -------------------------------------------------------------------------------------


def test_climb__nothing_done_yet__shoots_the_lowest_level() -> None:
    """Levels are climbed in order, whatever order they are configured in."""
    host = fencing_host(fence=tuple(reversed(TWO_LEVELS)))

    rung = next_rung(host, record())

    assert (Step.SHOOT, "bmc") == (rung.step, rung.device.name if rung.device else None)


def test_climb__already_off__shoots_all_the_same() -> None:
    """Off readings from before an order do not spare it: nothing proves that they will last."""
    assert Step.SHOOT is next_rung(fencing_host(readings=off_twice()), record()).step


def test_climb__order_under_way__waits() -> None:
    """One order at a time; what it does is read when it has ended."""
    host = fencing_host(is_shot_running=True, readings=off_twice())

    assert Step.WAIT is next_rung(host, record(a_shot())).step


@pytest.mark.parametrize(
    ("case", "shot"),
    [
        ("of another attempt", a_shot(attempt=2)),
        ("of an earlier term", a_shot(epoch=EPOCH - 1)),
        ("of another device", a_shot("pdu")),
        ("never given", a_shot(outcome=ShotOutcome.LATE)),
    ],
)
def test_climb__only_another_shot_is_journalled__shoots(case: str, shot: Shot) -> None:
    """Only this term's shot by this device in this attempt counts as given."""
    assert Step.SHOOT is next_rung(fencing_host(), record(shot)).step, case


def test_climb__journalled_but_too_late_to_begin__shoots_again() -> None:
    """A shot whose lease had run out was never given: it is journalled anew (DESIGN rule 4)."""
    late = fencing_host(last_shot=ShotOutcome.LATE)

    assert Step.SHOOT is next_rung(late, record(a_shot(outcome=ShotOutcome.PENDING))).step


def test_climb__journalled_with_unknown_outcome_and_never_given__shoots_again() -> None:
    """A journal entry whose commit nobody confirmed began no order: it is not waited for."""
    host = fencing_host(last_shot=None, shot_settled_s=None)

    assert Step.SHOOT is next_rung(host, record(a_shot(outcome=ShotOutcome.PENDING))).step


@pytest.mark.parametrize(
    ("case", "others"),
    [
        ("of a former incident", {"shots": {"bmc": DeviceShot(
            last=ShotOutcome.DONE, settled_s=SETTLED_S, incident=IncidentId("host-1-2"), attempt=1
        )}}),
        ("of another attempt", {"shot_attempt": 2}),
        ("of a former term", {"shot_settled_s": NOW_S - 60.1}),
    ],
)  # fmt: skip
def test_climb__journalled_shot_never_confirmed_and_another_given__shoots(
    case: str, others: dict[str, Any]
) -> None:
    """An order of before, and what was read after it, do not stand for the one of now."""
    host = fencing_host(**{"readings": off_twice(), **others})

    rung = next_rung(host, record(a_shot(outcome=ShotOutcome.PENDING)))

    assert Step.SHOOT is rung.step, case


def test_climb__off_answers_kept_from_long_ago__prove_nothing() -> None:
    """Somebody may have pressed the power button since."""
    old = tuple(a_reading(Power.OFF, age_s=age_s) for age_s in (40.0, 35.0))
    mute = a_reading(Power.UNKNOWN, age_s=2.0, identity="")
    host = fencing_host(readings=(*old, mute), shot_settled_s=NOW_S - 50.0)

    assert Step.PROVEN is not next_rung(host, record(a_shot())).step


@pytest.mark.parametrize("is_running", [False, True])
def test_climb__two_devices_in_a_level__both_are_ordered_at_once(*, is_running: bool) -> None:
    """All devices of a level are ordered before any of them is waited for."""
    left = DeviceShot(is_running=is_running, settled_s=None if is_running else SETTLED_S)
    host = fencing_host(fence=TWO_FEEDS, shots={"left": left})

    rung = next_rung(host, record(a_shot("left")))

    assert (Step.SHOOT, "right") == (rung.step, rung.device.name if rung.device else None)


def test_climb__two_devices_and_one_order_under_way__waits_for_it() -> None:
    """What one feed says proves nothing while the other is still being cut."""
    shots = {
        "left": DeviceShot(last=ShotOutcome.DONE, settled_s=SETTLED_S),
        "right": DeviceShot(is_running=True),
    }
    readings = (*off_twice(device="left"), *off_twice(device="right"))
    host = fencing_host(fence=TWO_FEEDS, shots=shots, readings=readings)

    assert Step.WAIT is next_rung(host, record(a_shot("left"), a_shot("right"))).step


@pytest.mark.parametrize(
    ("known_for_s", "attempt", "expected"),
    [(9.0, 1, Step.WAIT), (10.0, 1, Step.SHOOT), (0.0, 2, Step.SHOOT)],
)
def test_climb__device_with_a_delay__shoots_so_long_after_the_conviction(
    known_for_s: float, attempt: int, expected: Step
) -> None:
    """A delay leaves a crash kernel its time, once; a second attempt has waited enough."""
    device = replace(a_device(), delay_s=10.0)

    rung = next_rung(
        fencing_host(fence=(device,)), record(attempt=attempt), known_for_s=known_for_s
    )

    assert expected is rung.step
    assert rung.wake_at_s == (NOW_S + 1.0 if expected is Step.WAIT else None)


@pytest.mark.parametrize(
    ("outcome", "readings", "expected"),
    [
        (ShotOutcome.UNKNOWN, (), Step.NEXT_LEVEL),
        (ShotOutcome.NOT_DONE, (a_reading(Power.UNKNOWN, age_s=1.0),), Step.NEXT_LEVEL),
        (ShotOutcome.NOT_DONE, (a_reading(Power.ON, age_s=1.0),), Step.CONFIRM),
        (ShotOutcome.DONE, (), Step.CONFIRM),
    ],
)
def test_climb__device_that_says_nothing__is_left_for_the_next_level_sooner(
    outcome: ShotOutcome, readings: tuple[PowerReading, ...], expected: Step
) -> None:
    """A dead BMC took no order and answers nothing: guests wait for what is behind it."""
    host = fencing_host(
        fence=TWO_LEVELS, last_shot=outcome, shot_settled_s=NOW_S - 7.0, readings=readings
    )

    assert expected is next_rung(host, record(a_shot(outcome=outcome))).step


# -- another machine answers ----------------------------------------------------------------------

OF_ANOTHER = a_reading(Power.ON, age_s=1.0, identity=uuid_of(SPARE))
CHECK_OF_ANOTHER = DeviceCheck(
    checked_s=NOW_S - 900, why="wrong", identity=uuid_of(SPARE), identified_s=NOW_S - 900
)


@pytest.mark.parametrize(
    ("case", "others", "expected"),
    [
        ("now", {"readings": (OF_ANOTHER,)}, Step.NEXT_LEVEL),
        ("and of none now", {"readings": (OF_ANOTHER, a_reading(Power.ON, age_s=0.5, identity=""))},
         Step.NEXT_LEVEL),
        ("by its check", {"device_checks": {"bmc": CHECK_OF_ANOTHER}}, Step.NEXT_LEVEL),
        ("right since", {"readings": (OF_ANOTHER, a_reading(Power.ON, age_s=0.5))}, Step.SHOOT),
        ("right since its check", {"device_checks": {"bmc": CHECK_OF_ANOTHER},
                                   "readings": (a_reading(Power.ON, age_s=0.5),)}, Step.SHOOT),
        ("it names none", {"readings": (a_reading(Power.ON, age_s=0.5, identity=""),)}, Step.SHOOT),
        ("off all the time", {"readings": off_twice(SPARE)}, Step.NEXT_LEVEL),
        ("another device", {"readings": (replace(OF_ANOTHER, device="pdu"),)}, Step.SHOOT),
        ("no more level", {"readings": (OF_ANOTHER,), "fence": TWO_LEVELS[:1]}, Step.EXHAUSTED),
        ("second feed", {"readings": (replace(OF_ANOTHER, device="right"),), "fence": TWO_FEEDS},
         Step.EXHAUSTED),
        ("under way", {"readings": (OF_ANOTHER,), "is_shot_running": True}, Step.WAIT),
    ],
)  # fmt: skip
def test_climb__device_answers_for_another_machine__its_level_has_failed(
    case: str, others: dict[str, Any], expected: Step
) -> None:
    """Swapped addresses: an order would cut the power of a host that is well (S12)."""
    host = fencing_host(**{"fence": TWO_LEVELS, **others})

    assert expected is next_rung(host, record()).step, case
    assert expected is next_rung(host, record(), fencing=FencingPolicy(off_without_shot=True)).step


# -- Off without a shot ---------------------------------------------------------------------------

TRUSTS_OFF = FencingPolicy(off_without_shot=True)


def test_climb__off_twice_since_it_fell_silent__needs_no_shot_where_policy_says_so() -> None:
    """A rack without power is not shot, host by host, where its BMCs can be trusted."""
    host = fencing_host(readings=off_twice(), shot_settled_s=None, last_shot=None)

    assert Step.SHOOT is next_rung(host, record()).step
    rung = next_rung(host, record(), fencing=TRUSTS_OFF)
    assert (Step.PROVEN, ProofMethod.POWER) == (rung.step, rung.proof and rung.proof.method)


@pytest.mark.parametrize(
    ("case", "others"),
    [
        ("off before the silence", {"evidence": silence(for_s=1.0)}),
        ("something answers", {"evidence": echoes()}),
        ("nothing was probed", {"evidence": ()}),
        ("off once", {"readings": off_twice()[1:]}),
        ("one feed of two", {"fence": TWO_FEEDS, "readings": off_twice(device="left")}),
        ("storage revoked", {"fence": (a_device("hook", kind="storage"),),
                             "readings": off_twice(device="hook")}),
    ],
)  # fmt: skip
def test_climb__not_surely_off_since_it_fell_silent__is_shot(
    case: str, others: dict[str, Any]
) -> None:
    """Without a shot all of it must be sure."""
    host = fencing_host(**{"readings": off_twice(), **others})

    assert Step.SHOOT is next_rung(host, record(), fencing=TRUSTS_OFF).step, case


# -- storage --------------------------------------------------------------------------------------

HOOK = (a_device("hook", kind="storage"),)


def test_climb__storage_read_revoked_twice__is_proven_by_storage_while_the_host_lives() -> None:
    """A host that cannot write cannot harm; whether it lives says nothing."""
    host = fencing_host(fence=HOOK, readings=off_twice(device="hook"), evidence=echoes())

    rung = next_rung(host, record(a_shot("hook")))

    assert (Step.PROVEN, ProofMethod.STORAGE) == (rung.step, rung.proof and rung.proof.method)


def test_climb__power_and_storage_in_a_level__life_voids_it() -> None:
    """Where power is part of the proof, a host that lives has shown that it lies."""
    fence = (*HOOK, a_device())
    readings = (*off_twice(device="hook"), *off_twice())
    shots = record(a_shot("hook"), a_shot())

    silent = fencing_host(fence=fence, readings=readings)
    alive = fencing_host(fence=fence, readings=readings, evidence=echoes())

    proven = next_rung(silent, shots)
    assert (Step.PROVEN, ProofMethod.POWER) == (proven.step, proven.proof and proven.proof.method)
    assert Step.CONFIRM is next_rung(alive, shots).step


# -- watchdogs ------------------------------------------------------------------------------------

DOG = (replace(a_device("dog", kind="watchdog"), reset_latency_s=5.0, margin_s=5.0),)
FACTS = WatchdogFacts(timeout_s=10, r_max_s=2.0, is_soft=False, nowayout=True, identity="iTCO_wdt")
EXPIRY_S = 3 * 10 * 1.01 + 5.0 + 5.0
"""Three time-outs, clocks 1 % apart, the time a reset takes, and some room."""


def guarded(facts: WatchdogFacts | None = FACTS, **others: Any) -> HostView:  # noqa: ANN401
    """A convicted host that said it was guarded by a watchdog, and that nobody can shoot."""
    host = fencing_host(**{"fence": DOG, "evidence": silence(), **others})
    assert host.self_.value is not None
    return replace(host, self_=replace(host.self_, value=replace(host.self_.value, watchdog=facts)))


@pytest.mark.parametrize(
    ("known_for_s", "expected"),
    [(0.0, Step.CONFIRM), (EXPIRY_S - 0.1, Step.CONFIRM), (EXPIRY_S + 0.1, Step.PROVEN)],
)
def test_climb__watchdog__proves_when_its_time_is_over(known_for_s: float, expected: Step) -> None:
    """No order and no reading: the host must have reset itself by then."""
    rung = next_rung(guarded(), record(), known_for_s=known_for_s)

    assert expected is rung.step
    if rung.proof is not None:
        assert ProofMethod.WATCHDOG is rung.proof.method
    else:
        assert rung.wake_at_s == pytest.approx(NOW_S - known_for_s + EXPIRY_S)


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("it never said so", guarded(None)),
        ("it cannot count", guarded(replace(FACTS, nowayout=False))),
        ("another boot said so", guarded(boot_id=NEXT_BOOT)),
        ("the boot lives", guarded(evidence=echoes())),
    ],
)
def test_climb__watchdog_that_proves_nothing__never_proves(case: str, host: HostView) -> None:
    """Only the boot that was convicted, while guarded, is over by time alone."""
    assert Step.EXHAUSTED is next_rung(host, record(), known_for_s=9999.0).step, case


def test_climb__watchdog_that_does_not_count__is_not_waited_for() -> None:
    """Where there is none the next level begins at once."""
    host = guarded(None, fence=(*DOG, a_device("pdu", level=2)))

    assert Step.NEXT_LEVEL is next_rung(host, record(), known_for_s=0.0).step


def test_renew__watchdog__new_leader_waits_it_out_once_more() -> None:
    """What an earlier leader waited counts for nothing."""
    word = replace(a_power_word(), method=ProofMethod.WATCHDOG)

    assert None is renewed(guarded(), record(proof=word), known_for_s=1.0)
    assert None is not renewed(guarded(), record(proof=word), known_for_s=EXPIRY_S + 0.1)


# -- crash notices --------------------------------------------------------------------------------

TAKES_NOTICES = FencingPolicy(kdump_is_proof=True)
NOTICE = a_vote(Vote.DEAD, "192.0.2.1", source=Source.KDUMP, age_s=40.0)


def crashed(**others: Any) -> HostView:  # noqa: ANN401 - any field of the view
    """A host of which the crash kernel told, and nothing else does."""
    return fencing_host(**{"evidence": (*silence(), NOTICE), **others})


def test_climb__crash_notice__is_proof_where_policy_takes_it() -> None:
    """The dump is not cut off, and nobody has to wait for its end."""
    assert Step.SHOOT is next_rung(crashed(), record()).step

    rung = next_rung(crashed(), record(), fencing=TAKES_NOTICES)

    assert (Step.PROVEN, ProofMethod.KDUMP) == (rung.step, rung.proof and rung.proof.method)


@pytest.mark.parametrize(
    ("case", "host", "attempt"),
    [
        ("the host answers", crashed(evidence=(*echoes(), NOTICE)), 1),
        ("of a former crash", crashed(evidence=(*silence(), replace(NOTICE, observed_s=0.0))), 1),
        ("its session is there", crashed(heartbeat=a_host().heartbeat), 1),
        ("the proof was wrong before", crashed(), 2),
    ],
)
def test_climb__crash_notice_that_may_be_wrong__is_no_proof(
    case: str, host: HostView, attempt: int
) -> None:
    """Anybody can send such a datagram."""
    rung = next_rung(host, record(attempt=attempt), fencing=TAKES_NOTICES)

    assert Step.PROVEN is not rung.step, case


def test_renew__crash__holds_until_something_shows_life() -> None:
    """A boot that crashed is over: nothing has to be read again."""
    word = replace(a_power_word(), method=ProofMethod.KDUMP, detail="told")

    assert ProofMethod.KDUMP is getattr(renewed(crashed(), record(proof=word)), "method", None)
    assert None is renewed(crashed(evidence=echoes()), record(proof=word))


def test_climb__shot_settled_and_off_twice_since__is_proven() -> None:
    """Two settled Off answers after the order prove the boot in the guard dead, in this term."""
    host = fencing_host(readings=off_twice())

    rung = next_rung(host, record(a_shot()))

    assert rung.proof == FenceProof(
        host=HOST,
        boot_id=BOOT,
        method=ProofMethod.POWER,
        epoch=EPOCH,
        observed_s=NOW_S,
        detail="power read Off twice by bmc",
    )
    assert Step.PROVEN is rung.step


@pytest.mark.parametrize(
    "outcome", [ShotOutcome.NOT_DONE, ShotOutcome.UNKNOWN, ShotOutcome.PENDING]
)
def test_climb__order_refused_but_off_is_read__is_proven(outcome: ShotOutcome) -> None:
    """Already off is success: what the device says to the order does not matter (rule 3)."""
    host = fencing_host(readings=off_twice(), last_shot=outcome)

    assert Step.PROVEN is next_rung(host, record(a_shot(outcome=outcome))).step


def test_climb__off_read_before_the_shot_settled__is_not_proven() -> None:
    """Both answers must have been asked after the shot settled."""
    host = fencing_host(readings=off_twice(newest_age_s=4.0))

    assert Step.CONFIRM is next_rung(host, record(a_shot())).step


def test_climb__one_of_two_feeds_off__is_not_proven() -> None:
    """All devices of a level must prove Off."""
    shots = (a_shot("left"), a_shot("right"))
    half = fencing_host(fence=TWO_FEEDS, readings=off_twice(device="left"))
    whole = replace(half, readings=(*half.readings, *off_twice(device="right")))

    assert Step.CONFIRM is next_rung(half, record(*shots)).step
    assert Step.PROVEN is next_rung(whole, record(*shots)).step


def test_climb__the_other_level_reads_off__is_not_proven() -> None:
    """Only the level that was ordered proves; Off by a distrusted device does not."""
    host = fencing_host(fence=TWO_LEVELS, readings=off_twice(device="bmc"))

    assert Step.CONFIRM is next_rung(host, record(a_shot("pdu", level=2), level=2)).step


@pytest.mark.parametrize(
    ("waited_s", "fence", "level", "expected"),
    [
        (FENCING.confirm_timeout_s - 0.1, TWO_LEVELS, 1, Step.CONFIRM),
        (FENCING.confirm_timeout_s, TWO_LEVELS, 1, Step.NEXT_LEVEL),
        (FENCING.confirm_timeout_s, TWO_LEVELS, 2, Step.EXHAUSTED),
        (FENCING.confirm_timeout_s, TWO_LEVELS[:1], 1, Step.EXHAUSTED),
    ],
)
def test_climb__not_confirmed__waits_then_fails_the_level(
    waited_s: float, fence: tuple[object, ...], level: int, expected: Step
) -> None:
    """A level that does not read Off within its time has failed; the last one ends the ladder."""
    host = fencing_host(fence=fence, shot_settled_s=NOW_S - waited_s)
    shots = (a_shot("bmc"), a_shot("pdu", level=2))

    assert expected is next_rung(host, record(*shots, level=level)).step


@pytest.mark.parametrize(("fence", "level"), [((), 0), (TWO_LEVELS, 3)])
def test_climb__no_level_left__is_exhausted(fence: tuple[object, ...], level: int) -> None:
    """Without a device, or beyond the last level, there is nothing to climb: a human is needed."""
    host = fencing_host(fence=fence, readings=off_twice())

    assert Step.EXHAUSTED is next_rung(host, record(level=level)).step


# -- no proof of what is not one ------------------------------------------------------------------

NO_PROOF = st.builds(
    a_reading,
    st.sampled_from([Power.UNKNOWN, Power.TRANSITION, Power.ON]),
    age_s=st.floats(0, 29),
) | st.builds(
    a_reading,
    st.just(Power.OFF),
    age_s=st.floats(0, 29),
    identity=st.sampled_from(["", "rubbish", str(BOOT)]),
)


@pytest.mark.fault("F51")
@given(st.lists(NO_PROOF, max_size=12), st.sampled_from(list(ShotOutcome)), st.booleans())
def test_ladder__unsettled_on_or_foreign_answers__never_prove(
    readings: list[PowerReading],
    outcome: ShotOutcome,
    is_shot_settled: bool,  # noqa: FBT001 - given by Hypothesis
) -> None:
    """Unknown, transitional, On and wrong-identity answers never give a proof (S3, S12)."""
    host = fencing_host(
        readings=tuple(sorted(readings, key=lambda reading: reading.observed_s)),
        last_shot=outcome,
        shot_settled_s=NOW_S - 29 if is_shot_settled else None,
    )
    incident = record(a_shot(outcome=outcome), proof=a_power_word())

    assert next_rung(host, incident).proof is None
    assert renewed(host, incident) is None


ANSWERS = st.builds(a_reading, st.sampled_from(list(Power)), age_s=st.floats(0, 29))


@given(st.lists(ANSWERS, max_size=8))
def test_ladder__whatever_was_answered__proof_needs_the_last_two_to_be_off(
    readings: list[PowerReading],
) -> None:
    """A proof means that the newest settled answers are Off, and reach back at least the gap."""
    in_order = sorted(readings, key=lambda reading: reading.observed_s)
    host = fencing_host(readings=tuple(in_order), shot_settled_s=NOW_S - 29)
    incident = record(a_shot(), proof=a_power_word())
    settled = [r for r in in_order if r.power in {Power.ON, Power.OFF}]

    for proof in (next_rung(host, incident).proof, renewed(host, incident)):
        if proof is not None:
            assert len(settled) >= 2
            assert {Power.OFF} == {reading.power for reading in settled[-2:]}


# -- proof ages -----------------------------------------------------------------------------------


def proven_host(**others: object) -> HostView:
    """A host that was fenced, with two fresh Off readings."""
    others.setdefault("readings", off_twice())
    return a_host(HOST, HostState.EVACUATING, **others)  # type: ignore[arg-type]


def test_renew__off_twice_and_young__is_proven_in_this_term() -> None:
    """A fenced host whose power was just read Off is proven dead, for this term."""
    proof = renewed(proven_host(), record(proof=a_power_word()))

    assert proof is not None
    assert (HOST, BOOT, EPOCH) == (proof.host, proof.boot_id, proof.epoch)


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("nothing read by this leader", proven_host(readings=())),
        ("read once", proven_host(readings=(a_reading(Power.OFF, age_s=1),))),
        ("too old",
         proven_host(readings=off_twice(newest_age_s=FENCING.proof_fresh_s + 0.1))),
        ("power came back", proven_host(readings=(*off_twice(newest_age_s=2),
                                                  a_reading(Power.ON, age_s=1)))),
        ("of another machine", proven_host(readings=off_twice(SPARE))),
        ("no device any more", proven_host(fence=())),
    ],
)  # fmt: skip
def test_renew__not_known_well_enough_now__is_no_proof(case: str, host: HostView) -> None:
    """A proof written down earlier is never enough by itself; it must be seen again."""
    assert renewed(host, record(proof=a_power_word())) is None, case


def test_renew__one_of_two_feeds_is_old__is_no_proof() -> None:
    """Every device of the level must be fresh."""
    host = proven_host(
        fence=TWO_FEEDS,
        readings=(*off_twice(device="left", newest_age_s=12.0), *off_twice(device="right")),
    )

    assert renewed(host, record(proof=a_power_word())) is None


def test_renew__never_proven__is_no_proof() -> None:
    """Off readings alone are no proof: the ladder has to be climbed first."""
    assert renewed(proven_host(), record()) is None


def test_renew__a_distrusted_level_reads_off__is_no_proof() -> None:
    """Below the incident's level nothing proves any more."""
    host = proven_host(fence=TWO_LEVELS, readings=off_twice(device="bmc"))

    assert renewed(host, record(proof=a_power_word(), level=1)) is not None
    assert renewed(host, record(proof=a_power_word(), level=2)) is None
    assert renewed(host, record(proof=a_power_word(), level=3)) is None


# -- life voids a proof ---------------------------------------------------------------------------


def test_ladder__the_boot_echoes_while_power_reads_off__is_no_proof() -> None:
    """A device that says Off of a boot that answers is lying: nothing is proven (rule 4)."""
    lying = fencing_host(readings=off_twice(), evidence=echoes(BOOT))
    incident = record(a_shot(), proof=a_power_word())

    assert Step.CONFIRM is next_rung(lying, incident).step
    assert renewed(lying, incident) is None


@pytest.mark.parametrize(
    ("case", "vote"),
    [
        ("another boot", a_vote(Vote.ALIVE_STRONG, boot_id=NEXT_BOOT)),
        ("long ago", a_vote(Vote.ALIVE_STRONG, boot_id=BOOT, age_s=DETECTION.fresh_s + 0.1)),
        ("silence", silence()[0]),
    ],
)
def test_ladder__no_fresh_life_of_this_boot__voids_nothing(case: str, vote: object) -> None:
    """A proof is about one boot; what another boot or an old vote says does not touch it."""
    host = fencing_host(readings=off_twice(), evidence=(vote,))
    incident = record(a_shot(), proof=a_power_word())

    assert Step.PROVEN is next_rung(host, incident).step, case
    assert renewed(host, incident) is not None, case


def an_echo(*, age_s: float, **others: Any) -> Evidence:  # noqa: ANN401 - fields of the vote
    """The boot in the guard answered, so long ago."""
    return replace(a_vote(Vote.ALIVE_STRONG, boot_id=BOOT, age_s=age_s), **others)


LOST_KNOCK = a_vote(Vote.SILENT, age_s=0.05, for_s=0.55)


@pytest.mark.parametrize("vote", [LOST_KNOCK, replace(LOST_KNOCK, vote=Vote.ALIVE_WEAK)])
def test_ladder__one_knock_brought_no_echo__is_no_proof(vote: Evidence) -> None:
    """One packet lost is no silence: the host may have been heard right before it."""
    host = fencing_host(readings=off_twice(), evidence=(vote,))
    incident = record(a_shot(), proof=a_power_word())
    dog = replace(a_power_word(), method=ProofMethod.WATCHDOG)

    assert Step.CONFIRM is next_rung(host, incident).step
    assert renewed(host, incident) is None
    assert Step.PROVEN is not next_rung(guarded(evidence=(vote,)), record()).step
    assert renewed(guarded(evidence=(vote,)), record(proof=dog)) is None
    assert [None, None] == by_word(fencing_host(evidence=(vote,)), an_operators_word())
    notice = replace(NOTICE, observed_s=NOW_S - 0.01)
    told = next_rung(crashed(evidence=(vote, notice)), record(), fencing=TAKES_NOTICES)
    assert Step.PROVEN is not told.step


def test_ladder__a_later_boot_answers_since_just_now__voids_nothing() -> None:
    """An echo names its boot: that of another one says that the former is over."""
    vote = a_vote(Vote.ALIVE_STRONG, boot_id=NEXT_BOOT, age_s=0.1, for_s=0.1)
    host = fencing_host(readings=off_twice(), evidence=(vote,))

    assert Step.PROVEN is next_rung(host, record(a_shot())).step


def test_ladder__heard_between_two_off_answers__needs_two_later_ones() -> None:
    """What was answered before the host was last heard says nothing of what came after."""
    readings = (a_reading(Power.OFF, age_s=4.5), a_reading(Power.OFF, age_s=2.5))
    silent = a_vote(Vote.SILENT, age_s=0.1, for_s=2.9)
    echoed = replace(silent, echoed_s=NOW_S - 3.0, echoed_boot=BOOT)
    host = fencing_host(readings=readings, evidence=(echoed,))
    later = replace(host, readings=(*readings, a_reading(Power.OFF, age_s=0.5)))

    assert Step.CONFIRM is next_rung(host, record(a_shot())).step
    assert renewed(host, record(proof=a_power_word())) is None
    assert Step.PROVEN is next_rung(later, record(a_shot())).step


@pytest.mark.parametrize(("heard_before_s", "expected"), [(0.1, Step.CONFIRM), (-0.1, Step.PROVEN)])
def test_climb__watchdog_and_heard_right_before_its_time__listens_on(
    heard_before_s: float, expected: Step
) -> None:
    """A host that was reset in time was well until then: its level has not failed yet."""
    echo = an_echo(age_s=2.5)
    silent = a_vote(Vote.SILENT, age_s=0.1, for_s=2.4)
    remembered = replace(silent, echoed_s=echo.observed_s, echoed_boot=BOOT)
    known_for_s = EXPIRY_S + (0.5 if heard_before_s > 0 else 2.4)

    vote = echo if heard_before_s > 0 else remembered
    rung = next_rung(guarded(evidence=(vote,)), record(), known_for_s=known_for_s)

    assert expected is rung.step


# -- the operator's word --------------------------------------------------------------------------


def by_word(host: HostView, word: ProofRecord) -> list[FenceProof | None]:
    """What the operator's word comes to while fencing, and later."""
    incident = record(proof=word)
    return [next_rung(host, incident).proof, renewed(host, incident)]


def test_operator__word_for_the_boot_in_the_guard__is_proof() -> None:
    """An operator's word proves the boot that was shown, without any device."""
    for proof in by_word(fencing_host(fence=()), an_operators_word()):
        assert proof is not None
        assert (ProofMethod.OPERATOR, BOOT, EPOCH) == (proof.method, proof.boot_id, proof.epoch)
        assert proof.detail == "confirmed down by ada: plugs pulled"


@pytest.mark.parametrize("boot_id", [NEXT_BOOT, None])
def test_operator__word_for_another_boot__is_no_proof(boot_id: BootId | None) -> None:
    """What was shown binds: a word about another boot, or about none, proves nothing."""
    assert [None, None] == by_word(fencing_host(), an_operators_word(boot_id))


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("a session", fencing_host(is_here=True, evidence=())),
        ("power On", fencing_host(readings=(a_reading(Power.ON, age_s=1),))),
        ("an echo of this boot", fencing_host(evidence=echoes(BOOT))),
    ],
)
def test_operator__something_shows_life_since__is_no_proof(case: str, host: HostView) -> None:
    """An operator can be wrong; a sign of life weighs more than a word."""
    assert [None, None] == by_word(host, an_operators_word()), case


def test_operator__word_void__goes_on_climbing() -> None:
    """A word that no longer counts does not stop the ladder."""
    host = fencing_host(readings=(a_reading(Power.ON, age_s=1),))

    assert Step.SHOOT is next_rung(host, record(proof=an_operators_word())).step
