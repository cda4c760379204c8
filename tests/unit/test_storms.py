"""Storms, failure domains, cool-downs, rates and releases: how many hosts are given up at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.decide.holds import against_conviction, holds
from hamon.decide.storms import is_released, storm_limit, troubled_hosts
from hamon.decide.tick import decide
from hamon.model.change import CONTROL, STORMS, Versioned
from hamon.model.control import (
    Control,
    Hold,
    HoldKind,
    Release,
    Request,
    RequestKind,
    RequestState,
    StormRecord,
)
from hamon.model.host import Carried, HostChecks, HostState, Leaving, Right
from hamon.model.incident import Trigger
from hamon.model.names import BootId, Epoch, HostName, IncidentId
from hamon.model.policy import DegradedPolicy, HoldPolicy, LeavingPolicy, PartitionedPolicy, Policy
from hamon.model.proof import Source, Vote
from hamon.model.view import ClusterView, HostView, IncidentView, OwnView
from tests.builders import (
    BOOT,
    HOST,
    NEXT_BOOT,
    NOW_S,
    PLANES,
    SPARE,
    THIRD,
    WALL,
    a_host,
    a_lost_host,
    a_request,
    a_view,
    a_vote,
    an_incident,
    an_own,
    echoes,
    silence,
)
from tests.decisions import changes_of, writes

POLICY = Policy()
RACK = "rack=a1"
RACKS = replace(POLICY, holds=HoldPolicy(domain_labels=("rack",), storm_share_max=1.0))


def kinds(view: ClusterView, policy: Policy = POLICY) -> set[HoldKind]:
    """The kinds of holds in force."""
    return {hold.kind for hold in holds(view, policy, NOW_S)}


def fleet(lost: int, well: int, *, rack: str = "") -> list[HostView]:
    """So many lost hosts and so many well ones, perhaps of one rack."""
    hosts = [
        *(a_lost_host(HostName(f"lost-{rack}{number}")) for number in range(lost)),
        *(a_host(HostName(f"well-{rack}{number}")) for number in range(well)),
    ]
    return [in_rack(host, rack) for host in hosts]


def in_rack(host: HostView, rack: str) -> HostView:
    """A host with the label of a rack."""
    labels = {"rack": rack} if rack else {}
    return replace(host, spec=replace(host.spec, labels=labels))


def released(*hosts: HostView, boot_id: BootId = BOOT) -> Release:
    """An operator's release of hosts."""
    boots = {host.name: boot_id for host in hosts}
    return Release(hosts=boots, reason="dark", who="ada", since=WALL, until="2099")


def with_releases(view: ClusterView, *releases: Release) -> ClusterView:
    """The view in which an operator released hosts."""
    control = replace(view.control.value, releases=releases)
    return replace(view, control=replace(view.control, value=control))


def protected(host: HostView) -> HostView:
    """The host, carrying a ZooKeeper server."""
    return replace(host, spec=replace(host.spec, carries=(Carried.ZOOKEEPER,)))


def partitioned(host: HostView) -> HostView:
    """The host, writing to shared storage."""
    beat = a_vote(Vote.ALIVE_STRONG, "mount", boot_id=BOOT, source=Source.STORAGE)
    written = replace(a_host(host.name, HostState.PARTITIONED), evidence=(*silence(), beat))
    return replace(host, record=written.record, evidence=written.evidence, readings=())


def without_a_witness(host: HostView) -> HostView:
    """The host, of which a kernel answers."""
    heard = a_vote(Vote.ALIVE_WEAK, PLANES[0], for_s=5.0)
    return replace(host, evidence=(heard, *silence()[1:]), readings=())


def held(view: ClusterView, host: HostView, policy: Policy = RACKS) -> set[HoldKind]:
    """The kinds of holds that keep a host from being convicted."""
    in_force = holds(view, policy, NOW_S)
    return {hold.kind for hold in against_conviction(in_force, host, view)}


