"""Requests: what operators may ask, what they may override, and what they are told instead."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.naming import NAMED_MAX
from hamon.decide.tick import decide
from hamon.model.change import (
    CONTROL,
    Decision,
    Versioned,
    guard_of,
    incident_of,
    migration_of,
    request_of,
    self_of,
)
from hamon.model.control import Control, Request, RequestKind, RequestState
from hamon.model.guest_policy import EVACUATE as EVACUATE_KEY
from hamon.model.host import HostState, Leaving
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus, Trigger
from hamon.model.names import GuestId, HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.proof import Power, Vote
from hamon.model.view import ClusterView, HostView, IncidentView
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    REQUEST_VERSION,
    SELF_VERSION,
    SPARE,
    THIRD,
    WALL,
    a_guest,
    a_host,
    a_lost_host,
    a_migration,
    a_power_word,
    a_reading,
    a_request,
    a_view,
    a_vote,
    an_entry,
    an_incident,
    an_operators_word,
    an_own,
    off_twice,
    owned_by,
    silence,
)
from tests.decisions import assert_sound, changes_of, checks, state_written, writes

POLICY = Policy()
GUEST = a_guest()
FIRST = "r-0000000000"
OPENED = IncidentId(f"{HOST}-{GUARD_VERSION + 1}")


def asked(request: Any, *hosts: HostView, **world: Any) -> tuple[Request, Decision]:  # noqa: ANN401
    """The answer to one request, and the decision that carries it."""
    view = a_view(*hosts, requests=[request], **world)
    return answer(view)


def answer(view: ClusterView) -> tuple[Request, Decision]:
    """The answer to the first request of a view."""
    decision = decide(view, POLICY, NOW_S)
    assert_sound(view, decision)
    written = writes(*changes_of(decision))[request_of(FIRST)]
    assert isinstance(written, Request)
    return written, decision


def incident_in(decision: Decision, name: IncidentId = OPENED) -> IncidentRecord:
    """An incident as it is written."""
    record = writes(*changes_of(decision))[incident_of(name)]
    assert isinstance(record, IncidentRecord)
    return record


EVACUATE_HOST = a_request(RequestKind.EVACUATE_HOST, HOST, boot_id=BOOT)
EVACUATE = a_request(RequestKind.EVACUATE, guest=GUEST)
CONFIRM = a_request(RequestKind.CONFIRM_DOWN, HOST, boot_id=BOOT, reason="plugs pulled")
QUIET = a_lost_host(readings=(), entries=[an_entry()])
SPARE_HOST = a_host(SPARE)
FLEET = tuple(a_host(HostName(f"well-{number}")) for number in range(8))


# -- evacuate-host --------------------------------------------------------------------------------


def test_evacuate_host__off_and_silent_before_its_session_ends__opens_an_incident() -> None:
    """A person does not wait for what the detector would not wait for."""
    dead = a_host(evidence=silence(), readings=off_twice(), entries=[an_entry()])

    answered, decision = asked(EVACUATE_HOST, dead, SPARE_HOST)

    assert RequestState.ACCEPTED is answered.state
    assert HostState.FENCING is state_written(decision, HOST)


def test_evacuate_host__down__opens_the_detectors_incident() -> None:
    """By hand the same incident opens, through the same ladder; answer and effect are one write."""
    request = a_request(RequestKind.EVACUATE_HOST, HOST, target=SPARE, boot_id=BOOT, nonce="n-7")

    answered, decision = asked(request, QUIET, SPARE_HOST)

    assert (RequestState.ACCEPTED, OPENED) == (answered.state, answered.incident)
    opened = incident_in(decision)
    assert (Trigger.OPERATOR, "ada", "n-7", SPARE, None) == (
        opened.trigger,
        opened.who,
        opened.nonce,
        opened.target,
        opened.proof,
    )
    assert HostState.FENCING is state_written(decision, HOST)
    (change,) = [c for c in decision.transitions if request_of(FIRST) in writes(c)]
    guarded = checks(change)
    assert (CONTROL_VERSION, SELF_VERSION, GUARD_VERSION, REQUEST_VERSION) == (
        guarded[CONTROL],
        guarded[self_of(HOST)],
        guarded[guard_of(HOST)],
        guarded[request_of(FIRST)],
    )


def test_evacuate_host__lost_but_not_convictable__is_fenced_first() -> None:
    """An unfenced host is fenced by the ladder; the operator's wish is no proof."""
    _, decision = asked(EVACUATE_HOST, QUIET, SPARE_HOST)

    assert incident_in(decision).proof is None
    assert {"guest_scheduled"} & {c.reason.code for c in decision.transitions} == set()


