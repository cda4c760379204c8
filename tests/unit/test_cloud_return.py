"""A host of a nova cloud comes back: what it waits for, in what order, and what frees guests."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.evacuator.cloud.in_place import AGAIN_S, GIVE_UP_S, start_in_place
from hamon.model.action import CloudLook, CloudLookKind, LiftForceDown, ResetTask, SetPower
from hamon.model.change import (
    CONTROL,
    Delete,
    guard_of,
    guest_of,
    incident_of,
    migration_of,
    self_of,
)
from hamon.model.cloud import CallState, CloudCall, CloudView
from hamon.model.control import Control, HoldKind
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import DomainState, HostGuard, HostState, Right
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus
from hamon.model.policy import FencingPolicy, Mode, Policy, ReturnPolicy
from hamon.model.view import ClusterView, HostView, MigrationView
from hamon.recovery.cloud_return import bring_back
from hamon.recovery.return_path import ReturnStep
from tests.builders import (
    GRANT_VERSION,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_guest,
    a_host,
    a_migration,
    an_incident,
    at,
)
from tests.cloud_builders import (
    ROW,
    a_call,
    a_cloud,
    a_cloud_view,
    a_row,
    a_server,
    a_service,
    a_spare,
    recorded,
)
from tests.decisions import checks, writes

GUEST = a_guest()
BEFORE, NOW = "2030-01-01T00:00:10Z", "2030-01-01T00:05:00Z"
"""The last heartbeat that nova-compute wrote before the gate opened, and one after it."""


def returning(*, is_gate_open: bool = True, **others: Any) -> HostView:  # noqa: ANN401 - see a_host
    """The host, registered in its next boot."""
    others.setdefault("domains", {})
    others.setdefault("registered_s", NOW_S - 30.0)
    host = a_host(HOST, HostState.RETURNING, boot_id=NEXT_BOOT, is_here=True, **others)
    guard = replace(host.guard.value, is_gate_open=is_gate_open)
    return replace(host, guard=replace(host.guard, value=guard))


def a_returned_cloud(
    *servers: Any,  # noqa: ANN401
    rows: Any = (),  # noqa: ANN401
    is_down: bool = False,
    beat_at: str = NOW,
    is_up: bool = True,
    **others: Any,  # noqa: ANN401 - any field of the view
) -> CloudView:
    """A cloud in which nova-compute of the host has started again and is heard."""
    service = a_service(HOST, is_down=is_down, beat_at=beat_at)
    service = replace(service, is_up=is_up and not is_down)
    others.setdefault("beats_s", {str(HOST): NOW_S - 5.0})
    return a_cloud(servers, rows, services={str(HOST): service}, **others)


def brought(
    host: HostView,
    cloud: CloudView,
    *migrations: MigrationView,
    beat_at: str = BEFORE,
) -> tuple[ReturnStep, ClusterView]:
    """What comes next on the way back."""
    view = a_cloud_view(cloud, host, a_spare(), migrations=migrations)
    incident = an_incident(*migrations, beat_at=beat_at)
    view = replace(view, incidents={INCIDENT: incident})
    return bring_back(view, host, ReturnPolicy(), FencingPolicy(), NOW_S), view


def waits_for(step: ReturnStep) -> list[str]:
    """Why nothing more is done; nothing is written then."""
    assert not step.changes
    return [reason.code for reason in step.reasons]


# -- before the gate ------------------------------------------------------------------------------


def test_return__guest_not_asked_for__stays_and_its_record_is_free() -> None:
    """So that a later incident may take it."""
    host = returning(is_gate_open=False)

    step, _ = brought(host, a_returned_cloud(a_server()), a_migration())

    [change] = step.changes
    closed = writes(change)[migration_of(INCIDENT, GUEST)]
    assert isinstance(closed, MigrationRecord)
    assert MigrationStatus.STAYS is closed.status
    assert Delete(key=guest_of(GUEST), version=recorded().version) in change.operations
    assert {self_of(HOST), guard_of(HOST)} <= set(checks(change))


@pytest.mark.parametrize("status", [MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING])
def test_return__guest_on_its_way__keeps_the_gate_shut(status: MigrationStatus) -> None:
    """nova-compute would destroy it, and its record, in the middle of the rebuild."""
    step, _ = brought(
        returning(is_gate_open=False), a_returned_cloud(a_server()), a_migration(status=status)
    )

    assert ["return_waits_for_migrations"] == waits_for(step)


def test_return__denial_not_answered__keeps_the_gate_shut() -> None:
    """A stale copy may run, or be started by what Nova has in its queue."""
    denial = Grant(
        state=GrantState.REVOKED, generation=1, wanted=PowerState.SHUTOFF, moved_to=SPARE
    )
    host = returning(is_gate_open=False, grants={GUEST: at(GRANT_VERSION, denial)})

    step, _ = brought(host, a_returned_cloud(), a_migration(status=MigrationStatus.DONE))

    assert ["return_waits_for_stale_guests"] == waits_for(step)


@pytest.mark.parametrize("is_listed", [True, False])
def test_return__denied_copy_runs_again__keeps_the_gate_shut(is_listed: bool) -> None:  # noqa: FBT001
    """Answered once, and started since."""
    denial = Grant(
        state=GrantState.RELEASED, generation=1, wanted=PowerState.SHUTOFF, moved_to=SPARE
    )
    domains = {GUEST: DomainState.RUNNING} if is_listed else {}
    host = returning(is_gate_open=False, grants={GUEST: at(GRANT_VERSION, denial)}, domains=domains)

    step, _ = brought(host, a_returned_cloud())

    assert is_listed == (not step.changes)


def test_return__libvirt_not_heard_in_this_boot__keeps_the_gate_shut() -> None:
    """Nobody knows what runs there."""
    step, _ = brought(returning(is_gate_open=False, is_libvirt_healthy=False), a_returned_cloud())

    assert ["return_waits_for_libvirt"] == waits_for(step)


def test_return__services_not_read__keeps_the_gate_shut() -> None:
    """The last heartbeat has to be known, to know the next one by it."""
    step, _ = brought(returning(is_gate_open=False), a_cloud(services={}))

    assert ["return_waits_for_nova"] == waits_for(step)


def test_return__nothing_in_the_way__opens_the_gate_and_notes_the_last_heartbeat() -> None:
    """In one write, which checks that this boot is the one that was looked at."""
    step, _ = brought(returning(is_gate_open=False), a_returned_cloud(is_down=True, beat_at=BEFORE))

    [change] = step.changes
    written = writes(change)
    guard, incident = written[guard_of(HOST)], written[incident_of(INCIDENT)]
    assert isinstance(guard, HostGuard)
    assert isinstance(incident, IncidentRecord)
    assert (Right.SHUT_OUT, True, BEFORE) == (guard.right, guard.is_gate_open, incident.beat_at)
    assert {CONTROL, self_of(HOST)} <= set(checks(change))


# -- after the gate -------------------------------------------------------------------------------


def test_return__no_heartbeat_since_the_gate__waits_for_nova_compute() -> None:
    """Only its start cleans up."""
    step, _ = brought(returning(), a_returned_cloud(is_down=True, beat_at=BEFORE))

    assert ["return_waits_for_nova_compute"] == waits_for(step)
    assert not step.intents


def test_return__migrations_read_before_the_heartbeat__are_read_again() -> None:
    """What was read earlier says nothing of what that start completed."""
    cloud = a_returned_cloud(is_down=True, traced_s={HOST: NOW_S - 5.0})

    step, _ = brought(returning(), cloud)

    assert ["return_waits_for_nova"] == waits_for(step)
    assert (CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=HOST),) == step.looks


@pytest.mark.parametrize("status", ["accepted", "pre-migrating", "done"])
def test_return__record_not_completed__is_waited_for_by_its_number(status: str) -> None:
    """By it nova-compute would destroy the guest of that name at its next start."""
    cloud = a_returned_cloud(is_down=True, rows=[a_row(status=status, to=SPARE)])

    step, _ = brought(returning(), cloud)

    assert ["return_waits_for_records"] == waits_for(step)
    assert str(ROW) in str(step.reasons[0].facts["records"])


@pytest.mark.parametrize(
    ("older", "is_waited_for"), [("accepted", False), ("pre-migrating", False), ("done", True)]
)
def test_return__of_two_records_the_newer_was_completed__done_is_waited_for(
    older: str, *, is_waited_for: bool
) -> None:
    """A start completes one record of a guest; Nova lets no host up that one is done of."""
    found = [a_row(status=older, to=SPARE), a_row(status="completed", row=ROW + 1)]

    step, _ = brought(returning(), a_returned_cloud(is_down=True, rows=found))

    assert is_waited_for == ("return_waits_for_records" in waits_for(step))
    assert is_waited_for == (not step.intents)


@pytest.mark.parametrize(
    "row",
    [
        a_row(status="completed"),
        a_row(status="failed"),
        a_row(status="error"),
        a_row(status="done", source=SPARE, to=HOST),
        a_row(status="running", kind="live-migration"),
    ],
    ids=["completed", "failed", "error", "of another host", "no evacuation"],
)
def test_return__nothing_left_to_complete__force_down_is_lifted(row: Any) -> None:  # noqa: ANN401
    """Under the right to live and in the boot that were looked at."""
    step, _ = brought(returning(), a_returned_cloud(is_down=True, rows=[row]))

    [intent] = step.intents
    assert isinstance(intent.action, LiftForceDown)
    assert {CONTROL, self_of(HOST), guard_of(HOST)} == set(checks(intent.change))


@pytest.mark.parametrize(
    ("state", "age_s", "lifts"),
    [
        (CallState.RUNNING, 60.0, False),
        (CallState.REFUSED, 1.0, False),
        (CallState.REFUSED, 3.0, True),
        (CallState.UNKNOWN, 3.0, True),
    ],
)
def test_return__lifting_asked_before__one_call_at_a_time(
    state: CallState,
    age_s: float,
    lifts: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Nova refuses while it sees evacuations that are done; it is asked again, but not at once."""
    calls = {str(HOST): a_call(state, age_s=age_s, attempt=0)}

    step, _ = brought(returning(), a_returned_cloud(is_down=True, calls=calls))

    assert lifts == bool(step.intents)


