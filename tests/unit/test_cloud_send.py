"""Asking Nova for evacuations: proof first, fresh lists, in batches, the most important first."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.evacuator.cloud.record import record_guests
from hamon.evacuator.cloud.send import SENDING_MAX, send_waiting
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudAction, CloudLook, CloudLookKind, Evacuate, ResetTask
from hamon.model.change import CONTROL, grant_of, guard_of, guest_of, migration_of
from hamon.model.cloud import CallState, CloudCall, CloudView
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import DomainState, HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import Epoch, GuestId
from hamon.model.policy import EvacuationPolicy, InstanceDisks, LocalDiskPolicy
from hamon.model.proof import FenceProof
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    CONTROL_VERSION,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_migration,
)
from tests.cloud_builders import (
    ROW,
    a_call,
    a_cloud,
    a_cloud_view,
    a_dead_host,
    a_proof,
    a_row,
    a_server,
    a_service,
    a_spare,
)
from tests.decisions import checks, writes

POLICY = EvacuationPolicy(instance_disks=InstanceDisks.SHARED)


def sent(
    view: ClusterView,
    *,
    proof: FenceProof | None = a_proof(),  # noqa: B008 - frozen
    policy: EvacuationPolicy = POLICY,
    in_flight: int = 0,
) -> Moves:
    """What sending comes to."""
    [incident] = view.incidents.values()
    return send_waiting(view, incident, proof, policy, held={}, in_flight=in_flight, now_s=NOW_S)


def asked_for(moves: Moves) -> list[int]:
    """The numbers of the guests that Nova is asked to evacuate, in their order."""
    numbers = {a_guest(number): number for number in range(1, 100)}
    actions = [intent.action for intent in moves.intents]
    return [numbers[action.guest] for action in actions if isinstance(action, Evacuate)]


def waiting_guests(count: int, **others: Any) -> ClusterView:  # noqa: ANN401 - see a_migration
    """A dead host with so many guests that wait."""
    numbers = range(1, count + 1)
    cloud = a_cloud([a_server(number) for number in numbers], **others)
    return a_cloud_view(cloud, migrations=[a_migration(number) for number in numbers])


def also_flying(view: ClusterView) -> ClusterView:
    """The same, with another guest of the host under way."""
    flying = a_migration(99, MigrationStatus.ACCEPTED)
    [incident] = view.incidents.values()
    incident = replace(incident, migrations={**incident.migrations, a_guest(99): flying})
    return replace(view, incidents={INCIDENT: incident})


# -- one request ----------------------------------------------------------------------------------


def test_send__proven_and_fresh__journals_the_newest_row_known_and_asks() -> None:
    """By the newest row known then, any later leader tells our record from older ones."""
    rows = [
        a_row(status="completed", row=5),
        a_row(status="accepted", row=9),
        a_row(status="finished", row=ROW, kind="live-migration"),
    ]
    view = a_cloud_view(a_cloud([a_server()], rows), migrations=[a_migration(attempts=2)])

    [intent] = sent(view).intents

    assert intent.action == Evacuate(guest=a_guest(), attempt=3)
    accepted = writes(intent.change)[migration_of(INCIDENT, a_guest())]
    assert isinstance(accepted, MigrationRecord)
    assert accepted.status is MigrationStatus.ACCEPTED
    assert (accepted.newest, accepted.joined, accepted.attempts) == (ROW, (9,), 3)
    guarded = checks(intent.change)
    assert guarded[CONTROL] == CONTROL_VERSION
    assert guarded[guard_of(HOST)] == GUARD_VERSION


def test_send__operators_target__goes_by_its_name_in_nova() -> None:
    """Nova may know a host by another name than hamon."""
    spare = a_spare()
    spare = replace(spare, spec=replace(spare.spec, service_host="compute-two"))
    migration = a_migration(target=SPARE, force=True)
    view = a_cloud_view(a_cloud([a_server()]), a_dead_host(), spare, migrations=[migration])

    [intent] = sent(view).intents

    assert intent.action == Evacuate(guest=a_guest(), attempt=1, target="compute-two", force=True)


def test_send__no_fresh_proof__asks_for_nothing_but_says_it_could() -> None:
    """So that a fresh proof is worth fighting for."""
    moves = sent(waiting_guests(1), proof=None)

    assert not moves.intents
    assert moves.can_place


def test_send__proof_of_another_term__is_a_fault() -> None:
    """It says nothing of what happened since."""
    with pytest.raises(AssertionError, match="another term"):
        sent(waiting_guests(1), proof=a_proof(Epoch(6)))


@pytest.mark.parametrize("state", [HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED])
def test_send__another_dead_host_not_shut_out__waits_for_it(state: HostState) -> None:
    """Else Nova sends guests from one dead host to another."""
    other = a_host(THIRD, state)
    view = a_cloud_view(
        a_cloud([a_server()]), a_dead_host(), a_spare(), other, migrations=[a_migration()]
    )

    moves = sent(view)

    assert not moves.intents
    assert {reason.code for reason in moves.reasons} == {"waits_for_shut_out"}


@pytest.mark.parametrize("state", [CallState.RUNNING, CallState.UNKNOWN])
def test_send__being_shut_out__lists_are_read_meanwhile(state: CallState) -> None:
    """What has to be read before a batch, and what has to be asked for, take their time at once."""
    cloud = a_cloud([a_server()], age_s=60.0, services={HOST: a_service(HOST)})
    cloud = replace(cloud, calls={str(HOST): a_call(state, attempt=0)})

    moves = sent(a_cloud_view(cloud, migrations=[a_migration()]))

    assert not moves.intents
    assert (state is CallState.RUNNING) is bool(moves.looks)


def test_send__dead_host_in_a_cell_that_is_down__is_not_waited_for() -> None:
    """Nova sends no guests there, and nobody can change its service now."""
    cloud = a_cloud([a_server()])
    unknown = replace(a_service(THIRD), is_up=None, id="")
    cloud = replace(cloud, services={**cloud.services, THIRD: unknown})
    hosts = (a_dead_host(), a_spare(), a_host(THIRD, HostState.FENCED))
    view = a_cloud_view(cloud, *hosts, migrations=[a_migration()])

    assert asked_for(sent(view)) == [1]


@pytest.mark.parametrize(
    ("age_s", "kinds"),
    [
        (1.9, set()),
        (2.1, {CloudLookKind.SERVERS_CHANGED, CloudLookKind.MIGRATIONS_CHANGED}),
    ],
)
def test_send__lists_older_than_two_seconds__are_read_again_first(
    age_s: float, kinds: set[CloudLookKind]
) -> None:
    """What is judged on must be fresh."""
    view = a_cloud_view(a_cloud([a_server()], age_s=age_s), migrations=[a_migration()])

    moves = sent(view)

    assert {getattr(look, "kind", None) for look in moves.looks} == kinds
    assert bool(moves.intents) is not bool(kinds)


def test_send__guest_untouched_since_it_was_listed__goes_by_the_older_list() -> None:
    """That nothing of it changed is as good as a list of it, and much less work for Nova."""
    moves = sent(a_cloud_view(told(set()), migrations=[a_migration()]))

    assert [1] == asked_for(moves)
    assert not moves.looks


def test_send__guest_touched_since_it_was_listed__is_listed_first() -> None:
    """What became of it is not known."""
    moves = sent(a_cloud_view(told({a_guest(1), a_guest(7)}), migrations=[a_migration()]))

    assert not moves.intents
    assert [CloudLook(kind=CloudLookKind.SERVERS_CHANGED)] == list(moves.looks)
    # Of whoever does not wait nothing has to be known.
    assert [1] == asked_for(sent(a_cloud_view(told({a_guest(7)}), migrations=[a_migration()])))


def test_send__old_word_of_who_was_touched__counts_for_nothing() -> None:
    """It has to be as fresh as a list."""
    cloud = replace(told(set()), touched_s=NOW_S - 2.1)
    view = a_cloud_view(cloud, migrations=[a_migration()])

    # Nobody is to wait for one list, and then for another, before the first guest is sent.
    assert [CloudLook(kind=CloudLookKind.SERVERS_CHANGED)] == list(sent(view).looks)
    assert [CloudLook(kind=CloudLookKind.SERVERS_TOUCHED)] == list(sent(also_flying(view)).looks)


def told(touched: set[GuestId]) -> CloudView:
    """A picture with an old list of servers, and a new word of those that changed since."""
    cloud = a_cloud([a_server()], age_s=60.0)
    fresh_s = NOW_S - 1.0
    return replace(cloud, touched=frozenset(touched), touched_s=fresh_s, traced_changes_s=fresh_s)


@pytest.mark.parametrize(("age_s", "is_sent"), [(11.9, True), (12.1, False)])
def test_send__nova_slower_than_its_lists_may_be_old__is_sent_all_the_same(
    age_s: float, *, is_sent: bool
) -> None:
    """A Nova that takes five seconds for a list must not keep guests from ever being sent."""
    took_s = {CloudLookKind.SERVERS_TOUCHED: 5.0, CloudLookKind.MIGRATIONS_CHANGED: 1.0}
    cloud = replace(a_cloud([a_server()], age_s=age_s), took_s=took_s)

    moves = sent(a_cloud_view(cloud, migrations=[a_migration()]))

    assert is_sent is bool(moves.intents)


# -- who goes -------------------------------------------------------------------------------------


def test_send__many_waiting__goes_by_priority_then_size_within_the_window() -> None:
    """The most important first, then the largest, as long as there is room for it."""
    servers = [
        a_server(1, ram_mib=512),
        a_server(2, ram_mib=4096),
        a_server(3, ram_mib=128),
        a_server(4, ram_mib=1024),
    ]
    cloud = a_cloud(servers, window=2)
    first = a_migration(3, policy=GuestPolicy(priority=1))
    view = a_cloud_view(cloud, migrations=[*(a_migration(n) for n in (1, 2, 4)), first])

    assert asked_for(sent(view)) == [3, 2]


@pytest.mark.parametrize(
    ("window", "in_flight", "is_read"),
    [(8, 7, False), (8, 6, True), (32, 25, False), (32, 24, True), (8, 8, False)],
)
def test_send__lists_old__are_read_when_many_will_go_by_them(
    window: int, in_flight: int, *, is_read: bool
) -> None:
    """What is read before a batch is paid for by all in it."""
    moves = sent(also_flying(waiting_guests(12, window=window, age_s=60.0)), in_flight=in_flight)

    assert not moves.intents
    assert is_read is bool(moves.looks)


def test_send__last_waiting_one_and_lists_old__are_read_for_it_alone() -> None:
    """No others will come to share the reading."""
    moves = sent(also_flying(waiting_guests(1, window=8, age_s=60.0)), in_flight=7)

    assert moves.looks


def test_send__lists_fresh__whoever_fits_goes_a_few_at_a_time() -> None:
    """The rest of a batch follows as Nova answers."""
    view = also_flying(waiting_guests(12, window=8))

    assert 1 == len(asked_for(sent(view, in_flight=7)))
    assert SENDING_MAX == len(asked_for(sent(view, in_flight=0)))


def test_send__first_ones_cannot_be_shown_by_nova__others_go_all_the_same() -> None:
    """A server that nobody finds, or one that stays, takes no place of the next."""
    view = waiting_guests(5, window=8)
    assert view.cloud is not None
    servers = dict(view.cloud.servers)
    servers[a_guest(2)] = a_server(2, vm_state="paused")
    cloud = replace(view.cloud, servers=servers, unlisted=frozenset({a_guest(1)}))

    moves = sent(replace(view, cloud=cloud))

    assert [3, 4, 5][:SENDING_MAX] == asked_for(moves)
    assert {migration_of(INCIDENT, a_guest(2))} <= set(writes(*moves.changes))
    assert moves.looks


def test_send__others_fill_the_window__one_slot_is_the_incidents_own() -> None:
    """One incident must not starve another, neither of requests nor of readings."""
    assert len(asked_for(sent(waiting_guests(3, window=4), in_flight=9))) == 1
    assert sent(waiting_guests(3, window=4, age_s=60.0), in_flight=9).looks


def test_send__window_wider_than_the_limit__the_limit_holds() -> None:
    """The operator's limit is a limit."""
    policy = replace(POLICY, in_flight_max=1)

    assert len(asked_for(sent(waiting_guests(5, window=30), policy=policy))) == 1