@pytest.mark.parametrize("state", [HostState.SUSPECT, HostState.LEAVING, HostState.QUARANTINED])
def test_evacuate_host__any_live_state_that_is_lost__is_accepted(state: HostState) -> None:
    """Also a host that left in order may be evacuated by hand."""
    leaving = Leaving.SHUTDOWN if state is HostState.LEAVING else None

    answered, _ = asked(EVACUATE_HOST, a_lost_host(HOST, state, leaving=leaving), SPARE_HOST)

    assert RequestState.ACCEPTED is answered.state


HEARD = a_host(is_here=False, evidence=(a_vote(Vote.ALIVE_WEAK),))
NEVER_SEEN = a_host(HOST, None, is_here=False)


def shut_out(state: HostState = HostState.EVACUATING) -> HostView:
    """A fenced host with two guests."""
    return a_host(HOST, state, entries=[an_entry(1), an_entry(2)], readings=off_twice())


@pytest.mark.parametrize(
    ("case", "request_", "hosts", "world", "why", "advice"),
    [
        ("unknown host", a_request(RequestKind.EVACUATE_HOST, HostName("host-9")), (QUIET,), {},
         "host host-9 is not enrolled", "hamon host list"),
        ("no host", a_request(RequestKind.EVACUATE_HOST), (QUIET,), {},
         "host None is not enrolled", "hamon host list"),
        ("unknown target",
         a_request(RequestKind.EVACUATE_HOST, HOST, target=HostName("host-9")), (QUIET,), {},
         "ComputeHostNotFound", "hamon host list"),
        ("target is the source", a_request(RequestKind.EVACUATE_HOST, HOST, target=HOST),
         (QUIET,), {}, "The target host can't be the same one.", ""),
        ("still up", EVACUATE_HOST, (a_host(),), {}, "alive_by_session", "live-migrated"),
        ("a kernel answers", EVACUATE_HOST, (HEARD,), {}, "alive_by_kernel", "power it off"),
        ("never registered", EVACUATE_HOST, (NEVER_SEEN,), {}, "never registered", ""),
        ("rebooted since", a_request(RequestKind.EVACUATE_HOST, HOST, boot_id=NEXT_BOOT),
         (QUIET,), {}, "has rebooted since", "look again"),
        ("disarmed", EVACUATE_HOST, (QUIET,), {"is_armed": False}, "held by disarmed",
         "hamon arm"),
        ("leader unwell", EVACUATE_HOST, (QUIET,), {"own": an_own(lagged_s=NOW_S)},
         "held by own_health", ""),
        ("unreadable", EVACUATE_HOST, (QUIET,), {"unreadable": ("/epoch",)},
         "held by unreadable", ""),
        ("returning", EVACUATE_HOST, (a_host(HOST, HostState.RETURNING),),
         {"incidents": [an_incident()]}, "is returning", "hamon explain"),
        ("unknown guest", EVACUATE, (a_host(),), {}, "is not known to hamon", "protected"),
        ("retired guest", EVACUATE, (a_host(),), {"guests": {GUEST: owned_by(None)}},
         "is not known to hamon", "protected"),
        ("guest moving already", EVACUATE, (QUIET,),
         {"guests": {GUEST: owned_by(HOST, migration=INCIDENT)}},
         "is in an evacuation already", "hamon status"),
        ("guest in flight", a_request(RequestKind.EVACUATE, guest=GUEST, target=SPARE),
         (shut_out(),),
         {"guests": {GUEST: owned_by(HOST, migration=INCIDENT)},
          "incidents": [an_incident(a_migration(1, MigrationStatus.ACCEPTED))]},
         "is in an evacuation already", "hamon status"),
        ("guest waits, and nowhere else is named", EVACUATE, (shut_out(),),
         {"guests": {GUEST: owned_by(HOST, migration=INCIDENT)},
          "incidents": [an_incident(a_migration(1, reason="NoValidHost: no room"))]},
         "waits: NoValidHost: no room", "name a destination"),
        ("guest of a live host", EVACUATE, (a_host(entries=[an_entry()]),), {},
         "alive_by_session", "live-migrated"),
        ("not in maintenance", a_request(RequestKind.MAINTENANCE_OFF, HOST), (a_host(),), {},
         "is not in maintenance", ""),
        ("maintenance of an unknown host",
         a_request(RequestKind.MAINTENANCE_ON, HostName("host-9")), (a_host(),), {},
         "is not enrolled", "hamon host list"),
        ("confirm: alive", CONFIRM, (a_host(),), {}, "alive_by_session", "cannot be confirmed"),
        ("confirm: heard", CONFIRM, (HEARD,), {}, "alive_by_kernel", "cannot be confirmed"),
        ("confirm: power On", CONFIRM,
         (a_lost_host(readings=(a_reading(Power.ON, age_s=1),)),), {}, "reads power On",
         "switch it off"),
        ("confirm: rebooted since", a_request(RequestKind.CONFIRM_DOWN, HOST, boot_id=NEXT_BOOT),
         (QUIET,), {}, "has rebooted since", "look again"),
        ("confirm: never registered", CONFIRM, (NEVER_SEEN,), {}, "never registered", ""),
        ("confirm: unknown host", a_request(RequestKind.CONFIRM_DOWN, HostName("x")), (QUIET,),
         {}, "not enrolled", "hamon host list"),
        ("confirm: disarmed", CONFIRM, (QUIET,), {"is_armed": False}, "held by disarmed",
         "hamon arm"),
        ("confirm: another boot was shut out",
         a_request(RequestKind.CONFIRM_DOWN, HOST, boot_id=NEXT_BOOT),
         (a_host(HOST, HostState.FENCE_FAILED),), {"incidents": [an_incident()]},
         "not the one that was shut out", "look again"),
        ("confirm: incident not read", CONFIRM, (a_host(HOST, HostState.FENCE_FAILED),), {},
         "has not been read", "repeat"),
        ("confirm: evacuated already", CONFIRM, (a_host(HOST, HostState.EVACUATED),),
         {"incidents": [an_incident()]}, "nothing is waiting", ""),
    ],
)  # fmt: skip
def test_request__not_possible__is_refused_with_advice(
    case: str,
    request_: Versioned[Request],
    hosts: tuple[HostView, ...],
    world: dict[str, Any],
    why: str,
    advice: str,
) -> None:
    """A refusal says what stands in the way and what to do, and changes nothing else."""
    answered, decision = asked(request_, *hosts, SPARE_HOST, **world)

    assert RequestState.REFUSED is answered.state, case
    assert why in answered.answer
    assert advice in answered.advice
    (change,) = [c for c in decision.transitions if request_of(FIRST) in writes(c)]
    assert {request_of(FIRST)} == set(writes(change))