def test_return__not_up_yet__is_waited_for() -> None:
    """Its next heartbeat tells."""
    step, _ = brought(returning(), a_returned_cloud(is_up=False))

    assert ["return_waits_for_service_up"] == waits_for(step)


def test_return__all_done__lives_again_and_closes_the_books() -> None:
    """In one transaction."""
    step, _ = brought(returning(), a_returned_cloud(), a_migration(status=MigrationStatus.DONE))

    written = writes(*step.changes)
    guard, incident = written[guard_of(HOST)], written[incident_of(INCIDENT)]
    migration = written[migration_of(INCIDENT, GUEST)]
    assert isinstance(guard, HostGuard)
    assert isinstance(incident, IncidentRecord)
    assert isinstance(migration, MigrationRecord)
    assert (Right.LIVE, True) == (guard.right, incident.closed)
    assert MigrationStatus.COMPLETED is migration.status
    assert GUARD_VERSION == checks(step.changes[0])[guard_of(HOST)]


# -- guests that stayed ---------------------------------------------------------------------------


def started(step: ReturnStep) -> list[str]:
    """The guests that are started in place."""
    actions = [intent.action for intent in step.intents]
    assert all(isinstance(a, SetPower) and a.in_place for a in actions)
    return [action.guest for action in actions if isinstance(action, SetPower)]


