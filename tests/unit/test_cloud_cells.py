"""A cell that is down: what Nova does not list is not gone, and nobody is left out unsaid."""

from dataclasses import replace

import pytest

from hamon.evacuator.cloud.flow import is_finished, move_guests
from hamon.evacuator.cloud.track import track
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import CloudView
from hamon.model.incident import MigrationStatus
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView
from tests.builders import HOST, NOW_S, a_guest, a_migration
from tests.cloud_builders import a_cloud, a_cloud_view, a_proof, a_server, a_service
from tests.unit.test_cloud_track import followed, in_flight

GUEST = a_guest()
POLICY = EvacuationPolicy()


def in_lost_cell(cloud: CloudView) -> CloudView:
    """The cloud, when Nova does not reach the cell of the first host."""
    unknown = replace(a_service(HOST), id="", is_up=None)
    return replace(cloud, services={**cloud.services, str(HOST): unknown})


def finished(view: ClusterView) -> bool | None:
    """Whether the incident's guests are through."""
    [incident] = view.incidents.values()
    return is_finished(view, incident)


def test_finished__cell_is_down__is_not_known() -> None:
    """Its guests are in no list: they would be forgotten, and the host called evacuated."""
    assert finished(a_cloud_view(a_cloud())) is True
    assert finished(a_cloud_view(in_lost_cell(a_cloud()))) is None


@pytest.mark.parametrize("services_s", [None, NOW_S - 9.0])
def test_finished__no_guest_and_cell_not_looked_at_since__is_not_known(
    services_s: float | None,
) -> None:
    """The list may be empty because its cell was not reached."""
    view = a_cloud_view(a_cloud(services_s=services_s))

    assert finished(view) is None


def test_finished__guests_were_listed__services_need_not_be_read_again() -> None:
    """A list with guests on it came from a cell that was reached."""
    done = a_migration(status=MigrationStatus.FAILED)
    view = a_cloud_view(a_cloud([a_server()], services_s=NOW_S - 9.0), migrations=[done])

    assert finished(view) is True


def test_move__cell_is_down__asks_for_nothing_and_says_so() -> None:
    """A request would fail, and be taken for the guest's fault."""
    view = a_cloud_view(in_lost_cell(a_cloud([a_server()])), migrations=[a_migration()])
    [incident] = view.incidents.values()

    moves = move_guests(view, incident, a_proof(), POLICY, held={}, in_flight=0, now_s=NOW_S)

    assert not moves.intents
    assert not moves.looks
    assert ["waits_for_cell"] == [reason.code for reason in moves.reasons]


def test_track__cell_is_down__concludes_nothing_and_says_so() -> None:
    """Neither that a request was lost, nor that a guest is gone."""
    view = a_cloud_view(in_lost_cell(a_cloud()), migrations=[in_flight(since_s=NOW_S - 900.0)])
    [incident] = view.incidents.values()

    moves = track(view, incident, POLICY, NOW_S)

    assert not moves.changes
    assert ["waits_for_cell"] == [reason.code for reason in moves.reasons]


def test_track__no_record_and_cell_not_looked_at_since__is_not_given_up_as_lost() -> None:
    """The lists without it may be those of a cell that was not reached."""
    cloud = a_cloud([a_server()], services_s=NOW_S - 9.0)

    moves = followed(cloud, in_flight(since_s=NOW_S - 900.0))

    assert not moves.changes
    assert (CloudLook(kind=CloudLookKind.SERVICES),) == moves.looks
