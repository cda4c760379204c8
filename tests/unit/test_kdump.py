"""Crash notices: what is remembered of them, for how long, and what is only counted."""

import struct
from collections import Counter

import pytest
from structlog.testing import capture_logs

from hamon.detector.kdump import (
    KEPT_S,
    MAGIC,
    SERIES_GAP_S,
    STRANGERS_MAX,
    VERSION,
    Heard,
    KdumpListener,
    senders_of,
)
from hamon.model.host import HostSpec, PlaneAddress
from hamon.model.names import HostName
from hamon.model.proof import Source, Vote
from tests.virtual_clock import VirtualClock

HOST, OTHER = HostName("compute-1"), HostName("compute-2")
LITTLE, BIG = struct.pack("<II", MAGIC, VERSION), struct.pack(">II", MAGIC, VERSION)
SPECS = tuple(
    HostSpec(
        name=host,
        planes=(PlaneAddress(plane="management", address=address, port=7420),),
        fence=(),
        kdump_addresses=more,
    )
    for host, address, more in (
        (HOST, "192.0.2.1", ("198.51.100.1", "2001:db8::1")),
        (OTHER, "192.0.2.2", ()),
    )
)


class Ear:
    """A listener, what it woke for, and what it counted."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.woken: list[HostName] = []
        self.counted: Counter[Heard] = Counter()
        self.listener = KdumpListener(
            self.clock,
            senders_of(SPECS),
            observer="controller-1",
            on_change=self.woken.append,
            on_datagram=lambda heard: self.counted.update([heard]),
        )

    def hear(self, source: str = "192.0.2.1", datagram: bytes = LITTLE) -> None:
        """Have a datagram arrive."""
        self.listener.hear(datagram, source)

    def votes(self, host: HostName = HOST) -> list[tuple[str, float, float]]:
        """Return address, first and newest of each vote, in seconds ago."""
        now_s = self.clock.now_s()
        return [
            (vote.subject, now_s - vote.changed_s, now_s - vote.observed_s)
            for vote in self.listener.evidence(host)
        ]


@pytest.fixture
def ear() -> Ear:
    """Give a listener that has heard nothing."""
    return Ear()


async def test_evidence__notices_of_a_series__one_vote_from_first_to_newest(ear: Ear) -> None:
    """A dump of minutes is one vote, as old as its newest notice."""
    for _ in range(3):
        ear.hear()
        await ear.clock.advance(10.0)

    [vote] = ear.listener.evidence(HOST)

    assert (vote.source, vote.vote, vote.subject) == (Source.KDUMP, Vote.DEAD, "192.0.2.1")
    assert (vote.observer, vote.boot_id, vote.detail) == ("controller-1", None, "3 crash notices")
    assert ear.votes() == [("192.0.2.1", 30.0, 10.0)]
    assert ear.votes(OTHER) == []


async def test_hear__series_and_gap__wakes_and_tells_once_for_each_series(ear: Ear) -> None:
    """The second crash of a host is news, the second notice of a crash is not."""
    with capture_logs() as log:
        ear.hear()
        await ear.clock.advance(SERIES_GAP_S)
        ear.hear()
        assert ear.woken == [HOST]
        await ear.clock.advance(SERIES_GAP_S + 0.1)
        ear.hear()

    assert ear.woken == [HOST, HOST]
    assert [entry["event"] for entry in log] == ["kdump_heard", "kdump_heard"]
    assert ear.votes() == [("192.0.2.1", 0.0, 0.0)]


async def test_evidence__looked_at_late__is_kept_for_ten_minutes(ear: Ear) -> None:
    """Whoever suspects the host minutes later still learns that it crashed, and not for ever."""
    ear.hear()

    await ear.clock.advance(KEPT_S)
    assert ear.votes() == [("192.0.2.1", KEPT_S, KEPT_S)]

    await ear.clock.advance(0.1)
    assert ear.votes() == []


@pytest.mark.parametrize("datagram", [LITTLE, BIG])
@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:0::1", "2001:db8::1"),
    ],
)
def test_hear__either_byte_order_from_any_own_address__counts(
    ear: Ear, datagram: bytes, source: str, address: str
) -> None:
    """Addresses are compared as numbers, and a big-endian host crashes too."""
    ear.hear(source, datagram)

    assert [subject for subject, _, _ in ear.votes()] == [address]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        LITTLE[:-1],
        LITTLE + b"\0",
        struct.pack("<II", MAGIC, 2),
        struct.pack("<II", MAGIC ^ 1, VERSION),
        LITTLE[:4] + BIG[4:],
    ],
)
def test_hear__what_is_no_notice__is_counted_and_dropped(ear: Ear, datagram: bytes) -> None:
    """Nothing is guessed at."""
    ear.hear(datagram=datagram)

    assert (ear.votes(), ear.woken) == ([], [])
    assert ear.counted == {Heard.MALFORMED: 1}


def test_hear__strangers__are_named_once_each_and_no_more_than_a_bound(ear: Ear) -> None:
    """A flood from forged addresses fills neither the log nor the memory."""
    with capture_logs() as log:
        for _ in range(2):
            for number in range(STRANGERS_MAX + 50):
                ear.hear(f"203.0.{113 + number // 256}.{number % 256}")

    assert ear.woken == []
    assert len(log) == STRANGERS_MAX
    assert len({entry["address"] for entry in log}) == STRANGERS_MAX
    assert ear.counted == {Heard.UNKNOWN_SENDER: 2 * (STRANGERS_MAX + 50)}


def test_evidence__two_addresses__are_two_votes(ear: Ear) -> None:
    """The crash kernel may send from another card than its host did."""
    ear.hear("198.51.100.1")
    ear.hear("192.0.2.1")

    assert [subject for subject, _, _ in ear.votes()] == ["192.0.2.1", "198.51.100.1"]
