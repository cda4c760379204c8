"""Following an evacuation by Nova's records: what ends it, what does not, and what is not known."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.evacuator.cloud.tasks import PROGRESS_PERIOD_S
from hamon.evacuator.cloud.track import track
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind, SetPower
from hamon.model.change import Delete, grant_of, guest_of, migration_of
from hamon.model.cloud import CallState, CloudView, Progress
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import DomainState, HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import HostView, MigrationView
from tests.builders import HOST, INCIDENT, NOW_S, SPARE, THIRD, a_guest, a_host, a_migration
from tests.cloud_builders import (
    ROW,
    a_call,
    a_cloud,
    a_cloud_view,
    a_dead_host,
    a_row,
    a_server,
    a_spare,
)
from tests.decisions import writes

LONG_BEFORE, JUST_BEFORE = "2026-11-01T00:00:00.000000", "2026-11-23T00:00:00.000000"
ASKED = "2026-11-23T00:00:20.000000"
UNKNOWN = "an unknown host"

GUEST = a_guest()
POLICY = EvacuationPolicy()
KEY = migration_of(INCIDENT, GUEST)


def in_flight(status: MigrationStatus = MigrationStatus.ACCEPTED, **others: Any) -> MigrationView:  # noqa: ANN401 - see a_migration
    """A guest that Nova was asked to evacuate, five seconds ago."""
    followed_row = others.pop("row", 0)
    others = {"attempts": 1, "newest": ROW - 1, "since_s": NOW_S - 5.0} | others
    migration = a_migration(status=status, **others)
    record = replace(migration.record.value, number=followed_row)
    return replace(migration, record=replace(migration.record, value=record))


def followed(cloud: CloudView, migration: MigrationView, *hosts: HostView) -> Moves:
    """What following comes to."""
    view = a_cloud_view(cloud, *hosts, migrations=[migration])
    [incident] = view.incidents.values()
    return track(view, incident, POLICY, NOW_S)


def written(moves: Moves) -> MigrationRecord | None:
    """The migration as written, None: it is left as it is."""
    changes = (*moves.changes, *(intent.change for intent in moves.intents))
    value = writes(*changes).get(KEY)
    assert value is None or isinstance(value, MigrationRecord)
    return value


def spare_with(state: DomainState = DomainState.RUNNING, **others: Any) -> HostView:  # noqa: ANN401 - see a_migration
    """The destination, whose agent lists the guest."""
    return a_spare(domains={GUEST: state}, **others)


def unheard() -> HostView:
    """The destination, whose agent listed domains in this boot and is not heard now."""
    return replace(a_spare(domains={}), heartbeat=None)


# -- on its way -----------------------------------------------------------------------------------


def test_track__claimed_by_a_destination__is_pre_migrating_with_its_row_and_request() -> None:
    """What is known of Nova's side is written with the step, and costs no write of its own."""
    cloud = a_cloud(
        [a_server(task_state="rebuild_spawning")],
        [a_row(status="pre-migrating", to=SPARE)],
        calls={GUEST: a_call(CallState.DONE, request_id="req-1")},
    )

    moving = written(followed(cloud, in_flight()))

    assert moving is not None
    assert moving.status is MigrationStatus.PRE_MIGRATING
    assert (moving.dest_compute, moving.number, moving.request_id) == (SPARE, ROW, "req-1")


def test_track__row_older_than_our_request__is_not_taken_for_ours() -> None:
    """Its number says that it was there before we asked."""
    cloud = a_cloud([a_server()], [a_row(status="done", row=ROW - 1, to=SPARE)])

    assert written(followed(cloud, in_flight())) is None


def test_track__accepted_row_that_was_there_before__counts_as_ours_when_nova_goes_on_with_it() -> (
    None
):
    """The conductor takes up the oldest accepted record, whoever made it."""
    cloud = a_cloud(
        [a_server(host=SPARE)],
        [a_row(status="done", row=7, to=SPARE), a_row(status="accepted")],
    )

    done = written(followed(cloud, in_flight(joined=(7,)), a_dead_host(), spare_with()))

    assert done is not None
    assert (done.status, done.number) == (MigrationStatus.DONE, 7)


