"""Hosts that hamon stands on, and hosts that an operator set aside: not fenced, and not dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.holds import against_conviction, holds
from hamon.decide.tick import decide
from hamon.model.cloud import OURS, ComputeService
from hamon.model.control import HoldKind, Request, RequestKind, RequestState
from hamon.model.host import SHUT_OUT_STATES, Carried, HostState
from hamon.model.incident import IncidentRecord
from hamon.model.names import HostName
from hamon.model.policy import HoldPolicy, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    HOST,
    ME,
    NEXT_BOOT,
    NOW_S,
    a_host,
    a_lost_host,
    a_request,
    a_view,
    an_incident,
    off_twice,
)
from tests.cloud_builders import a_cloud, a_service
from tests.decisions import state_written, writes

ALLOWED = Policy(holds=HoldPolicy(fence_controllers=True), zookeeper_servers=3)
ZOOKEEPER = (Carried.ZOOKEEPER,)


def carrying(host: HostView, *carried: Carried) -> HostView:
    """A host on which something of hamon's foundation runs."""
    return replace(host, spec=replace(host.spec, carries=carried))


def held(view: ClusterView, host: HostView, policy: Policy = ALLOWED) -> set[HoldKind]:
    """The kinds of holds that keep a host from being convicted."""
    found = against_conviction(holds(view, policy, NOW_S), host, view)
    return {hold.kind for hold in found} - {HoldKind.STORM}


@pytest.mark.parametrize("carried", list(Carried))
def test_foundation__not_allowed__is_never_convicted_and_pages(carried: Carried) -> None:
    """A host that carries a controller or ZooKeeper is not fenced by default (S11)."""
    host = carrying(a_lost_host(state=HostState.SUSPECT), carried)
    view = a_view(host)

    assert {HoldKind.PROTECTED} == held(view, host, Policy())
    assert [True] == [hold.needs_human for hold in holds(view, Policy(), NOW_S)]


def test_foundation__well__pages_nobody() -> None:
    """That a host is protected is no news while it is well."""
    view = a_view(carrying(a_host(), *ZOOKEEPER))

    assert [False] == [hold.needs_human for hold in holds(view, Policy(), NOW_S)]


@pytest.mark.parametrize(("others_gone", "expected"), [(0, set()), (1, {HoldKind.PROTECTED})])
def test_foundation__allowed__while_a_quorum_survives(
    others_gone: int, expected: set[HoldKind]
) -> None:
    """Of three servers one may go, and no second one."""
    host = carrying(a_lost_host(state=HostState.SUSPECT), *ZOOKEEPER)
    gone = [
        carrying(a_host(HostName(f"gone-{n}"), HostState.EVACUATED), *ZOOKEEPER)
        for n in range(others_gone)
    ]

    assert expected == held(a_view(host, *gone), host)


def test_foundation__the_only_server__is_never_convicted() -> None:
    """A quorum of one does not survive its only server."""
    host = carrying(a_lost_host(state=HostState.SUSPECT), *ZOOKEEPER)
    alone = replace(ALLOWED, zookeeper_servers=1)

    assert {HoldKind.PROTECTED} == held(a_view(host), host, alone)


def test_foundation__own_host__is_never_convicted_whatever_is_allowed() -> None:
    """A leader does not cut its own power."""
    host = a_lost_host(HostName(ME))

    assert {HoldKind.PROTECTED} == held(a_view(host), host)


def lost_on_its_way_back(name: HostName = HOST, **others: Any) -> HostView:  # noqa: ANN401
    """A host that returned in a new boot, and is gone again."""
    facts = {"boot_id": NEXT_BOOT, "is_here": False, "readings": off_twice(name)} | others
    return a_host(name, HostState.RETURNING, **facts)


def among_others(host: HostView, service: ComputeService | None = None) -> ClusterView:
    """A view of a host among others that are well, its incident of long ago; with a Nova or not."""
    others = (a_host(HostName(f"well-{number}")) for number in range(4))
    incident = replace(an_incident(host=host.name), opened_s=NOW_S - 5000.0)
    view = a_view(host, *others, incidents=[incident])
    if service is None:
        return view
    return replace(view, cloud=a_cloud(services={service.host: service}))


