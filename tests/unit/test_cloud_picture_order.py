"""Answers of Nova that overtake each other, cells that number alike, records that went away."""

from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.cloud import CloudMigration
from hamon.recovery.return_path import ReturnStep
from tests.builders import HOST, SPARE, a_guest
from tests.cloud_builders import ROW, a_row, a_server
from tests.unit.test_cloud_return import a_returned_cloud, brought, returning

GUEST = a_guest()
KEY = (GUEST, ROW)


def a_picture() -> CloudPicture:
    """A picture of nothing yet."""
    return CloudPicture(Pace(window=8, limit=32))


def test_servers__long_list_is_overtaken__keeps_what_the_later_answer_told() -> None:
    """Else somebody's evacuation is forgotten, and a second one is asked for."""
    picture = a_picture()
    picture.saw_servers_of(HOST, [a_server()], 1.0)
    picture.saw_servers_changed([a_server(task_state="rebuilding")], 5.0)

    picture.saw_servers_of(HOST, [a_server()], 3.0)

    assert "rebuilding" == picture.view().servers[GUEST].task_state


def test_servers__long_list_without_a_guest_is_overtaken__the_guest_stays_listed() -> None:
    """It came to the host after the list was asked for."""
    picture = a_picture()
    picture.saw_servers_of(HOST, [], 1.0)
    picture.saw_servers_changed([a_server()], 5.0)

    picture.saw_servers_of(HOST, [], 3.0)

    assert not picture.view().unlisted


def test_server__single_answer_is_overtaken__is_not_taken_for_deleted() -> None:
    """One server that was asked for by itself is no better than a list."""
    picture = a_picture()
    picture.saw_servers_of(HOST, [a_server()], 5.0)

    picture.saw_server(GUEST, None, 3.0)

    assert "active" == picture.view().servers[GUEST].vm_state


def test_migrations__long_list_is_overtaken__keeps_what_the_later_answer_told() -> None:
    """A claim that was seen is not unseen again."""
    picture = a_picture()
    picture.saw_migrations([a_row(status="pre-migrating", to=SPARE)], 5.0, came_s=5.0)

    picture.saw_migrations([a_row()], 3.0, came_s=3.0, host=HOST)

    [row] = picture.view().migrations[GUEST]
    assert "pre-migrating" == row.status


def test_migrations__two_cells_give_the_same_number__keeps_both() -> None:
    """Each cell has a database of its own: without the guest a number names nothing."""
    picture = a_picture()
    picture.saw_migrations([a_row(1)], 1.0, came_s=1.0, host=HOST)

    picture.saw_migrations([a_row(2, source="host-of-another-cell")], 2.0, came_s=2.0)

    assert {a_guest(1), a_guest(2)} == picture.view().migrations.keys()


def test_migrations__no_longer_on_its_hosts_list__is_known_to_be_gone_until_it_is_listed() -> None:
    """Nova deletes a server's records with it."""
    picture = a_picture()
    picture.saw_migrations([a_row(status="done", to=SPARE)], 1.0, came_s=1.0, host=HOST)

    picture.saw_migrations([], 2.0, came_s=2.0, host=HOST)

    assert {KEY} == picture.view().unlisted_rows
    picture.saw_migrations([a_row(status="done", to=SPARE)], 3.0, came_s=3.0, host=HOST)
    assert not picture.view().unlisted_rows


def test_migrations__of_another_host_or_only_what_changed__says_nothing_of_a_record() -> None:
    """It would not be on these lists in any case."""
    picture = a_picture()
    picture.saw_migrations([a_row(status="done", to=SPARE)], 1.0, came_s=1.0, host=HOST)

    picture.saw_migrations([], 2.0, came_s=2.0, host="host-of-another-cell")
    picture.saw_migrations([], 3.0, came_s=3.0)

    assert not picture.view().unlisted_rows


def came_back(row: CloudMigration, *, is_listed: bool) -> ReturnStep:
    """The next step of a host from which one guest was evacuated."""
    cloud = a_returned_cloud(
        a_server(host=SPARE),
        rows=[row],
        unlisted_rows=frozenset() if is_listed else frozenset({KEY}),
    )
    step, _ = brought(returning(), cloud)
    return step


def test_return__record_of_a_guest_that_was_deleted_since__is_not_waited_for() -> None:
    """Its record went with it: nobody will ever complete it."""
    row = a_row(status="done", to=SPARE)

    assert not came_back(row, is_listed=True).changes
    assert came_back(row, is_listed=False).changes