@pytest.mark.parametrize("request_", [EVACUATE_HOST, CONFIRM])
@pytest.mark.parametrize(
    ("world", "audited"),
    [
        ({"maintenance": [HOST]}, "maintenance: new disks"),
        ({"own": an_own(watching_since_s=NOW_S)}, "start_up: "),
    ],
)
def test_request__overridable_hold__is_passed_and_audited(
    request_: Versioned[Request],
    world: dict[str, Any],
    audited: str,
) -> None:
    """An operator may pass what an operator can judge, and the incident remembers it."""
    answered, decision = asked(request_, QUIET, *FLEET, **world)

    assert RequestState.ACCEPTED is answered.state
    (overridden,) = incident_in(decision).overridden
    assert overridden.startswith(audited)


def test_evacuate_host__in_a_storm__is_passed_and_audited() -> None:
    """In a storm a human says which host is dead."""
    others = [a_lost_host(HostName(f"lost-{number}"), readings=()) for number in range(5)]

    answered, decision = asked(EVACUATE_HOST, QUIET, *others)

    assert RequestState.ACCEPTED is answered.state
    assert "storm" in incident_in(decision).overridden[0]
    assert {HOST} == {c.subject for c in decision.transitions if c.reason.code == "host_convicted"}


# -- evacuate -------------------------------------------------------------------------------------


def test_evacuate__one_guest_of_a_lost_host__moves_only_that_one() -> None:
    """The incident names the guest; the others stay."""
    host = a_lost_host(readings=(), entries=[an_entry(1), an_entry(2)])
    request = a_request(RequestKind.EVACUATE, guest=GUEST, target=SPARE, force=True)

    answered, decision = asked(request, host, SPARE_HOST)

    opened = incident_in(decision)
    assert RequestState.ACCEPTED is answered.state
    assert ((GUEST,), SPARE, True) == (opened.only, opened.target, opened.force)


