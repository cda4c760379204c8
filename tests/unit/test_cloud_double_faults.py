"""A second fault on a guest's way in a nova cloud: it is neither started twice nor forgotten."""

from dataclasses import replace

from hamon.evacuator.cloud.in_place import start_in_place
from hamon.evacuator.cloud.judge import MOVES
from hamon.evacuator.cloud.record import record_guest
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.change import migration_of
from hamon.model.cloud import CallState, Progress
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import DomainState, HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.view import HostView, MigrationView
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_migration,
    an_incident,
)
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
from tests.unit.test_cloud_return import a_returned_cloud, brought, returning
from tests.unit.test_cloud_send import sent
from tests.unit.test_cloud_track import followed, in_flight, spare_with, written

GUEST = a_guest()


# -- the destination is lost ----------------------------------------------------------------------


def test_track__destination_dies_after_done_and_before_it_was_seen__is_done_there() -> None:
    """Its agent will never see it: only the destination's own incident can take the guest on."""
    cloud = a_cloud([a_server(host=SPARE)], [a_row(status="done", to=SPARE)])
    dead = a_host(SPARE, HostState.FENCED, domains={GUEST: DomainState.RUNNING})

    done = written(followed(cloud, in_flight(), a_dead_host(), dead))

    assert done is not None
    assert (MigrationStatus.DONE, SPARE) == (done.status, done.dest_compute)


def test_track__destination_dies_while_it_restores_the_power_state__is_done_there() -> None:
    """Nobody ends the task that its nova-compute left behind."""
    cloud = a_cloud(
        [a_server(host=SPARE, task_state="powering-off")], [a_row(status="done", to=SPARE)]
    )

    done = written(followed(cloud, in_flight(), a_dead_host(), a_host(SPARE, HostState.FENCED)))

    assert done is not None
    assert done.status is MigrationStatus.DONE


def test_track__moved_on_after_it_arrived__is_done_where_it_is() -> None:
    """An operator moved it before it was confirmed: it will never be at its first destination."""
    cloud = a_cloud([a_server(host=THIRD)], [a_row(status="done", to=SPARE)])
    third = a_spare(THIRD, domains={GUEST: DomainState.RUNNING})

    done = written(followed(cloud, in_flight(), a_dead_host(), a_spare(), third))

    assert done is not None
    assert (MigrationStatus.DONE, THIRD) == (done.status, done.dest_compute)


def rebuilding_on_rebooted(spare: HostView) -> list[str]:
    """What is said of a guest whose destination booted anew while it was rebuilt there."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row(status="pre-migrating", to=SPARE)])
    migration = in_flight(MigrationStatus.PRE_MIGRATING, row=ROW, dest_compute=SPARE)
    record = replace(migration.record.value, dest_boot=BOOT)
    migration = replace(migration, record=replace(migration.record, value=record))
    moves = followed(cloud, migration, a_dead_host(), spare)
    return [change.reason.code for change in moves.changes] + [r.code for r in moves.reasons]


def test_track__destination_rebooted_and_runs_it__is_not_asked_for_again() -> None:
    """libvirt-guests starts what ran at an orderly shutdown, also what Nova had not finished."""
    spare = a_host(SPARE, boot_id=NEXT_BOOT, is_here=True, domains={GUEST: DomainState.RUNNING})

    assert ["guest_runs_unknown_to_nova"] == rebuilding_on_rebooted(spare)


def test_track__destination_rebooted_and_has_not_listed_yet__is_waited_for() -> None:
    """What its agent listed in the former boot says nothing of this one."""
    spare = a_host(SPARE, boot_id=NEXT_BOOT, is_here=True, domains={})
    assert spare.domains is not None
    spare = replace(spare, domains=replace(spare.domains, boot_id=BOOT))

    assert ["failed_rebuild_not_seen"] == rebuilding_on_rebooted(spare)


def test_track__destination_rebooted_and_does_not_run_it__is_asked_for_again() -> None:
    """What it had made of the guest is over."""
    spare = a_host(SPARE, boot_id=NEXT_BOOT, is_here=True, domains={})

    assert ["destination_rebooted"] == rebuilding_on_rebooted(spare)


# -- a record that was given up -------------------------------------------------------------------


def given_up() -> MigrationView:
    """A guest whose request nobody took up for long, waiting to be asked for again."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row()])
    cloud = replace(cloud, progress={GUEST: Progress()}, progress_s={GUEST: NOW_S - 1.0})
    cloud = replace(cloud, traced_changes_s=NOW_S - 0.5)
    waiting = written(followed(cloud, in_flight(row=ROW, since_s=NOW_S - 500.0)))
    assert waiting is not None
    assert waiting.status is MigrationStatus.WAITING
    migration = a_migration(since_s=NOW_S - 100.0)
    return replace(migration, record=replace(migration.record, value=waiting))


