"""Convicted hosts: shots, proof, failure and retry, evacuation, contradiction, and the way back."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.fencing import LATE_ORDERS_MAX
from hamon.decide.tick import decide
from hamon.model.action import PowerLook, Shoot
from hamon.model.change import (
    CONTROL,
    Decision,
    Update,
    guard_of,
    incident_of,
    record_of,
)
from hamon.model.guest import GrantState
from hamon.model.host import (
    FenceDeviceSpec,
    HostGuard,
    HostRecord,
    HostState,
    Leaving,
    Right,
    WatchdogFacts,
)
from hamon.model.incident import (
    IncidentRecord,
    MigrationStatus,
    ShotOutcome,
)
from hamon.model.names import IncidentId
from hamon.model.policy import LeavingPolicy, Policy
from hamon.model.proof import Power, ProofMethod
from hamon.model.view import ClusterView, HostView, IncidentView, OwnView
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    EPOCH,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    INCIDENT_VERSION,
    ME,
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
    an_entry,
    an_incident,
    an_operators_word,
    an_own,
    echoes,
    off_twice,
    owned_by,
    silence,
    uuid_of,
)
from tests.decisions import (
    assert_sound,
    changes_of,
    checks,
    codes,
    offered,
    state_written,
    writes,
)

POLICY = Policy()
GUEST = a_guest()
TWO_LEVELS = (a_device("bmc"), a_device("pdu", level=2))


def world(host: HostView, incident: IncidentView | None = None, **others: Any) -> ClusterView:  # noqa: ANN401
    """The convicted host with its incident, one guest, and a host with room."""
    incident = incident or an_incident()
    owned = {
        guest: owned_by(HOST, migration=INCIDENT if guest in incident.migrations else None)
        for guest in host.inventory
    }
    return a_view(host, a_host(SPARE), guests=owned, incidents=[incident], **others)


def decided(view: ClusterView) -> Decision:
    """What is decided, held to what is true of every decision."""
    decision = decide(view, POLICY, NOW_S)
    assert_sound(view, decision)
    return decision


def incident_written(decision: Decision) -> IncidentRecord:
    """The incident's record as it is written."""
    record = writes(*changes_of(decision))[incident_of(INCIDENT)]
    assert isinstance(record, IncidentRecord)
    return record


def fencing(state: HostState = HostState.FENCING, **others: Any) -> HostView:  # noqa: ANN401
    """A host that is being fenced; its last shot settled five seconds ago."""
    others.setdefault("shot_settled_s", NOW_S - 5.0)
    others.setdefault("last_shot", ShotOutcome.DONE)
    others.setdefault("state_since_s", NOW_S - 6.0)
    return a_host(HOST, state, **others)


# -- shots ----------------------------------------------------------------------------------------


def test_fencing__first_round__journals_a_shot_and_gives_it() -> None:
    """The order travels inside the intent whose change journals it (DESIGN rule 4)."""
    decision = decided(world(fencing(shot_settled_s=None, last_shot=None)))

    (intent,) = decision.intents
    assert intent.action == Shoot(
        host=HOST, incident=INCIDENT, device="bmc", attempt=1, deadline_s=20.0
    )
    (shot,) = incident_written(decision).shots
    assert ("bmc", 1, EPOCH, ME, ShotOutcome.PENDING, 20.0) == (
        shot.device,
        shot.attempt,
        shot.epoch,
        shot.controller,
        shot.outcome,
        shot.deadline_s,
    )


def test_shot__its_transaction__checks_control_and_guard() -> None:
    """A committed disarm, or a guard that changed, stops the next order."""
    (intent,) = decided(world(fencing())).intents

    assert {
        CONTROL: CONTROL_VERSION,
        guard_of(HOST): GUARD_VERSION,
        incident_of(INCIDENT): INCIDENT_VERSION,
    } == checks(intent.change)


def test_shot__the_next_one__writes_down_what_became_of_the_last() -> None:
    """The journal tells of each order of this term how it ended; the newest sixteen are kept."""
    shots = tuple(a_shot(attempt=n) for n in range(20))
    pending = a_shot("left", attempt=20, outcome=ShotOutcome.PENDING)
    feeds = (a_device("left"), a_device("right"))
    host = fencing(fence=feeds, last_shot=ShotOutcome.NOT_DONE, shot_attempt=20)

    decision = decided(world(host, an_incident(shots=(*shots, pending), attempt=20)))

    kept = incident_written(decision).shots
    assert (16, "right", ShotOutcome.NOT_DONE) == (len(kept), kept[-1].device, kept[-2].outcome)