# -- joining an open incident ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened", "request_", "expected"),
    [
        ((GUEST,), EVACUATE_HOST, ()),
        ((a_guest(2),), EVACUATE, (a_guest(2), GUEST)),
        ((GUEST,), EVACUATE, (GUEST,)),
        ((), EVACUATE, ()),
    ],
)
def test_join__open_incident__is_widened_never_narrowed(
    opened: tuple[GuestId, ...],
    request_: Versioned[Request],
    expected: tuple[GuestId, ...],
) -> None:
    """One more guest, or all of them: no second incident opens for the same boot."""
    incident = an_incident(only=opened, proof=a_power_word())

    answered, decision = asked(request_, shut_out(), SPARE_HOST, incidents=[incident])

    assert (RequestState.ACCEPTED, INCIDENT) == (answered.state, answered.incident)
    written = writes(*changes_of(decision)).get(incident_of(INCIDENT), incident.record.value)
    assert isinstance(written, IncidentRecord)
    assert expected == written.only
    assert incident_of(OPENED) not in writes(*changes_of(decision))


def test_join__one_guest_more_than_may_be_named__is_refused_and_writes_nothing() -> None:
    """An incident's record is written again at every step: it must not grow with a fleet."""
    named = tuple(a_guest(number) for number in range(100, 100 + NAMED_MAX))
    incident = an_incident(only=named, proof=a_power_word())

    answered, decision = asked(EVACUATE, shut_out(), SPARE_HOST, incidents=[incident])

    assert (RequestState.REFUSED, True) == (answered.state, str(NAMED_MAX) in answered.answer)
    assert f"`hamon evacuate-host {HOST}`" in answered.advice
    record = writes(*changes_of(decision)).get(incident_of(INCIDENT), incident.record.value)
    assert isinstance(record, IncidentRecord)
    assert named == record.only


@pytest.mark.parametrize(("count", "also"), [(NAMED_MAX - 1, ()), (NAMED_MAX - 1, (GUEST,))])
def test_join__as_many_as_may_be_named__are_taken(count: int, also: tuple[GuestId, ...]) -> None:
    """The last one still goes, and who is named already is no more of them."""
    named = (*(a_guest(number) for number in range(100, 100 + count)), *also)
    incident = an_incident(only=named, proof=a_power_word())

    answered, decision = asked(EVACUATE, shut_out(), SPARE_HOST, incidents=[incident])

    assert RequestState.ACCEPTED is answered.state
    record = writes(*changes_of(decision)).get(incident_of(INCIDENT), incident.record.value)
    assert isinstance(record, IncidentRecord)
    assert NAMED_MAX == len(record.only)


@pytest.mark.parametrize(("words", "is_recorded"), [({EVACUATE_KEY: "false"}, True), ({}, False)])
def test_join__guest_opted_out__is_recorded_because_it_was_named(
    words: dict[str, str], *, is_recorded: bool
) -> None:
    """Nobody else would record it; the incident of its host is about all the others."""
    host = replace(shut_out(), inventory={GUEST: an_entry(1, choices=words)})
    request = a_request(RequestKind.EVACUATE, guest=GUEST)

    _, decision = asked(
        request,
        host,
        SPARE_HOST,
        incidents=[an_incident(proof=a_power_word())],
        guests={GUEST: owned_by(HOST, 1)},
    )

    [answered] = [c for c in decision.transitions if c.reason.code == "request_accepted"]
    record = writes(answered).get(migration_of(INCIDENT, GUEST))
    assert is_recorded is (isinstance(record, MigrationRecord) and record.by_hand)


def test_join__with_a_target__waiting_guests_are_sent_there() -> None:
    """What no destination holds goes to the host that the operator now names."""
    incident = an_incident(
        a_migration(1, reason="NoValidHost"),
        a_migration(2, MigrationStatus.ACCEPTED, dest_compute=THIRD),
        proof=a_power_word(),
    )
    request = a_request(RequestKind.EVACUATE_HOST, HOST, target=SPARE)

    _, decision = asked(
        request,
        shut_out(),
        SPARE_HOST,
        incidents=[incident],
        guests={a_guest(n): owned_by(HOST, n, migration=INCIDENT) for n in (1, 2)},
    )

    written = writes(*changes_of(decision))
    waiting = written[migration_of(INCIDENT, GUEST)]
    assert isinstance(waiting, MigrationRecord)
    assert (SPARE, "") == (waiting.target, waiting.reason)
    assert migration_of(INCIDENT, a_guest(2)) not in written
    assert SPARE == incident_in(decision, INCIDENT).target


