"""Hosts that hamon stands on, and hosts that an operator set aside: not fenced, and not dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hamon.decide.holds import against_conviction, holds
from hamon.model.cloud import OURS
from hamon.model.control import HoldKind
from hamon.model.host import Carried, HostState
from hamon.model.names import HostName
from hamon.model.policy import HoldPolicy, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import HOST, ME, NOW_S, a_host, a_lost_host, a_view
from tests.cloud_builders import a_cloud, a_service

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