def test_track__old_record_taken_up_and_failed__is_tried_again_although_ours_stays_open() -> None:
    """Nova went on with the older record: ours stays open for ever and proves nothing."""
    cloud = a_cloud(
        [a_server(vm_state="error", fault="no disk")],
        [a_row(status="failed", row=7, to=SPARE), a_row(status="accepted")],
    )

    waiting = written(followed(cloud, in_flight(joined=(7,)), a_dead_host(), a_spare(domains={})))

    assert waiting is not None
    assert (waiting.status, waiting.reason) == (MigrationStatus.WAITING, "no disk")
    assert waiting.newest == ROW


def test_track__two_rows_with_destinations__are_left_to_a_human() -> None:
    """Which of the two is to live, only a human can say."""
    cloud = a_cloud(
        [a_server(task_state="rebuilding")],
        [
            a_row(status="pre-migrating", to=SPARE),
            a_row(status="pre-migrating", row=ROW + 1, to=THIRD),
        ],
    )

    moves = followed(cloud, in_flight())

    assert [reason.code for reason in moves.reasons] == ["two_evacuations"]
    assert not moves.changes


def test_track__arrived_while_another_rebuild_goes_on__is_left_to_a_human() -> None:
    """One of them arrived: the other may start a second copy yet."""
    cloud = a_cloud(
        [a_server(host=SPARE)],
        [
            a_row(status="done", to=SPARE),
            a_row(status="pre-migrating", row=ROW + 1, to=THIRD),
        ],
    )

    moves = followed(cloud, in_flight(), a_dead_host(), spare_with())

    assert [reason.code for reason in moves.reasons] == ["two_evacuations"]
    assert not moves.changes


def test_track__destination_proven_dead__is_tried_again_and_denied_there() -> None:
    """What it had made died with it; when it returns it must not start it."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="pre-migrating", to=SPARE)])
    migration = in_flight(MigrationStatus.PRE_MIGRATING, row=ROW, dest_compute=SPARE)

    moves = followed(
        cloud, migration, a_dead_host(), a_host(SPARE, HostState.EVACUATING, shut_out_boot=None)
    )

    waiting = written(moves)
    assert waiting is not None
    assert (waiting.status, waiting.tried, waiting.newest) == (
        MigrationStatus.WAITING,
        (SPARE,),
        ROW,
    )
    denial = writes(*moves.changes)[grant_of(SPARE, GUEST)]
    assert isinstance(denial, Grant)
    assert (denial.state, denial.moved_to) == (GrantState.REVOKED, HOST)


@pytest.mark.parametrize("state", [HostState.SUSPECT, HostState.FENCING, HostState.FENCE_FAILED])
def test_track__destination_lost_but_not_proven_dead__is_waited_for(state: HostState) -> None:
    """A destination that is silent may be rebuilding still."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="pre-migrating", to=SPARE)])
    migration = in_flight(MigrationStatus.PRE_MIGRATING, row=ROW, dest_compute=SPARE)

    assert written(followed(cloud, migration, a_dead_host(), a_host(SPARE, state))) is None


# -- given up by Nova -----------------------------------------------------------------------------


def test_track__no_valid_host__waits_with_novas_words() -> None:
    """What Nova says is what the operator reads."""
    cloud = a_cloud(
        [a_server(vm_state="error", fault="No valid host was found.")], [a_row(status="error")]
    )

    waiting = written(followed(cloud, in_flight()))

    assert waiting is not None
    assert (waiting.status, waiting.reason) == (
        MigrationStatus.WAITING,
        "No valid host was found.",
    )


