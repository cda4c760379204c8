"""Readings: which answers of fence devices count, for whom, and when two Offs are Off."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.model.incident import ShotOutcome
from hamon.model.names import Epoch
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import (
    READING_MAX_AGE_S,
    is_off_twice,
    is_settled,
    reads_off,
    reads_on,
    same_system,
)
from hamon.model.view import HostView
from tests.builders import (
    EPOCH,
    HOST,
    NOW_S,
    SPARE,
    a_device,
    a_host,
    a_reading,
    a_shot,
    off_twice,
    uuid_of,
)

ONE = UUID("00112233-4455-6677-8899-aabbccddeeff")
GAP_S = 1.0


def with_readings(*readings: PowerReading, **others: object) -> HostView:
    """A host of which these answers are known."""
    return a_host(readings=readings, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spelling",
    [
        str(ONE),
        str(ONE).upper(),
        ONE.hex,
        str(UUID(bytes=ONE.bytes_le)),
        str(UUID(bytes=ONE.bytes[::-1])),
        str(UUID(bytes_le=ONE.bytes[::-1])),
    ],
)
def test_same_system__spelled_in_another_byte_order__is_the_same(spelling: str) -> None:
    """A BMC that prints its GUID in an order of its own is still recognised."""
    assert same_system(spelling, str(ONE))


@pytest.mark.parametrize("spelling", ["", "none", str(UUID(int=ONE.int + 1)), "0" * 32])
def test_same_system__another_uuid_or_none__is_not_the_same(spelling: str) -> None:
    """Whoever does not say who he is answers for nobody (S12)."""
    assert not same_system(spelling, str(ONE))


@pytest.mark.parametrize(
    ("case", "readings", "expected"),
    [
        ("nothing", (), False),
        ("one Off", (a_reading(Power.OFF, age_s=1),), False),
        ("Off twice", off_twice(), True),
        ("Off twice too close", (a_reading(Power.OFF, age_s=2), a_reading(Power.OFF, age_s=1.1)),
         False),
        ("exactly the gap", (a_reading(Power.OFF, age_s=2), a_reading(Power.OFF, age_s=1)), True),
        ("On last", (*off_twice(newest_age_s=2), a_reading(Power.ON, age_s=1)), False),
        ("On between",
         (a_reading(Power.OFF, age_s=5), a_reading(Power.ON, age_s=4),
          a_reading(Power.OFF, age_s=1)), False),
        ("unknown between does not count",
         (a_reading(Power.OFF, age_s=5), a_reading(Power.UNKNOWN, age_s=4),
          a_reading(Power.OFF, age_s=1)), True),
        ("unknown twice",
         (a_reading(Power.UNKNOWN, age_s=3), a_reading(Power.UNKNOWN, age_s=1)), False),
        ("transition twice",
         (a_reading(Power.TRANSITION, age_s=3), a_reading(Power.TRANSITION, age_s=1)), False),
        ("another machine's Off twice",
         (a_reading(Power.OFF, age_s=3, identity=uuid_of(SPARE)),
          a_reading(Power.OFF, age_s=1, identity=uuid_of(SPARE))), False),
        ("nobody's Off twice",
         (a_reading(Power.OFF, age_s=3, identity=""), a_reading(Power.OFF, age_s=1, identity="")),
         False),
        ("another device's Off",
         (a_reading(Power.OFF, age_s=3, device="pdu"), a_reading(Power.OFF, age_s=1)), False),
        ("slow first answer: asked twice, but at about the same time",
         (a_reading(Power.OFF, age_s=1.5, took_s=4), a_reading(Power.OFF, age_s=0.5, took_s=0.5)),
         False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_reads_off__by_table__needs_two_settled_offs_apart(
    case: str, readings: tuple[PowerReading, ...], *, expected: bool
) -> None:
    """Off is two settled answers of this machine's device, asked a gap apart."""
    host = with_readings(*readings)

    assert expected == reads_off(host, a_device(), after_s=NOW_S - 20, gap_s=GAP_S), case


def test_reads_off__asked_before_the_shot__does_not_count() -> None:
    """Answers to questions from before the shot say nothing of what the shot did."""
    host = with_readings(*off_twice())

    assert not reads_off(host, a_device(), after_s=NOW_S - 2.4, gap_s=GAP_S)
    assert reads_off(host, a_device(), after_s=NOW_S - 2.5, gap_s=GAP_S)


def test_reads_off__fence_agents_program__needs_no_identity() -> None:
    """A fence-agents program cannot say for whom it answers: its plug is the operator's word."""
    readings = tuple(replace(reading, identity="") for reading in off_twice())
    device = a_device(kind="agent")

    assert reads_off(with_readings(*readings), device, after_s=0, gap_s=GAP_S)


def test_reads_off__no_uuid_configured__takes_the_registered_one() -> None:
    """Without a configured uuid the one that the agent registered is what a BMC must answer for."""
    known = with_readings(*off_twice(), product_uuid="")
    unknown = replace(known, self_=replace(known.self_, value=None))

    assert reads_off(known, a_device(), after_s=0, gap_s=GAP_S)
    assert not reads_off(unknown, a_device(), after_s=0, gap_s=GAP_S)


def test_is_off_twice__two_devices_in_a_level__both_must_read_off() -> None:
    """One of two power feeds that reads Off leaves the host running on the other."""
    feeds = (a_device("left"), a_device("right"))
    left, right = off_twice(device="left"), off_twice(device="right")

    assert not is_off_twice(a_host(fence=feeds, readings=left), GAP_S, NOW_S, since_s=0.0)
    assert is_off_twice(a_host(fence=feeds, readings=(*left, *right)), GAP_S, NOW_S, since_s=0.0)