def storms(view: ClusterView, policy: Policy = RACKS) -> dict[str, Hold]:
    """The storms by their scope."""
    return {h.scope: h for h in holds(view, policy, NOW_S) if h.kind is HoldKind.STORM}


def convicted(view: ClusterView, policy: Policy) -> set[str]:
    """The hosts that lose their right to live in one round."""
    return {
        str(key.host)
        for key, value in writes(*changes_of(decide(view, policy, NOW_S))).items()
        if getattr(value, "right", None) is Right.SHUT_OUT
    }


# -- storm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "in_maintenance", "expected"),
    [(1, 0, 1), (3, 0, 1), (7, 0, 1), (8, 0, 2), (12, 0, 3), (400, 0, 3), (8, 4, 1), (0, 0, 1)],
)
def test_storm_limit__by_table__is_count_or_share_and_at_least_one(
    hosts: int, in_maintenance: int, expected: int
) -> None:
    """Count or share of the armed hosts, whichever is smaller; one host is always allowed (S9)."""
    view = a_view(
        *fleet(0, hosts), maintenance=[HostName(f"well-{n}") for n in range(in_maintenance)]
    )

    assert expected == storm_limit(view, POLICY)


NO_STORAGE = HostChecks(boot_id=BOOT, failed={"storage:nfs": "not written for 9 s"})
NO_LIBVIRT = HostChecks(boot_id=BOOT, failed={"libvirt": "does not answer"})


def degraded(state: HostState = HostState.DEGRADED, checks: HostChecks = NO_STORAGE) -> HostView:
    """A host that lives and has been ill by its own checks for long."""
    return a_host(HOST, state, checks=checks, state_since_s=NOW_S - 500.0)


@pytest.mark.parametrize(
    ("case", "host", "degraded_is", "expected"),
    [
        ("degraded", degraded(), DegradedPolicy.FENCE, True),
        ("about to be degraded", degraded(HostState.UP), DegradedPolicy.FENCE, True),
        ("is only spared", degraded(), DegradedPolicy.DISABLE, False),
        ("is only told of", degraded(HostState.UP), DegradedPolicy.ALERT, False),
        ("libvirt alone", degraded(checks=NO_LIBVIRT), DegradedPolicy.FENCE, False),
        ("takes no guests yet", degraded(HostState.QUARANTINED), DegradedPolicy.FENCE, False),
    ],
)
def test_troubled__ill_by_its_own_checks__counts_if_policy_would_fence_it(
    case: str, host: HostView, degraded_is: DegradedPolicy, *, expected: bool
) -> None:
    """A host that is given up alive is given up like any other."""
    policy = replace(POLICY, detection=replace(POLICY.detection, degraded=degraded_is))

    assert expected == (HOST in troubled_hosts(a_view(host), policy, NOW_S)), case


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (4, 0), (40, 0)])
def test_storm__storage_of_many_fails_and_policy_fences_for_it__holds_beyond_the_limit(
    count: int, expected: int
) -> None:
    """All of them are due in the same round: an array that fails must not end every host (S9)."""
    ill = (replace(degraded(), spec=a_host(HostName(f"ill-{n}")).spec) for n in range(count))
    fences = replace(POLICY.detection, degraded=DegradedPolicy.FENCE)

    view = a_view(*ill, *fleet(0, 12))

    assert expected == len(convicted(view, replace(POLICY, detection=fences)))


def test_storm_limit__hosts_never_seen__do_not_count() -> None:
    """Enrolled hosts that never came up do not make a storm look small."""
    view = a_view(*fleet(0, 4), *(a_host(HostName(f"new-{n}"), None) for n in range(20)))

    assert 1 == storm_limit(view, POLICY)