def test_track__failed_while_a_task_is_under_way__is_waited_for() -> None:
    """Nova is not through with it: another request now would be a second one."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="failed", to=SPARE)])

    assert written(followed(cloud, in_flight())) is None


def test_track__failed_but_its_domain_runs_there__is_not_asked_for_again() -> None:
    """The record failed, the guest runs: another request would start a second copy."""
    cloud = a_cloud([a_server(vm_state="error")], [a_row(status="failed", to=SPARE)])

    moves = followed(cloud, in_flight(), a_dead_host(), spare_with())

    assert [reason.code for reason in moves.reasons] == ["guest_runs_unknown_to_nova"]
    assert not moves.changes


# -- nothing seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [None, CallState.UNKNOWN, CallState.DONE, CallState.RUNNING])
def test_track__no_row_yet_and_young__is_not_sent_again(call: CallState | None) -> None:
    """A request may be on its way for as long as a client or a proxy holds it."""
    calls = {} if call is None else {GUEST: a_call(call)}

    assert written(followed(a_cloud([a_server()], calls=calls), in_flight())) is None


def test_track__no_row_and_old_but_lists_older__reads_whole_lists_first() -> None:
    """Only lists asked for after the request could arrive say that it did not."""
    long_ago_s = NOW_S - POLICY.unknown_after_s - 1.0
    cloud = a_cloud([a_server()], age_s=5.0)

    moves = followed(cloud, in_flight(since_s=long_ago_s))

    assert {getattr(look, "kind", None) for look in moves.looks} == {
        CloudLookKind.SERVERS_OF,
        CloudLookKind.MIGRATIONS_OF,
    }
    assert not moves.changes


def test_track__no_row_in_lists_asked_for_after_it_could_arrive__was_not_done() -> None:
    """Then, and only then, nothing was done."""
    long_ago_s = NOW_S - POLICY.unknown_after_s - 10.0

    waiting = written(followed(a_cloud([a_server()]), in_flight(since_s=long_ago_s)))

    assert waiting is not None
    assert waiting.status is MigrationStatus.WAITING


def test_track__no_row_but_nova_rebuilds__is_waited_for_longer() -> None:
    """Nova may be between the task and the record."""
    long_ago_s = NOW_S - POLICY.unknown_after_s - 10.0
    cloud = a_cloud([a_server(task_state="rebuilding")])

    assert written(followed(cloud, in_flight(since_s=long_ago_s))) is None


def test_track__request_too_late_to_be_sent__is_asked_again_at_once() -> None:
    """Nothing was sent, so nothing is waited for."""
    calls = {GUEST: a_call(CallState.NOT_DONE, why="late")}

    waiting = written(followed(a_cloud([a_server()], calls=calls), in_flight()))

    assert waiting is not None
    assert waiting.status is MigrationStatus.WAITING


def test_track__answer_of_an_earlier_attempt__says_nothing_of_this_one() -> None:
    """Each answer counts for the attempt it was given to."""
    calls = {GUEST: a_call(CallState.REFUSED, attempt=1, is_conflict=True, why="task_state")}

    migration = in_flight(attempts=2)

    assert written(followed(a_cloud([a_server()], calls=calls), migration)) is None


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ({"is_conflict": True, "why": "vm_state building"}, MigrationStatus.WAITING),
        ({"why": "Compute service of host-1 is still in use."}, MigrationStatus.WAITING),
        ({"is_missing": True, "why": "no such server"}, MigrationStatus.FAILED),
        ({"why": "vTPM is not supported"}, MigrationStatus.FAILED),
    ],
)
def test_track__refused__follows_what_novas_no_means(
    refusal: dict[str, Any], status: MigrationStatus
) -> None:
    """What passes is tried again; what cannot change by itself is closed, and said."""
    calls = {GUEST: a_call(CallState.REFUSED, **refusal)}

    ended = written(followed(a_cloud([a_server()], calls=calls), in_flight()))

    assert ended is not None
    assert ended.status is status
    assert refusal["why"] in ended.reason


def test_track__accepted_for_long_without_a_conductor__is_left_in_its_queue() -> None:
    """Whoever conducts next finds the request in its queue: asked again it would be two."""
    stuck_s = NOW_S - POLICY.stuck_after_s - 1.0
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row()], conducting_since_s=None)

    moves = followed(cloud, in_flight(since_s=stuck_s))

    assert [reason.code for reason in moves.reasons] == ["evacuation_stuck"]
    assert not moves.changes


def test_track__accepted_for_long_and_conductor_young__is_left_in_its_queue() -> None:
    """It may have taken up its queue a moment ago."""
    stuck_s = NOW_S - POLICY.stuck_after_s - 1.0
    cloud = a_cloud([a_server()], [a_row()], conducting_since_s=NOW_S - 20.0)

    assert written(followed(cloud, in_flight(since_s=stuck_s))) is None


def stuck_cloud(progress: Progress | None = None, *, read_s: float = NOW_S - 1.0) -> CloudView:
    """A cloud in which the request is accepted, and how far it is with that was read."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(created_at=ASKED)])
    cloud = replace(cloud, traced_changes_s=NOW_S - 0.5)
    if progress is None:
        return cloud
    return replace(cloud, progress={GUEST: progress}, progress_s={GUEST: read_s})


