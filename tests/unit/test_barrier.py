"""Waiting for guests that others need: who is waited for, how long, and who is asked."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.cloud import WHILE_SENDING_S
from hamon.decide.tick import decide
from hamon.evacuator.barrier import (
    LOOK_PERIOD_S,
    NEVER,
    READY,
    TIMED_OUT,
    barrier_of,
    watch_ready,
)
from hamon.evacuator.cloud.send import send_waiting
from hamon.evacuator.moves import Moves
from hamon.evacuator.offers import offer_waiting
from hamon.evacuator.scheduler import Scheduler
from hamon.model.action import CloudLook, CloudLookKind, Evacuate, ReadyLook
from hamon.model.change import migration_of
from hamon.model.guest import PowerState
from hamon.model.guest_policy import GuestPolicy, ReadyCheck
from hamon.model.host import DomainState, GuestAgent, HostGuestAgents, HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import BootId
from hamon.model.policy import EvacuationPolicy, InstanceDisks, Policy
from hamon.model.view import ClusterView, HostView, IncidentView, ReadyReading
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    WALL,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_view,
    an_entry,
    an_incident,
    owned_by,
)
from tests.cloud_builders import a_cloud, a_cloud_view, a_dead_host, a_proof, a_row, a_server
from tests.decisions import writes

TIMEOUT_S = 60.0
DB = GuestPolicy(
    priority=1,
    ready=ReadyCheck.TCP,
    ready_address="192.0.2.7",
    ready_port=5432,
    ready_timeout_s=TIMEOUT_S,
)
POLICY = EvacuationPolicy(instance_disks=InstanceDisks.SHARED)
LOOK = ReadyLook(guest=a_guest(1), address="192.0.2.7", port=5432)


def db(status: MigrationStatus = MigrationStatus.DONE, age_s: float = 5.0, **others: Any) -> Any:  # noqa: ANN401
    """The guest that others wait for; its record was last written ``age_s`` ago."""
    others.setdefault("policy", DB)
    if status is MigrationStatus.DONE:
        others.setdefault("dest_compute", SPARE)
    return a_migration(1, status, since_s=NOW_S - age_s, **others)


def a_world(
    *migrations: Any,  # noqa: ANN401 - see a_migration
    dead_for_s: float = 10.0,
    reading: ReadyReading | None = None,
) -> tuple[ClusterView, IncidentView]:
    """A dead host with these migrations of its guests."""
    host = a_host(HOST, HostState.EVACUATING, state_since_s=NOW_S - dead_for_s)
    incident = an_incident(*migrations)
    view = a_view(host, a_host(SPARE), incidents=[incident])
    return replace(view, ready={a_guest(1): reading} if reading else {}), incident


def an_answer(*, answers: bool = True, age_s: float = 1.0, detail: str = "") -> ReadyReading:
    """What the guest told."""
    return ReadyReading(answers=answers, asked_s=NOW_S - age_s, detail=detail)


def watched(*migrations: Any, **others: Any) -> Moves:  # noqa: ANN401 - see a_world
    """What is to be done about who is waited for."""
    return watch_ready(*a_world(*migrations, **others), NOW_S)


# -- who is waited for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guest", "dead_for_s", "is_waited_for"),
    [
        (db(MigrationStatus.WAITING), 10.0, True),
        (db(MigrationStatus.ACCEPTED), 10.0, True),
        (db(MigrationStatus.PRE_MIGRATING), TIMEOUT_S - 1.0, True),
        (db(MigrationStatus.PRE_MIGRATING), TIMEOUT_S, False),
        (db(MigrationStatus.WAITING, reason="NoValidHost"), TIMEOUT_S, False),
        (db(), 1000.0, True),
        (db(age_s=TIMEOUT_S), 1000.0, False),
        (db(stamps={READY: WALL}), 10.0, False),
        (db(stamps={TIMED_OUT: WALL}), 10.0, False),
        (db(stamps={NEVER: WALL}), 10.0, False),
        (db(policy=GuestPolicy(priority=1, ready=ReadyCheck.GUEST_AGENT)), 10.0, True),
        (db(MigrationStatus.FAILED), 10.0, False),
        (db(MigrationStatus.STAYS), 10.0, False),
        (db(wanted=PowerState.SHUTOFF), 10.0, False),
        (db(policy=GuestPolicy(priority=1)), 10.0, False),
    ],
)
def test_barrier__guest_with_a_check__is_waited_for_until_ready_or_its_time_is_over(
    guest: Any,  # noqa: ANN401 - see a_migration
    dead_for_s: float,
    *,
    is_waited_for: bool,
) -> None:
    """Until it arrives, and then until it answers; never for ever."""
    barrier = barrier_of(*a_world(guest, dead_for_s=dead_for_s), NOW_S)

    later = a_migration(2).record.value
    same = a_migration(3, policy=GuestPolicy(priority=1)).record.value
    assert is_waited_for is barrier.holds_back(later)
    assert not barrier.holds_back(same)


def test_barrier__two_classes__the_seconds_time_begins_when_the_first_is_ready() -> None:
    """A class that had to wait is not late because it did."""
    second = replace(DB, priority=2, ready_timeout_s=5.0)
    behind = a_migration(2, MigrationStatus.WAITING, policy=second)
    last = a_migration(3).record.value

    for first, is_waited_for in (
        (db(stamps={READY: WALL}, age_s=4.0), True),
        (db(stamps={READY: WALL}, age_s=5.0), False),
        (db(), True),
    ):
        barrier = barrier_of(*a_world(first, behind, dead_for_s=50.0), NOW_S)
        assert is_waited_for is barrier.holds_back(last)


def test_barrier__several_of_one_class__the_last_counts_and_all_are_named() -> None:
    """What an operator reads."""
    barrier = barrier_of(
        *a_world(db(age_s=50.0), a_migration(2, MigrationStatus.DONE, since_s=NOW_S, policy=DB)),
        NOW_S,
    )

    told = barrier.told(a_migration(3).record.value, NOW_S)

    assert ("guest-1,guest-2", "60") == (told.facts["on"], told.facts["left_s"])


# -- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "is_asked"),
    [
        (None, True),
        (an_answer(answers=False), False),
        (an_answer(answers=False, age_s=LOOK_PERIOD_S), True),
        (an_answer(age_s=6.0), True),
    ],
)
def test_watch__has_arrived__is_asked_again_and_again(
    reading: ReadyReading | None, *, is_asked: bool
) -> None:
    """An answer from before it arrived was somebody else's, and counts for nothing."""
    moves = watched(db(), reading=reading)

    assert ((LOOK,) if is_asked else ()) == moves.looks
    assert () == moves.changes
    assert ["guest_not_ready"] == [told.code for told in moves.reasons]
    due_s = NOW_S + LOOK_PERIOD_S - (0.0 if is_asked else 1.0)
    assert due_s == moves.wake_at_s


