"""What counts as lost at once: windows of time, and what a new controller finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.storms import troubled_hosts
from hamon.model.control import HoldKind
from hamon.model.host import HostState
from hamon.model.names import HostName
from hamon.model.view import ClusterView, FirstLook, HostView
from tests.builders import EPOCH, HOST, NOW_S, WALL, a_host, a_lost_host, a_view, silence
from tests.unit.test_storms import (
    POLICY,
    RACK,
    RACKS,
    convicted,
    conviction,
    fleet,
    in_rack,
    kinds,
    protected,
    storms,
    without_a_witness,
)


def lost_at(name: str, ago_s: float, **others: Any) -> HostView:  # noqa: ANN401 - as a host's
    """A host that this controller saw go so long ago."""
    return a_lost_host(
        HostName(name),
        HostState.SUSPECT,
        session_lost_s=NOW_S - ago_s,
        state_since_s=NOW_S - ago_s,
        **others,
    )


WEEK_S = 7 * 86400.0


@pytest.mark.parametrize(
    ("case", "old"),
    [
        ("it carries ZooKeeper", lambda: protected(lost_at("old", WEEK_S))),
        ("a kernel answers", lambda: without_a_witness(lost_at("old", WEEK_S))),
        ("silent with its session", lambda: a_host(HostName("old"), HostState.SUSPECT, is_here=True,
                                                   evidence=silence(for_s=WEEK_S))),
        ("an hour ago", lambda: protected(lost_at("old", 3600.0))),
    ],
)  # fmt: skip
def test_storm__host_lost_long_ago__does_not_hold_todays_loss(
    case: str, old: Callable[[], HostView]
) -> None:
    """What something else holds, or nothing proves dead, is no part of what happens today."""
    view = a_view(old(), lost_at("new", 10.0), *fleet(0, 2))

    assert {} == storms(view, POLICY), case
    assert {"new"} == convicted(view, POLICY)


@pytest.mark.parametrize("ago_s", [10.0, 301.0, 7200.0, WEEK_S])
@pytest.mark.parametrize("change", [protected, without_a_witness, lambda host: host])
def test_storm__hosts_lost_together__is_one_for_as_long_as_they_are_lost(
    change: Callable[[HostView], HostView], ago_s: float
) -> None:
    """Nobody waits a storm out: at the end of the window all would be shot at once (S9)."""
    dark = [change(lost_at(f"dark-{n}", ago_s + n)) for n in range(4)]
    view = a_view(*dark, lost_at("new", 5.0), *fleet(0, 30))

    (hold,) = storms(view, POLICY).values()

    assert "dark-0" in hold.reason
    assert set() == convicted(view, POLICY)


def test_storm__lost_one_by_one_and_all_would_be_convicted_now__holds() -> None:
    """However far apart they went: so many would be shot in one round (S9)."""
    dark = [lost_at(f"dark-{n}", 3600.0 * (n + 1)) for n in range(4)]

    (hold,) = storms(a_view(*dark, *fleet(0, 30)), POLICY).values()

    assert "4 hosts are lost, and more than 3 of them at once" in hold.reason


@pytest.mark.parametrize(("gap_s", "expected"), [(99.0, True), (101.0, False)])
def test_storm__protected_hosts_lost_apart__counts_within_a_window(
    gap_s: float, *, expected: bool
) -> None:
    """More than the limit within one window of the past are a storm, more in several are none."""
    dark = [protected(lost_at(f"dark-{n}", 9000.0 + gap_s * n)) for n in range(8)]

    assert expected == bool(storms(a_view(*dark, *fleet(0, 30)), POLICY))


def test_domain__rack_lost_long_ago_and_held_by_itself__does_not_hold_another_host() -> None:
    """It is one old trouble of the cluster, and keeps its own page."""
    racks = replace(RACKS, holds=replace(RACKS.holds, storm_hosts_max=1))
    dark = [in_rack(protected(lost_at(f"dark-{n}", WEEK_S)), "a1") for n in range(8)]
    view = a_view(*dark, *fleet(1, 30, rack="b2"))

    assert {RACK} == set(storms(view, racks))
    assert {"lost-b20"} == convicted(view, racks)


# -- what a new controller finds ------------------------------------------------------------------


def found_at_first_look(*hosts: HostView, looked_ago_s: float = 30.0, **others: Any) -> ClusterView:  # noqa: ANN401
    """The view of a controller that looked for the first time a moment ago, and leads now."""
    first = FirstLook(at_s=NOW_S - looked_ago_s, wall=WALL)
    return replace(a_view(*hosts, **others), first_look=first)


def earlier(stamp: str, epoch: int = EPOCH - 1) -> Callable[[HostView], HostView]:
    """Have a host's record written by an earlier term, at a time of the wall's clock."""

    def written(host: HostView) -> HostView:
        assert host.record.value is not None
        record = replace(host.record.value, since=stamp, epoch=epoch)
        return replace(host, record=replace(host.record, value=record))

    return written


LAST_WEEK = "2025-12-25T00:00:00.000Z"
YESTERDAY = "2025-12-30T23:59:00.000Z"


@pytest.mark.parametrize(
    ("case", "change", "expected"),
    [
        ("of last week", earlier(LAST_WEEK), False),
        ("more than a day", earlier(YESTERDAY), False),
        ("less than a day", earlier("2025-12-31T00:01:00.000Z"), True),
        ("of an hour ahead", earlier("2026-01-01T01:00:00.000Z"), True),
        ("unreadable", earlier("last week"), True),
        ("without a zone", earlier("2025-12-25T00:00:00"), True),
        ("of this term", earlier(LAST_WEEK, EPOCH), True),
        ("would be convicted", lambda _: earlier(LAST_WEEK)(lost_at("old", 30.0)), True),
        ("seen to go", lambda _: earlier(LAST_WEEK)(protected(lost_at("old", 29.0))), True),
    ],
)  # fmt: skip
def test_storm__lost_before_the_first_look__counts_from_then_unless_long_ago(
    case: str, change: Callable[[HostView], HostView], *, expected: bool
) -> None:
    """A new controller cannot know when they went: only a stamp of long ago leaves one out (S9)."""
    old = change(protected(lost_at("old", 30.0)))
    view = found_at_first_look(old, lost_at("new", 10.0), *fleet(0, 2))

    assert expected == bool(storms(view, POLICY)), case
    assert ({"new"} if not expected else set()) == convicted(view, POLICY)


@pytest.mark.parametrize("wall", [WALL, "2026-01-03T00:00:00.000Z", "2024-01-01T00:00:00.000Z"])
@pytest.mark.parametrize("change", [lambda host: host, without_a_witness])
@pytest.mark.parametrize("looked_ago_s", [1.0, 400.0])
def test_storm__leader_comes_up_in_the_middle_of_it__sees_it_whatever_its_clock_says(
    looked_ago_s: float, change: Callable[[HostView], HostView], wall: str
) -> None:
    """Stamps move alike with a wrong clock: what was lost together stays together (S9, S20)."""
    written = earlier(WALL)
    dark = [
        change(written(lost_at(f"dark-{n}", looked_ago_s, record_epoch=EPOCH - 1)))
        for n in range(4)
    ]
    view = a_view(*dark, *fleet(0, 30))
    view = replace(view, first_look=FirstLook(at_s=NOW_S - looked_ago_s, wall=wall))

    assert bool(storms(view, POLICY))
    assert set() == convicted(view, POLICY)


@pytest.mark.parametrize(
    ("case", "ago_s", "change", "expected"),
    [
        ("of last week", 30.0, earlier(LAST_WEEK), False),
        ("of two hours ago", 30.0, earlier("2025-12-31T22:00:00.000Z"), False),
        ("of a moment ago", 30.0, earlier("2025-12-31T23:59:00.000Z"), True),
        ("of this term", 30.0, earlier(LAST_WEEK, EPOCH), True),
        ("seen to be convicted", 29.0, earlier(LAST_WEEK), True),
    ],
)  # fmt: skip
def test_troubled__convicted_before_the_first_look__counts_unless_long_ago(
    case: str, ago_s: float, change: Callable[[HostView], HostView], *, expected: bool
) -> None:
    """Hosts that wait for spare parts are no storm each time that a controller is restarted."""
    gone = change(a_host(HOST, HostState.EVACUATED, state_since_s=NOW_S - ago_s))

    assert expected == (HOST in troubled_hosts(found_at_first_look(gone), POLICY, NOW_S)), case


@pytest.mark.parametrize(
    ("case", "age_s", "stamps", "expected"),
    [
        ("of last week", 30.0, {"convicted": LAST_WEEK}, False),
        ("out of the window", 30.0, {"convicted": "2025-12-31T22:59:00.000Z"}, False),
        ("within it", 30.0, {"convicted": "2025-12-31T23:01:00.000Z"}, True),
        ("never stamped", 30.0, {}, True),
        ("seen to be opened", 29.0, {"convicted": LAST_WEEK}, True),
    ],
)
def test_rate__open_at_the_first_look__counts_unless_it_is_older_than_the_window(
    case: str, age_s: float, stamps: dict[str, str], *, expected: bool
) -> None:
    """Incidents stay open until the host comes back: ten of last year are no series of today."""
    incidents = [conviction(number, age_s=age_s, stamps=stamps) for number in range(10)]
    view = found_at_first_look(a_host(), incidents=incidents)

    assert expected == (HoldKind.RATE in kinds(view)), case
    # The clock may step afterwards.
    assert expected == (HoldKind.RATE in kinds(replace(view, wall="2027-01-01T00:00:00.000Z")))
