"""What is told of Nova to whoever asks: a guest by its name, a host's guests, a rehearsal."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hamon.engine.answers import Answers
from hamon.engine.cloud_desk import CloudDesk
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.desk import Desk
from hamon.errors import RequestRefusedError
from hamon.evacuator.cloud.flow import is_finished
from hamon.evacuator.cloud.pacing import Pace
from hamon.evacuator.estimate import INCIDENTS, seconds_for
from hamon.model.cloud import CloudView
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import IncidentId
from hamon.model.policy import EvacuationPolicy, InstanceDisks, Mode, Policy
from hamon.model.view import ClusterView
from hamon.sim.cloud import CloudFault, SimulatedCloud
from hamon.sim.nova_records import NovaRecords
from tests.builders import (
    HOST,
    ME,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_lost_host,
    a_migration,
    a_view,
    an_incident,
)
from tests.cloud_builders import a_cloud, a_cloud_view, a_server, a_service, a_spare
from tests.unit.answering_daemon import round_over
from tests.unit.engine_world import Controller, World
from tests.virtual_clock import VirtualClock

GUEST = a_guest()
POLICY = EvacuationPolicy(instance_disks=InstanceDisks.SHARED)


@pytest.fixture
def records() -> NovaRecords:
    """A Nova with two guests on the first host."""
    found = NovaRecords(VirtualClock(), (HOST, SPARE, THIRD))
    found.add_server(GUEST, "web", HOST)
    found.add_server(a_guest(2), "db", HOST, vm_state="paused")
    return found


@pytest.fixture
def nova(records: NovaRecords) -> SimulatedCloud:
    """Its API."""
    return SimulatedCloud(VirtualClock(), records)


@pytest.fixture
def desk(nova: SimulatedCloud) -> CloudDesk:
    """A desk that asks it."""
    return CloudDesk(nova, CloudPicture(Pace(window=8.0, limit=32)), POLICY)


def a_well_view(**facts: Any) -> ClusterView:  # noqa: ANN401 - any field of the spare's service
    """Three hosts that are well, as Nova sees them too."""
    services = {str(host): a_service(host) for host in (HOST, SPARE, THIRD)}
    services[str(SPARE)] = replace(services[str(SPARE)], **facts)
    view = a_view(a_host(), a_spare(), a_spare(THIRD))
    return replace(view, cloud=CloudView(services=services))


async def test_guest__by_name_or_uuid__has_the_host_and_the_state_it_is_to_have(
    desk: CloudDesk,
) -> None:
    """The leader is asked about this host and uuid."""
    for name in ("web", GUEST):
        found = await desk.guest(name, a_well_view())

        assert (GUEST, HOST, "running") == (found["guest"], found["owner"], found["wanted"])


async def test_guest__none_several_or_elsewhere__is_refused_with_a_reason(
    desk: CloudDesk, records: NovaRecords
) -> None:
    """Nothing is guessed."""
    records.add_server(a_guest(3), "web", SPARE)
    records.add_server(a_guest(4), "far", "not-enrolled")

    for name, word in (("nobody", "no server"), ("web", "several"), ("far", "not enrolled")):
        with pytest.raises(RequestRefusedError, match=word):
            await desk.guest(name, a_well_view())


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk, view: desk.guest("web", view),
        lambda desk, view: desk.rehearsal(HOST, None, view),
    ],
    ids=["guest", "rehearsal"],
)
async def test_desk__nova_does_not_answer__says_so(
    desk: CloudDesk, nova: SimulatedCloud, ask: Callable[[CloudDesk, ClusterView], Any]
) -> None:
    """An empty list would be believed."""
    nova.fault = CloudFault.UNWELL

    with pytest.raises(RequestRefusedError, match="could not be asked"):
        await ask(desk, a_well_view())


async def test_would_evacuate__shadow_mode__tells_which_guests_and_who_stays(
    desk: CloudDesk, nova: SimulatedCloud
) -> None:
    """Before there is an incident only Nova knows whose guests they are."""
    view = a_well_view()
    dead = a_lost_host(state=HostState.SUSPECT)
    assert view.cloud is not None
    read = replace(view.cloud, services_s=NOW_S)
    view = replace(view, hosts={**view.hosts, HOST: dead}, cloud=read)
    shadow = Policy(mode=Mode.SHADOW, evacuation=POLICY)
    finished = round_over(view, policy=shadow)
    cluster = Controller(World(), ME).cluster
    whole = Desk(lambda: finished, cluster, shadow, VirtualClock(), desk)

    told = await whole.handle("explain", {"host": HOST}, "ada")

    rows = {row["name"]: row["why"] for row in told["would_evacuate"]}
    assert "" == rows["web"]
    assert "paused" in rows["db"]
    assert (await whole.handle("explain", {"host": SPARE}, "ada"))["would_evacuate"] is None

    nova.fault = CloudFault.UNWELL
    told = await whole.handle("explain", {"host": HOST}, "ada")
    assert "could not be asked" in told["guests_unknown"]


async def test_guests_of__nova_does_not_answer__says_so_beside_what_is_known(
    desk: CloudDesk, nova: SimulatedCloud
) -> None:
    """The rest of a host's page is worth most when Nova is down."""
    nova.fault = CloudFault.UNWELL

    answer = await desk.guests_of(HOST, a_well_view())

    assert answer["guests"] == []
    assert "could not be asked" in answer["guests_unknown"]