def test_join__for_one_guest_that_waits__only_that_one_is_sent_there() -> None:
    """A guest that found no room is given the destination that an operator names, by force."""
    incident = an_incident(
        a_migration(1, reason="NoValidHost"),
        a_migration(2, reason="NoValidHost"),
        proof=a_power_word(),
    )
    request = a_request(RequestKind.EVACUATE, guest=GUEST, target=SPARE, force=True)

    answered, decision = asked(
        request,
        shut_out(),
        SPARE_HOST,
        incidents=[incident],
        guests={a_guest(n): owned_by(HOST, n, migration=INCIDENT) for n in (1, 2)},
    )

    assert RequestState.ACCEPTED is answered.state
    written = writes(*changes_of(decision))
    waiting = written[migration_of(INCIDENT, GUEST)]
    assert isinstance(waiting, MigrationRecord)
    assert (SPARE, True, "") == (waiting.target, waiting.force, waiting.reason)
    other = written[migration_of(INCIDENT, a_guest(2))]
    assert isinstance(other, MigrationRecord)
    assert (None, False) == (other.target, other.force)
    told = written[incident_of(INCIDENT)]
    assert isinstance(told, IncidentRecord)
    assert ["request_accepted"] == [moment.code for moment in told.timeline]
    assert incident.record.value == replace(told, timeline=())


# -- confirm-down ---------------------------------------------------------------------------------


def test_confirm_down__lost_host__convicts_with_the_word_as_proof() -> None:
    """The word is bound to the boot that was shown, and carries who gave it."""
    answered, decision = asked(CONFIRM, QUIET, SPARE_HOST)

    proof = incident_in(decision).proof
    assert RequestState.ACCEPTED is answered.state
    assert proof is not None
    assert (BOOT, "ada", "plugs pulled") == (proof.boot_id, proof.operator, proof.detail)


@pytest.mark.parametrize(
    "state",
    [HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING],
)
def test_confirm_down__shut_out_host__the_word_goes_into_its_incident(state: HostState) -> None:
    """An operator can end a failed fencing, and a wait for a device that answers no more (L4)."""
    incident: IncidentView = an_incident()

    answered, decision = asked(CONFIRM, a_host(HOST, state), SPARE_HOST, incidents=[incident])

    assert (RequestState.ACCEPTED, INCIDENT) == (answered.state, answered.incident)
    assert (
        replace(an_operators_word(), detail="plugs pulled") == incident_in(decision, INCIDENT).proof
    )


# -- control --------------------------------------------------------------------------------------


def control_in(decision: Decision) -> Control:
    """The switches as they are written."""
    control = writes(*changes_of(decision))[CONTROL]
    assert isinstance(control, Control)
    return control


@pytest.mark.parametrize(
    ("kind", "is_armed"), [(RequestKind.ARM, True), (RequestKind.DISARM, False)]
)
def test_arm_and_disarm__are_written_with_who_and_why(kind: RequestKind, *, is_armed: bool) -> None:
    """The switch every intent checks; also a disarmed leader can be armed again."""
    request = a_request(kind, reason="tests", who="ada")

    _, decision = asked(request, a_host(), is_armed=not is_armed)

    control = control_in(decision)
    assert (is_armed, "tests", "ada") == (control.is_armed, control.reason, control.who)


@pytest.mark.parametrize(
    "kind",
    [
        RequestKind.ARM,
        RequestKind.DISARM,
        RequestKind.MAINTENANCE_ON,
        RequestKind.MAINTENANCE_OFF,
    ],
)
def test_switches__cannot_be_read__are_not_overwritten(kind: RequestKind) -> None:
    """What a newer hamon wrote is not lost by an order to an older one (S21)."""
    request = a_request(kind, HOST)

    answered, decision = asked(
        request, a_host(), maintenance=[HOST], is_armed=False, unreadable=("/control",)
    )

    assert RequestState.REFUSED is answered.state
    assert "/control" in answered.answer
    assert CONTROL not in writes(*changes_of(decision))