def test_send__tried_a_moment_ago__waits_out_its_back_off() -> None:
    """Nova is not asked without end for what it cannot do."""
    cloud = a_cloud([a_server()])
    migration = a_migration(reason="NoValidHost", attempts=3, since_s=NOW_S - 7.0)
    view = a_cloud_view(cloud, migrations=[migration])

    moves = sent(view)

    assert not moves.intents
    assert moves.wake_at_s == NOW_S + 1.0


def test_send__moved_meanwhile__is_closed_and_denied_to_the_dead_host() -> None:
    """It is not on the dead host any more, whoever moved it; that host must not start it again."""
    cloud = a_cloud([a_server(host=SPARE)])
    view = a_cloud_view(cloud, migrations=[a_migration()])

    moves = sent(view)

    written = writes(*moves.changes)
    closed, denial = written[migration_of(INCIDENT, a_guest())], written[grant_of(HOST, a_guest())]
    assert not asked_for(moves)
    assert isinstance(closed, MigrationRecord)
    assert closed.status is MigrationStatus.FAILED
    assert isinstance(denial, Grant)
    assert (denial.state, denial.moved_to) == (GrantState.REVOKED, SPARE)


def test_send__absent_from_its_hosts_list__is_looked_for_and_holds_up_no_other() -> None:
    """Moved or deleted, Nova has to say: a list of its host alone cannot."""
    cloud = a_cloud([a_server(2)], changed_s=NOW_S)
    view = a_cloud_view(cloud, migrations=[a_migration(1), a_migration(2)])

    moves = sent(view)

    assert not moves.changes
    assert CloudLook(kind=CloudLookKind.SERVER, guest=a_guest(1)) in moves.looks
    assert [2] == asked_for(moves)


