"""What is kept of Nova's lists: heartbeats, which are not every stamp of a service's row."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.cloud import CONDUCTOR, ComputeService
from tests.builders import HOST
from tests.cloud_builders import a_service

FIRST = a_service(HOST, beat_at="2026-01-01T00:00:00")
MOVED = replace(FIRST, beat_at="2026-01-01T00:00:10")


def listed(*lists: ComputeService) -> CloudPicture:
    """A picture after these lists, asked for at 10 s, 20 s, and so on."""
    picture = CloudPicture(Pace(window=1.0, limit=8))
    for number, service in enumerate(lists, start=1):
        picture.saw_services([service], 10.0 * number)
    return picture


@pytest.mark.parametrize(
    ("case", "second", "beats_s"),
    [
        ("the stamp moved", MOVED, {HOST: 10.0}),
        ("the stamp stands", FIRST, {}),
        ("up or down, which follows from the stamp", replace(MOVED, is_up=False), {HOST: 10.0}),
        ("somebody forced it down", replace(MOVED, is_forced_down=True), {}),
        ("somebody disabled it", replace(MOVED, is_enabled=False), {}),
        ("somebody changed the reason", replace(MOVED, disabled_reason="disks"), {}),
        ("another kind of service", replace(MOVED, binary=CONDUCTOR), {}),
    ],
)
def test_heartbeat__second_list__came_after_the_first(
    case: str, second: ComputeService, beats_s: dict[str, float]
) -> None:
    """Nova stamps the same when flags change; a heartbeat came after the list that lacks it."""
    assert beats_s == listed(FIRST, second).view().beats_s, case


def test_heartbeat__first_list__tells_none() -> None:
    """There is nothing to compare with."""
    assert {} == listed(MOVED).view().beats_s


def test_heartbeat__own_change_of_the_flags__is_none() -> None:
    """What hamon changed shows in a list later, with a stamp of its own."""
    shut_out = replace(FIRST, is_forced_down=True)
    picture = listed(FIRST)
    picture.changed_service(shut_out, 15.0)

    picture.saw_services([replace(shut_out, beat_at=MOVED.beat_at)], 20.0)

    assert {} == picture.view().beats_s


@pytest.mark.parametrize(
    ("case", "second", "silent_s"),
    [
        ("up", {}, {}),
        ("down", {"is_up": False}, {HOST: 20.0}),
        ("of a cell that is down", {"is_up": None}, {HOST: 20.0}),
        ("forced down", {"is_up": False, "is_forced_down": True}, {}),
        ("another kind of service", {"is_up": False, "binary": CONDUCTOR}, {}),
    ],
)
def test_silence__second_list__is_of_the_list_that_showed_it(
    case: str, second: dict[str, Any], silent_s: dict[str, float]
) -> None:
    """What waits for a compute may be taken up from then on."""
    assert silent_s == listed(FIRST, replace(FIRST, **second)).view().silent_s, case


def test_silence__up_again__is_remembered_also_when_incidents_are_over() -> None:
    """It is not forgotten what it may have had in its queue."""
    picture = listed(replace(FIRST, is_up=False), FIRST)

    picture.forget()

    assert {HOST: 10.0} == picture.view().silent_s


def test_heartbeat__incidents_are_over__is_kept() -> None:
    """What is forgotten then is of guests."""
    picture = listed(FIRST, MOVED)

    picture.forget()

    assert {HOST: 10.0} == picture.view().beats_s
