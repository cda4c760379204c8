"""What ``hamon explain`` says of a host that is not simply dealt with: who would do it, and when.

The story of incidents is in ``test_cli_incident``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hamon.decide.rehearsal import rehearse
from hamon.model.cloud import CloudView
from hamon.model.guest import NotMovable
from hamon.model.host import HostState
from hamon.model.names import ControllerId, Epoch, HostName
from hamon.model.policy import Mode, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    HOST,
    INCIDENT,
    NOW_S,
    OTHER,
    a_host,
    a_lost_host,
    a_migration,
    a_power_word,
    a_view,
    an_entry,
    an_incident,
    an_own,
)
from tests.unit.answering_daemon import POLICY, AnsweringDaemon
from tests.unit.test_cli_incident import flat, run
from tests.unit.test_storms import RACKS, fleet

FLEET = tuple(a_host(HostName(f"well-{number}")) for number in range(4))
SHADOW = replace(POLICY, mode=Mode.SHADOW)
STANDBY = an_own(epoch=Epoch(0), took_office_s=0.0, decides_since_s=NOW_S)


def page(
    path: Path,
    view: ClusterView,
    *words: str,
    is_leading: bool = True,
    policy: Policy = POLICY,
) -> str:
    """What a command prints, in one line."""
    with AnsweringDaemon(path, view, is_leading=is_leading, policy=policy):
        return flat(run(path, *words))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a control socket."""
    return tmp_path / "control.sock"


# -- who says it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [("explain",), ("host", "show")], ids=" ".join)
@pytest.mark.parametrize("leader", [None, OTHER])
def test_explain__at_a_standby__says_what_it_would_do_and_who_leads(
    verb: tuple[str, ...], leader: ControllerId | None, path: Path
) -> None:
    """Nothing is being done by a standby, and a conviction that nobody wrote has no incident."""
    dead = a_lost_host(state=HostState.SUSPECT)
    view = replace(a_view(dead, *FLEET, own=STANDBY), leader=leader)

    said = page(path, view, *verb, HOST, is_leading=False)

    assert "Being done now" not in said
    assert "would do if it led - it would lose its right to live" in said
    assert "incident" not in said
    assert said.startswith("no controller leads") is (leader is None)
    if verb == ("explain",):
        assert f"{leader or 'no controller'} leads" in said


def test_explain__by_the_leader__is_being_done(path: Path) -> None:
    """Who leads does what it says."""
    said = page(path, a_view(a_lost_host(state=HostState.SUSPECT), *FLEET), "explain", HOST)

    assert "Being done now - it lost its right to live (incident host-1-" in said
    assert "no controller leads" not in said


# -- what holds, and what ends that ---------------------------------------------------------------


def test_explain__storm_of_its_rack__is_told_with_what_ends_it(path: Path) -> None:
    """The hold is the rack's, and the host is in it."""
    dark = fleet(10, 0, rack="a1")
    view = a_view(*dark, *fleet(0, 200, rack="b2"))

    said = page(path, view, "explain", dark[0].name, policy=RACKS)

    assert "rack=a1: held (storm)" in said
    assert "hamon hold release" in said


def test_explain__storm_of_another_rack__is_not_told(path: Path) -> None:
    """It holds nothing here."""
    well = fleet(0, 200, rack="b2")
    view = a_view(*fleet(10, 0, rack="a1"), *well)

    assert "held (storm)" not in page(path, view, "explain", well[0].name, policy=RACKS)