def test_in_place__ran_before__is_started_and_the_others_are_left_as_they_are() -> None:
    """What Nova calls active, is here, and does not run."""
    servers = [
        a_server(1),
        a_server(2),
        a_server(3, vm_state="stopped"),
        a_server(4, vm_state="error"),
        a_server(5, host=SPARE),
        a_server(6, task_state="rebooting_hard"),
    ]
    host = returning(domains={a_guest(2): DomainState.RUNNING})

    step, _ = brought(host, a_returned_cloud(*servers))

    assert [a_guest(1)] == started(step)
    assert ["restart_waits_for_guests"] == waits_for(step)


@pytest.mark.parametrize("task_state", ["rebuilding", "rebuild_spawning", "reboot_started_hard"])
def test_in_place__task_left_of_a_rebuild__is_forgotten_because_nobody_works_at_it(
    task_state: str,
) -> None:
    """Nova refuses to reboot what it believes to be rebuilt; the host would wait for ever."""
    step, _ = brought(returning(), a_returned_cloud(a_server(task_state=task_state)))

    asked = [intent.action for intent in step.intents]
    left = task_state.startswith("rebuild")
    assert asked == ([ResetTask(guest=a_guest(), is_error=False)] if left else [])


@pytest.mark.parametrize(
    ("case", "reset", "is_asked", "is_read"),
    [
        ("under way", a_call(CallState.RUNNING, age_s=90.0, attempt=0), False, False),
        ("done, not read since", a_call(CallState.DONE, age_s=0.1, attempt=0), False, True),
        (
            "done, read since, a task again",
            a_call(CallState.DONE, age_s=5.0, attempt=0),
            False,
            False,
        ),
        ("lost for long", a_call(CallState.UNKNOWN, age_s=61.0, attempt=0), True, False),
    ],
)
def test_in_place__task_asked_to_be_forgotten__is_waited_for(
    case: str, reset: CloudCall, *, is_asked: bool, is_read: bool
) -> None:
    """And read, before the guest is started."""
    action = ResetTask(guest=a_guest(), is_error=False)
    cloud = a_returned_cloud(a_server(task_state="rebuilding"), calls={action.subject: reset})

    step, _ = brought(returning(), cloud)

    assert [intent.action for intent in step.intents] == ([action] if is_asked else []), case
    assert is_read is bool(step.looks), case


