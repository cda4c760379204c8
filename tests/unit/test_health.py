"""Own health: a leader that was late, slept, or cannot prove its session, knows it (S10)."""

import pytest

from hamon.engine.health import OwnHealth
from tests.virtual_clock import VirtualClock


class Sleep:
    """How long this machine has slept."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def __call__(self) -> float:
        """Return it."""
        return self.slept_s


def a_health(sleep: Sleep | None = None) -> tuple[VirtualClock, OwnHealth]:
    """A controller that is well."""
    clock = VirtualClock()
    health = OwnHealth(clock, lag_max_s=2.0, session_timeout_s=6.0, asleep_s=sleep or Sleep())
    return clock, health


@pytest.mark.parametrize(("late_s", "is_sick"), [(-1.0, False), (2.0, False), (2.1, True)])
async def test_round__late__is_remembered(late_s: float, *, is_sick: bool) -> None:
    """A loop that came round too late may have missed what it judges by."""
    clock, health = a_health()

    lag_s = health.came_round(clock.now_s() - late_s)

    assert lag_s == pytest.approx(max(0.0, late_s))
    assert (clock.now_s() if is_sick else None) == health.lagged_s


async def test_round__after_a_sleep_of_the_machine__is_remembered_once() -> None:
    """BOOTTIME parts from MONOTONIC only while a machine is suspended."""
    sleep = Sleep()
    clock, health = a_health(sleep)
    slept_at_s = clock.now_s()

    sleep.slept_s = 1.1
    health.came_round(clock.now_s())
    await clock.advance(10.0)
    health.came_round(clock.now_s())

    assert slept_at_s == health.lagged_s


@pytest.mark.parametrize(
    ("age_s", "expected"), [(0.0, True), (5.9, True), (6.0, False), (60.0, False)]
)
async def test_session__written_lately__is_proven(age_s: float, *, expected: bool) -> None:
    """Only a committed write of the own session proves it, for as long as it lasts."""
    clock, health = a_health()
    sent_s = clock.now_s()
    health.proved_session(sent_s)

    await clock.advance(age_s)

    assert (expected, sent_s) == (health.is_session_proven, health.session_proven_s)


async def test_session__never_written__is_not_proven() -> None:
    """A controller that has not written yet has proved nothing."""
    assert not a_health()[1].is_session_proven