@pytest.mark.parametrize(
    ("guest", "reading", "stamp"),
    [
        (db(), an_answer(), READY),
        (db(age_s=TIMEOUT_S), an_answer(answers=False), TIMED_OUT),
        (db(age_s=TIMEOUT_S), None, TIMED_OUT),
        (db(age_s=TIMEOUT_S), an_answer(), READY),
    ],
)
def test_watch__ready_or_too_late__is_written_down(
    guest: Any,  # noqa: ANN401 - see a_migration
    reading: ReadyReading | None,
    stamp: str,
) -> None:
    """So that a later leader does not wait again."""
    moves = watched(guest, reading=reading)

    [change] = moves.changes
    record = writes(change)[migration_of(INCIDENT, a_guest(1))]
    assert isinstance(record, MigrationRecord)
    assert (MigrationStatus.DONE, WALL) == (record.status, record.stamps[stamp])
    assert () == moves.looks
    assert Moves() == watched(replace_record(guest, record))


def replace_record(migration: Any, record: MigrationRecord) -> Any:  # noqa: ANN401
    """The same migration, as it was written."""
    return replace(migration, record=replace(migration.record, value=record))


def test_watch__still_on_its_way__is_not_asked() -> None:
    """Whoever answers there is not the guest."""
    moves = watched(db(MigrationStatus.PRE_MIGRATING), reading=an_answer())

    assert ((), (), ()) == (moves.changes, moves.looks, moves.reasons)
    assert NOW_S - 10.0 + TIMEOUT_S == moves.wake_at_s


# -- the agent inside it --------------------------------------------------------------------------

BY_AGENT = GuestPolicy(priority=1, ready=ReadyCheck.GUEST_AGENT, ready_timeout_s=TIMEOUT_S)


def agents(agent: GuestAgent, boot_id: BootId = BOOT) -> HostGuestAgents:
    """What its new host says of the agent in the first guest."""
    return HostGuestAgents(boot_id=boot_id, agents={a_guest(1): agent})


def there(state: DomainState = DomainState.RUNNING, **others: Any) -> HostView:  # noqa: ANN401
    """Its new host, on which its agent is connected unless said otherwise."""
    others.setdefault("agents", agents(GuestAgent.CONNECTED))
    return a_host(SPARE, domains={a_guest(1): state}, **others)


def of_a_former_boot(host: HostView) -> HostView:
    """The same host, whose guests process has not listed anything in this boot."""
    assert host.domains is not None
    return replace(host, domains=replace(host.domains, boot_id=BootId("former")))


def watched_by_agent(host: HostView, guest: Any = None) -> Moves:  # noqa: ANN401 - see db
    """What is to be done about a guest that is ready when its agent is connected."""
    incident = an_incident(guest or db(policy=BY_AGENT))
    source = a_host(HOST, HostState.EVACUATING, state_since_s=NOW_S - 10.0)
    return watch_ready(a_view(source, host, incidents=[incident]), incident, NOW_S)


