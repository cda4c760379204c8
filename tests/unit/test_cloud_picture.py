"""The picture of Nova: whole lists and lists of what changed, joined."""

from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import CallState
from tests.builders import HOST, SPARE, a_guest
from tests.cloud_builders import ROW, a_call, a_row, a_server, a_service

GUEST = a_guest()
CHANGES = CloudLook(kind=CloudLookKind.SERVERS_CHANGED)


def a_picture() -> CloudPicture:
    """A picture of nothing yet."""
    return CloudPicture(Pace(window=8, limit=32))


def test_servers__guest_no_longer_listed_on_its_host__is_somewhere_and_not_gone() -> None:
    """A guest that arrived between two lists must not look deleted."""
    picture = a_picture()
    picture.saw_servers_of(HOST, [a_server()], 1.0)

    picture.saw_servers_of(HOST, [], 2.0)

    assert picture.view().unlisted == {GUEST}
    picture.saw_servers_changed([a_server(host=SPARE)], 3.0)
    assert picture.view().servers[GUEST].host == SPARE
    assert not picture.view().unlisted


def test_asks__changes__from_when_the_last_list_of_them_was_asked_for() -> None:
    """However long nobody read, and whatever else told the time since, none is passed over."""
    picture = a_picture()
    picture.saw_services([a_service(HOST, beat_at="2026-01-01T00:01:00")], 0.0)
    picture.clock.asks(CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=HOST))
    picture.saw_servers_of(HOST, [a_server()], 1.0)
    picture.saw_services([a_service(HOST, beat_at="2026-01-01T00:30:00")], 2.0)

    assert picture.clock.asks(CHANGES) == "2026-01-01T00:00:50Z"
    # It did not come; the next one must tell of the same time.
    assert picture.clock.asks(CHANGES) == "2026-01-01T00:00:50Z"
    picture.saw_servers_changed([], 3.0)
    assert picture.clock.asks(CHANGES) == "2026-01-01T00:29:50Z"


def test_asks__who_was_touched__from_the_last_list_of_changes_on() -> None:
    """Who was touched stays so until what became of him is read."""
    picture = a_picture()
    touched = CloudLook(kind=CloudLookKind.SERVERS_TOUCHED)
    picture.saw_services([a_service(HOST, beat_at="2026-01-01T00:01:00")], 0.0)
    picture.clock.asks(CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=HOST))
    picture.saw_servers_of(HOST, [a_server()], 1.0)
    picture.saw_services([a_service(HOST, beat_at="2026-01-01T00:30:00")], 2.0)

    for asked_s in (3.0, 4.0):
        assert picture.clock.asks(touched) == "2026-01-01T00:00:50Z"
        picture.saw_touched(frozenset({GUEST}), asked_s)

    assert picture.clock.asks(CHANGES) == "2026-01-01T00:00:50Z"
    picture.saw_servers_changed([], 5.0)
    assert picture.clock.asks(touched) == "2026-01-01T00:29:50Z"
    assert (picture.view().touched, picture.view().touched_s) == (frozenset({GUEST}), 4.0)


def test_ended__record_shown_again__is_known_from_the_first_list_on() -> None:
    """What was asked for after that, shows what the end of it made."""
    picture = a_picture()
    picture.saw_migrations([a_row(status="accepted")], 1.0, came_s=2.0, host=HOST)
    picture.saw_migrations([a_row(status="done")], 3.0, came_s=5.0)
    picture.saw_migrations([a_row(status="completed")], 6.0, came_s=7.0)

    assert picture.view().ended_s == {(GUEST, ROW): 5.0}


def test_took__reading_done__is_known_until_it_is_done_again() -> None:
    """How slow Nova is outlives the incident: the next one begins with it."""
    picture = a_picture()
    picture.took(CloudLookKind.SERVERS_CHANGED, 5.0)
    picture.took(CloudLookKind.SERVERS_CHANGED, 3.0)
    picture.took(CloudLookKind.SERVICES, 1.0)
    picture.forget()

    assert picture.view().took_s == {
        CloudLookKind.SERVERS_CHANGED: 3.0,
        CloudLookKind.SERVICES: 1.0,
    }


def test_server__nova_has_none_of_its_uuid__is_deleted() -> None:
    """That is Nova's word, and not a conclusion."""
    picture = a_picture()
    picture.saw_servers_of(HOST, [a_server()], 1.0)

    picture.saw_server(GUEST, None, 2.0)

    assert picture.view().servers[GUEST].vm_state == "deleted"


def test_window__evacuation_claimed__is_widened_once_for_each_of_ours() -> None:
    """A claim tells that Nova keeps up; its arrival tells nothing more."""
    picture = a_picture()
    picture.called(GUEST, a_call(CallState.DONE))
    picture.saw_migrations([a_row(), a_row(2, "pre-migrating")], 1.0, came_s=1.0)
    assert picture.view().window == 8

    for asked_s, status in ((2.0, "pre-migrating"), (3.0, "pre-migrating"), (4.0, "done")):
        picture.saw_migrations([a_row(status=status, to=SPARE)], asked_s, came_s=asked_s)

        assert picture.view().window == 9