def test_is_off_twice__asked_before_life_was_seen__does_not_count() -> None:
    """An Off from before the last sign of life is about an earlier life of the host."""
    host = with_readings(*off_twice())

    assert is_off_twice(host, GAP_S, NOW_S, since_s=NOW_S - 2.5)
    assert not is_off_twice(host, GAP_S, NOW_S, since_s=NOW_S - 2.4)


def test_is_off_twice__two_levels__one_of_them_is_enough() -> None:
    """Levels are ways to the same power: either one tells."""
    fence = (a_device("bmc"), a_device("pdu", level=2))

    assert is_off_twice(
        a_host(fence=fence, readings=off_twice(device="pdu")), GAP_S, NOW_S, since_s=0.0
    )


def test_is_off_twice__no_device__is_never_off() -> None:
    """A host without fence devices has no power evidence at all."""
    assert not is_off_twice(a_host(fence=(), readings=off_twice()), GAP_S, NOW_S, since_s=0.0)


def test_is_off_twice__storage_revoked__is_no_loss_of_power() -> None:
    """Storage that is still taken away from an earlier incident convicts no living host."""
    hook = a_device("hook", kind="storage")
    revoked = off_twice(device="hook")

    assert not is_off_twice(a_host(fence=(hook,), readings=revoked), GAP_S, NOW_S, since_s=0.0)
    both = a_host(fence=(a_device("bmc"), hook), readings=(*revoked, *off_twice()))
    assert is_off_twice(both, GAP_S, NOW_S, since_s=0.0)


def test_reads_off__storage_hook__needs_no_identity() -> None:
    """A hook names no machine, like an agent: its arguments are the operator's word."""
    hook = a_device("hook", kind="storage")
    revoked = tuple(replace(reading, identity="") for reading in off_twice(device="hook"))

    assert reads_off(a_host(fence=(hook,), readings=revoked), hook, after_s=0.0, gap_s=GAP_S)


def test_reads_on__storage_granted__is_no_power() -> None:
    """A dead host has its storage until somebody takes it away."""
    hook = a_device("hook", kind="storage")
    granted = (a_reading(Power.ON, age_s=1, device="hook"),)

    assert not reads_on(a_host(fence=(hook,), readings=granted), NOW_S)


def test_is_off_twice__old_answers__do_not_count() -> None:
    """Somebody may have pressed the button since an old Off was read."""
    host = with_readings(*off_twice(newest_age_s=READING_MAX_AGE_S + 1))

    assert not is_off_twice(host, GAP_S, NOW_S, since_s=0.0)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((), False),
        ((a_reading(Power.ON, age_s=1),), True),
        ((a_reading(Power.ON, age_s=2), a_reading(Power.OFF, age_s=1)), False),
        ((a_reading(Power.ON, age_s=2), a_reading(Power.UNKNOWN, age_s=1)), True),
        ((a_reading(Power.ON, age_s=READING_MAX_AGE_S + 1),), False),
        ((a_reading(Power.ON, age_s=1, identity=uuid_of(SPARE)),), False),
    ],
)
def test_reads_on__by_table__is_the_newest_settled_answer(
    readings: tuple[PowerReading, ...], *, expected: bool
) -> None:
    """The newest settled answer counts; what came after it unsettled does not undo it."""
    assert expected == reads_on(with_readings(*readings), NOW_S)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Power.UNKNOWN, Power.TRANSITION, Power.ON]),
            st.floats(min_value=0, max_value=29),
        )
        | st.tuples(st.just(Power.OFF), st.just(-1.0)),
        max_size=12,
    )
)
def test_off__unsettled_or_foreign_answers__never_add_up(
    answers: list[tuple[Power, float]],
) -> None:
    """Unknown, transitional, On and other machines' answers never make an Off (S3, S12)."""
    readings = tuple(
        a_reading(power, age_s=age_s)
        if power is not Power.OFF
        else a_reading(power, age_s=number, identity=uuid_of(SPARE))
        for number, (power, age_s) in enumerate(answers)
    )

    assert not is_off_twice(with_readings(*readings), GAP_S, NOW_S, since_s=0.0)


@pytest.mark.parametrize(
    ("outcome", "epoch", "is_running", "in_office_for_s", "expected"),
    [
        (ShotOutcome.DONE, EPOCH, False, 0.0, True),
        (ShotOutcome.NOT_DONE, EPOCH - 1, False, 0.0, True),
        (ShotOutcome.LATE, EPOCH - 1, False, 0.0, True),
        (ShotOutcome.PENDING, EPOCH, True, 999.0, False),
        (ShotOutcome.PENDING, EPOCH, False, 0.0, True),
        (ShotOutcome.UNKNOWN, EPOCH, False, 0.0, True),
        (ShotOutcome.PENDING, EPOCH - 1, False, 20.4, False),
        (ShotOutcome.PENDING, EPOCH - 1, False, 20.5, True),
        (ShotOutcome.UNKNOWN, EPOCH - 1, False, 20.4, False),
        (ShotOutcome.UNKNOWN, EPOCH - 1, False, 20.5, True),
    ],
)
def test_is_settled__by_table__is_an_answer_or_time(
    outcome: ShotOutcome, epoch: int, in_office_for_s: float, *, is_running: bool, expected: bool
) -> None:
    """An earlier term's shot may act until deadline and lease are over, an own one to its end."""
    shot = a_shot(outcome=outcome, epoch=epoch, deadline_s=20.0)
    host = a_host(HOST, is_shot_running=is_running)

    assert expected == is_settled(
        shot,
        host,
        epoch=Epoch(EPOCH),
        took_office_s=NOW_S - in_office_for_s,
        lease_s=0.5,
        now_s=NOW_S,
    )