@pytest.mark.parametrize(
    ("host", "stamp", "code"),
    [
        (there(), READY, "guest_ready"),
        (there(agents=agents(GuestAgent.NO_CHANNEL)), NEVER, "guest_never_ready"),
    ],
)
def test_watch__its_host_knows_of_its_agent__is_written_down(
    host: HostView, stamp: str, code: str
) -> None:
    """Connected is ready; and for one that can never be, nobody waits."""
    moves = watched_by_agent(host)

    [change] = moves.changes
    record = writes(change)[migration_of(INCIDENT, a_guest(1))]
    assert isinstance(record, MigrationRecord)
    assert (code, WALL) == (change.reason.code, record.stamps[stamp])
    assert Moves() == watched_by_agent(host, replace_record(db(policy=BY_AGENT), record))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (there(agents=agents(GuestAgent.DISCONNECTED)), "its guest agent is not connected"),
        (there(agents=None), f"{SPARE} does not tell of its guest agent"),
        (
            there(agents=agents(GuestAgent.CONNECTED, BootId("former"))),
            f"{SPARE} does not tell of its guest agent",
        ),
        (there(DomainState.PAUSED), f"it does not run on {SPARE} now"),
        (there(DomainState.SHUTOFF), f"it does not run on {SPARE} now"),
        (there(is_libvirt_healthy=False), f"{SPARE} does not list its guests now"),
        (there(is_here=False), f"{SPARE} does not list its guests now"),
        (
            of_a_former_boot(there(agents=agents(GuestAgent.CONNECTED, BootId("former")))),
            f"{SPARE} does not list its guests now",
        ),
        (a_host(SPARE, agents=agents(GuestAgent.CONNECTED)), f"it does not run on {SPARE} now"),
    ],
)
def test_watch__agent_not_known_to_be_connected_now__is_waited_for(
    host: HostView, why: str
) -> None:
    """What is of the past, or of an earlier stay of the guest there, makes nobody ready."""
    moves = watched_by_agent(host)

    assert ((), ()) == (moves.changes, moves.looks)
    [told] = moves.reasons
    assert ("guest_not_ready", why) == (told.code, told.facts["why"])
    assert NOW_S - 5.0 + TIMEOUT_S == moves.wake_at_s


def test_watch__agent_does_not_connect_in_time__nobody_waits_any_more() -> None:
    """As with a port that does not answer."""
    late = db(policy=BY_AGENT, age_s=TIMEOUT_S)

    moves = watched_by_agent(there(agents=agents(GuestAgent.DISCONNECTED)), late)

    assert ["guest_ready_timed_out"] == [change.reason.code for change in moves.changes]


def test_watch__agent_of_a_guest_on_its_way__does_not_count() -> None:
    """The rebuild is not over; what runs there may be what is left of an earlier stay."""
    coming = db(MigrationStatus.PRE_MIGRATING, policy=BY_AGENT, dest_compute=SPARE)

    assert () == watched_by_agent(there(), coming).changes


# -- both backends --------------------------------------------------------------------------------


def test_offers__somebody_is_waited_for__later_classes_wait() -> None:
    """In the libvirt backend: nothing of them is offered."""
    numbers = (1, 2, 3)
    source = a_host(
        HOST,
        HostState.EVACUATING,
        state_since_s=NOW_S,
        entries=[an_entry(number) for number in numbers],
        grants={a_guest(number): a_grant() for number in numbers},
    )
    same = a_migration(2, policy=GuestPolicy(priority=1))
    view = a_view(
        source,
        a_host(SPARE),
        guests={a_guest(n): owned_by(HOST, n, migration=INCIDENT) for n in numbers},
        incidents=[an_incident(db(MigrationStatus.WAITING), same, a_migration(3))],
    )

    moves = offer_waiting(
        view,
        view.incidents[INCIDENT],
        a_proof(),
        Scheduler(view, POLICY, ()),
        POLICY,
        held={},
        in_flight=0,
        now_s=NOW_S,
    )

    assert [a_guest(1), a_guest(2)] == [change.subject for change in moves.changes]
    assert ["guest_waits_for_ready"] == [told.code for told in moves.reasons]


def a_cloud_world(**others: Any) -> ClusterView:  # noqa: ANN401 - see a_cloud
    """The first guest has not arrived in Nova, the second waits for it."""
    row = a_row(1, "done", to=SPARE)
    cloud = a_cloud([a_server(1), a_server(2)], [row], **others)
    first = db(MigrationStatus.PRE_MIGRATING, newest=row.number - 1)
    host = a_dead_host(state_since_s=NOW_S)
    return a_cloud_view(cloud, host, a_host(SPARE), migrations=[first, a_migration(2)])


def test_send__somebody_is_waited_for__later_classes_wait() -> None:
    """In a nova cloud: nothing of them is asked for."""
    view = a_cloud_world()
    [incident] = view.incidents.values()

    moves = send_waiting(view, incident, a_proof(), POLICY, held={}, in_flight=1, now_s=NOW_S)

    assert [] == [i.action for i in moves.intents if isinstance(i.action, Evacuate)]
    assert ["guest_waits_for_ready"] == [told.code for told in moves.reasons]


def test_looks__others_wait_for_a_guest__its_end_is_read_soon() -> None:
    """While nobody else is sent Nova has time for it."""
    view = a_cloud_world(age_s=WHILE_SENDING_S / 4)

    looks = decide(view, Policy(evacuation=POLICY), NOW_S).looks

    assert CloudLook(kind=CloudLookKind.SERVERS_CHANGED) in looks