@pytest.mark.parametrize(
    ("lost", "well", "expected"), [(1, 0, False), (1, 3, False), (2, 6, False), (2, 5, True),
                                   (3, 9, False), (3, 8, True), (4, 100, True)]
)  # fmt: skip
def test_storm__by_table__holds_beyond_the_limit(lost: int, well: int, *, expected: bool) -> None:
    """Up to the limit hosts are handled; one more stops all new convictions."""
    assert expected == (HoldKind.STORM in kinds(a_view(*fleet(lost, well))))


@pytest.mark.parametrize(
    ("case", "host", "expected"),
    [
        ("session gone, heard by probes", a_host(is_here=False, evidence=()), True),
        ("suspected with a session", a_host(HOST, HostState.SUSPECT, is_here=True), False),
        ("silent with a session", a_host(HOST, HostState.SUSPECT, is_here=True, evidence=silence()),
         True),
        ("well", a_host(), False),
        ("never seen", a_host(HOST, None, is_here=False), False),
        ("left in order", a_lost_host(leaving=Leaving.SHUTDOWN), False),
        ("fencing", a_host(HOST, HostState.FENCING, state_since_s=NOW_S - 1), True),
        ("fence failed", a_host(HOST, HostState.FENCE_FAILED, state_since_s=NOW_S - 1), True),
        ("fenced", a_host(HOST, HostState.FENCED, state_since_s=NOW_S - 1), True),
        ("evacuating", a_host(HOST, HostState.EVACUATING, state_since_s=NOW_S - 1), True),
        ("evacuated", a_host(HOST, HostState.EVACUATED, state_since_s=NOW_S - 300), True),
        ("evacuated long ago", a_host(HOST, HostState.EVACUATED, state_since_s=NOW_S - 301),
         False),
    ],
)  # fmt: skip
def test_troubled__by_table__is_lost_now_or_convicted_lately(
    case: str, host: HostView, *, expected: bool
) -> None:
    """The window rolls: who was convicted within it still counts, who was before does not."""
    assert expected == (HOST in troubled_hosts(a_view(host), POLICY, NOW_S)), case


def test_troubled__in_maintenance__does_not_count() -> None:
    """A host that an operator takes care of is no part of a storm."""
    assert {} == troubled_hosts(a_view(a_lost_host(), maintenance=[HOST]), POLICY, NOW_S)


def test_troubled__leaving_hosts_are_evacuated__do_count() -> None:
    """Where a leave is a failure by policy, many leaves at once are a storm (S9)."""
    detection = replace(POLICY.detection, leaving=LeavingPolicy.EVACUATE)
    policy = replace(POLICY, detection=detection)
    leaving = a_lost_host(HOST, HostState.LEAVING, leaving=Leaving.SHUTDOWN)

    assert HOST in troubled_hosts(a_view(leaving), policy, NOW_S)


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.builds(HoldPolicy, storm_hosts_max=st.integers(1, 5), storm_share_max=st.floats(0.0, 1.0)),
)
def test_storm__whatever_the_numbers__never_more_than_allowed_go_unheld(
    lost: int, well: int, policy: HoldPolicy
) -> None:
    """Without a storm hold, at most N hosts and P % are in trouble, or it is a single one (S9)."""
    view = a_view(*fleet(lost, well))

    if HoldKind.STORM not in kinds(view, replace(POLICY, holds=policy)) and lost > 1:
        assert lost <= policy.storm_hosts_max
        assert lost <= policy.storm_share_max * (lost + well)


# -- failure domains ------------------------------------------------------------------------------


def test_domain__a_rack_is_lost__only_the_rack_is_held() -> None:
    """A dark rack is one trouble; another rack's single dead host is still helped."""
    dark, other = fleet(8, 0, rack="a1"), fleet(1, 30, rack="b2")
    view = a_view(*dark, *other)

    assert {"rack=a1"} == set(storms(view))
    assert {HoldKind.STORM} == held(view, dark[0])
    assert set() == held(view, other[0])


def test_domain__as_many_as_may_be__are_handled() -> None:
    """Three hosts of a large rack are three hosts."""
    view = a_view(*fleet(3, 97, rack="a1"))

    assert {} == storms(view)
    assert 3 == len(convicted(view, RACKS))


