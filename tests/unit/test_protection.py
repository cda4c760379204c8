"""Hosts that hamon stands on, and hosts that an operator set aside: not fenced, and not dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.holds import against_conviction, holds
from hamon.decide.tick import decide
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import OURS, CloudView, ComputeService
from hamon.model.control import HoldKind, Request, RequestKind, RequestState
from hamon.model.host import SHUT_OUT_STATES, Carried, HostState
from hamon.model.incident import IncidentRecord
from hamon.model.names import HostName
from hamon.model.policy import DegradedPolicy, DetectionPolicy, HoldPolicy, Policy
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
    silence,
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
    facts: dict[str, Any] = {
        "boot_id": NEXT_BOOT,
        "is_here": False,
        "readings": off_twice(name),
    } | others
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


def unread(view: ClusterView, policy: Policy = ALLOWED) -> list[bool]:
    """Of each hold that waits for Nova's word about the first host, whether it pages."""
    found = [hold for hold in holds(view, policy, NOW_S) if hold.kind is HoldKind.NOVA_NOT_READ]
    assert all("whether somebody disabled" in hold.reason for hold in found)
    return [hold.needs_human for hold in found if hold.scope == HOST]


def silent_since(
    age_s: float,
    state: HostState = HostState.SUSPECT,
    **others: Any,  # noqa: ANN401 - see a_host
) -> HostView:
    """A host that fell silent, lost its session and was suspected so long ago."""
    facts: dict[str, Any] = {
        "state_since_s": NOW_S - age_s,
        "session_lost_s": NOW_S - age_s,
        "evidence": silence(for_s=age_s),
    } | others
    return a_lost_host(state=state, **facts)


def in_a_cloud(host: HostView, **cloud: Any) -> ClusterView:  # noqa: ANN401 - any field
    """The host among others in a cloud whose services say that all is well."""
    services = {str(HOST): a_service(HOST)}
    others = (a_host(HostName(f"well-{number}")) for number in range(4))
    known = CloudView(services=services, services_s=NOW_S)
    return replace(a_view(host, *others), cloud=replace(known, **cloud))


@pytest.mark.parametrize(
    ("case", "services_s", "expected"),
    [
        ("never read", None, [False]),
        ("read before it fell silent", NOW_S - 5.1, [False]),
        ("read since", NOW_S - 5.0, []),
    ],
)
def test_not_read__dead_host__is_convicted_when_nova_was_read_since_it_fell_silent(
    case: str, services_s: float | None, expected: list[bool]
) -> None:
    """Who disabled it to work on it, and switched it off a moment later, is on no older list."""
    view = in_a_cloud(silent_since(5.0), services_s=services_s)
    view = view if services_s else replace(view, cloud=CloudView())

    decision = decide(view, ALLOWED, NOW_S)

    assert expected == unread(view), case
    is_convicted = state_written(decision, HOST) is HostState.FENCING
    assert is_convicted is not bool(expected), case
    assert bool(expected) == (CloudLook(kind=CloudLookKind.SERVICES) in decision.looks), case


@pytest.mark.parametrize(
    ("host", "read_age_s", "expected"),
    [
        (silent_since(90.0, session_lost_s=NOW_S - 5.0), 6.0, [False]),
        (silent_since(90.0, evidence=silence(for_s=5.0)), 6.0, [False]),
        (silent_since(5.0, state=HostState.UP), 6.0, [False]),
        (silent_since(5.0, state=HostState.UP), 4.0, []),
        (a_host(evidence=silence(for_s=5.0), readings=off_twice()), 6.0, [False]),
        (a_host(evidence=silence(for_s=1.0), readings=off_twice()), 6.0, []),
        (lost_on_its_way_back(), 90.0, [True]),
        (lost_on_its_way_back(), 1.0, []),
        (a_host(state=HostState.DEGRADED, state_since_s=NOW_S - 5.0), 6.0, []),
        (a_host(), 9.0, []),
    ],
    ids=[
        "session lost since", "planes silent since", "not written down yet", "read since",
        "late", "not late yet", "on its way back", "on its way back, read since",
        "degraded", "well",
    ],
)  # fmt: skip
def test_not_read__host__counts_from_what_was_heard_last(
    host: HostView, read_age_s: float, expected: list[bool]
) -> None:
    """It may have been disabled at any time before that."""
    assert expected == unread(in_a_cloud(host, services_s=NOW_S - read_age_s))


def test_not_read__degraded_host_that_policy_fences__waits_too() -> None:
    """It is convicted without having been missed."""
    policy = Policy(detection=DetectionPolicy(degraded=DegradedPolicy.FENCE))
    view = in_a_cloud(
        a_host(state=HostState.DEGRADED, state_since_s=NOW_S - 5.0), services_s=NOW_S - 6.0
    )

    assert [False] == unread(view, policy)


@pytest.mark.parametrize(("age_s", "pages"), [(59.0, False), (61.0, True)])
def test_not_read__for_a_minute__pages(age_s: float, *, pages: bool) -> None:
    """Its guests are down for as long, and somebody has to mend Nova."""
    assert [pages] == unread(in_a_cloud(silent_since(age_s), services_s=NOW_S - 90.0))


def test_not_read__disabled_by_what_was_read_before__is_held_and_pages_as_that() -> None:
    """What is known is said, though Nova does not answer now."""
    disabled = a_service(HOST, is_enabled=False, disabled_reason="new disks")
    host = silent_since(5.0)
    view = in_a_cloud(host, services={HOST: disabled}, services_s=NOW_S - 90.0)

    assert {HoldKind.OPERATOR_DISABLED} == held(view, host)
    assert [True] == [hold.needs_human for hold in holds(view, ALLOWED, NOW_S)]


def test_not_read__its_cell_is_down__waits() -> None:
    """What Nova says of a service there is not what the service's row has."""
    unknown = replace(a_service(HOST), is_up=None, is_enabled=False)

    assert [False] == unread(in_a_cloud(silent_since(5.0), services={HOST: unknown}))
    assert [] == holds_of(in_a_cloud(a_host(), services={HOST: unknown}))


@pytest.mark.parametrize("services_s", [None, NOW_S])
def test_not_read__host_that_nova_does_not_know__waits_for_the_reading_only(
    services_s: float | None,
) -> None:
    """Nobody can have disabled a service that there is not."""
    view = in_a_cloud(silent_since(5.0), services={}, services_s=services_s)

    assert ([] if services_s else [False]) == unread(view)


def test_not_read__host_without_agent__is_not_held() -> None:
    """Only a person convicts it, and Nova's word is what it is given up by."""
    host = silent_since(5.0)
    host = replace(host, spec=replace(host.spec, agentless=True))

    assert [] == unread(in_a_cloud(host, services_s=None))


def test_not_read__without_nova__nothing_waits() -> None:
    """Who runs hosts by libvirt alone disables none there."""
    assert [] == unread(a_view(silent_since(5.0)))


def holds_of(view: ClusterView) -> list[HoldKind]:
    """The kinds of holds about the first host."""
    return [hold.kind for hold in holds(view, ALLOWED, NOW_S) if hold.scope == HOST]
