"""What is remembered of closed incidents, and what goes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.history import DELETED_MAX, think_history
from hamon.decide.tick import decide
from hamon.model.change import Delete, NodeKey, incident_of, migration_of
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import IncidentId
from hamon.model.policy import Policy, ReturnPolicy
from hamon.model.view import ClusterView, IncidentView
from tests.builders import (
    HOST,
    NOW_S,
    a_guest,
    a_host,
    a_migration,
    a_view,
    an_incident,
    an_own,
    owned_by,
)

KEEPS_TWO = ReturnPolicy(incidents_kept=2)
POLICY = Policy(recovery=KEEPS_TWO)


def closed(number: int, *, guests: int = 0, **others: Any) -> IncidentView:  # noqa: ANN401
    """Closed incident of day ``number``; its name does not sort as it does."""
    name = IncidentId(f"{HOST}-{100 - number}")
    moved = [a_migration(n, MigrationStatus.COMPLETED, incident=name) for n in range(1, guests + 1)]
    stamps = {"convicted": f"2026-01-{number:02}T00:00:00+00:00"}
    return an_incident(*moved, incident=name, closed=True, stamps=stamps, **others)


def deleted(view: ClusterView) -> list[NodeKey]:
    """What a round deletes."""
    [*changes] = think_history(view, KEEPS_TWO).changes
    operations = [operation for change in changes for operation in change.operations]
    assert all(isinstance(operation, Delete) for operation in operations)
    return [operation.key for operation in operations]


def test_history__more_than_are_kept__the_oldest_goes_whole() -> None:
    """With the versions it was read at, its migrations first: a folder must be empty to go."""
    oldest = closed(1, guests=2)
    name = oldest.record.value.incident

    [change] = think_history(a_view(incidents=[closed(3), oldest, closed(2)]), KEEPS_TWO).changes

    assert (
        *(
            Delete(key=migration_of(name, guest), version=migration.record.version)
            for guest, migration in sorted(oldest.migrations.items())
        ),
        Delete(key=incident_of(name), version=oldest.record.version),
    ) == change.operations
    assert ("incident_forgotten", HOST) == (change.reason.code, change.reason.subject)


def test_history__many_migrations__go_in_several_transactions() -> None:
    """The incident itself goes with the last of them."""
    oldest = closed(1, guests=DELETED_MAX + 1)

    first = deleted(a_view(incidents=[oldest, closed(2), closed(3)]))
    assert DELETED_MAX == len(first)
    assert incident_of(oldest.record.value.incident) not in first

    left = {
        guest: migration
        for guest, migration in oldest.migrations.items()
        if migration_of(oldest.record.value.incident, guest) not in first
    }
    rest = deleted(a_view(incidents=[replace(oldest, migrations=left), closed(2), closed(3)]))
    assert incident_of(oldest.record.value.incident) == rest[-1]
    assert 2 == len(rest)


@pytest.mark.parametrize(
    "incidents",
    [
        [],
        [closed(1), closed(2)],
        [closed(1), closed(2), an_incident()],
    ],
)
def test_history__no_more_than_are_kept__nothing_goes(incidents: Iterable[IncidentView]) -> None:
    """Open ones do not count."""
    assert [] == deleted(a_view(incidents=incidents))


def test_history__named_by_a_host_or_a_guest__is_kept() -> None:
    """What something is still decided by is no history; the next one goes instead of none."""
    first, second, third, fourth, fifth = (closed(day) for day in range(1, 6))
    host = a_host(HOST, HostState.UP)
    assert host.record.value is not None
    record = replace(host.record.value, incident=first.record.value.incident)
    host = replace(host, record=replace(host.record, value=record))
    moving = {a_guest(): owned_by(HOST, migration=second.record.value.incident)}
    view = a_view(host, guests=moving, incidents=[first, second, third, fourth, fifth])

    assert [incident_of(third.record.value.incident)] == deleted(view)


@pytest.mark.parametrize(
    ("others", "goes"),
    [({}, True), ({"only_host": HOST}, False), ({"is_rolled_back": True}, False)],
)
def test_decide__too_many_incidents__only_a_leader_of_all_forgets(
    others: Mapping[str, Any], *, goes: bool
) -> None:
    """Not one that acts for one host, nor one that cannot trust what it reads."""
    incidents = [closed(day) for day in range(1, 4)]

    decision = decide(a_view(incidents=incidents, own=an_own(**others)), POLICY, NOW_S)

    told = {change.reason.code for change in decision.transitions}
    assert goes is ("incident_forgotten" in told)