def stuck(cloud: CloudView, *hosts: HostView) -> Moves:
    """What following comes to when nobody claimed the guest for too long."""
    return followed(cloud, in_flight(since_s=NOW_S - POLICY.stuck_after_s - 5.0), *hosts)


@pytest.mark.parametrize(
    ("case", "cloud"),
    [
        ("never", stuck_cloud()),
        ("before it was stuck", stuck_cloud(Progress(), read_s=NOW_S - 6.0)),
        ("long ago", stuck_cloud(Progress(), read_s=NOW_S - PROGRESS_PERIOD_S - 1.0)),
    ],
)
def test_track__accepted_for_long__asks_how_far_nova_is_first(case: str, cloud: CloudView) -> None:
    """Whether somebody has it yet, a list of records does not tell."""
    moves = stuck(cloud)

    assert moves.looks == (CloudLook(kind=CloudLookKind.PROGRESS, guest=GUEST),), case
    assert not moves.changes


def test_track__accepted_for_long__records_are_read_after_the_progress() -> None:
    """Who has ended its work may have claimed the guest since the last list."""
    over = Progress(is_passed_on=True, taken_by=SPARE, is_over=True)
    cloud = replace(stuck_cloud(over), traced_s={HOST: NOW_S - 2.0}, traced_changes_s=NOW_S - 1.5)

    assert not stuck(cloud).changes


def test_track__accepted_for_long_and_passed_on_to_nobody__is_lost() -> None:
    """Conductors' queue is read, and nobody has this: the conductor that took it died."""
    waiting = written(stuck(stuck_cloud(Progress())))

    assert waiting is not None
    assert (waiting.status, waiting.newest) == (MigrationStatus.WAITING, ROW)


def booted(age_s: float) -> HostView:
    """The destination, registered so long ago."""
    return replace(a_spare(domains={}), registered_s=NOW_S - age_s)


TAKEN = Progress(is_passed_on=True, taken_by=SPARE)
OVER = replace(TAKEN, is_over=True)


@pytest.mark.parametrize(
    ("case", "progress", "spare", "said"),
    [
        ("works at it", TAKEN, booted(9999.0), "evacuation_taken"),
        ("booted since", TAKEN, booted(60.0), None),
        ("is dead", TAKEN, a_host(SPARE, HostState.EVACUATED), None),
        ("is being fenced", TAKEN, a_host(SPARE, HostState.FENCING), "evacuation_taken"),
        ("gave it up", OVER, a_spare(domains={}), None),
        ("gave it up, agent silent", OVER, unheard(), "failed_rebuild_not_seen"),
        ("gave it up and runs it", OVER, spare_with(), "guest_runs_unknown_to_nova"),
        ("gave it up, has no agent", OVER, a_spare(), None),
    ],
)
def test_track__accepted_for_long_and_a_compute_took_it__is_lost_when_that_cannot_go_on(
    case: str, progress: Progress, spare: HostView, said: str | None
) -> None:
    """A nova-compute may wait for its libvirt before it claims, and goes on when that does."""
    moves = stuck(stuck_cloud(progress), a_dead_host(), spare)

    assert (said is None) == (written(moves) is not None), case
    assert [(r.code, r.facts["host"]) for r in moves.reasons] == ([(said, SPARE)] if said else [])