@pytest.mark.parametrize("others", [{"shot_attempt": 1}, {"shot_settled_s": NOW_S - 2000.0}])
def test_shot__never_confirmed__is_not_told_the_end_of_a_former_one(others: dict[str, Any]) -> None:
    """What a former order came to says nothing of one that nobody has given."""
    pending = a_shot(attempt=2, outcome=ShotOutcome.PENDING)
    host = fencing(last_shot=ShotOutcome.DONE, **{"shot_attempt": 2, **others})
    own = an_own(took_office_s=NOW_S - 100.0)

    decision = decided(world(host, an_incident(shots=(pending,), attempt=2), own=own))

    again = Shoot(host=HOST, incident=INCIDENT, device="bmc", attempt=2, deadline_s=20.0)
    assert [again] == [intent.action for intent in decision.intents]
    shots = incident_written(decision).shots
    assert [ShotOutcome.LATE, ShotOutcome.PENDING] == [one.outcome for one in shots]


STRIP = replace(a_device("strip", kind="agent"), address="192.0.2.9")


@pytest.mark.parametrize(
    ("case", "device", "is_taken"),
    [
        ("the same strip", STRIP, True),
        ("another port of it", replace(STRIP, name="two", port=1), True),
        ("another strip", replace(STRIP, address="192.0.2.8"), False),
        ("no address", replace(STRIP, address=""), False),
        ("the BMC behind it", replace(STRIP, kind="ipmi"), False),
    ],
)
def test_shot__device_is_busy_with_another_hosts_order__waits_for_its_end(
    case: str, device: FenceDeviceSpec, *, is_taken: bool
) -> None:
    """Two dead hosts on one strip: the second follows as soon as the first is done."""
    first = a_host(SPARE, HostState.FENCING, fence=(device,), is_shot_running=True)
    second = fencing(fence=(STRIP,), shot_settled_s=None, last_shot=None)
    incidents = [an_incident(), an_incident(host=SPARE)]

    decision = decide(a_view(first, second, incidents=incidents), POLICY, NOW_S)

    ordered = [i.action.host for i in decision.intents if isinstance(i.action, Shoot)]
    assert is_taken is (HOST not in ordered), case
    assert is_taken is ("fence_device_taken" in codes(decision))


def test_shot__never_given_again_and_again__pushes_no_other_out_of_the_journal() -> None:
    """An order of an earlier term may still act: those that never were go first."""
    earlier = a_shot(epoch=EPOCH - 1, outcome=ShotOutcome.PENDING)
    late = tuple(a_shot(attempt=n, outcome=ShotOutcome.LATE) for n in range(2, 18))
    host = fencing(last_shot=ShotOutcome.LATE)

    decision = decided(world(host, an_incident(shots=(earlier, *late), attempt=18)))

    shots = incident_written(decision).shots
    assert (16, EPOCH - 1) == (len(shots), shots[0].epoch)
    assert ShotOutcome.PENDING is shots[-1].outcome


def test_shot__of_an_earlier_term__is_not_settled_by_this_one() -> None:
    """What became of an order of another controller only time can tell."""
    earlier = a_shot(epoch=EPOCH - 1, outcome=ShotOutcome.PENDING)

    decision = decided(world(fencing(), an_incident(shots=(earlier,))))

    assert ShotOutcome.PENDING is incident_written(decision).shots[0].outcome


def test_shot__new_leader__waits_out_the_former_lease() -> None:
    """A new leader starts nothing before 1.01 leases after its epoch was acknowledged."""
    young = an_own(took_office_s=NOW_S - 0.5)
    old = an_own(took_office_s=NOW_S - 0.506)

    decision = decided(world(fencing(), own=young))

    assert () == decision.intents
    assert decision.wake_at_s == pytest.approx(NOW_S + 0.005)
    assert "new_leader_waits" in codes(decision)
    assert 1 == len(decided(world(fencing(), own=old)).intents)


@pytest.mark.parametrize(
    "held",
    [
        {"is_armed": False},
        {"unreadable": ("/control",)},
        {"unreadable": (f"/hosts/{HOST}/record",)},
        {"own": an_own(is_session_proven=False)},
        {"own": an_own(lagged_s=NOW_S - 1.0)},
    ],
)
def test_fencing__held__gives_no_shot_and_says_so(held: dict[str, Any]) -> None:
    """Disarmed, unreadable or unwell: not even a convicted host is shot at (S10)."""
    decision = decided(world(fencing(), **held))

    assert () == decision.intents
    assert "fencing_held" in codes(decision)


@pytest.mark.parametrize("held", [{"maintenance": [HOST]}, {"own": an_own(watching_since_s=NOW_S)}])
def test_fencing__hold_against_convictions_only__goes_on(held: dict[str, Any]) -> None:
    """What was convicted is carried through: half a fencing helps nobody."""
    assert 1 == len(decided(world(fencing(), **held)).intents)


@pytest.mark.fault("F19")
def test_fencing__ensemble_rolled_back__nothing_is_written() -> None:
    """On a restored ensemble nothing is written, done or looked at; it is said."""
    decision = decided(world(fencing(), own=an_own(is_rolled_back=True)))

    assert ((), (), ()) == (decision.transitions, decision.intents, decision.looks)
    assert "hold" in codes(decision)


