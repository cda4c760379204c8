"""The virtual loop: time jumps, a wait for nobody is told, stopped processes stand still."""

import asyncio

import pytest

from hamon.sim.loop import DeadlockError, run_virtual
from hamon.sim.process import Process


def test_loop__nothing_scheduled__says_deadlock() -> None:
    """A wait that nobody will end is an error at once, not a test that hangs."""

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(wait)


def test_loop__long_sleep__takes_no_time() -> None:
    """A day passes at once, and exactly."""

    async def sleep() -> float:
        await asyncio.sleep(86400)
        return asyncio.get_running_loop().time()

    assert 86400 == pytest.approx(run_virtual(sleep))


def test_process__stopped__does_nothing_until_resumed() -> None:
    """SIGSTOP holds back timers and callbacks; SIGCONT lets them run in their order."""

    async def story() -> list[float]:
        seen: list[float] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                seen.append(asyncio.get_running_loop().time())

        process = Process("ticker", lambda _process, _error: None)
        process.spawn(tick())
        await asyncio.sleep(2.5)
        process.stop()
        await asyncio.sleep(5)
        process.resume()
        await asyncio.sleep(1.1)
        process.kill()
        await asyncio.sleep(5)
        await process.bury()
        return seen

    assert [1, 2, 7.5, 8.5] == pytest.approx(run_virtual(story))