@pytest.mark.parametrize(
    ("facts", "policy", "ends_it"),
    [
        ({}, SHADOW, 'cluster.mode = "active"'),
        ({"is_armed": False}, POLICY, "`hamon arm` ends it"),
        ({"unreadable": (f"/hosts/{HOST}/record",)}, POLICY, "upgrade this controller"),
        ({"maintenance": [HOST]}, POLICY, f"`hamon maintenance off {HOST}`"),
    ],
    ids=["shadow", "disarmed", "unreadable", "maintenance"],
)
def test_explain__held_conviction__is_told_once_what_ends_that_kind_of_hold(
    facts: dict[str, Any], policy: Policy, ends_it: str, path: Path
) -> None:
    """No command is named that passes no such hold."""
    view = a_view(a_lost_host(state=HostState.SUSPECT), *FLEET, **facts)

    said = page(path, view, "explain", HOST, policy=policy)

    assert "it would be fenced now, but is held" in said
    assert 1 == said.count(ends_it)
    assert "evacuate-host" not in said


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.EVACUATING])
def test_explain__disarmed_amid_an_incident__says_what_ends_it(
    state: HostState, path: Path
) -> None:
    """A shot or a move that waits for `hamon arm` waits for nothing else."""
    incident = an_incident(a_migration(1), proof=a_power_word())
    host = a_lost_host(HOST, state)
    view = a_view(host, *FLEET, incidents=[incident], is_armed=False)

    for subject in (HOST, INCIDENT):
        said = page(path, view, "explain", subject)

        assert "is held (disarmed)" in said
        assert 1 == said.count("do: `hamon arm` ends it")
        assert "evacuate-host" not in said


# -- shadow mode: what would be done --------------------------------------------------------------

GUESTS = [an_entry(1), an_entry(2), an_entry(3, not_movable=(NotMovable.LOCAL_DISK,))]


def test_explain__only_shadow_mode_in_the_way__says_where_each_guest_would_go(path: Path) -> None:
    """Who tries hamon out sees all that it would do, not only that it would fence."""
    view = a_view(a_lost_host(state=HostState.SUSPECT, entries=GUESTS), *FLEET)

    said = page(path, view, "explain", HOST, policy=SHADOW)

    rows = rehearse(view, SHADOW, HOST, None, NOW_S)
    assert "guests: 3, of which could go now: 2" in said
    assert {None} != {row.destination for row in rows}
    for row in rows:
        assert f"{row.name} {row.destination or row.why}" in said


@pytest.mark.parametrize(
    ("host", "facts", "policy"),
    [
        (a_lost_host(state=HostState.SUSPECT, entries=GUESTS), {}, POLICY),
        (a_lost_host(state=HostState.SUSPECT, entries=GUESTS), {"maintenance": [HOST]}, SHADOW),
        (a_host(HOST, entries=GUESTS), {}, SHADOW),
    ],
    ids=["active", "in maintenance", "well"],
)
def test_explain__not_shadow_mode_alone__promises_no_evacuation(
    host: HostView, facts: dict[str, Any], policy: Policy, path: Path
) -> None:
    """A host that is held otherwise, or is well, would not be fenced in active mode."""
    view = a_view(host, *FLEET, **facts)

    assert "In active mode" not in page(path, view, "explain", HOST, policy=policy)


def test_explain__shadow_mode_and_many_guests__shows_some_and_says_where_all_are(
    path: Path,
) -> None:
    """The evidence below it must still be found."""
    many = [an_entry(number) for number in range(1, 31)]
    view = a_view(a_lost_host(state=HostState.SUSPECT, entries=many), *FLEET)

    said = page(path, view, "explain", HOST, policy=SHADOW)

    assert "guests: 30" in said
    assert f"and 10 more: `hamon evacuate-host {HOST} --dry-run`" in said


# -- a host that is not configured any more -------------------------------------------------------


@pytest.mark.parametrize("is_leading", [True, False])
@pytest.mark.parametrize("cloud", [None, CloudView()], ids=["libvirt", "nova"])
def test_explain__incident_of_a_host_in_no_hosts_d__says_what_to_do(
    cloud: CloudView | None, path: Path, *, is_leading: bool
) -> None:
    """It does not end by waiting, and nothing can be explained of a host that is not enrolled."""
    incident = an_incident(a_migration(1), proof=a_power_word())
    view = replace(a_view(*FLEET, incidents=[incident]), cloud=cloud)

    said = page(path, view, "explain", INCIDENT, is_leading=is_leading)

    assert "it is in no hosts.d" in said
    assert "put it back into hosts.d on every controller" in said
    assert f"`hamon explain {HOST}`" not in said
    assert "still open: it is closed when" not in said