def test_send__deleted__is_closed_and_denied_to_nobody() -> None:
    """There is nothing that could start."""
    cloud = a_cloud([a_server(vm_state="deleted", host="")])
    view = a_cloud_view(cloud, migrations=[a_migration()])

    written = writes(*sent(view).changes)

    assert {migration_of(INCIDENT, a_guest())} == set(written)


def test_send__being_evacuated_by_somebody_else__is_followed_and_not_doubled() -> None:
    """A second request would spoil both records."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="accepted")])
    view = a_cloud_view(cloud, migrations=[a_migration()])

    moves = sent(view)

    assert not moves.intents
    adopted = writes(*moves.changes)[migration_of(INCIDENT, a_guest())]
    assert isinstance(adopted, MigrationRecord)
    assert (adopted.status, adopted.number, adopted.joined) == (
        MigrationStatus.ACCEPTED,
        ROW,
        (ROW,),
    )


REFUSED = a_call(CallState.REFUSED, attempt=1, is_conflict=True, age_s=2.0)


@pytest.mark.parametrize(
    ("case", "call", "reset", "expected"),
    [
        ("never asked", None, None, Evacuate),
        ("refused for it", REFUSED, None, ResetTask),
        ("refused again", REFUSED, a_call(CallState.DONE, age_s=3.0, attempt=0), ResetTask),
        ("refused before", replace(REFUSED, attempt=0), None, Evacuate),
        ("refused for good", replace(REFUSED, is_conflict=False), None, Evacuate),
        ("being reset", REFUSED, a_call(CallState.RUNNING, attempt=0), None),
        ("was reset", REFUSED, a_call(CallState.DONE, attempt=0), Evacuate),
        ("reset was refused", REFUSED, a_call(CallState.REFUSED, attempt=0), Evacuate),
    ],
)
def test_send__dead_host_left_a_task__is_reset_once_nova_refuses_for_it(
    case: str,
    call: CloudCall | None,
    reset: CloudCall | None,
    expected: type[CloudAction] | None,
) -> None:
    """Up to Victoria Nova evacuates no guest that was being stopped when its host died."""
    action = ResetTask(guest=a_guest(), is_error=False)
    named = {str(a_guest()): call, action.subject: reset}
    calls = {name: known for name, known in named.items() if known is not None}
    cloud = replace(a_cloud([a_server(task_state="powering-off")]), calls=calls)
    view = a_cloud_view(cloud, migrations=[a_migration(attempts=1, since_s=NOW_S - 3600.0)])

    found = [type(intent.action) for intent in sent(view).intents]

    assert ([] if expected is None else [expected]) == found, case


def test_send__task_reset__is_checked_like_an_evacuation_and_keeps_the_guests_error() -> None:
    """A host that is back, and a disarm, stop it."""
    server = a_server(task_state="rebuilding", vm_state="error")
    cloud = replace(a_cloud([server]), calls={str(a_guest()): REFUSED})
    migration = a_migration(attempts=1, reason="Nova: 409", since_s=NOW_S - 3600.0)

    [intent] = sent(a_cloud_view(cloud, migrations=[migration])).intents

    assert ResetTask(guest=a_guest(), is_error=True) == intent.action
    assert {CONTROL, guard_of(HOST)} == set(checks(intent.change))


@pytest.mark.parametrize("attempts", [0, 1])
def test_send__being_rebuilt_and_no_record_read__reads_all_records_first(attempts: int) -> None:
    """A record that no destination has claimed is in no list of what changed: not ours either."""
    cloud = a_cloud([a_server(task_state="rebuilding")])
    cloud = replace(cloud, traced_s={HOST: NOW_S - 20.0}, traced_changes_s=NOW_S - 0.5)
    view = a_cloud_view(cloud, migrations=[a_migration(attempts=attempts)])

    moves = sent(view)

    assert not moves.intents
    assert CloudLookKind.MIGRATIONS_OF in {getattr(look, "kind", None) for look in moves.looks}


def test_send__stale_open_record_but_no_task__is_asked_for() -> None:
    """An accepted record of last year must not keep a guest from moving."""
    cloud = a_cloud([a_server()], [a_row(status="accepted", row=7)])
    view = a_cloud_view(cloud, migrations=[a_migration()])

    assert asked_for(sent(view)) == [1]


def test_send__record_given_up_by_us__is_not_taken_for_somebody_elses() -> None:
    """Else it would be followed again for ever."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="accepted")])
    view = a_cloud_view(cloud, migrations=[a_migration(newest=ROW, attempts=1)])

    assert asked_for(sent(view)) == [1]