# -- proof ----------------------------------------------------------------------------------------


def test_fencing__proven__is_fenced_and_the_proof_written_down() -> None:
    """Proof and state are one transaction, and the guard is checked (protocol 4)."""
    view = world(fencing(readings=off_twice()), an_incident(shots=(a_shot(),)))

    decision = decided(view)

    assert HostState.FENCED is state_written(decision, HOST)
    proof = incident_written(decision).proof
    assert proof is not None
    assert (ProofMethod.POWER, BOOT, EPOCH) == (proof.method, proof.boot_id, proof.epoch)
    (change,) = [c for c in decision.transitions if record_of(HOST) in writes(c)]
    assert GUARD_VERSION == checks(change)[guard_of(HOST)]


def test_fencing__operators_word__is_kept_as_it_was_given() -> None:
    """The audit shows who gave the word."""
    decision = decided(world(fencing(fence=()), an_incident(proof=an_operators_word())))

    assert an_operators_word() == incident_written(decision).proof
    assert HostState.FENCED is state_written(decision, HOST)


def test_fencing__not_confirmed_yet__reads_power() -> None:
    """After an order the state is read apart, at once."""
    asked_before = (a_reading(Power.ON, age_s=5.5),)
    host = fencing(readings=asked_before)

    decision = decided(world(host, an_incident(shots=(a_shot(),))))

    assert (PowerLook(host=HOST, device="bmc"),) == decision.looks


# -- failure --------------------------------------------------------------------------------------


def failed(**others: Any) -> HostView:  # noqa: ANN401
    """A host whose shot was not confirmed in time."""
    return fencing(shot_settled_s=NOW_S - 15.0, **others)


def test_level_failed__goes_to_the_next() -> None:
    """A level that fails is left for the next one."""
    view = world(failed(fence=TWO_LEVELS), an_incident(shots=(a_shot(),), level=1))

    assert 2 == incident_written(decided(view)).level


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.FENCE_FAILED])
def test_level_of_another_machine__is_left_and_told(state: HostState) -> None:
    """Who corrects the address must know which device it is, and whom it answers for."""
    strange = a_reading(Power.ON, age_s=0.5, identity=uuid_of(SPARE))
    host = fencing(state, readings=(strange,), state_since_s=NOW_S)

    decision = decided(world(host, an_incident()))

    assert () == decision.intents
    told = next(r for r in decision.reasons if "fence_device_of_another" == r.code)
    assert ("bmc", uuid_of(SPARE)) == (told.facts["device"], told.facts["identity"])


def test_all_levels_failed__is_fence_failed() -> None:
    """When no level is left, a human is needed, and the state says so."""
    view = world(failed(), an_incident(shots=(a_shot(outcome=ShotOutcome.PENDING),), level=1))

    decision = decided(view)

    assert HostState.FENCE_FAILED is state_written(decision, HOST)
    assert {ShotOutcome.DONE} == {shot.outcome for shot in incident_written(decision).shots}


@pytest.mark.parametrize(("waited_s", "is_retried"), [(14.9, False), (15.0, True)])
def test_fence_failed__after_a_pause__climbs_again(waited_s: float, *, is_retried: bool) -> None:
    """Fencing goes on until proven; the ladder is climbed anew from its bottom."""
    host = fencing(HostState.FENCE_FAILED, state_since_s=NOW_S - waited_s)

    decision = decided(world(host, an_incident(shots=(a_shot(),), level=1)))

    assert (HostState.FENCING if is_retried else None) is state_written(decision, HOST)
    if is_retried:
        again = incident_written(decision)
        assert (2, 0) == (again.attempt, again.level)
    else:
        assert "fence_failed" in codes(decision)


def test_fence_failed__power_reads_off_after_all__is_fenced() -> None:
    """A slow device that got there in the end is believed, because it is read."""
    host = fencing(HostState.FENCE_FAILED, readings=off_twice())

    decision = decided(world(host, an_incident(shots=(a_shot(),), level=1)))

    assert HostState.FENCED is state_written(decision, HOST)


def test_fence_failed__operators_word__is_fenced() -> None:
    """An operator can end it (L4)."""
    host = fencing(HostState.FENCE_FAILED)

    decision = decided(world(host, an_incident(proof=an_operators_word())))

    assert HostState.FENCED is state_written(decision, HOST)


def ordered_late(times: int) -> ClusterView:
    """A host whose device was to be ordered so many times, and never within the lease."""
    before = a_shot(attempt=1, outcome=ShotOutcome.LATE)
    late = a_shot(attempt=2, outcome=ShotOutcome.LATE)
    shots = (before, *(late,) * (times - 1), replace(late, outcome=ShotOutcome.PENDING))
    host = fencing(last_shot=ShotOutcome.LATE, shot_settled_s=NOW_S - 0.1)
    return world(host, an_incident(shots=shots, attempt=2))