def test_in_place__being_rebuilt_and_its_host_never_convicted__is_left_alone() -> None:
    """Somebody else may be evacuating it at this moment."""
    host = a_host(HOST, HostState.RESTARTED, is_here=True, registered_s=NOW_S - 30.0, domains={})
    view = a_cloud_view(a_returned_cloud(a_server(task_state="rebuilding")), host)

    moves = start_in_place(view, host, NOW_S)

    assert moves is not None
    assert not moves.intents
    assert ["restart_waits_for_guests"] == [known.code for known in moves.reasons]


NO_HANDS = {
    "disarmed": HoldKind.DISARMED,
    "shadow": HoldKind.SHADOW,
    "own session not proven": HoldKind.OWN_HEALTH,
    "its znode unreadable": HoldKind.UNREADABLE,
}


@pytest.mark.parametrize("case", [None, *NO_HANDS])
def test_in_place__hold_against_action__nothing_is_started_and_that_is_said(
    case: str | None,
) -> None:
    """Also a guest of a host that nobody convicted is not started by a hamon that is to rest."""
    host = a_host(HOST, HostState.RESTARTED, is_here=True, registered_s=NOW_S - 30.0, domains={})
    view = a_cloud_view(a_returned_cloud(a_server()), host, a_spare())
    view = replace(view, incidents={})
    if case == "disarmed":
        off = Control(is_armed=False, reason="a test", who="ada")
        view = replace(view, control=replace(view.control, value=off))
    elif case == "own session not proven":
        view = replace(view, own=replace(view.own, is_session_proven=False))
    elif case == "its znode unreadable":
        view = replace(view, unreadable=(f"/hosts/{HOST}/checks",))
    policy = Policy(mode=Mode.SHADOW if case == "shadow" else Mode.ACTIVE)

    decision = decide(view, policy, NOW_S)

    started = [i for i in decision.intents if isinstance(i.action, SetPower)]
    held = [known.facts["by"] for known in decision.reasons if known.code == "restart_held"]
    assert (1 if case is None else 0) == len(started)
    assert ([] if case is None else [NO_HANDS[case]]) == held


def test_in_place__nova_compute_not_heard_in_this_boot__nothing_is_asked_yet() -> None:
    """Nova calls it up for a minute after it died; then the guest would be started twice."""
    cloud = a_returned_cloud(a_server(), beats_s={str(HOST): NOW_S - 31.0})

    step, _ = brought(returning(), cloud)

    assert not step.intents
    assert ["return_waits_for_nova_compute"] == waits_for(step)


def test_in_place__guests_listed_before_the_boot__are_listed_again() -> None:
    """They may have been moved, or stopped, since."""
    cloud = a_returned_cloud(a_server(), listed_s={str(HOST): NOW_S - 31.0})

    step, _ = brought(returning(), cloud)

    assert not step.intents
    assert (CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=HOST),) == step.looks


@pytest.mark.parametrize(
    ("state", "age_s", "is_started"),
    [
        (CallState.RUNNING, 200.0, False),
        (CallState.DONE, AGAIN_S - 1.0, False),
        (CallState.DONE, AGAIN_S, True),
    ],
)
def test_in_place__asked_before__is_asked_again_after_a_while(
    state: CallState,
    age_s: float,
    is_started: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """A reboot that comes while the former one is at work would hurt."""
    calls = {str(GUEST): a_call(state, age_s=age_s, attempt=0)}

    step, _ = brought(returning(), a_returned_cloud(a_server(), calls=calls))

    assert is_started == bool(started(step))


@pytest.mark.parametrize(("since_s", "is_started"), [(GIVE_UP_S - 1.0, True), (GIVE_UP_S, False)])
def test_in_place__its_start_failed__is_tried_again_but_not_for_ever(
    since_s: float,
    is_started: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Libvirt may not have been well; and one guest must not keep its host from serving."""
    calls = {str(GUEST): a_call(CallState.DONE, age_s=AGAIN_S, attempt=0)}
    host = returning(state_since_s=NOW_S - since_s)

    step, _ = brought(host, a_returned_cloud(a_server(vm_state="error"), calls=calls))

    assert is_started == bool(started(step))
    assert is_started == (not step.changes)
