"""Live hosts: coming up, suspicion, leaving, restart, quarantine, and the conviction."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.holds import holds
from hamon.decide.live import think_live
from hamon.decide.thought import Thought
from hamon.model.action import PowerLook
from hamon.model.change import (
    CONTROL,
    Check,
    guard_of,
    incident_of,
    record_of,
    self_of,
)
from hamon.model.guest import GrantState
from hamon.model.host import HostGuard, HostRecord, HostState, Leaving, Right
from hamon.model.incident import IncidentRecord, Trigger
from hamon.model.names import IncidentId
from hamon.model.policy import LeavingPolicy, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    EPOCH,
    GUARD_VERSION,
    HOST,
    ME,
    NEXT_BOOT,
    NOW_S,
    RECORD_VERSION,
    SELF_VERSION,
    SPARE,
    WALL,
    a_grant,
    a_guest,
    a_host,
    a_lost_host,
    a_report,
    a_view,
    off_twice,
    silence,
)
from tests.decisions import checks, writes

POLICY = Policy()
DETECTION = POLICY.detection


def think(host: HostView, policy: Policy = POLICY, **world: Any) -> Thought:  # noqa: ANN401
    """What is thought of one live host beside a well one."""
    view = a_view(host, a_host(SPARE), **world)
    return think_live(view, host, policy, holds(view, policy, NOW_S), NOW_S)


def entered(thought: Thought) -> HostState | None:
    """The state a host is brought into, None: it stays."""
    for value in writes(*thought.changes).values():
        if isinstance(value, HostRecord):
            return value.state
    return None


def reasons(thought: Thought) -> set[str]:
    """The codes of why nothing else is done."""
    return {reason.code for reason in thought.reasons}


def leaving_policy(leaving: LeavingPolicy) -> Policy:
    """The default policy with another answer to leaves."""
    return replace(POLICY, detection=replace(DETECTION, leaving=leaving))


# -- coming up ------------------------------------------------------------------------------------


def test_never_registered__nothing_is_done() -> None:
    """A host that was never seen is never suspected, let alone fenced (S11)."""
    enrolled = replace(a_host(HOST, None, is_here=False), self_=replace(a_host().self_, value=None))

    assert ((), {"never_seen"}) == (think(enrolled).changes, reasons(think(enrolled)))


def test_registered_and_gone_before_it_was_recorded__nothing_is_done() -> None:
    """A host becomes hamon's with its first record, not before."""
    thought = think(a_host(HOST, None, is_here=False, evidence=silence(), readings=off_twice()))

    assert ((), {"never_seen"}) == (thought.changes, reasons(thought))


def test_first_registration__is_up() -> None:
    """The first heartbeat makes the record, with the boot that registered."""
    (change,) = think(a_host(HOST, None)).changes

    record = writes(change)[record_of(HOST)]

    assert record == HostRecord(
        state=HostState.UP, epoch=EPOCH, since=WALL, boot_id=BOOT, reason="host_registered"
    )


# -- well hosts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "host", "expected"),
    [
        ("well", a_host(), None),
        ("well again", a_host(HOST, HostState.SUSPECT, is_here=True), HostState.UP),
        ("well again in quarantine", a_host(HOST, HostState.SUSPECT, is_here=True, returns=2),
         HostState.QUARANTINED),
        ("stayed after all", a_host(HOST, HostState.LEAVING, is_here=True), HostState.UP),
        ("announces its leave", a_host(leaving=Leaving.REBOOT), HostState.LEAVING),
        ("still leaving", a_host(HOST, HostState.LEAVING, is_here=True, leaving=Leaving.REBOOT),
         None),
        ("restored in place", a_host(HOST, HostState.RESTARTED, is_here=True), HostState.UP),
        ("late", a_host(evidence=silence()), HostState.SUSPECT),
        ("still late", a_host(HOST, HostState.SUSPECT, is_here=True, evidence=silence()), None),
    ],
)  # fmt: skip
def test_host_with_a_session__by_table__enters(
    case: str, host: HostView, expected: HostState | None
) -> None:
    """What a host that is here is called."""
    assert expected is entered(think(host)), case


@pytest.mark.parametrize(
    "state",
    [HostState.UP, HostState.SUSPECT, HostState.LEAVING, HostState.QUARANTINED,
     HostState.RESTARTED],
)  # fmt: skip
def test_another_boot_before_a_conviction__is_restarted(state: HostState) -> None:
    """A host that rebooted by itself before anybody convicted it restores its guests in place."""
    host = a_host(HOST, state, is_here=True)
    assert host.record.value is not None
    older = replace(host, record=replace(host.record, value=replace(
        host.record.value, boot_id=NEXT_BOOT)))  # fmt: skip

    record = writes(*think(older).changes)[record_of(HOST)]

    assert isinstance(record, HostRecord)
    assert (HostState.RESTARTED, BOOT) == (record.state, record.boot_id)


