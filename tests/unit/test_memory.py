"""Memory: when this controller saw things, on its own clock."""

import pytest

from hamon.engine.memory import Memory
from hamon.model.action import Shoot
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from hamon.model.readings import READINGS_MAX
from hamon.model.view import DeviceShot
from tests.builders import HOST, INCIDENT, SPARE, a_reading


def test_session__lost__since_it_was_first_missed() -> None:
    """A loss is as old as this controller has seen it, and not older (S20)."""
    memory = Memory()

    memory.saw_session(HOST, None, 10.0)
    later = memory.saw_session(HOST, None, 15.0)

    assert (10.0, None) == (later.session_lost_s, later.registered_s)


def test_session__back__is_a_new_registration() -> None:
    """The next session starts a time of its own."""
    memory = Memory()

    first = memory.saw_session(HOST, 1, 10.0)
    assert (None, 10.0) == (first.session_lost_s, first.registered_s)
    same = memory.saw_session(HOST, 1, 12.0)
    assert 10.0 == same.registered_s
    other = memory.saw_session(HOST, 2, 13.0)
    assert (None, 13.0) == (other.session_lost_s, other.registered_s)


def test_session__gone_and_the_same_again__is_registered_anew() -> None:
    """A session that was missed in between has not been there all the time."""
    memory = Memory()

    memory.saw_session(HOST, 1, 10.0)
    memory.saw_session(HOST, None, 11.0)
    again = memory.saw_session(HOST, 1, 12.0)

    assert (None, 12.0) == (again.session_lost_s, again.registered_s)


def test_since__changes__starts_anew() -> None:
    """How long something has been as it is, is counted from when it was first seen so."""
    memory = Memory()

    seen = [memory.since("x", value, now_s) for value, now_s in (("a", 1.0), ("a", 2.0), ("b", 3.0),
                                                                 ("a", 4.0))]  # fmt: skip

    assert [1.0, 1.0, 3.0, 4.0] == seen


def test_readings__many__only_the_newest_are_kept() -> None:
    """Memory is bounded, and another host's readings stay apart (B2)."""
    memory = Memory()

    for number in range(READINGS_MAX + 5):
        memory.saw_power(HOST, a_reading(Power.OFF, age_s=100.0 - number))

    kept = memory.host(HOST).readings
    assert (READINGS_MAX, a_reading(Power.OFF, age_s=100.0 - 5)) == (len(kept), kept[0])
    assert 0 == len(memory.host(SPARE).readings)


def test_shots__of_two_devices__are_remembered_apart() -> None:
    """Two feeds are cut at once, and each order has its own end."""
    memory = Memory()
    left, right = (
        Shoot(host=HOST, incident=INCIDENT, device=device, attempt=2, deadline_s=20.0)
        for device in ("left", "right")
    )
    memory.shot_started(left)
    memory.shot_started(right)

    memory.shot_ended(left, ShotOutcome.DONE, 5.0)

    assert {
        "left": DeviceShot(last=ShotOutcome.DONE, settled_s=5.0, incident=INCIDENT, attempt=2),
        "right": DeviceShot(is_running=True, incident=INCIDENT, attempt=2),
    } == memory.host(HOST).shots


def test_readings__of_two_devices__do_not_push_each_other_out() -> None:
    """A device that is read often leaves room for the answers of another."""
    memory = Memory()
    memory.saw_power(HOST, a_reading(Power.OFF, age_s=90.0, device="slow"))

    for number in range(READINGS_MAX + 5):
        memory.saw_power(HOST, a_reading(Power.OFF, age_s=80.0 - number, device="quick"))

    kept = [reading.device for reading in memory.host(HOST).readings]
    assert ["slow", *["quick"] * READINGS_MAX] == kept


def test_readings__in_the_shortest_period_accepted__show_off_twice() -> None:
    """What is kept of quick answers spans the gap that two Off answers must be apart."""
    from_s, gap_s = 5.0, 1.0
    period_s = gap_s / (READINGS_MAX - 1)
    memory = Memory()
    for number in range(READINGS_MAX * 3):
        memory.saw_power(HOST, a_reading(Power.OFF, age_s=from_s - number * period_s))
    kept = memory.host(HOST).readings

    assert kept[-1].asked_s - kept[0].observed_s == pytest.approx(gap_s)