def test_send__given_up_as_stuck_and_claimed_since__is_followed_and_not_doubled() -> None:
    """The compute that was slow rebuilds it now: a second request would start it twice."""
    cloud = a_cloud(
        [a_server(task_state="rebuild_spawning")], [a_row(status="pre-migrating", to=SPARE)]
    )
    view = a_cloud_view(cloud, migrations=[given_up()])

    moves = sent(view)

    assert not moves.intents
    [change] = moves.changes
    adopted = writes(change)[migration_of(INCIDENT, GUEST)]
    assert isinstance(adopted, MigrationRecord)
    assert (MigrationStatus.ACCEPTED, ROW, (ROW,)) == (
        adopted.status,
        adopted.number,
        adopted.joined,
    )


def test_send__given_up_as_stuck_and_still_unclaimed__is_asked_for_again() -> None:
    """Following it once more would wait for ever."""
    cloud = a_cloud([a_server(task_state="rebuilding")], [a_row()])

    [intent] = sent(a_cloud_view(cloud, migrations=[given_up()])).intents

    accepted = writes(intent.change)[migration_of(INCIDENT, GUEST)]
    assert isinstance(accepted, MigrationRecord)
    assert (ROW,) == accepted.joined


def test_send__asked_before_and_being_rebuilt__reads_all_records_first() -> None:
    """Its record is in no list of what changed before it is claimed: somebody may have asked."""
    cloud = a_cloud(
        [a_server(task_state="rebuilding")],
        age_s=20.0,
        changed_s=NOW_S - 0.5,
        traced_changes_s=NOW_S - 0.5,
    )
    view = a_cloud_view(cloud, migrations=[a_migration(attempts=1)])

    moves = sent(view)

    assert not moves.intents
    assert CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=HOST) in moves.looks


def test_record__opened_again_by_a_person__remembers_what_was_asked_before() -> None:
    """Else an answer or a record of an earlier attempt is taken for one of the next."""
    failed = a_migration(status=MigrationStatus.FAILED, attempts=2)
    value = replace(failed.record.value, newest=ROW, joined=(7,))
    failed = replace(failed, record=replace(failed.record, value=value))
    view = a_cloud_view(a_cloud([a_server()]), migrations=[failed])
    incident = an_incident().record.value

    again = writes(record_guest(view, incident, a_server(), MOVES, GuestPolicy(), failed))[
        migration_of(INCIDENT, GUEST)
    ]

    assert isinstance(again, MigrationRecord)
    assert (MigrationStatus.WAITING, 2, ROW, (7,)) == (
        again.status,
        again.attempts,
        again.newest,
        again.joined,
    )


# -- started again in place -----------------------------------------------------------------------


def test_in_place__no_longer_on_its_hosts_list__is_not_rebooted_nor_waited_for() -> None:
    """It was deleted, or lives elsewhere by now: a reboot would hit it there."""
    host = returning(domains={})
    cloud = a_returned_cloud(a_server(), unlisted=frozenset({GUEST}))

    assert start_in_place(a_cloud_view(cloud, host, a_spare()), host, NOW_S) is None


def test_in_place__runs_on_another_host__is_not_started_a_second_time() -> None:
    """A live migration had switched over when its source died: Nova does not know."""
    host = returning(domains={})
    view = a_cloud_view(a_returned_cloud(a_server()), host, spare_with())

    moves = start_in_place(view, host, NOW_S)

    assert moves is not None
    assert not moves.intents
    assert "guest_runs_elsewhere" in [reason.code for reason in moves.reasons]


# -- let serve again ------------------------------------------------------------------------------


def test_return__nova_refuses_to_lift_the_force_down__its_words_are_told() -> None:
    """Else a host that never comes back says only that it is not up."""
    words = "Unable to force up host: evacuations are done"
    refused = a_call(CallState.REFUSED, age_s=0.5, attempt=0, why=words)
    cloud = a_returned_cloud(is_down=True, calls={str(HOST): refused})

    step, _ = brought(returning(), cloud)

    assert not step.intents
    [told] = step.reasons
    assert ("force_down_not_lifted", words) == (told.code, told.facts["why"])