@pytest.mark.parametrize(
    ("case", "grant", "is_done"),
    [
        ("claimed by this boot", a_grant(GrantState.CLAIMED), False),
        ("running by an earlier boot", a_grant(boot_id=NEXT_BOOT), False),
        ("offered", a_grant(GrantState.OFFERED), False),
        ("running by this boot", a_grant(), True),
        ("moved away", a_grant(GrantState.REVOKED, boot_id=NEXT_BOOT), True),
        ("released", a_grant(GrantState.RELEASED, boot_id=NEXT_BOOT), True),
    ],
)
def test_restarted__its_guests__are_waited_for(case: str, grant: Any, *, is_done: bool) -> None:  # noqa: ANN401
    """RESTARTED ends when every guest that may run here is settled in the new boot."""
    thought = think(a_host(HOST, HostState.RESTARTED, is_here=True, grants={a_guest(): grant}))

    assert (HostState.UP if is_done else None) is entered(thought), case
    assert is_done or {"restart_waits_for_guests"} == reasons(thought)


def restoring(**others: Any) -> HostView:  # noqa: ANN401 - see a_host
    """A host that rebooted, with guests that are still to be started on it."""
    host = a_host(HOST, HostState.RESTARTED, is_here=True, **others)
    assert host.record.value is not None
    record = replace(host.record.value, is_restoring=True)
    return replace(host, record=replace(host.record, value=record))


def next_record(host: HostView) -> HostRecord:
    """What a host's record becomes."""
    record = writes(*think(host).changes)[record_of(HOST)]
    assert isinstance(record, HostRecord)
    return record


@pytest.mark.parametrize("trouble", [{"evidence": silence()}, {"leaving": Leaving.REBOOT}])
def test_restarted__suspected_or_leaving_in_between__still_has_its_guests_to_start(
    trouble: dict[str, Any],
) -> None:
    """Whoever heard nothing of the host for a moment must not forget why guests are off on it."""
    in_between = next_record(restoring(**trouble))
    host = a_host()

    record = next_record(replace(host, record=replace(host.record, value=in_between)))

    assert in_between.state is not HostState.RESTARTED
    assert (HostState.RESTARTED, True) == (record.state, record.is_restoring)


def test_restarted__all_its_guests_run__nothing_is_left_to_start() -> None:
    """The next suspicion is one like any other."""
    record = next_record(restoring())

    assert (HostState.UP, False) == (record.state, record.is_restoring)


# -- quarantine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returns", "since_s", "expected"),
    [
        (2, NOW_S - 299.0, None),
        (2, NOW_S - 300.0, HostState.UP),
        (3, NOW_S - 599.0, None),
        (3, NOW_S - 600.0, HostState.UP),
    ],
)
def test_quarantined__until_its_time_is_over__is_no_destination(
    returns: int, since_s: float, expected: HostState | None
) -> None:
    """Each further return in a row waits twice as long before the host serves again (S14)."""
    host = a_host(HOST, HostState.QUARANTINED, returns=returns, state_since_s=since_s)

    thought = think(host)

    assert expected is entered(thought)
    assert expected is HostState.UP or thought.wake_at_s is not None


def test_up_for_long__its_returns_are_forgotten() -> None:
    """A host that stayed up starts from zero; its state does not change."""
    host = a_host(returns=3, state_since_s=NOW_S - POLICY.recovery.forget_after_s)

    record = writes(*think(host).changes)[record_of(HOST)]

    assert isinstance(record, HostRecord)
    assert (0, HostState.UP) == (record.returns, record.state)


def test_up_not_for_long__its_returns_are_remembered() -> None:
    """A short spell of health does not clear a flapping host."""
    host = a_host(returns=3, state_since_s=NOW_S - POLICY.recovery.forget_after_s + 1)

    assert () == think(host).changes


# -- suspicion ------------------------------------------------------------------------------------


def test_lost__is_suspect_and_power_is_looked_at() -> None:
    """Suspicion is visible and harmless: the host's record, and a look at its power."""
    thought = think(a_lost_host(readings=(), evidence=()))

    assert HostState.SUSPECT is entered(thought)
    assert (PowerLook(host=HOST, device="bmc"),) == thought.looks
    assert {record_of(HOST)} == set(writes(*thought.changes))


def test_suspect_still_lost__is_looked_at_again_when_due() -> None:
    """Power is read every period, not in every round."""
    fresh = a_lost_host(HOST, HostState.SUSPECT, evidence=(), readings=off_twice())
    due = replace(fresh, readings=off_twice(newest_age_s=1.0))

    assert ((), NOW_S + 0.5) == (think(fresh).looks, think(fresh).wake_at_s)
    assert 1 == len(think(due).looks)


# -- conviction -----------------------------------------------------------------------------------

CONVICTABLE = [
    HostState.UP,
    HostState.SUSPECT,
    HostState.LEAVING,
    HostState.RESTARTED,
    HostState.QUARANTINED,
]


@pytest.mark.parametrize("state", CONVICTABLE)
def test_dead__in_any_live_state__is_convicted(state: HostState) -> None:
    """Wherever a live host stands, proof of life lost twice convicts it."""
    assert HostState.FENCING is entered(think(a_lost_host(HOST, state)))


