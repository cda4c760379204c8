"""What operators ask for guests of a nova cloud: reopened, retargeted, or refused with a reason."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.model.change import guest_of, incident_of, migration_of, request_of
from hamon.model.cloud import CloudView
from hamon.model.control import Request, RequestKind, RequestState
from hamon.model.guest import GuestRecord
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy, InstanceDisks, Policy
from hamon.model.view import HostView, MigrationView
from tests.builders import HOST, INCIDENT, NOW_S, SPARE, a_guest, a_host, a_migration, a_request
from tests.cloud_builders import a_cloud, a_cloud_view, a_dead_host, a_server, a_service, a_spare
from tests.decisions import changes_of, checks, writes

GUEST = a_guest()
MIGRATION = migration_of(INCIDENT, GUEST)
ONLY_NOVA = HostName("compute-without-agent")
SEQUENCE = "r-0000000000"
POLICY = Policy(evacuation=EvacuationPolicy(instance_disks=InstanceDisks.SHARED))


def asked(
    cloud: CloudView,
    *migrations: MigrationView,
    hosts: tuple[HostView, ...] = (),
    kind: RequestKind = RequestKind.EVACUATE,
    only: tuple[Any, ...] = (),
    **others: Any,  # noqa: ANN401 - any field of the request
) -> tuple[Request, dict[Any, Any]]:
    """The answer to a request for the guest, and what is written with it."""
    others.setdefault("guest", GUEST if kind is RequestKind.EVACUATE else None)
    view = a_cloud_view(cloud, *hosts, migrations=migrations)
    if only:
        [incident] = view.incidents.values()
        narrow = replace(incident.record.value, only=only)
        incident = replace(incident, record=replace(incident.record, value=narrow))
        view = replace(view, incidents={INCIDENT: incident})
    view = replace(view, requests={SEQUENCE: a_request(kind, HOST, **others)})
    changes = changes_of(decide(view, POLICY, NOW_S))
    [change] = [one for one in changes if request_of(SEQUENCE) in checks(one)]
    written: dict[Any, Any] = dict(writes(change))
    answer = written.pop(request_of(SEQUENCE))
    assert isinstance(answer, Request)
    return answer, written


def could_not_move() -> MigrationView:
    """The guest's migration, which was given up."""
    return a_migration(status=MigrationStatus.FAILED, reason="vm_state paused")


def test_evacuate__could_not_move_before__is_opened_again_with_the_target() -> None:
    """Its owner has unpaused it, or the operator has reset its state."""
    answer, written = asked(a_cloud([a_server()]), could_not_move(), target=SPARE)

    again, owned = written[MIGRATION], written[guest_of(GUEST)]
    assert RequestState.ACCEPTED is answer.state
    assert isinstance(again, MigrationRecord)
    assert isinstance(owned, GuestRecord)
    assert (MigrationStatus.WAITING, SPARE, INCIDENT) == (
        again.status,
        again.target,
        owned.migration,
    )


def test_evacuate__still_cannot_move__is_refused_with_the_reason() -> None:
    """And nothing is opened."""
    answer, written = asked(a_cloud([a_server(vm_state="paused")]), could_not_move())

    assert RequestState.REFUSED is answer.state
    assert "paused" in answer.answer
    assert not written


def test_evacuate__not_read_from_nova__is_refused_for_now() -> None:
    """What it is decides whether it can move."""
    answer, written = asked(a_cloud([]))

    assert (RequestState.REFUSED, {}) == (answer.state, written)


def test_evacuate__left_out_of_the_incident__joins_it() -> None:
    """The incident is widened by one guest."""
    cloud = a_cloud([a_server(), a_server(2)])
    waiting = a_migration(2)

    answer, written = asked(cloud, waiting, only=(a_guest(2),))

    incident = written[incident_of(INCIDENT)]
    assert RequestState.ACCEPTED is answer.state
    assert isinstance(incident, IncidentRecord)
    assert (a_guest(2), GUEST) == incident.only
    assert MIGRATION in written


@pytest.mark.parametrize("status", [MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING])
def test_evacuate__on_its_way__is_refused(status: MigrationStatus) -> None:
    """Newest Nova would take a second request, and spoil both."""
    answer, written = asked(a_cloud([a_server()]), a_migration(status=status), target=SPARE)

    assert RequestState.REFUSED is answer.state
    assert not written


def test_evacuate__waiting__gets_the_target_it_is_now_asked_for() -> None:
    """One that waits for room may go where the operator knows of some."""
    answer, written = asked(a_cloud([a_server()]), a_migration(), target=SPARE)

    assert RequestState.ACCEPTED is answer.state
    assert SPARE == written[MIGRATION].target


@pytest.mark.parametrize(
    ("target", "word"),
    [(ONLY_NOVA, ""), (HostName("nowhere"), "ComputeHostNotFound"), (HOST, "same one")],
)
def test_evacuate__target__may_be_a_compute_that_only_nova_knows(
    target: HostName, word: str
) -> None:
    """Nova decides whether it takes it; a name that nobody knows is said at once."""
    cloud = a_cloud([a_server()])
    known = {**cloud.services, ONLY_NOVA: a_service(ONLY_NOVA)}

    answer, written = asked(replace(cloud, services=known), could_not_move(), target=target)

    if word:
        assert (RequestState.REFUSED, {}) == (answer.state, written)
        assert word in answer.answer
    else:
        assert RequestState.ACCEPTED is answer.state
        assert ONLY_NOVA == written[MIGRATION].target


@pytest.mark.parametrize("kind", [RequestKind.EVACUATE, RequestKind.EVACUATE_HOST])
def test_evacuate__host_is_alive__is_refused_in_novas_words(kind: RequestKind) -> None:
    """``ComputeServiceInUse``: guests of a live host are migrated live."""
    answer, written = asked(a_cloud([a_server()]), hosts=(a_host(), a_spare()), kind=kind)

    assert (RequestState.REFUSED, {}) == (answer.state, written)
    assert f"Compute service of {HOST} is still in use" in answer.answer


def test_evacuate_host__dead_already__gives_those_that_wait_the_target() -> None:
    """Those on their way are left alone."""
    migrations = (a_migration(1), a_migration(2, MigrationStatus.ACCEPTED))
    cloud = a_cloud([a_server(), a_server(2)])

    answer, written = asked(
        cloud,
        *migrations,
        hosts=(a_dead_host(), a_spare()),
        kind=RequestKind.EVACUATE_HOST,
        target=SPARE,
    )

    assert RequestState.ACCEPTED is answer.state
    assert SPARE == written[MIGRATION].target
    assert migration_of(INCIDENT, a_guest(2)) not in written
