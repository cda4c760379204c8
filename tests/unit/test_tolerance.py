"""How many more hosts may fail before a guest finds no place."""

from dataclasses import replace

import pytest

from hamon.decide.tolerance import FAILURES_MAX, tolerable_failures
from hamon.model.control import Hold, HoldKind
from hamon.model.guest import InventoryEntry, NotMovable
from hamon.model.guest_policy import EVACUATE
from hamon.model.host import HostState
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import HostView
from tests.builders import HOST, SPARE, THIRD, a_host, a_view, an_entry

POLICY = EvacuationPolicy(reserved_ram_mib=0)


def count(*hosts: HostView, in_force: tuple[Hold, ...] = ()) -> int:
    """Count the failures that these hosts could bear."""
    return tolerable_failures(a_view(*hosts), POLICY, in_force)


def carrying(name: HostName, *ram_mib: int, room_mib: int, first: int = 1) -> HostView:
    """A host with guests of these sizes, and room for so much in all."""
    entries = [an_entry(first + i, ram_mib=each, vcpus=0) for i, each in enumerate(ram_mib)]
    return a_host(name, entries=entries, ram_mib=room_mib)


def test_failures__room_for_one_host__are_one() -> None:
    """Three hosts, two full guests: one may go, the second would take its guests with it."""
    hosts = (
        carrying(HOST, 500, room_mib=1000, first=1),
        carrying(SPARE, 500, room_mib=1000, first=2),
        carrying(THIRD, 500, room_mib=1000, first=3),
    )

    assert count(*hosts) == 1


def test_failures__guests_that_were_placed__move_again_with_the_host_that_took_them() -> None:
    """The second host fails with what it took from the first."""
    hosts = (
        carrying(HOST, 300, room_mib=1000, first=1),
        carrying(SPARE, 200, room_mib=1000, first=2),
        carrying(THIRD, 100, room_mib=599, first=3),
    )

    assert count(*hosts) == 1
    assert count(*hosts[:2], carrying(THIRD, 100, room_mib=600, first=3)) == 2


def test_failures__one_guest_that_fits_nowhere__are_none() -> None:
    """Nobody asks how many would."""
    hosts = (carrying(HOST, 100, 900, room_mib=1000), carrying(SPARE, room_mib=899))

    assert count(*hosts) == 0


def test_failures__many_guests_for_one_destination__have_time_to_settle() -> None:
    """How many start there at once is no question of room."""
    many = [1] * (2 * POLICY.in_flight_per_destination_max)

    assert count(carrying(HOST, *many, room_mib=1000), carrying(SPARE, room_mib=1000)) == 1


@pytest.mark.parametrize(
    "entry",
    [
        an_entry(ram_mib=900, not_movable=(NotMovable.NVRAM,)),
        an_entry(ram_mib=900, choices={EVACUATE: "false"}),
    ],
    ids=["not_movable", "opted_out"],
)
def test_failures__guest_that_does_not_move__needs_no_place(entry: InventoryEntry) -> None:
    """It stays with its host, whatever fails."""
    assert count(a_host(HOST, entries=[entry]), carrying(SPARE, room_mib=100)) == 1


def test_failures__reserved_host__is_put_to_use_for_them() -> None:
    """That is what it is kept for."""
    reserve = carrying(SPARE, room_mib=1000)
    reserve = replace(reserve, spec=replace(reserve.spec, reserved=True))

    assert count(carrying(HOST, 900, room_mib=1000), reserve) == 1


@pytest.mark.parametrize("state", [HostState.DEGRADED, HostState.QUARANTINED, HostState.SUSPECT])
def test_failures__host_that_takes_no_guests__is_no_place(state: HostState) -> None:
    """Nor one that is held."""
    full = carrying(HOST, 900, room_mib=1000)
    held = Hold(kind=HoldKind.MAINTENANCE, scope=SPARE, reason="")

    assert count(full, a_host(SPARE, state, ram_mib=5000)) == 0
    assert count(full, carrying(SPARE, room_mib=1000), in_force=(held,)) == 0


def test_failures__of_a_cluster_without_hosts_or_with_very_many__are_bounded() -> None:
    """Nothing is looked at for ever."""
    many = [a_host(HostName(f"host-{number}")) for number in range(FAILURES_MAX + 5)]

    assert (count(), count(a_host(HOST)), count(*many)) == (0, 0, FAILURES_MAX)
