"""The picture of Nova: whole lists and lists of what changed, joined."""

from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.action import CloudLookKind
from tests.builders import HOST, SPARE, a_guest
from tests.cloud_builders import a_server

GUEST = a_guest()


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

    picture.saw_server(GUEST, None)

    assert picture.view().servers[GUEST].vm_state == "deleted"
