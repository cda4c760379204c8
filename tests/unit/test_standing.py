"""Who should lead: a leader blind to something yields to a controller that sees it, and more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hamon.decide.standing import STANDBY_LOOK_S, blind_to, standby_looks, who_should_lead
from hamon.decide.tick import decide
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.policy import Policy
from hamon.model.view import ClusterView, ControllerView
from tests.builders import ME, NOW_S, OTHER, PLANES, a_host, a_report, a_view, an_own
from tests.cloud_builders import a_cloud

LONG = {"nova": NOW_S - 30.0}


def report(*, reaches: tuple[str, ...] = PLANES, **outside: bool) -> ControllerView:
    """My report."""
    return replace(a_report(ME, reaches=reaches), outside=outside)


def other(*, reaches: tuple[str, ...] = PLANES, **outside: bool) -> ControllerView:
    """The other controller's report."""
    return replace(a_report(OTHER, reaches=reaches), outside=outside)


def view_of(*controllers: ControllerView, **blind: float) -> ClusterView:
    """What a leader sees that has been blind to some systems since some time."""
    return a_view(a_host(), controllers=controllers, own=an_own(blind_since_s=blind))


def test_yields__blind_for_long_and_another_sees_it_and_all_else__leaves_office() -> None:
    """What the leader does not reach it cannot judge."""
    view = view_of(report(nova=False, power=True), other(nova=True, power=True), **LONG)

    why = who_should_lead(view, NOW_S)

    assert why is not None
    assert ("leader_yields", "nova", OTHER) == (why.code, why.facts["system"], why.facts["to"])
    assert why == decide(view, Policy(), NOW_S).yields


@pytest.mark.parametrize(
    ("case", "me", "another", "since_s"),
    [
        ("blind for a moment", report(nova=False), other(nova=True), NOW_S - 10.0),
        ("the other is blind too", report(nova=False), other(nova=False), NOW_S - 30.0),
        ("the other has not tried", report(nova=False), other(), NOW_S - 30.0),
        ("the other lacks something else", report(nova=False, power=True),
         other(nova=True, power=False), NOW_S - 30.0),
        ("the other lacks a plane", report(nova=False), other(nova=True, reaches=PLANES[:1]),
         NOW_S - 30.0),
    ],
)  # fmt: skip
def test_yields__nobody_would_do_better__stays(
    case: str, me: ControllerView, another: ControllerView, since_s: float
) -> None:
    """A successor that is blind as well helps nobody, and every change of leader costs time."""
    assert None is who_should_lead(view_of(me, another, nova=since_s), NOW_S), case


def test_yields__plane_is_not_reached__is_blindness_too() -> None:
    """A leader that hears no host on a plane convicts nobody by it."""
    blind = {f"plane {PLANES[1]}": NOW_S - 30.0}
    view = view_of(report(reaches=PLANES[:1]), other(), **blind)

    assert frozenset(blind) == blind_to(view)
    assert None is not who_should_lead(view, NOW_S)


def test_blind_to__all_is_reached__is_nothing() -> None:
    """What was not tried is not blindness."""
    assert frozenset() == blind_to(view_of(report(power=True)))


@pytest.mark.parametrize(("age_s", "is_due"), [(1.0, False), (STANDBY_LOOK_S + 1.0, True)])
def test_standby__in_a_cloud__reads_novas_services_now_and_then(
    age_s: float, *, is_due: bool
) -> None:
    """It knows whether it would reach Nova before it leads."""
    view = replace(a_view(a_host()), cloud=a_cloud(services_s=NOW_S - age_s))

    looks = standby_looks(view, NOW_S)

    assert (() if not is_due else (CloudLook(kind=CloudLookKind.SERVICES),)) == looks
    assert () == standby_looks(a_view(a_host()), NOW_S)