def test_domain__hundred_hosts_behind_one_label__one_page_and_nothing_fenced() -> None:
    """One hold that pages, however many hosts it is about."""
    view = a_view(*fleet(100, 0, rack="a1"), *fleet(0, 200, rack="b2"))

    assert [True] == [hold.needs_human for hold in holds(view, RACKS, NOW_S)]
    assert set() == convicted(view, RACKS)


def test_domain__many_racks_are_lost__everything_is_held() -> None:
    """Each domain counts as one host, and too many of them are a storm of the site."""
    racks = [host for rack in "abcd" for host in fleet(4, 1, rack=rack)]
    alone = fleet(1, 40, rack="z")
    view = a_view(*racks, *alone)

    assert {"rack=a", "rack=b", "rack=c", "rack=d", "cluster"} == set(storms(view))
    assert HoldKind.STORM in held(view, alone[0])


def test_domain__label_that_no_host_has__holds_nothing() -> None:
    """A policy that names a label says nothing of hosts without it."""
    assert {} == storms(a_view(*fleet(1, 9)))


# -- after a storm --------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "expected"), [(59.0, {HoldKind.STORM}), (61.0, set())])
def test_cool_down__after_a_storm__nothing_new_for_a_while(
    age_s: float, expected: set[HoldKind]
) -> None:
    """What looked like the end of a storm may be its eye."""
    own = an_own(storms_s={"cluster": NOW_S - age_s})
    host = a_lost_host()

    assert expected == held(a_view(host, *fleet(0, 20), own=own), host)


def test_cool_down__of_a_domain__leaves_the_others_alone() -> None:
    """The scope of the storm is that of its cool-down; it pages nobody, and it has an end."""
    own = an_own(storms_s={"rack=a1": NOW_S - 1.0})
    there, elsewhere = fleet(1, 9, rack="a1"), fleet(1, 9, rack="b2")
    view = a_view(*there, *elsewhere, own=own)

    assert {HoldKind.STORM} == held(view, there[0])
    assert set() == held(view, elsewhere[0])
    (hold,) = storms(view).values()
    assert (NOW_S + 59.0, False) == (hold.until_s, hold.needs_human)


OURS, THEIRS = "a storm was here a moment ago", "an earlier leader saw a storm here"


@pytest.mark.parametrize(
    ("case", "own", "until_s", "why"),
    [
        ("found by a new leader", an_own(decides_since_s=NOW_S - 20.0), NOW_S + 40.0, THEIRS),
        ("enrolled for long", an_own(took_office_s=NOW_S - 70.0, decides_since_s=NOW_S - 20.0),
         NOW_S + 40.0, THEIRS),
        ("over by its own count", an_own(decides_since_s=NOW_S - 60.0), None, ""),
        ("seen in this term", an_own(decides_since_s=NOW_S - 90.0, storms_s={RACK: NOW_S - 30.0}),
         NOW_S + 30.0, OURS),
        ("seen in an old term", an_own(decides_since_s=NOW_S - 5.0, storms_s={RACK: NOW_S - 300.0}),
         NOW_S + 55.0, THEIRS),
        ("stands by", an_own(epoch=Epoch(0), decides_since_s=NOW_S), NOW_S + 60.0, THEIRS),
    ],
)  # fmt: skip
def test_cool_down__recorded_storm__counts_whole_from_when_this_leader_could_know(
    case: str, own: OwnView, until_s: float | None, why: str
) -> None:
    """A new leader knows nothing of a storm that is over; it waits longer, never shorter (S9)."""
    there = fleet(1, 9, rack="a1")
    view = a_view(*there, own=own, storms=[RACK])

    found = storms(view)

    assert ({} if until_s is None else {RACK: until_s}) == {
        scope: hold.until_s for scope, hold in found.items()
    }, case
    assert all(hold.reason.startswith(why) for hold in found.values())
    assert (until_s is None) == (set() == held(view, there[0]))


