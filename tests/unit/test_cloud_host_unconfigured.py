"""A host that was taken out of hosts.d, or cannot be read, while there are incidents of it."""

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from hamon.decide.tick import decide
from hamon.model.guest import GrantState
from hamon.model.guest_policy import GuestPolicy, ReadyCheck
from hamon.model.host import HostState
from hamon.model.incident import OPEN_MIGRATIONS, MigrationStatus
from hamon.model.names import BootId, HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.view import ClusterView, IncidentView
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_power_word,
    a_view,
    an_entry,
    an_incident,
    off_twice,
    owned_by,
)
from tests.cloud_builders import a_cloud, a_cloud_view, a_row, a_server

GONE = HostName("host-9")
STATUSES = tuple(enumerate(MigrationStatus, start=1))
CHECKED = GuestPolicy(priority=1, ready=ReadyCheck.TCP, ready_address="10.0.0.1", ready_port=80)


@pytest.mark.parametrize("status", [MigrationStatus.WAITING, MigrationStatus.ACCEPTED])
def test_decide__host_of_an_open_incident_not_configured__is_said_and_breaks_nothing(
    status: MigrationStatus,
) -> None:
    """`hamon host remove` asks for that first; every other host is still looked after."""
    view = a_cloud_view(a_cloud([a_server()]), migrations=[a_migration(status=status)])
    view = replace(view, hosts={SPARE: view.hosts[SPARE]})

    decision = decide(view, Policy(), NOW_S)

    [told] = [reason for reason in decision.reasons if reason.code == "host_not_configured"]
    assert HOST == told.subject


@pytest.mark.parametrize("is_nova", [True, False], ids=["nova", "libvirt"])
@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "open"])
@pytest.mark.parametrize("state", sorted(HostState))
def test_decide__incident_of_a_host_not_configured__breaks_nothing(
    state: HostState, *, is_closed: bool, is_nova: bool
) -> None:
    """A leader that cannot think ends, and so does the next: nobody would be evacuated at all.

    Nor does it when the records of guests cannot be read.
    """
    rows = ("accepted", "pre-migrating", "done", "completed", "failed", "error")
    whereabouts = (None, HOST, SPARE, GONE)
    for row, place, boot in product(rows, whereabouts, (None, BOOT, NEXT_BOOT)):
        view = a_world_without(state, place, boot, is_closed=is_closed)
        if is_nova:
            view = in_nova(view, row, place)

        decide(view, Policy(), NOW_S)
        decide(replace(view, guests={}), Policy(), NOW_S)


def a_world_without(
    state: HostState, destination: HostName | None, boot: BootId | None, *, is_closed: bool
) -> ClusterView:
    """Guests of a configured host and of one that is not, in every status of a migration.

    ``boot``: in which the configured one is here, None: it is not.
    """
    mine = of_host(HOST, destination, from_number=0)
    theirs = of_host(GONE, destination, from_number=10, is_closed=is_closed)
    # An incident that is closed has nothing open, but what a torn reading may show of it.
    guests = {
        guest: owned_by(
            migration.record.value.source_compute,
            UUID(guest).int,
            migration=migration.record.value.incident
            if migration.record.value.status in OPEN_MIGRATIONS
            else None,
        )
        for incident in (mine, theirs)
        for guest, migration in incident.migrations.items()
    }
    source = a_host(
        HOST,
        state,
        boot_id=boot or BOOT,
        is_here=boot is not None,
        readings=off_twice(HOST),
        shot_settled_s=NOW_S - 20.0,
        entries=[an_entry(number) for number, _ in STATUSES],
        grants={a_guest(number): a_grant() for number, _ in STATUSES},
    )
    spare = a_host(
        SPARE,
        boot_id=NEXT_BOOT,
        grants={a_guest(18): a_grant(GrantState.REVOKED, moved_to=GONE)},
    )
    return a_view(source, spare, guests=guests, incidents=[theirs, mine])


def of_host(
    host: HostName, destination: HostName | None, *, from_number: int, is_closed: bool = False
) -> IncidentView:
    """An incident with one guest in each status, whom others wait for."""
    incident = INCIDENT if host == HOST else IncidentId(f"{host}-1")
    return an_incident(
        *(
            a_migration(
                from_number + number,
                status,
                source=host,
                incident=incident,
                dest_compute=destination,
                target=destination,
                tried=() if destination is None else (destination,),
                policy=CHECKED,
            )
            for number, status in STATUSES
        ),
        host=host,
        incident=incident,
        closed=is_closed,
        proof=a_power_word(),
    )


def in_nova(view: ClusterView, row: str, destination: HostName | None) -> ClusterView:
    """The same in a nova cloud, which has a record of every guest, and lists one elsewhere."""
    sources = {
        UUID(guest).int: incident.record.value.host
        for incident in view.incidents.values()
        for guest in incident.migrations
    }
    servers = [a_server(number, host=source) for number, source in sources.items()]
    found = [
        a_row(number, row, to=destination or "", source=source)
        for number, source in sources.items()
    ]
    return replace(view, cloud=a_cloud(servers, found))
