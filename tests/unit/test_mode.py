"""What hosts are told of shadow mode, and who is held because it still goes by it."""

from dataclasses import replace

import pytest

from hamon.decide.holds import against_action, against_conviction, holds, is_passed_by_hand
from hamon.decide.mode import HOSTS_MAX
from hamon.decide.tick import decide
from hamon.model.change import Check, NodeKind, mode_of
from hamon.model.control import HoldKind
from hamon.model.host import HostMode, HostState
from hamon.model.names import HostName
from hamon.model.policy import Mode, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import HOST, NOW_S, SPARE, a_host, a_lost_host, a_view, an_own, at
from tests.decisions import changes_of, checks, writes

ACTIVE, SHADOW = Policy(), Policy(mode=Mode.SHADOW)
VERSION = 4


def told(host: HostView, mode: HostMode | None) -> HostView:
    """The host, with what its znode holds; None: nobody has written it."""
    return replace(host, mode=at(VERSION, mode))


def told_now(view: ClusterView, policy: Policy) -> dict[HostName, HostMode]:
    """What a round writes to hosts."""
    written = {}
    for key, value in writes(*changes_of(decide(view, policy, NOW_S))).items():
        if key.kind is NodeKind.MODE:
            assert key.host is not None
            assert isinstance(value, HostMode)
            written[key.host] = value
    return written


FREED = HostMode(mode=Mode.SHADOW, is_ungated=True)


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        (ACTIVE, None, None),
        (SHADOW, None, HostMode(mode=Mode.SHADOW)),
        (SHADOW, HostMode(), HostMode(mode=Mode.SHADOW)),
        (SHADOW, FREED, None),
        (ACTIVE, FREED, replace(FREED, mode=Mode.ACTIVE)),
        (ACTIVE, replace(FREED, mode=Mode.ACTIVE), None),
    ],
)
def test_told__what_the_policy_says__once_and_what_the_host_says_is_kept(
    policy: Policy, before: HostMode | None, after: HostMode | None
) -> None:
    """Only the host itself may take back that it is ungated."""
    view = a_view(told(a_host(HOST), before))

    assert ({} if after is None else {HOST: after}) == told_now(view, policy)


def test_told__host_shut_out_or_silent__is_told_as_well() -> None:
    """It reads it when it is back, before it does anything."""
    hosts = [a_lost_host(HOST, HostState.SUSPECT), a_host(SPARE, HostState.EVACUATED)]

    assert {HOST, SPARE} == told_now(a_view(*(told(h, None) for h in hosts)), SHADOW).keys()


@pytest.mark.parametrize("case", ["agentless", "not made yet", "stand-alone", "rolled back"])
def test_told__nobody_there_to_read_or_to_write__nothing(case: str) -> None:
    """Nothing is written that nobody reads, or by whom may not write."""
    host = told(a_host(HOST), None)
    own = an_own()
    if case == "agentless":
        host = replace(host, spec=replace(host.spec, agentless=True))
    elif case == "not made yet":
        host = replace(host, mode=None)
    elif case == "stand-alone":
        own = replace(own, only_host=SPARE)
    else:
        own = replace(own, is_rolled_back=True)

    assert {} == told_now(a_view(host, own=own), SHADOW)


def test_told__many_hosts__some_in_each_round() -> None:
    """A transaction of ZooKeeper's stays small."""
    hosts = [told(a_host(HostName(f"host-{n:03d}")), None) for n in range(HOSTS_MAX + 20)]

    assert HOSTS_MAX == len(told_now(a_view(*hosts), SHADOW))


# -- who is held ----------------------------------------------------------------------------------


def dead(mode: HostMode | None) -> ClusterView:
    """A host that is lost and read Off, and others that are well."""
    others = [a_host(HostName(f"well-{n}")) for n in range(4)]
    return a_view(told(a_lost_host(HOST, HostState.SUSPECT), mode), *others)


@pytest.mark.parametrize(
    ("mode", "is_convicted"),
    [
        (None, True),
        (HostMode(), True),
        (HostMode(mode=Mode.SHADOW), True),
        (FREED, False),
        (HostMode(is_ungated=True), False),
    ],
)
def test_ungated__host_dies__is_held_and_pages(
    mode: HostMode | None, *, is_convicted: bool
) -> None:
    """At its next boot it would start, without hamon's leave, what was moved away."""
    view = dead(mode)
    decision = decide(view, ACTIVE, NOW_S)

    changes = writes(*changes_of(decision))
    held = [hold for hold in decision.holds if hold.kind is HoldKind.UNGATED]
    assert is_convicted == any(key.kind is NodeKind.INCIDENT for key in changes)
    assert ([] if is_convicted else [(HOST, True)]) == [(h.scope, h.needs_human) for h in held]


def test_ungated__host_is_well__is_held_and_does_not_page() -> None:
    """Its agent takes up active mode in a moment; until then no guest is sent there."""
    host = told(a_host(HOST), FREED)
    in_force = holds(a_view(host), ACTIVE, NOW_S)

    assert [False] == [h.needs_human for h in in_force if h.kind is HoldKind.UNGATED]
    assert against_conviction(in_force, host, a_view(host))
    assert not against_action(in_force, host)
    assert is_passed_by_hand(HoldKind.UNGATED) is True


def test_conviction__its_transaction__checks_what_the_host_said_of_its_mode() -> None:
    """Of a conviction and a host that begins to go by shadow mode only one is committed."""
    conviction = next(
        change
        for change in changes_of(decide(dead(None), ACTIVE, NOW_S))
        if change.reason.code == "host_convicted"
    )

    assert VERSION == checks(conviction)[mode_of(HOST)]
    assert mode_of(HOST) in {op.key for op in conviction.operations if isinstance(op, Check)}