def test_cool_down__remembered_of_an_old_term_and_recorded_no_more__is_over() -> None:
    """A leader in between saw the end of it: nothing is held at each change of leader."""
    own = an_own(decides_since_s=NOW_S - 5.0, storms_s={RACK: NOW_S - 300.0})

    assert {} == storms(a_view(*fleet(1, 9, rack="a1"), own=own))


def test_cool_down__storm_still_on_after_a_change_of_leader__is_the_storm() -> None:
    """In mid-storm the picture says all: the hold has no end, and it pages."""
    own = an_own(decides_since_s=NOW_S - 1.0)

    (hold,) = storms(a_view(*fleet(8, 0, rack="a1"), own=own, storms=[RACK])).values()

    assert (RACK, None, True) == (hold.scope, hold.until_s, hold.needs_human)


def recorded(view: ClusterView, policy: Policy = RACKS) -> set[str] | None:
    """The scopes that a round writes down, None: it writes nothing of storms."""
    found = writes(*changes_of(decide(view, policy, NOW_S))).get(STORMS)
    assert found is None or isinstance(found, StormRecord)
    return None if found is None else set(found.scopes)


STORMY, QUIET = fleet(8, 0, rack="a1"), fleet(0, 8, rack="a1")
LATELY, LONG_OVER = an_own(storms_s={RACK: NOW_S - 59.0}), an_own(storms_s={RACK: NOW_S - 61.0})
NO_COOL_DOWN = replace(RACKS, holds=replace(RACKS.holds, storm_cooldown_s=0.0))


@pytest.mark.parametrize(
    ("case", "view", "policy", "expected"),
    [
        ("begins", a_view(*STORMY), RACKS, {RACK}),
        ("goes on", a_view(*STORMY, storms=[RACK]), RACKS, None),
        ("begins elsewhere, too", a_view(*STORMY, storms=["rack=z"], own=LATELY), RACKS,
         {RACK, "rack=z"}),
        ("cools down", a_view(*QUIET, storms=[RACK], own=LATELY), RACKS, None),
        ("was not written in time", a_view(*QUIET, own=LATELY), RACKS, {RACK}),
        ("is over", a_view(*QUIET, storms=[RACK], own=LONG_OVER), RACKS, set()),
        ("one is over, one is not", a_view(*STORMY, storms=[RACK, "rack=z"]), RACKS, {RACK}),
        ("label is configured no more", a_view(*fleet(0, 8), storms=[RACK]), POLICY, set()),
        ("quiet", a_view(*QUIET), RACKS, None),
        ("no cool-down wanted", a_view(*STORMY), NO_COOL_DOWN, None),
        ("wanted no more", a_view(*STORMY, storms=[RACK]), NO_COOL_DOWN, set()),
        ("unreadable", replace(a_view(*STORMY, unreadable=("/storms",)), storms=None), RACKS, None),
        ("restored ensemble", a_view(*STORMY, own=an_own(is_rolled_back=True)), RACKS, None),
    ],
)  # fmt: skip
def test_storm_record__by_table__is_written_when_it_changes_and_never_else(
    case: str, view: ClusterView, policy: Policy, expected: set[str] | None
) -> None:
    """One write when a storm begins, one when its cool-down is over, none in between."""
    assert expected == recorded(view, policy), case


def test_storm_record__that_cannot_be_read__holds_everything() -> None:
    """Nobody knows where a storm was: nothing is guessed at (S21)."""
    view = replace(a_view(*fleet(1, 9), unreadable=("/storms",)), storms=None)

    assert {HoldKind.UNREADABLE} == kinds(view)
    assert set() == convicted(view, POLICY)