# -- judged beforehand ----------------------------------------------------------------------------


def recorded(
    cloud: CloudView, *hosts: HostView, policy: EvacuationPolicy = POLICY
) -> MigrationRecord:
    """The migration of the only guest, as recorded."""
    view = a_cloud_view(cloud, *hosts)
    [incident] = view.incidents.values()
    record = writes(*record_guests(view, incident, policy, NOW_S).changes)[
        migration_of(INCIDENT, a_guest())
    ]
    assert isinstance(record, MigrationRecord)
    return record


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"vm_state": "building"}, "building"),
        ({"vm_state": "resized"}, "resized"),
        ({"vm_state": "shelved_offloaded"}, "shelved"),
        ({"task_state": "deleting"}, "deleted"),
        ({"metadata": {"HA_Enabled": "False"}}, "ha_enabled"),
        ({"extra_specs": {"hw:tpm_version": "2.0"}}, "vTPM"),
        ({"extra_specs": {"resources:VGPU": "1"}}, "vGPU"),
    ],
)
def test_record__cannot_be_evacuated__is_said_beforehand_and_opens_nothing(
    facts: dict[str, Any], word: str
) -> None:
    """Known before the first request, with its reason, and nothing is left open."""
    view = a_cloud_view(a_cloud([a_server(**facts)]))
    [incident] = view.incidents.values()

    moves = record_guests(view, incident, POLICY, NOW_S)

    written = writes(*moves.changes)
    record = written[migration_of(INCIDENT, a_guest())]
    assert isinstance(record, MigrationRecord)
    assert record.status is MigrationStatus.FAILED
    assert word in record.reason
    assert guest_of(a_guest()) not in written