@pytest.mark.parametrize("times", [1, LATE_ORDERS_MAX - 1])
def test_fencing__order_was_late__is_told_and_power_read_beside_the_next(times: int) -> None:
    """ZooKeeper that writes too slowly keeps orders from being given; that is no silence."""
    decision = decided(ordered_late(times))

    assert 1 == len(decision.intents)
    assert (PowerLook(host=HOST, device="bmc"),) == decision.looks
    assert "fence_orders_late" in codes(decision)


def test_fencing__orders_late_again_and_again__is_fence_failed() -> None:
    """It cannot be given, so a human is told, and it is tried again after the pause."""
    decision = decided(ordered_late(LATE_ORDERS_MAX))

    assert ((), HostState.FENCE_FAILED) == (decision.intents, state_written(decision, HOST))
    assert "fence_orders_late" in codes(decision)
    assert {ShotOutcome.LATE} == {shot.outcome for shot in incident_written(decision).shots}


# -- evacuating -----------------------------------------------------------------------------------


def dead(state: HostState = HostState.EVACUATING, **others: Any) -> HostView:  # noqa: ANN401
    """A fenced host with a guest, its power read Off just now."""
    others.setdefault("readings", off_twice())
    others.setdefault("entries", [an_entry()])
    others.setdefault("grants", {GUEST: a_grant()})
    others.setdefault("state_since_s", NOW_S - 10.0)
    return a_host(HOST, state, **others)


def an_open_incident(*migrations: Any, **others: Any) -> IncidentView:  # noqa: ANN401
    """The incident of a host whose death was proven."""
    others.setdefault("proof", a_power_word())
    return an_incident(*migrations, **others)


def test_fenced__its_guests__are_recorded_first() -> None:
    """Who and what is written down before the first attempt (step 6)."""
    decision = decided(world(dead(HostState.FENCED), an_open_incident()))

    assert HostState.EVACUATING is state_written(decision, HOST)
    assert "migration_recorded" in codes(decision)
    assert {} == offered(decision)


def test_evacuating__recorded_and_proven__is_offered() -> None:
    """A fresh proof and room: the guest goes."""
    decision = decided(world(dead(), an_open_incident(a_migration())))

    assert {GUEST: SPARE} == offered(decision)


@pytest.mark.parametrize(
    ("case", "host", "incident"),
    [
        ("power not read", dead(readings=()), an_open_incident(a_migration())),
        ("read too long ago", dead(readings=off_twice(newest_age_s=10.1)),
         an_open_incident(a_migration())),
        ("read by nobody in this term, proven by an earlier one", dead(readings=()),
         an_open_incident(a_migration(), shots=(a_shot(epoch=EPOCH - 1),))),
        ("of another machine", dead(readings=off_twice(SPARE)), an_open_incident(a_migration())),
        ("never proven", dead(), an_incident(a_migration())),
        ("operator's word for another boot", dead(readings=()),
         an_incident(a_migration(), proof=an_operators_word(NEXT_BOOT))),
    ],
)  # fmt: skip
def test_evacuating__no_fresh_proof__nothing_moves(
    case: str, host: HostView, incident: IncidentView
) -> None:
    """A proof ages: what is written down moves nobody (S2)."""
    decision = decided(world(host, incident))

    assert {} == offered(decision), case
    assert [] == [change for change in decision.transitions if GUEST == change.subject]
    assert "proof_not_fresh" in codes(decision)
    assert decision.looks or NOW_S - host.readings[-1].observed_s < 1.0


def test_evacuating__operators_word__is_enough_while_nothing_shows_life() -> None:
    """A host whose devices died with its power is evacuated on an operator's word."""
    incident = an_incident(a_migration(), proof=an_operators_word())

    assert {GUEST: SPARE} == offered(decided(world(dead(readings=()), incident)))
    on = dead(readings=(a_reading(Power.ON, age_s=1.0),))
    assert {} == offered(decided(world(on, incident)))


@pytest.mark.parametrize(
    "held", [{"is_armed": False}, {"unreadable": ("/x",)}, {"own": an_own(is_session_proven=False)}]
)
def test_evacuating__held__nothing_moves_and_it_is_said(held: dict[str, Any]) -> None:
    """Disarm stops moves too, at the next round at the latest."""
    decision = decided(world(dead(), an_open_incident(a_migration()), **held))

    assert () == decision.transitions
    assert {} == offered(decision)
    assert "evacuation_held" in codes(decision)


def test_evacuating__guests_still_to_move__power_is_read_again() -> None:
    """While guests are to move, power is watched every few seconds (rule 2)."""
    due = dead(readings=off_twice(newest_age_s=POLICY.fencing.reread_period_s))
    fresh = dead(readings=off_twice(newest_age_s=POLICY.fencing.reread_period_s - 0.1))
    incident = an_open_incident(a_migration())

    assert 1 == len(decided(world(due, incident)).looks)
    assert 0 == len(decided(world(fresh, incident)).looks)