def test_storm_record__since__is_when_it_began() -> None:
    """A storm elsewhere does not make an older one younger."""
    view = a_view(*STORMY, storms=["rack=z"], own=an_own(storms_s={"rack=z": NOW_S - 1.0}))
    before = replace(view, wall="2026-01-01T00:05:00.000Z")

    found = writes(*changes_of(decide(before, RACKS, NOW_S)))[STORMS]

    assert StormRecord(scopes={"rack=z": WALL, RACK: before.wall}) == found


# -- rate -----------------------------------------------------------------------------------------


def conviction(number: int, *, age_s: float | None, **others: Any) -> IncidentView:  # noqa: ANN401
    """A closed incident that was opened so long ago, None: before this controller looked."""
    incident = an_incident(
        host=HostName(f"gone-{number}"),
        incident=IncidentId(f"gone-{number}-3"),
        closed=True,
        **others,
    )
    return replace(incident, opened_s=None if age_s is None else NOW_S - age_s)


@pytest.mark.parametrize(
    ("count", "age_s", "expected"),
    [(9, 60.0, False), (10, 60.0, True), (10, 3601.0, False), (10, None, False)],
)
def test_rate__one_after_another__is_held_at_the_limit(
    count: int, age_s: float | None, *, expected: bool
) -> None:
    """A slow roll is a storm as well (S9)."""
    incidents = [conviction(number, age_s=age_s) for number in range(count)]

    assert expected == (HoldKind.RATE in kinds(a_view(a_host(), incidents=incidents)))


def test_rate__asked_for_by_hand__does_not_count() -> None:
    """An operator who evacuates hosts is no storm."""
    incidents = [conviction(number, age_s=60.0, trigger=Trigger.OPERATOR) for number in range(20)]

    assert HoldKind.RATE not in kinds(a_view(a_host(), incidents=incidents))


@pytest.mark.parametrize(("boot_id", "expected"), [(BOOT, False), (NEXT_BOOT, True)])
def test_rate__released_in_another_boot__counts(boot_id: BootId, *, expected: bool) -> None:
    """A release is about one boot: what was convicted in another one was not released."""
    incidents = [conviction(number, age_s=60.0) for number in range(10)]
    hosts = [a_host(incident.record.value.host) for incident in incidents]
    view = with_releases(a_view(a_host(), incidents=incidents), released(*hosts, boot_id=boot_id))

    assert expected == (HoldKind.RATE in kinds(view))


# -- releases -------------------------------------------------------------------------------------


def test_release__of_a_dark_rack__lets_a_few_at_a_time_be_fenced() -> None:
    """One command releases a rack, and still no hundred hosts are shot at once."""
    dark = fleet(100, 0, rack="a1")
    view = with_releases(a_view(*dark, *fleet(0, 200, rack="b2")), released(*dark))

    assert {} == storms(view)
    assert 5 == len(convicted(view, RACKS))


def test_release__some_are_being_fenced__the_next_wait_for_their_turn() -> None:
    """So many are being fenced at a time, not so many in a round."""
    shooting = [in_rack(a_host(HostName(f"shot-{n}"), HostState.FENCING), "a1") for n in range(4)]
    dark = fleet(10, 0, rack="a1")
    view = with_releases(a_view(*shooting, *dark), released(*shooting, *dark))

    assert 1 == len(convicted(view, RACKS))


@pytest.mark.parametrize("unfit", [protected, partitioned, without_a_witness, None])
def test_release__first_hosts_cannot_be_convicted__the_others_get_their_turn(
    unfit: Callable[[HostView], HostView] | None,
) -> None:
    """A place is for who would be convicted now; None: those in front are in maintenance."""
    dark = fleet(20, 0, rack="a1")
    front = {host.name for host in dark[:10]}
    queue = [unfit(host) if unfit and host.name in front else host for host in dark]
    maintenance = [] if unfit else sorted(front)
    view = a_view(*queue, *fleet(0, 200, rack="b2"), maintenance=maintenance)
    view = with_releases(view, released(*dark))

    assert 5 == len(convicted(view, RACKS))
    assert set() == convicted(view, RACKS) & front
    queued = [hold.scope for hold in holds(view, RACKS, NOW_S) if hold.kind is HoldKind.RATE]
    assert 5 == len(queued)
    assert set() == set(queued) & front


