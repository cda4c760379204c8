"""Keep a small program beside this process that does for it what may hang: look at storage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from hamon.ports.clock import Clock

PAUSE_S = 2.0
"""Between the end of a program and its next start."""

STUCK_AFTER_S = 30.0
"""A program that said nothing for so long is killed: a mount that was given up and made anew is
reached by a new one only. Both programs there are print something in every period."""

END_S = 1.0
LINE_MAX_BYTES = 16 * 1024 * 1024


class Companion:
    """One script of the standard library, run as a child and started again when it ends.

    It is given ``--parent`` and this process's id first, so that it can see to it that it ends with
    it. Nothing it does or fails to do makes :meth:`run` end or wait for it in anything else.

    Args:
        script: the file; needs nothing that is installed.
        arguments: no secret may be among them.
        clock: for pauses.
        on_line: called with each line it prints; on the event loop, must not block.
        on_end: called whenever it ended, or could not be started.
        stuck_after_s: one that prints nothing for so long is killed.
    """

    def __init__(
        self,
        script: Path,
        arguments: tuple[str, ...],
        clock: Clock,
        *,
        on_line: Callable[[str], None],
        on_end: Callable[[], None] = lambda: None,
        stuck_after_s: float = STUCK_AFTER_S,
    ) -> None:
        self._script = script
        self._arguments = arguments
        self._clock = clock
        self._on_line = on_line
        self._on_end = on_end
        self._stuck_after_s = stuck_after_s
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the program, None while there is none."""
        return self._child.pid if self._child is not None else None

    def send(self, line: str) -> bool:
        """Hand a line to the program, without waiting; False: there is none now.

        One that does not read has it piled up here: send only what was asked for.
        """
        if self._child is None or self._child.stdin is None or self._child.stdin.is_closing():
            return False
        self._child.stdin.write(line.encode() + b"\n")
        return True

    async def run(self) -> None:
        """Keep the program running until cancelled; then it is killed."""
        while True:
            with contextlib.suppress(OSError):
                await self._run_once()
            self._on_end()
            await self._clock.sleep(PAUSE_S)

    async def _run_once(self) -> None:
        child = await asyncio.create_subprocess_exec(
            # -I -S: nothing of the environment or of installed packages runs in the child.
            *(sys.executable, "-I", "-S", str(self._script.resolve())),
            *("--parent", str(os.getpid()), *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            limit=LINE_MAX_BYTES,
        )
        self._child = child
        try:
            await self._listen(child)
        finally:
            self._child = None
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            # Stuck in the kernel it may not go. No other is started beside it: they would pile up.
            await self._gone(child)

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None  # asked for
        with contextlib.suppress(TimeoutError, ValueError):
            while line := await self._next_line(child.stdout):
                self._on_line(line.decode(errors="replace").rstrip("\n"))

    async def _next_line(self, output: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._stuck_after_s):
            return await output.readline()

    async def _gone(self, child: asyncio.subprocess.Process) -> None:
        """Wait until the child is gone; when this process itself ends, only for a moment."""
        waiting = asyncio.ensure_future(child.wait())
        try:
            task = asyncio.current_task()
            is_ending = task is not None and task.cancelling() > 0
            await asyncio.wait({waiting}, timeout=END_S if is_ending else None)
        finally:
            waiting.cancel()