def test_evacuated__nothing_left_to_move__power_is_left_alone() -> None:
    """A host without guests to move may be switched on by whoever repairs it."""
    done = an_open_incident(a_migration(1, MigrationStatus.DONE, dest_compute=SPARE))
    host = dead(HostState.EVACUATED, readings=(), grants={GUEST: a_grant(GrantState.REVOKED)})
    spare = a_host(SPARE, entries=[an_entry()])
    owned = {GUEST: owned_by(SPARE, generation=2)}
    view = a_view(host, spare, guests=owned, incidents=[done])

    decision = decided(view)

    assert ((), (), None) == (decision.looks, decision.transitions, state_written(decision, HOST))


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        (HostState.EVACUATING, MigrationStatus.DONE, HostState.EVACUATED),
        (HostState.EVACUATING, MigrationStatus.PRE_MIGRATING, None),
        (HostState.EVACUATED, MigrationStatus.WAITING, HostState.EVACUATING),
        (HostState.FENCED, MigrationStatus.DONE, HostState.EVACUATING),
    ],
)
def test_evacuating__by_what_is_open__enters(
    state: HostState, status: MigrationStatus, expected: HostState | None
) -> None:
    """The host is evacuated when nothing is open, and is not when something is opened again."""
    incident = an_open_incident(a_migration(1, status, dest_compute=SPARE))

    assert expected is state_written(decided(world(dead(state), incident)), HOST)


# -- contradiction --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED])
@pytest.mark.parametrize(
    ("fence", "level", "expected"),
    [(TWO_LEVELS, 1, 2), (TWO_LEVELS, 2, 3), (TWO_LEVELS[:1], 1, 2), ((), 0, 1)],
)
def test_proven_boot_echoes__the_level_is_distrusted(
    state: HostState,
    fence: tuple[FenceDeviceSpec, ...],
    level: int,
    expected: int,
) -> None:
    """Life of a proven dead boot: no new move, and fencing goes on from the next level (rule 2)."""
    host = dead(state, fence=fence, evidence=echoes(BOOT))

    decision = decided(world(host, an_open_incident(a_migration(), level=level, attempt=3)))

    assert {} == offered(decision)
    assert HostState.FENCING is state_written(decision, HOST)
    again = incident_written(decision)
    assert (expected, 4, None) == (again.level, again.attempt, again.proof)
    assert "proof_contradicted" in codes(decision)


def test_proven_boot_registers_anew__is_contradicted() -> None:
    """A heartbeat of the dead boot that came after its proof is life as well."""
    host = dead(is_here=True, evidence=silence(), registered_s=NOW_S - 1.0)

    assert HostState.FENCING is state_written(decided(world(host, an_open_incident())), HOST)


@pytest.mark.fault("F20")
def test_proven_boot_has_its_old_session__is_no_contradiction_and_told_when_it_stays() -> None:
    """A session ends with its time-out, or never: the power that reads Off counts for more."""
    young = dead(is_here=True, evidence=silence(), state_since_s=NOW_S - 1.0)
    old = dead(is_here=True, evidence=silence(), state_since_s=NOW_S - 60.0)

    for host, is_told in ((young, False), (old, True)):
        decision = decided(world(host, an_open_incident(a_migration())))
        assert HostState.FENCING is not state_written(decision, HOST)
        assert is_told == ("session_outlives_proof" in codes(decision))


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("another boot echoes", dead(evidence=echoes(NEXT_BOOT))),
        ("it echoed long ago", dead(evidence=echoes(BOOT, age_s=3.1))),
        ("it echoed before the proof",
         dead(evidence=echoes(BOOT, age_s=2.0), state_since_s=NOW_S - 1.0)),
        ("no boot was ever seen", dead(evidence=echoes(BOOT), shut_out_boot=None)),
    ],
)  # fmt: skip
def test_no_later_life_of_that_boot__is_no_contradiction(case: str, host: HostView) -> None:
    """Only a later sign of life of that very boot contradicts its death."""
    decision = decided(world(host, an_open_incident(a_migration())))

    assert HostState.FENCING is not state_written(decision, HOST), case


def test_storage_proof__host_lives__is_no_contradiction() -> None:
    """That it cannot write is what was proven; its agent ends the copies."""
    word = replace(a_power_word(), method=ProofMethod.STORAGE)
    host = dead(evidence=echoes(), fence=(a_device("hook", kind="storage"),))

    decision = decided(world(host, an_open_incident(a_migration(), proof=word)))

    assert HostState.FENCING is not state_written(decision, HOST)