def test_release__policy_fences_the_partitioned__they_wait_for_their_turn_too() -> None:
    """Whatever convicts, no more than a few at a time are fenced."""
    detection = replace(RACKS.detection, partitioned=PartitionedPolicy.FENCE)
    cut_off = [partitioned(host) for host in fleet(20, 0, rack="a1")]
    view = with_releases(a_view(*cut_off, *fleet(0, 200, rack="b2")), released(*cut_off))

    assert 5 == len(convicted(view, replace(RACKS, detection=detection)))


@pytest.mark.parametrize(("for_s", "expected"), [(299.0, False), (301.0, True)])
def test_release__none_of_those_being_fenced_is_done__pages(
    for_s: float, *, expected: bool
) -> None:
    """A queue that does not move is told; one that moves pages nobody."""
    shooting = [
        a_host(HostName(f"shot-{n}"), HostState.FENCING, state_since_s=NOW_S - for_s - n)
        for n in range(5)
    ]
    dark = fleet(3, 0, rack="a1")
    view = with_releases(a_view(*shooting, *dark), released(*shooting, *dark))

    queued = [hold for hold in holds(view, RACKS, NOW_S) if hold.kind is HoldKind.RATE]
    assert [expected] * 3 == [hold.needs_human for hold in queued]


def test_release__host_with_another_boot__is_not_released() -> None:
    """What was shown binds: a host that came back and fails again is another matter."""
    dark = fleet(8, 0, rack="a1")
    view = with_releases(a_view(*dark), released(*dark, boot_id=NEXT_BOOT))

    assert not is_released(view, dark[0])
    assert set() == convicted(view, RACKS)


def test_release__of_some__leaves_the_others_held() -> None:
    """Only those that were named pass."""
    dark = fleet(12, 0, rack="a1")
    view = with_releases(a_view(*dark), released(*dark[:2]))

    assert {host.name for host in dark[:2]} == convicted(view, RACKS)


def test_release__passes_the_rate__but_no_other_hold() -> None:
    """It is about storms: a disarmed cluster stays disarmed."""
    dark = fleet(2, 0, rack="a1")
    incidents = [conviction(number, age_s=60.0) for number in range(10)]
    armed = with_releases(a_view(*dark, incidents=incidents), released(*dark))
    disarmed = with_releases(a_view(*dark, is_armed=False), released(*dark))

    assert set() == held(armed, dark[0])
    assert {HoldKind.DISARMED} == held(disarmed, dark[0])


def answered(view: ClusterView, policy: Policy = RACKS) -> Request:
    """The answer that a round gives to the one request."""
    (answer,) = (
        value
        for value in writes(*changes_of(decide(view, policy, NOW_S))).values()
        if isinstance(value, Request)
    )
    return answer


def asked_for(*hosts: HostView) -> Versioned[Request]:
    """The request to release hosts in the boots that they registered last."""
    boots = {host.name: BOOT for host in hosts}
    until = "2026-01-01T00:30:00.000Z"
    return a_request(RequestKind.RELEASE, boots=boots, until=until, reason="dark")


@pytest.mark.parametrize(
    ("case", "living"),
    [
        ("well", a_host()),
        ("its own checks fail", a_host(checks=HostChecks(boot_id=BOOT, failed={"storage": "no"}))),
        ("suspected and heard again", a_host(HOST, HostState.SUSPECT)),
        ("without a session, and its agent answers", a_host(is_here=False, evidence=echoes())),
    ],
)
def test_release__of_hosts_that_live__is_refused_and_names_them(
    case: str, living: HostView
) -> None:
    """Nothing is released in advance: it would be a brake left open for whatever comes."""
    lost = a_lost_host(SPARE)
    view = a_view(living, lost, a_host(THIRD), requests=[asked_for(living, lost)])

    answer = answered(view)

    assert RequestState.REFUSED is answer.state, case
    assert "alive: host-1" in answer.answer
    assert "host-2" not in answer.answer