@pytest.mark.parametrize(
    ("host", "service", "kind"),
    [
        (lost_on_its_way_back(), None, None),
        (carrying(lost_on_its_way_back(), *ZOOKEEPER), None, HoldKind.PROTECTED),
        (lost_on_its_way_back(HostName(ME)), None, HoldKind.PROTECTED),
        (
            lost_on_its_way_back(),
            a_service(HOST, is_enabled=False, disabled_reason="new disks"),
            HoldKind.OPERATOR_DISABLED,
        ),
    ],
    ids=["any other", "carries ZooKeeper", "the leader's own", "disabled by an operator"],
)
def test_returning__lost_again__is_as_protected_as_before(
    host: HostView, service: ComputeService | None, kind: HoldKind | None
) -> None:
    """It may be convicted once more, in its new boot: what spoke against that still does."""
    view = among_others(host, service)

    convicted = state_written(decide(view, Policy(), NOW_S), host.name) is HostState.FENCING

    assert convicted == (kind is None)
    found = {(h.kind, h.needs_human) for h in holds(view, Policy(), NOW_S) if h.scope == host.name}
    assert found == ({(kind, True)} if kind is not None else set())


@pytest.mark.parametrize(
    ("others", "state"),
    [
        ({}, RequestState.ACCEPTED),
        ({"is_here": True}, RequestState.REFUSED),
        ({"boot_id": BOOT}, RequestState.REFUSED),
    ],
    ids=["lost again", "returns", "its new boot is not known"],
)
def test_evacuate_host__disabled_and_lost_on_its_way_back__is_passed_by_hand(
    others: dict[str, Any], state: RequestState
) -> None:
    """What the hold advises can be done: nothing else would move the guests that stayed."""
    host = lost_on_its_way_back(**others)
    view = among_others(host, a_service(HOST, is_enabled=False, disabled_reason="new disks"))
    request = a_request(RequestKind.EVACUATE_HOST, HOST, boot_id=host.boot_id)

    decision = decide(replace(view, requests={"r-1": request}), Policy(), NOW_S)

    written = writes(*decision.transitions).values()
    assert [state] == [value.state for value in written if isinstance(value, Request)]
    opened = [value for value in written if isinstance(value, IncidentRecord)]
    passed = [word.partition(":")[0] for each in opened for word in each.overridden]
    assert passed == ([HoldKind.OPERATOR_DISABLED] if state is RequestState.ACCEPTED else [])


@pytest.mark.parametrize("state", sorted(SHUT_OUT_STATES - {HostState.RETURNING}), ids=str)
def test_foundation__convicted_already__is_protected_from_nothing(state: HostState) -> None:
    """What was begun goes on: a hold would stand there for nothing."""
    view = among_others(carrying(a_host(HOST, state, is_here=False), *ZOOKEEPER))

    assert [] == [hold for hold in holds(view, Policy(), NOW_S) if hold.scope == HOST]


@pytest.mark.parametrize(
    ("case", "said", "is_enabled", "expected"),
    [
        ("by an operator", "new memory", False, {HoldKind.OPERATOR_DISABLED}),
        ("without a reason", "", False, {HoldKind.OPERATOR_DISABLED}),
        ("by hamon", f"{OURS} degraded", False, set()),
        ("not at all", "", True, set()),
    ],
)
def test_disabled__in_nova__is_held_when_it_dies_unless_hamon_did_it(
    case: str, said: str, expected: set[HoldKind], *, is_enabled: bool
) -> None:
    """Somebody works on it: it is neither fenced nor dropped in silence."""
    host = a_lost_host(state=HostState.SUSPECT)
    service = a_service(HOST, is_enabled=is_enabled, disabled_reason=said)
    view = replace(a_view(host), cloud=a_cloud(services={HOST: service}))

    assert expected == held(view, host), case
    pages = [h.needs_human for h in holds(view, ALLOWED, NOW_S) if h.scope == HOST]
    assert [True for _ in expected] == pages, case