PASSED_ON = Progress(is_passed_on=True)


@pytest.mark.parametrize(
    ("case", "service", "silent_s", "waits_at"),
    [
        ("down since the request", {"is_up": False}, NOW_S - 1.0, SPARE),
        ("up again a moment ago", {}, NOW_S - 5.0, SPARE),
        ("up again for long", {}, NOW_S - POLICY.stuck_after_s, UNKNOWN),
        ("of a cell that is down", {"is_up": None}, NOW_S - 1.0, SPARE),
        ("down for long before", {"is_up": False, "beat_at": LONG_BEFORE}, NOW_S - 1.0, UNKNOWN),
        ("never up", {"is_up": False, "beat_at": ""}, NOW_S - 1.0, UNKNOWN),
        ("forced down since", {"is_up": False, "is_forced_down": True}, NOW_S - 1.0, None),
        (
            "forced down long before",
            {"is_forced_down": True, "beat_at": LONG_BEFORE},
            None,
            UNKNOWN,
        ),
        ("never silent", {}, None, UNKNOWN),
    ],
)
def test_track__accepted_for_long_and_taken_by_nobody__waits_for_who_may_have_it_in_its_queue(
    case: str, service: dict[str, Any], silent_s: float | None, waits_at: str | None
) -> None:
    """What waits for a nova-compute is carried out when that goes on: it would be a second copy."""
    cloud = stuck_cloud(PASSED_ON)
    spare = replace(cloud.services[SPARE], **{"beat_at": JUST_BEFORE, **service})
    cloud = replace(
        cloud,
        services={**cloud.services, SPARE: spare},
        silent_s={} if silent_s is None else {SPARE: silent_s},
    )

    moves = stuck(cloud)

    told = [(r.code, r.facts["host"]) for r in moves.reasons]
    assert told == ([("evacuation_queued", waits_at)] if waits_at else []), case
    assert (waits_at is None) == (written(moves) is not None), case


def test_track__accepted_for_long__source_is_no_destination() -> None:
    """It is silent for good, and Nova cannot have chosen it."""
    cloud = replace(stuck_cloud(PASSED_ON), silent_s={HOST: NOW_S - 1.0})
    source = replace(cloud.services[HOST], is_forced_down=False, beat_at=JUST_BEFORE)
    cloud = replace(cloud, services={**cloud.services, HOST: source})

    [told] = stuck(cloud).reasons

    assert told.facts["host"] == UNKNOWN


def test_track__asked_again_for_nobody_took_it_up__is_denied_to_hosts_that_died_meanwhile() -> None:
    """The order to rebuild the guest may wait in their queues until they return."""
    dead = a_host(SPARE, HostState.EVACUATED)
    cloud = stuck_cloud(PASSED_ON)
    shut_out = replace(cloud.services[SPARE], is_forced_down=True, beat_at=JUST_BEFORE)
    cloud = replace(cloud, services={**cloud.services, SPARE: shut_out})

    moves = stuck(cloud, a_dead_host(), dead, a_host(THIRD, HostState.UP))

    [change] = moves.changes
    assert written(moves) is not None
    assert {key for key in writes(change) if key != KEY} == {grant_of(SPARE, GUEST)}