@pytest.mark.parametrize(
    "lost",
    [
        a_lost_host(),
        a_lost_host(HOST, HostState.SUSPECT),
        a_host(is_here=True, evidence=silence()),
        a_lost_host(HOST, HostState.RETURNING),
        a_host(HOST, HostState.EVACUATED),
        a_lost_host(leaving=Leaving.SHUTDOWN),
        partitioned(a_lost_host()),
    ],
)
def test_release__of_a_rack_whatever_became_of_its_hosts__is_accepted(lost: HostView) -> None:
    """A label names all without a session: one that is convicted already refuses no others."""
    view = a_view(lost, a_host(SPARE), requests=[asked_for(lost)])

    assert RequestState.ACCEPTED is answered(view).state


@pytest.mark.parametrize("degraded", DegradedPolicy)
def test_release__of_a_host_whose_own_checks_fail__is_refused_unless_that_fences_it(
    degraded: DegradedPolicy,
) -> None:
    """Where policy gives such a host up it may be released like a lost one; it stays released."""
    policy = replace(RACKS, detection=replace(RACKS.detection, degraded=degraded))
    ill = a_host(HOST, HostState.DEGRADED, checks=HostChecks(boot_id=BOOT, failed={"link": "no"}))
    is_lost = degraded is DegradedPolicy.FENCE

    answer = answered(a_view(ill, a_host(SPARE), requests=[asked_for(ill)]), policy)
    left = releases_left(with_releases(a_view(ill), released(ill)), policy)

    assert is_lost == (RequestState.ACCEPTED is answer.state)
    assert is_lost == (left is None)


def releases_left(view: ClusterView, policy: Policy = RACKS) -> tuple[Release, ...] | None:
    """The releases that a round writes down, None: it writes no switches."""
    found = writes(*changes_of(decide(view, policy, NOW_S))).get(CONTROL)
    assert found is None or isinstance(found, Control)
    return None if found is None else found.releases


def test_release__hosts_are_well_again__they_drop_out_and_it_is_told() -> None:
    """The loss that was released is over; the next one is held anew."""
    dark = fleet(8, 0, rack="a1")
    given = released(*dark)
    healed = [in_rack(a_host(host.name), "a1") for host in dark[:6]]
    view = with_releases(a_view(*healed, *dark[6:], *fleet(0, 200, rack="b2")), given)

    (left,) = releases_left(view) or ()

    assert {host.name for host in dark[6:]} == left.hosts.keys()
    (told,) = (
        change.reason
        for change in decide(view, RACKS, NOW_S).transitions
        if change.reason.code == "release_of_living_ended"
    )
    assert {host.name for host in dark[:6]} == set(told.facts["hosts"].split(","))
    again = with_releases(a_view(*dark, *fleet(0, 200, rack="b2")), left)
    assert set() == convicted(again, RACKS) - left.hosts.keys()


def test_release__the_last_host_is_well_again__is_over() -> None:
    """Nothing is left of it."""
    view = with_releases(a_view(a_host()), released(a_host()), released(a_host(SPARE)))

    assert () == releases_left(with_releases(view, released(a_host())))
    assert (released(a_host(SPARE)),) == releases_left(view)


@pytest.mark.parametrize(
    "host",
    [
        a_lost_host(),
        a_host(is_here=True, evidence=silence()),
        partitioned(a_lost_host()),
        a_host(HOST, HostState.FENCING, is_here=True),
        a_host(HOST, HostState.EVACUATED),
        a_host(boot_id=NEXT_BOOT),
    ],
)
def test_release__host_is_not_well_in_that_boot__stays(host: HostView) -> None:
    """It is lost still, or convicted, or back in another boot, for which it never counted."""
    assert releases_left(with_releases(a_view(host), released(host))) is None
