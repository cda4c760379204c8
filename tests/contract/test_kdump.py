"""Crash notices over real UDP on loopback: fence_kdump_send's own, and what nobody should send."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hamon.clock import SystemClock
from hamon.detector.kdump import MAGIC, VERSION, Heard, KdumpListener, listen
from hamon.model.names import HostName
from hamon.model.proof import Source, Vote
from hamon.sim.kdump import NOTICE, SimulatedKdump
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.contract

SEND = Path("/usr/libexec/fence-agents/fence_kdump_send")
HOST = HostName("compute-1")
WITHIN_S = 10.0
FLOOD, HELD = 2000, 100

needs_fence_agents = pytest.mark.skipif(not SEND.exists(), reason="needs the package fence-agents")


class Ear:
    """A listener on a port of its own, and what it counted."""

    def __init__(self) -> None:
        self.counted: Counter[Heard] = Counter()
        self.turns = 0
        self.turns_at: list[int] = []
        self.woken: list[HostName] = []
        self.listener = KdumpListener(
            SystemClock(),
            {"127.0.0.1": HOST, "::1": HOST},
            observer="controller-1",
            on_change=self.woken.append,
            on_datagram=self._count,
        )
        self.port = 0
        self._arrived = asyncio.Event()

    def _count(self, heard: Heard) -> None:
        self.counted.update([heard])
        self.turns_at.append(self.turns)
        self._arrived.set()

    async def turn(self) -> None:
        """Count how often anybody else on the loop could do something."""
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what the datagrams on their way bring."""
        async with asyncio.timeout(WITHIN_S):
            while not is_so():
                self._arrived.clear()
                await self._arrived.wait()


@contextlib.asynccontextmanager
async def an_ear(address: str) -> AsyncIterator[Ear]:
    """A listener on an address of loopback."""
    ear = Ear()
    transport = await listen(ear.listener, address, 0)
    ear.port = transport.get_extra_info("sockname")[1]
    try:
        yield ear
    finally:
        transport.close()


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    """A listener over IPv4."""
    async with an_ear("127.0.0.1") as ear:
        yield ear


def send(port: int, *datagrams: bytes, source: str = "127.0.0.1") -> None:
    """Send datagrams from an address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for datagram in datagrams:
            sender.sendto(datagram, ("127.0.0.1", port))


@pytest.mark.fault("F3")
@needs_fence_agents
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_listen__fence_kdump_send__is_heard_as_its_host(address: str) -> None:
    """What really runs in the crash kernel is understood."""
    async with an_ear(address) as ear:
        words = ("-p", str(ear.port), "-c", "2", "-i", "1", address)
        sender = await asyncio.create_subprocess_exec(SEND, *words)
        try:
            await ear.until(lambda: ear.counted[Heard.NOTICE] == 2)
        finally:
            assert await sender.wait() == 0

    [vote] = ear.listener.evidence(HOST)

    assert (vote.source, vote.vote, vote.subject) == (Source.KDUMP, Vote.DEAD, address)
    assert (vote.detail, ear.woken) == ("2 crash notices", [HOST])
    assert vote.observed_s > vote.changed_s


async def test_listen__rubbish_strangers_and_the_other_byte_order__each_is_told_apart(
    ear: Ear,
) -> None:
    """A datagram that means nothing changes nothing; a big-endian host is heard."""
    rubbish = (b"", b"short", b"x" * 9000, struct.pack("<II", MAGIC, 7))
    send(ear.port, *rubbish)
    send(ear.port, struct.pack("<II", MAGIC, VERSION), source="127.0.0.2")
    await ear.until(lambda: ear.counted.total() == len(rubbish) + 1)
    assert ear.listener.evidence(HOST) == ()

    send(ear.port, struct.pack(">II", MAGIC, VERSION))
    await ear.until(lambda: bool(ear.listener.evidence(HOST)))

    assert ear.counted == {
        Heard.MALFORMED: len(rubbish),
        Heard.UNKNOWN_SENDER: 1,
        Heard.NOTICE: 1,
    }


async def test_listen__flood__the_loop_still_turns_and_the_host_is_heard_once(ear: Ear) -> None:
    """Between any two datagrams others come to their turn."""
    other = asyncio.create_task(ear.turn())
    # The socket's buffer holds a hundred or more; the rest is the kernel's to drop.
    send(ear.port, *([NOTICE] * FLOOD))
    await ear.until(lambda: ear.counted[Heard.NOTICE] >= HELD)
    other.cancel()

    assert len(set(ear.turns_at)) == len(ear.turns_at)
    assert ear.woken == [HOST]
    assert len(ear.listener.evidence(HOST)) == 1


async def test_listen__port_taken__says_so(ear: Ear) -> None:
    """Two daemons on one machine do not share crash notices in silence."""
    with pytest.raises(OSError, match="in use"):
        await listen(ear.listener, "127.0.0.1", ear.port)


@needs_fence_agents
async def test_simulated_kdump__its_notice__is_what_fence_kdump_send_sends() -> None:
    """The simulator's crash kernel says what the real one says, at the real one's pace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)  # noqa: FBT003 - as the standard library has it
        words = ("-f", "ipv4", "-p", str(receiver.getsockname()[1]), "-c", "1", "127.0.0.1")
        sender = await asyncio.create_subprocess_exec(SEND, *words)
        async with asyncio.timeout(WITHIN_S):
            real = await asyncio.get_running_loop().sock_recv(receiver, 100)
        await sender.wait()
    clock = VirtualClock()
    sent: list[bytes] = []
    dump = asyncio.create_task(SimulatedKdump(clock, sent.append).dump(25.0, lambda: False))
    await clock.advance(25.0)
    await dump

    assert sent == [real] * 3