async def test_guests_of__nova_does_not_answer__has_the_guests_that_were_read_for_the_incident(
    desk: CloudDesk, nova: SimulatedCloud
) -> None:
    """Who waits for keystone is what the person on call asks first."""
    nova.fault = CloudFault.UNWELL
    read = a_cloud([a_server(2), a_server(1), a_server(3, host=SPARE)])

    answer = await desk.guests_of(HOST, a_cloud_view(read))

    assert ["guest-1", "guest-2"] == [guest["name"] for guest in answer["guests"]]
    assert "could not be asked" in answer["guests_unknown"]


async def test_guests_of__each_with_why_it_would_not_move(desk: CloudDesk) -> None:
    """Known beforehand."""
    paused, running = (await desk.guests_of(HOST, a_well_view()))["guests"]

    assert ("db", False) == (paused["name"], paused["protected"])
    assert "paused" in paused["not_movable"][0]
    assert (True, []) == (running["protected"], running["not_movable"])


@pytest.mark.parametrize(
    ("facts", "target", "fits"),
    [
        ({}, None, f"{SPARE}, {THIRD}"),
        ({}, SPARE, SPARE),
        ({"is_up": False}, None, THIRD),
        ({"is_forced_down": True}, None, THIRD),
        ({"is_enabled": False}, None, THIRD),
        ({"is_up": False}, SPARE, None),
    ],
)
async def test_rehearsal__names_where_there_is_room_and_a_service_that_is_up(
    desk: CloudDesk, facts: dict[str, Any], target: str | None, fits: str | None
) -> None:
    """Never the source; and who fits nowhere is said to find no valid host."""
    answer = await desk.rehearsal(HOST, target, a_well_view(**facts))

    _, web = answer["guests"]
    assert fits == web["destination"]
    assert ("NoValidHost" in web["why"]) == (fits is None)


async def test_rehearsal__dead_host__is_no_destination(desk: CloudDesk) -> None:
    """Also while Nova still calls it up."""
    view = a_well_view()
    dead = a_host(SPARE, HostState.EVACUATING)

    answer = await desk.rehearsal(HOST, None, replace(view, hosts={**view.hosts, SPARE: dead}))

    assert THIRD == answer["guests"][1]["destination"]


# -- how far an incident is -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "servers", "finished"),
    [
        ((MigrationStatus.DONE, MigrationStatus.FAILED), (), True),
        ((MigrationStatus.DONE, MigrationStatus.WAITING), (2,), False),
        ((MigrationStatus.DONE, MigrationStatus.PRE_MIGRATING), (2,), False),
        ((MigrationStatus.DONE,), (2,), False),
        ((), (), True),
    ],
    ids=["all ended", "one waits", "one flies", "one not recorded", "no guests"],
)
def test_is_finished__every_guest_has_a_migration_and_none_is_open(
    statuses: tuple[MigrationStatus, ...],
    servers: tuple[int, ...],
    finished: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """One that could not move is told, and holds up nothing."""
    migrations = [a_migration(n, status) for n, status in enumerate(statuses, 1)]
    view = a_cloud_view(a_cloud([a_server(n) for n in servers]), migrations=migrations)
    [incident] = view.incidents.values()

    assert finished is is_finished(view, incident)


def test_explain__by_a_standby__does_not_guess_what_the_leader_has_read() -> None:
    """It reads nothing of Nova by itself, and would say that Nova does not answer."""
    view = a_cloud_view(CloudView())

    standby = Answers(round_over(view, is_leading=False), Policy(), NOW_S).explain(HOST)
    leader = Answers(round_over(view), Policy(), NOW_S).explain(HOST)

    assert ["nova_read_by_leader_only"] == [reason["code"] for reason in standby["reasons"]]
    assert [] == standby["planned"]
    assert "nova_read_by_leader_only" not in {reason["code"] for reason in leader["reasons"]}


@pytest.mark.parametrize(("age_s", "finished"), [(5.0, None), (2.0, True)])
def test_is_finished__guests_read_before_the_incident__cannot_be_told(
    age_s: float, *, finished: bool | None
) -> None:
    """They are those that the host had when it died before."""
    view = a_cloud_view(a_cloud(age_s=age_s))
    [incident] = view.incidents.values()

    assert finished is is_finished(view, replace(incident, since_s=NOW_S - 3.0))


def test_is_finished__guests_not_read__cannot_be_told() -> None:
    """A host without migrations is not a host without guests."""
    view = a_cloud_view(CloudView())
    [incident] = view.incidents.values()

    assert is_finished(view, incident) is None


def an_incident_that_took(seconds: int, number: int, guests: int = 1) -> Any:  # noqa: ANN401
    """One that was evacuated so many seconds after the conviction."""
    migrations = [a_migration(n, MigrationStatus.DONE) for n in range(1, guests + 1)]
    day = f"2030-01-{number:02}T00"
    stamps = {
        "convicted": f"{day}:00:00Z",
        "evacuated": f"{day}:{seconds // 60:02}:{seconds % 60:02}Z",
    }
    return an_incident(*migrations, incident=IncidentId(f"{HOST}-{number}"), stamps=stamps)


def test_estimate__nothing_measured__says_nothing() -> None:
    """A guess would be believed."""
    assert seconds_for(a_view(a_host()), 3) is None


def test_estimate__the_middle_of_the_last_ones__for_each_guest() -> None:
    """One bad night does not count, and what is long past neither."""
    old = [an_incident_that_took(3000, number) for number in range(1, 6)]
    recent = [an_incident_that_took(40, number, guests=4) for number in range(6, 6 + INCIDENTS - 1)]
    bad = an_incident_that_took(3000, 28)

    assert 30.0 == seconds_for(a_view(a_host(), incidents=[*old, *recent, bad]), 3)
