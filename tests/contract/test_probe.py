"""The contract of ``ports.Probe``, kept by the probe in memory and by the TCP one on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from hamon.clock import SystemClock
from hamon.detector.probe import STALL_S, TcpProbe, of_error
from hamon.model.names import BootId, host_name
from hamon.ports.probe import Probe, ProbeAnswer, ProbeResult
from hamon.sim.network import SimulatedNetwork, SimulatedProbe

pytestmark = pytest.mark.contract

HOST = host_name("host-1")
BOOT = BootId("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
GREETING = f"hamon-echo 1 {HOST} {BOOT}\n".encode()
WITHIN_S = 5.0
IMPATIENT_S = 0.3


class World(Protocol):
    """One address, and what answers there."""

    probe: Probe
    address: str
    port: int

    async def greet(self) -> None:
        """Have the heartbeat process answer."""
        ...

    async def hang(self) -> None:
        """Have a kernel take connections for a process that does nothing."""
        ...

    async def refuse(self) -> None:
        """Have a kernel refuse connections."""
        ...

    async def vanish(self) -> None:
        """Have nothing come back."""
        ...


class MemoryWorld:
    """The simulator's network; is itself what answers."""

    address, port = "192.0.2.1", 9730

    def __init__(self) -> None:
        self._result = ProbeResult(answer=ProbeAnswer.SILENT)
        network = SimulatedNetwork(SystemClock())
        network.attach("management", HOST, self.address, self.port, self)
        self.probe: Probe = SimulatedProbe(network, "controller-1")

    def answer(self) -> ProbeResult:
        """See :class:`hamon.sim.network.Endpoint`."""
        return self._result

    async def greet(self) -> None:
        """See :class:`World`."""
        self._result = ProbeResult(answer=ProbeAnswer.ECHO, host=HOST, boot_id=BOOT)

    async def hang(self) -> None:
        """See :class:`World`."""
        self._result = ProbeResult(answer=ProbeAnswer.CONNECTED)

    async def refuse(self) -> None:
        """See :class:`World`."""
        self._result = ProbeResult(answer=ProbeAnswer.REFUSED)

    async def vanish(self) -> None:
        """See :class:`World`."""
        self._result = ProbeResult(answer=ProbeAnswer.SILENT)


