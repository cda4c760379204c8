"""Rehearsal: where guests would go, and what would not move, without doing anything."""

from dataclasses import replace

import pytest

from hamon.decide.rehearsal import Rehearsed, rehearse
from hamon.model.guest import NotMovable, PowerState
from hamon.model.guest_policy import EVACUATE
from hamon.model.names import HostName
from hamon.model.policy import Policy
from tests.builders import (
    HOST,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_view,
    an_entry,
    owned_by,
)


def test_rehearse__guest_that_fits__names_its_destination() -> None:
    """The same filters, weighers and accounting as the real thing."""
    view = a_view(a_host(entries=[an_entry()]), a_host(SPARE))

    assert (
        Rehearsed(
            guest=a_guest(),
            name="guest-1",
            wanted=PowerState.RUNNING,
            ram_mib=256,
            vcpus=1,
            destination=SPARE,
        ),
    ) == rehearse(view, Policy(), HOST, None, NOW_S)


def test_rehearse__whole_batch__counts_what_is_placed_and_goes_by_priority() -> None:
    """The last guest of a full cluster is the least important one, and it is said why."""
    entries = [an_entry(1, ram_mib=300), an_entry(2, ram_mib=400), an_entry(3, priority=1)]
    view = a_view(a_host(entries=entries), a_host(SPARE, ram_mib=512 + 700))

    rows = rehearse(view, Policy(), HOST, None, NOW_S)

    assert ["guest-3", "guest-2", "guest-1"] == [row.name for row in rows]
    assert [SPARE, SPARE, None] == [row.destination for row in rows]
    assert rows[-1].why.startswith("NoValidHost: ")
    assert "source host" in rows[-1].why


@pytest.mark.parametrize(
    ("entry", "guests", "why"),
    [
        (an_entry(not_movable=(NotMovable.NVRAM, NotMovable.SECRET)), {a_guest(): owned_by(HOST)},
         "not movable: nvram, secret"),
        (an_entry(), {}, "not adopted yet"),
        (an_entry(), {a_guest(): owned_by(THIRD)}, f"owned by {THIRD}"),
        (an_entry(), {a_guest(): owned_by(None)}, "owned by None"),
    ],
)  # fmt: skip
def test_rehearse__guest_that_cannot_move__says_why(
    entry: object, guests: object, why: str
) -> None:
    """What cannot move is known beforehand and said per guest."""
    view = a_view(a_host(entries=[entry]), a_host(SPARE), guests=guests)  # type: ignore[list-item, arg-type]

    (row,) = rehearse(view, Policy(), HOST, None, NOW_S)

    assert (None, why) == (row.destination, row.why)


def test_rehearse__given_target__is_the_only_one_asked() -> None:
    """An operator sees whether the wanted host would do."""
    view = a_view(a_host(entries=[an_entry()]), a_host(SPARE), a_host(THIRD, ram_mib=512))

    (row,) = rehearse(view, Policy(), HOST, THIRD, NOW_S)
    (nowhere,) = rehearse(view, Policy(), HOST, HostName("nowhere"), NOW_S)

    assert row.destination is None
    assert SPARE not in row.why
    assert nowhere.why == "NoValidHost: nowhere: ComputeHostNotFound"


def test_rehearse__host_in_maintenance__is_no_destination() -> None:
    """Holds count as they would in earnest."""
    view = a_view(a_host(entries=[an_entry()]), a_host(SPARE), maintenance=[SPARE])

    (row,) = rehearse(view, Policy(), HOST, None, NOW_S)

    assert row.destination is None


def test_rehearse__opted_out__says_by_what() -> None:
    """Also in a dry run."""
    entry = an_entry(choices={EVACUATE: "no"})
    view = a_view(a_host(entries=[entry]), a_host(SPARE))

    (row,) = rehearse(view, Policy(), HOST, None, NOW_S)

    assert (None, "opted out: domain metadata hamon:evacuate=no") == (row.destination, row.why)


def test_rehearse__room_only_on_a_reserved_host__says_that_it_would_be_used() -> None:
    """The guest would move, and what was kept for worse would be gone."""
    spare = a_host(SPARE)
    spare = replace(spare, spec=replace(spare.spec, reserved=True))
    view = a_view(a_host(entries=[an_entry(1)]), spare)

    (row,) = rehearse(view, Policy(), HOST, None, NOW_S)

    assert (SPARE, "a reserved host, which would be put to use") == (row.destination, row.why)