def test_record__member_of_a_hard_affinity_group__is_said_beforehand() -> None:
    """Nova would always answer that there is no valid host."""
    cloud = a_cloud([a_server()], hard_affinity=frozenset({a_guest()}))

    assert "hard affinity" in recorded(cloud).reason


@pytest.mark.parametrize(
    ("image", "disks", "local", "status"),
    [
        ("img", InstanceDisks.LOCAL, LocalDiskPolicy.STAY, MigrationStatus.FAILED),
        (
            "img",
            InstanceDisks.LOCAL,
            LocalDiskPolicy.REBUILD_FROM_IMAGE,
            MigrationStatus.WAITING,
        ),
        ("img", InstanceDisks.SHARED, LocalDiskPolicy.STAY, MigrationStatus.WAITING),
        ("", InstanceDisks.LOCAL, LocalDiskPolicy.STAY, MigrationStatus.WAITING),
    ],
)
def test_record__disk__local_ones_stay_unless_their_loss_is_accepted(
    image: str, disks: InstanceDisks, local: LocalDiskPolicy, status: MigrationStatus
) -> None:
    """Nova would quietly give it a fresh disk."""
    policy = EvacuationPolicy(instance_disks=disks, local_disk=local)

    assert recorded(a_cloud([a_server(image=image)]), policy=policy).status is status