def test_storage_proof__granted_again__is_fenced_again() -> None:
    """Somebody gave the storage back while guests are still to move."""
    word = replace(a_power_word(), method=ProofMethod.STORAGE)
    host = dead(
        fence=(a_device("hook", kind="storage"),),
        readings=(a_reading(Power.ON, age_s=0.5, device="hook"),),
    )

    decision = decided(world(host, an_open_incident(a_migration(), proof=word)))

    assert HostState.FENCING is state_written(decision, HOST)
    assert "storage_granted_again" in {change.reason.code for change in decision.transitions}


# -- power back on --------------------------------------------------------------------------------

ON_AGAIN = (*off_twice(newest_age_s=5.0), a_reading(Power.ON, age_s=0.5))


@pytest.mark.fault("F28")
def test_power_on_again__guest_could_be_placed__is_fenced_again() -> None:
    """Somebody pressed the button before the guest had moved: fence again, then move."""
    decision = decided(world(dead(readings=ON_AGAIN), an_open_incident(a_migration())))

    assert HostState.FENCING is state_written(decision, HOST)
    assert (2, None) == (incident_written(decision).attempt, incident_written(decision).proof)


def test_power_on_again__no_guest_could_be_placed__is_left_to_return() -> None:
    """Where there is no room anyway, the returning host is itself the room."""
    host = dead(readings=ON_AGAIN, entries=[an_entry(ram_mib=99_999)])

    decision = decided(world(host, an_open_incident(a_migration())))

    assert state_written(decision, HOST) is None
    assert "no_valid_host" in codes(decision)


def test_power_unknown__guest_could_be_placed__waits() -> None:
    """An unreachable device is no reason to shoot, and none to move."""
    unknown = (a_reading(Power.UNKNOWN, age_s=0.5),)

    decision = decided(world(dead(readings=unknown), an_open_incident(a_migration())))

    assert ((), None) == (decision.intents, state_written(decision, HOST))
    assert {} == offered(decision)


# -- a proof that cannot be renewed ---------------------------------------------------------------

MUTE = tuple(a_reading(Power.UNKNOWN, age_s=age_s, identity="") for age_s in (9.0, 5.0, 1.0))
LAST_OFF_S = POLICY.fencing.proof_fresh_s + POLICY.fencing.confirm_timeout_s
"""So long after its last Off a device is not waited for any more."""


def mute(last_off_s: float | None = None, **others: Any) -> HostView:  # noqa: ANN401
    """A host proven dead an hour ago, whose device was read Off that long ago and is mute since."""
    offs = () if last_off_s is None else off_twice(newest_age_s=last_off_s)
    others.setdefault("state_since_s", NOW_S - 3600.0)
    return dead(readings=(*offs, *MUTE), **others)


@pytest.mark.parametrize(
    ("fence", "level", "expected"),
    [
        (TWO_LEVELS, 1, 2),
        (TWO_LEVELS, 0, 2),
        (TWO_LEVELS, 2, 2),
        (TWO_LEVELS[:1], 1, 1),
        ((), 1, 0),
    ],
)
def test_proof_not_renewed__guest_could_be_placed__climbs_on(
    fence: tuple[FenceDeviceSpec, ...], level: int, expected: int
) -> None:
    """Whatever proved it fell mute: the next level, or the same once more, which pages if it fails.

    The level that fell mute did not lie and stays trusted, for the next time.
    """
    view = world(mute(fence=fence), an_open_incident(a_migration(), level=level))

    decision = decided(view)

    assert HostState.FENCING is state_written(decision, HOST)
    again = incident_written(decision)
    assert (expected, 0, 2, None) == (again.level, again.floor, again.attempt, again.proof)
    assert {"proof_not_renewed", "proof_not_fresh"} <= codes(decision)
    assert {} == offered(decision)


@pytest.mark.parametrize("last_off_s", [LAST_OFF_S - 0.1, LAST_OFF_S])
def test_proof_not_renewed__last_off__counts_from_when_it_went_stale(last_off_s: float) -> None:
    """A device gets as long to answer again as it gets after an order."""
    decision = decided(world(mute(last_off_s), an_open_incident(a_migration())))

    is_over = last_off_s == LAST_OFF_S
    assert (HostState.FENCING if is_over else None) is state_written(decision, HOST)


def test_proof_not_renewed__device_reads_off_again__is_renewed() -> None:
    """A device that answers once more needs no new order."""
    host = dead(readings=(*MUTE, *off_twice(newest_age_s=0.1)), state_since_s=NOW_S - 3600.0)

    assert {GUEST: SPARE} == offered(decided(world(host, an_open_incident(a_migration()))))


