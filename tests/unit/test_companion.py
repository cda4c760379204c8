"""Companions: kept running, heard, ended with their keeper, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from typing_extensions import override

from hamon.agent.storage_beats import StorageBeats
from hamon.clock import SystemClock
from hamon.companion import Companion
from hamon.model.names import BootId, host_name

WITHIN_S = 10.0
ECHO = """
import sys
print("started", *sys.argv[1:], flush=True)
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
"""
MUTE = "import sys, time; print('started', flush=True); time.sleep(60)"


class QuickClock(SystemClock):
    """A clock that does not make a test wait."""

    @override
    async def sleep(self, duration_s: float) -> None:
        """Let others run."""
        await asyncio.sleep(min(duration_s, 0.01))


@contextlib.asynccontextmanager
async def kept(
    path: Path, program: str, **how: float
) -> AsyncIterator[tuple[Companion, list[str]]]:
    """Keep a program running; yield it and what is heard of it, ``ENDED`` for each end."""
    script = path / "program.py"
    script.write_text(program)
    heard: list[str] = []
    companion = Companion(
        script,
        ("one", "two"),
        QuickClock(),
        on_line=heard.append,
        on_end=lambda: heard.append("ENDED"),
        **how,
    )
    running = asyncio.create_task(companion.run())
    try:
        yield companion, heard
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def test_companion__lines__go_both_ways(tmp_path: Path) -> None:
    """It is told whose it is, and what is sent to it is answered."""
    async with kept(tmp_path, ECHO) as (companion, heard):
        await until(lambda: bool(heard))
        assert companion.send("hello")
        await until(lambda: len(heard) > 1)

    assert [f"started --parent {os.getpid()} one two", "HELLO"] == heard


async def test_companion__ends__is_started_again(tmp_path: Path) -> None:
    """Whatever ended it."""
    async with kept(tmp_path, ECHO) as (companion, heard):
        await until(lambda: bool(heard))
        assert companion.pid is not None
        os.kill(companion.pid, signal.SIGKILL)
        await until(lambda: len(heard) > 2)

    assert "ENDED" == heard[1]
    assert heard[0] == heard[2]


async def test_companion__says_nothing__is_killed_and_started_again(tmp_path: Path) -> None:
    """One that is stuck at a mount that was given up does not reach the new one."""
    async with kept(tmp_path, MUTE, stuck_after_s=0.2) as (_, heard):
        await until(lambda: heard.count("started") > 1)

    assert ["started", "ENDED", "started"] == heard[:3]


async def test_companion__cannot_be_started__nothing_is_sent(tmp_path: Path) -> None:
    """Its keeper lives on, and knows."""
    async with kept(tmp_path, "raise SystemExit(1)") as (companion, heard):
        await until(lambda: heard.count("ENDED") > 1)
        (tmp_path / "program.py").unlink()
        await until(lambda: heard.count("ENDED") > 3)

        assert {"ENDED"} == set(heard)
        await until(lambda: not companion.send("hello"))


async def test_beats__write_hangs__is_told_after_its_time(tmp_path: Path) -> None:
    """The keeper only notes when the last line came; it waits for none."""
    beats = StorageBeats(
        {"nfs1": tmp_path},
        host_name("host-1"),
        BootId("1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
        SystemClock(),
        period_s=0.05,
        late_after_s=1.0,
    )
    assert {"nfs1": None} == beats.trouble()
    running = asyncio.create_task(beats.run())
    try:
        await until(lambda: beats.trouble() == {"nfs1": ""})
        (pid,) = beats.pids()
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: "nothing could be written" in (beats.trouble()["nfs1"] or ""))
        os.kill(pid, signal.SIGCONT)
        await until(lambda: beats.trouble() == {"nfs1": ""})
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_keeper__cancelled_while_lines_wait_to_be_heard__ends_all_the_same(
    tmp_path: Path,
) -> None:
    """Else a daemon that is told to end while a storage answers would go on for ever."""
    script = tmp_path / "program.py"
    script.write_text("import time; print('many\\n' * 1000, flush=True); time.sleep(60)")
    heard: list[str] = []

    def hear(line: str) -> None:
        heard.append(line)
        if len(heard) == 1:
            running.cancel()

    companion = Companion(script, (), QuickClock(), on_line=hear)
    running = asyncio.create_task(companion.run())

    done, _ = await asyncio.wait({running}, timeout=WITHIN_S)

    running.cancel()
    assert done == {running}
    assert companion.pid is None