def test_conviction__its_transaction__checks_every_guard() -> None:
    """Control, self and guard are checked at the versions the evidence was seen with (S4)."""
    (change,) = think(a_lost_host()).changes

    assert {
        CONTROL: CONTROL_VERSION,
        self_of(HOST): SELF_VERSION,
        guard_of(HOST): GUARD_VERSION,
        record_of(HOST): RECORD_VERSION,
    } == checks(change)
    assert {CONTROL, self_of(HOST)} == {
        operation.key for operation in change.operations if isinstance(operation, Check)
    }


def test_conviction__its_transaction__shuts_the_boot_out_and_opens_an_incident() -> None:
    """The guard, the record and the incident agree on one boot and one name."""
    (change,) = think(a_lost_host()).changes
    incident = IncidentId(f"{HOST}-{GUARD_VERSION + 1}")

    written = writes(change)

    assert written[guard_of(HOST)] == HostGuard(
        right=Right.SHUT_OUT, boot_id=BOOT, incident=incident
    )
    record = written[record_of(HOST)]
    assert isinstance(record, HostRecord)
    assert (HostState.FENCING, incident, BOOT) == (record.state, record.incident, record.boot_id)
    opened = written[incident_of(incident)]
    assert isinstance(opened, IncidentRecord)
    assert (Trigger.DETECTOR, BOOT, "power_off_and_silent") == (
        opened.trigger,
        opened.boot_id,
        opened.reason,
    )
    assert opened.evidence
    assert opened.proof is None


@pytest.mark.parametrize(
    "world",
    [
        {"is_armed": False},
        {"maintenance": [HOST]},
        {"unreadable": ("/epoch",)},
        {"unreadable": (f"/hosts/{HOST}/self",)},
    ],
)
def test_dead_but_held__is_suspect_and_says_why(world: dict[str, Any]) -> None:
    """A hold stops the conviction, not the suspicion; nothing is dropped in silence."""
    thought = think(a_lost_host(), **world)

    assert HostState.SUSPECT is entered(thought)
    assert "conviction_held" in reasons(thought)


def test_dead_by_the_network__needs_two_controllers() -> None:
    """Silence convicts only when the other controller is silent about the host as well."""
    host = a_lost_host(readings=())
    other = type(ME)("controller-2")

    alone = think(host, controllers=[a_report(ME), a_report(other)])
    seconded = think(host, controllers=[a_report(ME), a_report(other, silent=[HOST])])

    assert (HostState.SUSPECT, HostState.FENCING) == (entered(alone), entered(seconded))


# -- leaving --------------------------------------------------------------------------------------


def gone_in_order(state: HostState = HostState.LEAVING, away_s: float = 1.0) -> HostView:
    """A host that announced its shutdown and has been away for so long."""
    return a_lost_host(HOST, state, leaving=Leaving.SHUTDOWN, state_since_s=NOW_S - away_s)


@pytest.mark.parametrize("policy", [LeavingPolicy.WAIT, LeavingPolicy.LEAVE])
def test_left_in_order__before_anybody_saw_it__is_leaving(policy: LeavingPolicy) -> None:
    """The announcement counts, however fast the host was gone."""
    thought = think(gone_in_order(HostState.UP), leaving_policy(policy))

    assert HostState.LEAVING is entered(thought)


@pytest.mark.parametrize(
    ("policy", "away_s", "code"),
    [
        (LeavingPolicy.WAIT, 599.0, "host_left"),
        (LeavingPolicy.WAIT, 600.0, "leaving_overdue"),
        (LeavingPolicy.LEAVE, 600.0, "host_left"),
    ],
)
def test_left_in_order__waits__then_pages(policy: LeavingPolicy, away_s: float, code: str) -> None:
    """`wait` pages when the host stays away too long; `leave` never does; neither fences."""
    thought = think(gone_in_order(away_s=away_s), leaving_policy(policy))

    assert ((), {code}) == (thought.changes, reasons(thought))


def test_left_in_order__policy_evacuate__is_convicted() -> None:
    """By policy an orderly shutdown is a failure like any other, with all its witnesses."""
    policy = leaving_policy(LeavingPolicy.EVACUATE)

    assert HostState.FENCING is entered(think(gone_in_order(), policy))
    alive = replace(gone_in_order(HostState.SUSPECT), evidence=())
    assert entered(think(alive, policy)) is None


# -- property -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", CONVICTABLE)
@pytest.mark.parametrize("is_here", [True, False])
def test_think__with_any_sign_of_life__never_fences(state: HostState, *, is_here: bool) -> None:
    """A host that any source sees alive keeps its right to live."""
    host = a_host(HOST, state, is_here=is_here, readings=off_twice())
    heard = replace(host, evidence=a_host().evidence)

    thought = think(heard, controllers=[a_report(ME)])

    assert HostState.FENCING is not entered(thought)
    assert all(guard_of(HOST) not in writes(change) for change in thought.changes)


def test_think__view_is_whole__builds_no_world_of_its_own() -> None:
    """Thinking leaves the view as it was."""
    view: ClusterView = a_view(a_lost_host())
    before = repr(view)

    think_live(view, view.hosts[HOST], POLICY, (), NOW_S)

    assert before == repr(view)