class LoopbackWorld:
    """TCP on loopback. The port is bound all the time, so that nobody else can answer on it."""

    address = "127.0.0.1"

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self._socket = stack.enter_context(socket.socket())
        self._socket.bind((self.address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.probe: Probe = TcpProbe()

    async def say(self, words: bytes) -> None:
        """Have a process that greets each connection with these words."""

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(words)
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, sock=self._socket)
        self._stack.callback(server.close)

    async def greet(self) -> None:
        """See :class:`World`."""
        await self.say(GREETING)

    async def hang(self) -> None:
        """See :class:`World`."""
        self._socket.listen()

    async def refuse(self) -> None:
        """Bound and not listening: the kernel refuses."""

    async def vanish(self) -> None:
        """Fill the queue of a socket that nobody accepts from: the kernel drops every SYN."""
        self._socket.listen(0)
        for _ in range(2):
            filler = self._stack.enter_context(socket.socket())
            filler.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                filler.connect((self.address, self.port))


@pytest.fixture(params=["memory", "loopback"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """An address on each kind of network."""
    async with contextlib.AsyncExitStack() as stack:
        yield MemoryWorld() if request.param == "memory" else LoopbackWorld(stack)


@pytest.fixture
async def loopback() -> AsyncIterator[LoopbackWorld]:
    """An address on loopback."""
    async with contextlib.AsyncExitStack() as stack:
        yield LoopbackWorld(stack)


async def test_knock__agent_answers__is_an_echo_with_host_and_boot(world: World) -> None:
    """An echo says who lives, and which life it is."""
    await world.greet()

    result = await world.probe.knock(world.address, world.port, WITHIN_S)

    assert (ProbeAnswer.ECHO, HOST, BOOT) == (result.answer, result.host, result.boot_id)


async def test_knock__userland_hangs__is_only_connected(world: World) -> None:
    """A kernel answers while userland hangs: that is a weak sign."""
    await world.hang()

    result = await world.probe.knock(world.address, world.port, IMPATIENT_S)

    assert (ProbeAnswer.CONNECTED, None) == (result.answer, result.boot_id)


async def test_knock__port_closed__is_refused(world: World) -> None:
    """A refusal shows a living kernel without the agent."""
    await world.refuse()

    result = await world.probe.knock(world.address, world.port, WITHIN_S)

    assert (ProbeAnswer.REFUSED, None) == (result.answer, result.boot_id)


async def test_knock__nothing_comes_back__is_silent(world: World) -> None:
    """Silence is an answer of its own, after the patience and no later."""
    await world.vanish()

    result = await asyncio.wait_for(
        world.probe.knock(world.address, world.port, IMPATIENT_S), WITHIN_S
    )

    assert ProbeAnswer.SILENT == result.answer


@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.2\n",
        b"hamon-echo 2 host-1 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n",
        b"hamon-echo 1 host-1 1b4e28ba\n",
        b"hamon-echo 1 ../x 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n",
        GREETING.rstrip(),
        b"220 " + GREETING,
        b"x" * 100_000,
        b"\xff\x00\n",
        b"",
    ],
)
async def test_knock__rubbish_comes__is_only_connected(
    loopback: LoopbackWorld, words: bytes
) -> None:
    """Only the exact greeting is a strong sign of life; no amount of bytes is."""
    await loopback.say(words)

    result = await loopback.probe.knock(loopback.address, loopback.port, WITHIN_S)

    assert (ProbeAnswer.CONNECTED, None) == (result.answer, result.boot_id)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EHOSTUNREACH, ProbeAnswer.SILENT),
        (errno.ETIMEDOUT, ProbeAnswer.SILENT),
        (errno.ECONNREFUSED, ProbeAnswer.REFUSED),
        (errno.ENETUNREACH, ProbeAnswer.FAILED),
        (errno.ENETDOWN, ProbeAnswer.FAILED),
        (errno.EMFILE, ProbeAnswer.FAILED),
        (errno.EPERM, ProbeAnswer.FAILED),
    ],
)
def test_of_error__own_trouble_or_not__is_told_apart(code: int, expected: ProbeAnswer) -> None:
    """What goes wrong on this machine is no vote on another one."""
    assert expected == of_error(OSError(code, "why")).answer


async def test_knock__no_way_to_the_address__is_no_vote() -> None:
    """An address this machine cannot even send to says nothing of a host."""
    result = await TcpProbe().knock("255.255.255.255", 9730, WITHIN_S)

    assert ProbeAnswer.FAILED == result.answer


class StoppedLoop(asyncio.SelectorEventLoop):
    """A loop of a process that can be stopped without waiting for it."""

    stopped_s = 0.0

    # typing.override comes with Python 3.12.
    def time(self) -> float:  # type: ignore[explicit-override]
        """See ``asyncio.AbstractEventLoop``."""
        return super().time() + self.stopped_s


@pytest.mark.parametrize("answers", [True, False])
def test_knock__own_process_stood_still_meanwhile__is_no_vote(*, answers: bool) -> None:
    """What came meanwhile was given up before it was read: that is no silence of the host."""
    loop = StoppedLoop()

    async def knock() -> ProbeAnswer:
        async with contextlib.AsyncExitStack() as stack:
            world = LoopbackWorld(stack)
            await (world.hang() if answers else world.vanish())
            task = asyncio.create_task(world.probe.knock(world.address, world.port, WITHIN_S))
            await asyncio.sleep(0)
            loop.stopped_s = WITHIN_S + 2 * STALL_S
            return (await task).answer

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert ProbeAnswer.FAILED is runner.run(knock())