def test_maintenance__on_and_off__touches_only_that_host() -> None:
    """A host is taken care of, with reason and end; others stay as they are."""
    on = a_request(RequestKind.MAINTENANCE_ON, HOST, reason="disks", until="2099-01-01")
    off = a_request(RequestKind.MAINTENANCE_OFF, HOST)

    _, decision = asked(on, a_host(), SPARE_HOST, maintenance=[SPARE])
    entry = control_in(decision).maintenance[HOST]
    assert ("disks", "ada", "2099-01-01") == (entry.reason, entry.who, entry.until)
    assert {HOST, SPARE} == set(control_in(decision).maintenance)

    _, decision = asked(off, a_host(), SPARE_HOST, maintenance=[HOST, SPARE])
    assert {SPARE} == set(control_in(decision).maintenance)


@pytest.mark.parametrize(
    ("until", "is_lifted"), [("", False), ("2025-12-31T00:00:00.000Z", True), ("2099", False)]
)
def test_maintenance__its_end_has_come__is_lifted(until: str, *, is_lifted: bool) -> None:
    """Maintenance with an end does not outlive it."""
    view = a_view(a_host(), maintenance=[HOST])
    kept = view.control.value.maintenance[HOST]
    control = replace(view.control.value, maintenance={HOST: replace(kept, until=until)})
    ending = replace(view, control=replace(view.control, value=control))

    written = writes(*changes_of(decide(ending, POLICY, NOW_S)))

    assert is_lifted == (CONTROL in written)


@pytest.mark.parametrize(
    ("until", "kept"),
    [
        ("2026-01-01T00:30:00.000Z", "2026-01-01T00:30:00.000Z"),
        ("2026-01-01T02:30:00+02:00", "2026-01-01T00:30:00.000Z"),
        ("2026-01-03T00:00:00.000Z", "2026-01-02T00:00:00.000Z"),
        ("9999-12-31T23:59:59-23:00", "2026-01-02T00:00:00.000Z"),
    ],
)
def test_release__ends_within_a_day__whatever_was_asked_for(until: str, kept: str) -> None:
    """The brake that it opens is closed again, also for one who speaks to the socket himself."""
    lost = a_lost_host()
    ask = a_request(RequestKind.RELEASE, boots={HOST: BOOT}, reason="dark", until=until)

    answered, decision = asked(ask, lost, SPARE_HOST)

    assert RequestState.ACCEPTED is answered.state
    assert kept in answered.answer
    [release] = control_in(decision).releases
    assert kept == release.until


@pytest.mark.parametrize(
    "until", ["", "2099", "for ever", "zzzz", "2026-01-01T00:30:00", WALL, "2025-12-31T00:00:00Z"]
)
def test_release__no_end_to_come__is_refused(until: str) -> None:
    """A text that no clock ever reaches would open the brake for good."""
    ask = a_request(RequestKind.RELEASE, boots={HOST: BOOT}, reason="dark", until=until)

    answered, decision = asked(ask, a_lost_host(), SPARE_HOST)

    assert RequestState.REFUSED is answered.state
    assert answered.advice
    assert CONTROL not in writes(*changes_of(decision))


# -- exactly once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [RequestState.ACCEPTED, RequestState.REFUSED])
def test_request__answered_already__is_left_alone(state: RequestState) -> None:
    """A request is answered exactly once."""
    request = a_request(RequestKind.DISARM, state=state)
    view = a_view(a_host(), requests=[request])

    assert () == decide(view, POLICY, NOW_S).transitions


def test_requests__two_for_one_thing__one_in_a_round() -> None:
    """Two operators at once: the second is answered when the first one's effect has been read."""
    view = a_view(QUIET, SPARE_HOST, requests=[EVACUATE_HOST, CONFIRM])

    decision = decide(view, POLICY, NOW_S)

    assert_sound(view, decision)
    answered = [k for k in writes(*changes_of(decision)) if k.sequence]
    assert [request_of(FIRST)] == answered


def test_evacuate_host__silence_of_probes__is_not_needed() -> None:
    """An operator may say of a lost host what the evidence alone does not carry."""
    undecided = a_lost_host(readings=(), evidence=silence(for_s=1.0))

    answered, _ = asked(EVACUATE_HOST, undecided, SPARE_HOST)

    assert RequestState.ACCEPTED is answered.state