@pytest.mark.parametrize(("servers_s", "is_known"), [(NOW_S - 2.1, False), (NOW_S - 1.9, True)])
def test_track__ended__is_concluded_on_a_server_read_since(
    servers_s: float, *, is_known: bool
) -> None:
    """Else why it ended is not known yet, nor that no task is left."""
    server = a_server(vm_state="error", fault="No valid host was found.")
    row = a_row(status="error")
    cloud = replace(
        a_cloud([server], [row]),
        listed_s={HOST: NOW_S - 9.0},
        changed_s=servers_s,
        ended_s={(row.guest, row.number): NOW_S - 2.0},
    )

    moves = followed(cloud, in_flight())

    waiting = written(moves)
    assert is_known == (waiting is not None)
    assert is_known == (not moves.looks)
    if waiting is not None:
        assert waiting.reason == "No valid host was found."


# -- arrived --------------------------------------------------------------------------------------


def test_track__arrived_and_seen_running__is_done_and_denied_to_its_old_host() -> None:
    """All that counts as arrival, in one transaction."""
    cloud = a_cloud([a_server(host=SPARE)], [a_row(status="done", to=SPARE)])

    moves = followed(cloud, in_flight(), a_dead_host(), spare_with())

    done = written(moves)
    assert done is not None
    assert (done.status, done.dest_compute, done.number) == (MigrationStatus.DONE, SPARE, ROW)
    [change] = moves.changes
    assert any(isinstance(o, Delete) and o.key == guest_of(GUEST) for o in change.operations)
    denial = writes(change)[grant_of(HOST, GUEST)]
    assert isinstance(denial, Grant)
    assert (denial.state, denial.moved_to) == (GrantState.REVOKED, SPARE)


@pytest.mark.parametrize(
    "hosts",
    [
        (a_dead_host(), a_spare(domains={})),
        (a_dead_host(), spare_with(is_libvirt_healthy=False)),
        (a_dead_host(), spare_with(DomainState.SHUTOFF)),
    ],
    ids=["not_listed", "libvirt_unwell", "off"],
)
def test_track__arrived_but_not_seen_by_its_agent__is_not_done(hosts: tuple[HostView, ...]) -> None:
    """Nova's word is not enough where an agent can tell."""
    cloud = a_cloud([a_server(host=SPARE)], [a_row(status="done", to=SPARE)])

    moves = followed(cloud, in_flight(), *hosts)

    assert [reason.code for reason in moves.reasons] == ["guest_not_seen"]
    assert not moves.changes


def test_track__arrived_on_a_compute_without_agent__is_done_by_novas_word() -> None:
    """There nobody but Nova can tell."""
    cloud = a_cloud([a_server(host="bare-9")], [a_row(status="done", to="bare-9")])

    done = written(followed(cloud, in_flight()))

    assert done is not None
    assert (done.status, done.dest_compute) == (MigrationStatus.DONE, "bare-9")


def test_track__arrived_with_a_task__is_waited_for() -> None:
    """It is not what it will be."""
    cloud = a_cloud(
        [a_server(host=SPARE, task_state="powering-off")], [a_row(status="done", to=SPARE)]
    )

    assert written(followed(cloud, in_flight(), a_dead_host(), spare_with())) is None


def test_track__done_but_server_list_older__is_not_taken_for_failed() -> None:
    """The two lists are read one after the other; Nova moves the server before it says done."""
    cloud = a_cloud([a_server()], [a_row(status="done", to=SPARE)])

    moves = followed(cloud, in_flight(since_s=NOW_S - 150.0))

    assert [known.code for known in moves.reasons] == ["outcome_awaited"]
    assert not moves.changes


def test_track__accepted_and_not_claimed__says_no_host() -> None:
    """Which compute will have it is not known before one has claimed it."""
    moves = followed(a_cloud([a_server()], [a_row()]), in_flight(since_s=NOW_S - 1.0))

    [known] = moves.reasons
    assert known.code == "claim_awaited"
    assert "host" not in known.facts
    assert not moves.changes


@pytest.mark.parametrize("later_s", [-0.1, 0.1])
def test_track__completed_but_server_not_moved__counts_when_servers_were_asked_for_after(
    later_s: float,
) -> None:
    """A list of servers that was asked for before the record was seen may just be too old."""
    row = a_row(status="completed", to=SPARE)
    cloud = replace(a_cloud([a_server()], [row]), ended_s={(row.guest, row.number): NOW_S - 1.0})
    cloud = replace(cloud, changed_s=NOW_S - 1.0 + later_s, listed_s={HOST: NOW_S - 20.0})

    record = written(followed(cloud, in_flight(since_s=NOW_S - 150.0)))

    assert (later_s > 0) is (record is not None and record.status is MigrationStatus.WAITING)