@pytest.mark.parametrize(
    ("case", "host", "incident", "own"),
    [
        ("young leader", mute(), an_open_incident(a_migration()),
         an_own(took_office_s=NOW_S - 14.9)),
        ("ZooKeeper was away", mute(), an_open_incident(a_migration()),
         an_own(watching_since_s=NOW_S - 14.9)),
        ("just fenced", mute(state_since_s=NOW_S - 14.9), an_open_incident(a_migration()),
         an_own()),
        ("asked for just now", mute(), an_open_incident(a_migration(since_s=NOW_S - 14.9)),
         an_own()),
        ("no guest fits", mute(entries=[an_entry(ram_mib=99_999)]),
         an_open_incident(a_migration()), an_own()),
        ("nothing to move", mute(entries=[], grants={}), an_open_incident(), an_own()),
    ],
)  # fmt: skip
def test_proof_not_renewed__not_asked_for_long_or_not_needed__waits(
    case: str, host: HostView, incident: IncidentView, own: OwnView
) -> None:
    """Only what was asked again and again in vain, and is needed, is given up."""
    decision = decided(world(host, incident, own=own))

    assert state_written(decision, HOST) is not HostState.FENCING, case


def test_proof_not_renewed__claims_of_the_dead_host_are_to_be_ended__climbs_on() -> None:
    """A guest that was on its way to it moves on only by the proof of its death."""
    host = mute(entries=[], grants={GUEST: a_grant(GrantState.CLAIMED)})

    assert HostState.FENCING is state_written(decided(world(host, an_open_incident())), HOST)


def test_proof_not_renewed__by_an_operators_word__climbs_from_the_bottom() -> None:
    """A word is not read again: what voids it for long is met with every device there is."""
    host = mute(
        fence=TWO_LEVELS,
        is_here=True,
        evidence=silence(),
        registered_s=NOW_S - 15.0,
        state_since_s=NOW_S - 15.0,
    )
    told = an_incident(a_migration(), proof=an_operators_word(), level=2)

    decision = decided(world(host, told))

    assert HostState.FENCING is state_written(decision, HOST)
    assert 0 == incident_written(decision).level
    assert {GUEST: SPARE} == offered(decided(world(mute(fence=TWO_LEVELS), told)))


def guarded(host: HostView) -> HostView:
    """The host, whose boot said that it has a watchdog of ten seconds."""
    facts = WatchdogFacts(
        timeout_s=10.0, r_max_s=2.0, is_soft=False, nowayout=True, identity="iTCO_wdt"
    )
    assert host.self_.value is not None
    said = replace(host.self_.value, watchdog=facts)
    return replace(host, self_=replace(host.self_, value=said))


DOG = replace(a_device("dog", kind="watchdog"), margin_s=5.0, reset_latency_s=5.0)


@pytest.mark.parametrize(("in_office_s", "is_over"), [(40.0, False), (41.0, True)])
def test_proof_not_renewed__by_a_watchdog__its_time_is_waited_out(
    in_office_s: float, *, is_over: bool
) -> None:
    """A new leader counts its 3 x 10 x 1.01 + 10 = 40.3 s anew, and is not impatient meanwhile."""
    host = guarded(mute(fence=(DOG,)))
    incident = replace(an_open_incident(a_migration(), level=1), opened_s=0.0)
    own = an_own(took_office_s=NOW_S - in_office_s)

    decision = decided(world(host, incident, own=own))

    assert state_written(decision, HOST) is None
    assert ({GUEST: SPARE} if is_over else {}) == offered(decision)


@pytest.mark.parametrize("last_off_s", [LAST_OFF_S - 0.1, LAST_OFF_S])
def test_proof_not_renewed__watchdog_beside_a_mute_device__counts_by_that_one(
    last_off_s: float,
) -> None:
    """A watchdog whose time is long over says nothing of how long the other is mute."""
    host = guarded(mute(last_off_s, fence=(DOG, a_device())))
    incident = replace(an_open_incident(a_migration(), level=1), opened_s=0.0)

    decision = decided(world(host, incident))

    is_over = last_off_s == LAST_OFF_S
    assert (HostState.FENCING if is_over else None) is state_written(decision, HOST)


def test_evacuating__held__power_is_read_meanwhile() -> None:
    """When the hold ends, the proof is fresh, or it is known that it cannot be."""
    decision = decided(world(mute(), an_open_incident(a_migration()), is_armed=False))

    assert (None, (PowerLook(host=HOST, device="bmc"),)) == (
        state_written(decision, HOST),
        decision.looks,
    )


# -- the way back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED],
)
def test_another_boot_registers__is_returning(state: HostState) -> None:
    """The next boot returns, also in the middle of the evacuation; its guard stays shut."""
    host = dead(state, is_here=True, boot_id=NEXT_BOOT)

    decision = decided(world(host, an_open_incident(a_migration())))

    assert HostState.RETURNING is state_written(decision, HOST)
    assert {} == offered(decision)
    assert guard_of(HOST) not in writes(*changes_of(decision))


def test_another_boot_registers_before_a_proof__fencing_goes_on() -> None:
    """A conviction that was committed is carried through (S4)."""
    host = fencing(HostState.FENCING, is_here=True, boot_id=NEXT_BOOT)

    assert HostState.RETURNING is not state_written(decided(world(host)), HOST)