@pytest.mark.parametrize(
    ("facts", "seen", "wanted"),
    [
        ({"vm_state": "active"}, DomainState.SHUTOFF, PowerState.RUNNING),
        ({"vm_state": "stopped"}, DomainState.SHUTOFF, PowerState.SHUTOFF),
        (
            {"vm_state": "active", "task_state": "powering-off"},
            DomainState.RUNNING,
            PowerState.SHUTOFF,
        ),
        (
            {"vm_state": "stopped", "task_state": "powering-on"},
            DomainState.SHUTOFF,
            PowerState.RUNNING,
        ),
        ({"vm_state": "error"}, DomainState.SHUTOFF, PowerState.SHUTOFF),
        ({"vm_state": "error"}, DomainState.RUNNING, PowerState.RUNNING),
    ],
)
def test_record__power_state__is_what_its_owner_last_wanted(
    facts: dict[str, Any], seen: DomainState, wanted: PowerState
) -> None:
    """Not what was left of it when its host died."""
    dead = a_dead_host(domains={a_guest(): seen})

    assert recorded(a_cloud([a_server(**facts)]), dead, a_spare()).wanted is wanted


@pytest.mark.parametrize(
    ("end", "goes"),
    [
        (a_spare(domains={}), True),
        (a_spare(domains={a_guest(): DomainState.RUNNING}), False),
        (a_spare(domains={a_guest(): DomainState.PAUSED}), False),
        (a_spare(is_here=False), False),
        (a_host(SPARE, HostState.EVACUATING), True),
    ],
    ids=["not_there", "arrived", "arriving", "not_heard", "dead_too"],
)
def test_send__live_migration_in_flight__looks_at_the_other_end_first(
    end: HostView, *, goes: bool
) -> None:
    """It may run at the other end, and Nova would not know."""
    row = a_row(status="running", kind="live-migration", to=SPARE)
    cloud = a_cloud([a_server(task_state="migrating")], [row])
    shut_out = a_service(SPARE, is_down=True)
    cloud = replace(cloud, services={**cloud.services, SPARE: shut_out})
    view = a_cloud_view(cloud, a_dead_host(), end, migrations=[a_migration()])

    assert bool(sent(view).intents) is goes