@pytest.mark.parametrize(
    ("wanted", "vm_state"), [(PowerState.SHUTOFF, "active"), (PowerState.RUNNING, "stopped")]
)
def test_track__arrived_in_another_power_state__is_brought_to_the_wanted_one(
    wanted: PowerState, vm_state: str
) -> None:
    """Nova starts what it rebuilds, whatever it was before."""
    cloud = a_cloud([a_server(host=SPARE, vm_state=vm_state)], [a_row(status="done", to=SPARE)])
    migration = in_flight(MigrationStatus.PRE_MIGRATING, wanted=wanted)

    moves = followed(cloud, migration, a_dead_host(), spare_with())

    [intent] = moves.intents
    assert intent.action == SetPower(guest=GUEST, wanted=wanted)
    assert not moves.changes


def test_track__power_asked_for_a_moment_ago__is_not_asked_for_again() -> None:
    """Nova needs a moment for it."""
    cloud = a_cloud([a_server(host=SPARE)], [a_row(status="done", to=SPARE)])
    migration = in_flight(
        MigrationStatus.PRE_MIGRATING,
        wanted=PowerState.SHUTOFF,
        reason=str(PowerState.SHUTOFF),
        stamps={"power_restored": "then"},
    )

    moves = followed(cloud, migration, a_dead_host(), spare_with())

    assert not moves.intents
    assert [reason.code for reason in moves.reasons] == ["waits_for_power"]


def test_track__stopped_guest_seen_off__is_done() -> None:
    """Off is what was wanted."""
    cloud = a_cloud([a_server(host=SPARE, vm_state="stopped")], [a_row(status="done", to=SPARE)])
    migration = in_flight(MigrationStatus.PRE_MIGRATING, wanted=PowerState.SHUTOFF)

    done = written(followed(cloud, migration, a_dead_host(), spare_with(DomainState.SHUTOFF)))

    assert done is not None
    assert done.status is MigrationStatus.DONE


@pytest.mark.parametrize("servers", [[], [a_server()]], ids=["unknown", "not_listed"])
def test_track__its_hosts_list_no_longer_has_it__is_looked_for_and_not_given_up(
    servers: list[Any],
) -> None:
    """It may have arrived a moment ago: a list of its old host cannot tell that from deleted."""
    moves = followed(a_cloud(servers, unlisted=frozenset({GUEST})), in_flight())

    assert not moves.changes
    assert [getattr(look, "kind", None) for look in moves.looks] == [CloudLookKind.SERVERS_CHANGED]


def test_track__what_changed_does_not_show_it_either__is_asked_for_by_its_uuid() -> None:
    """It changed too long ago for a list of changes."""
    cloud = a_cloud([a_server()], unlisted=frozenset({GUEST}), changed_s=NOW_S)

    [look] = followed(cloud, in_flight()).looks

    assert look == CloudLook(kind=CloudLookKind.SERVER, guest=GUEST)


def test_track__deleted_by_its_owner__is_closed() -> None:
    """Nothing is left to move, and its record must not keep its name taken."""
    moves = followed(a_cloud([a_server(vm_state="deleted")]), in_flight())

    ended = written(moves)
    assert ended is not None
    assert ended.status is MigrationStatus.FAILED
    [change] = moves.changes
    assert any(isinstance(o, Delete) and o.key == guest_of(GUEST) for o in change.operations)


def test_track__nova_not_read_by_this_leader__concludes_nothing() -> None:
    """A new leader knows nothing before it has read."""
    cloud = replace(a_cloud(), listed_s={}, traced_s={})

    assert followed(cloud, in_flight()) == Moves()