def gone_again(**others: Any) -> HostView:  # noqa: ANN401
    """A host that came back in its next boot and is lost again."""
    others.setdefault("readings", off_twice())
    return a_host(
        HOST,
        HostState.RETURNING,
        boot_id=NEXT_BOOT,
        is_here=False,
        entries=[an_entry()],
        grants={GUEST: a_grant(GrantState.REVOKED, moved_to=SPARE)},
        **others,
    )


def test_returning_and_lost_again__dead__is_convicted_in_its_new_boot() -> None:
    """Guests that stayed on a host that dies while it returns are not forgotten (L1)."""
    done = an_open_incident(a_migration(1, MigrationStatus.STAYS))

    decision = decided(world(gone_again(), done))

    incident = IncidentId(f"{HOST}-{GUARD_VERSION + 1}")
    written = writes(*changes_of(decision))
    assert HostState.FENCING is state_written(decision, HOST)
    assert written[guard_of(HOST)] == HostGuard(
        right=Right.SHUT_OUT, boot_id=NEXT_BOOT, incident=incident
    )
    opened = written[incident_of(incident)]
    assert isinstance(opened, IncidentRecord)
    assert NEXT_BOOT == opened.boot_id


@pytest.mark.parametrize(
    ("case", "host", "held"),
    [
        ("heard", gone_again(evidence=echoes(NEXT_BOOT)), {}),
        ("power unknown", gone_again(readings=(), evidence=()), {}),
        ("disarmed", gone_again(), {"is_armed": False}),
        ("in maintenance", gone_again(), {"maintenance": [HOST]}),
    ],
)
def test_returning_and_lost_again__not_dead_or_held__waits(
    case: str, host: HostView, held: dict[str, Any]
) -> None:
    """The second conviction needs every witness, and obeys every hold, like the first."""
    decision = decided(world(host, an_open_incident(), **held))

    assert state_written(decision, HOST) is None, case
    assert "return_waits_for_host" in codes(decision)


@pytest.mark.parametrize(
    ("policy", "away_s", "expected"),
    [
        (LeavingPolicy.WAIT, 599.0, {"return_waits_for_host", "host_left"}),
        (LeavingPolicy.WAIT, 600.0, {"return_waits_for_host", "leaving_overdue"}),
        (LeavingPolicy.LEAVE, 600.0, {"return_waits_for_host", "host_left"}),
    ],
)
def test_returning_and_left_in_order__waits__then_is_overdue(
    policy: LeavingPolicy, away_s: float, expected: set[str]
) -> None:
    """A reboot on its way back that never ends pages as one in service does; neither fences."""
    host = gone_again(leaving=Leaving.REBOOT, session_lost_s=NOW_S - away_s)
    leaving = replace(POLICY, detection=replace(POLICY.detection, leaving=policy))

    decision = decide(world(host, an_open_incident()), leaving, NOW_S)

    assert (None, expected) == (state_written(decision, HOST), codes(decision))


def test_returning_and_left_in_order__policy_evacuate__is_convicted() -> None:
    """By policy an orderly reboot is a failure like any other, also on the way back."""
    host = gone_again(leaving=Leaving.REBOOT)
    leaving = replace(POLICY, detection=replace(POLICY.detection, leaving=LeavingPolicy.EVACUATE))

    decision = decide(world(host, an_open_incident()), leaving, NOW_S)

    assert HostState.FENCING is state_written(decision, HOST)


# -- what does not fit together -------------------------------------------------------------------


def test_incident_not_read__nothing_is_done() -> None:
    """Without its incident nothing is known of what was done to a host."""
    view = a_view(fencing())

    decision = decided(view)

    assert ((), ()) == (decision.transitions, decision.intents)
    assert "incident_not_read_yet" in codes(decision)


@pytest.mark.parametrize(
    "state",
    [HostState.UP, HostState.SUSPECT, HostState.LEAVING, HostState.RESTARTED,
     HostState.QUARANTINED],
)  # fmt: skip
def test_guard_and_record_disagree__nothing_is_done(state: HostState) -> None:
    """A shut guard with a live record is told, not guessed at."""
    host = fencing()
    record = HostRecord(state=state, epoch=EPOCH, since="", incident=INCIDENT)
    odd = replace(host, record=replace(host.record, value=record))

    decision = decided(world(odd))

    assert "guard_and_record_disagree" in codes(decision)
    assert ((), ()) == (decision.transitions, decision.intents)


def test_updates__of_a_shot__name_the_version_they_were_decided_on() -> None:
    """There is no 'any version'."""
    (intent,) = decided(world(fencing())).intents

    updates = [op for op in intent.change.operations if isinstance(op, Update)]
    assert [INCIDENT_VERSION] == [op.version for op in updates]
