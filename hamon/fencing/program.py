"""Run a program under ``shot.py`` and tell what became of it.

Every program that talks to a fence device runs this way, reads as well as shots: in a session of
its own, with a deadline that holds when this process is stopped, and with nothing in its
environment but what it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from hamon.fencing import shot
from hamon.logs import REDACTED, REDACTOR
from hamon.model.incident import ShotOutcome

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a program may find the programs it starts itself."""

_SUPERVISOR = str(Path(shot.__file__).resolve())
_GRACE_S = shot.REAP_FOR_S + 2.0
"""How much longer than its deadline the supervisor may take before it counts as stuck."""
_DETAIL_MAX_CHARACTERS = 300


class Ending(StrEnum):
    """What became of a program."""

    ENDED = "ended"  # by itself; its exit code counts
    TOO_LATE = "too_late"  # it was not started
    NOT_STARTED = "not_started"  # it cannot be executed
    KILLED = "killed"  # it was started, and ended at its deadline
    UNKNOWN = "unknown"  # it may or may not have been started; it is over


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """How a program ended. ``code`` only with ENDED, negative: the signal that ended it."""

    ending: Ending
    code: int | None = None
    stdout: str = ""
    stderr: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.ending is Ending.ENDED and self.code == 0

    def detail(self, *secrets: str) -> str:
        """Return one bounded printable line for logs and records, without ``secrets``."""
        said = " ".join(f"{self.stderr} {self.stdout}".split())
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            said = said.replace(secret, REDACTED)
        said = "".join(c if c.isprintable() else "?" for c in REDACTOR.clean(said))
        how = f"exit {self.code}" if self.ending is Ending.ENDED else str(self.ending)
        return f"{how}: {said[:_DETAIL_MAX_CHARACTERS]}" if said else how


def order_outcome(answer: ProgramResult, ended: ShotOutcome) -> ShotOutcome:
    """Say what is known of an order that a program carried.

    Args:
        answer: how the program ended.
        ended: what is known if it ended by itself.

    Returns:
        UNKNOWN whenever it was cut short: it may have given the order before.
    """
    match answer.ending:
        case Ending.ENDED:
            return ended
        case Ending.TOO_LATE:
            return ShotOutcome.LATE
        case Ending.NOT_STARTED:
            return ShotOutcome.NOT_DONE
        case Ending.KILLED | Ending.UNKNOWN:
            return ShotOutcome.UNKNOWN
        case _:
            assert_never(answer.ending)


async def run_program(
    program: Sequence[str],
    *,
    environment: Mapping[str, str],
    text: str = "",
    start_by_s: float,
    kill_after_s: float,
) -> ProgramResult:
    """Run ``program`` to its end, at most until its deadline.

    A cancelled call ends the program at once, and returns when it is gone.

    Args:
        program: absolute path and arguments; no secret may be among them.
        environment: all of its environment.
        text: its standard input; handed over whole before it is started.
        start_by_s: CLOCK_BOOTTIME after which it is not started any more.
        kill_after_s: seconds from its start until it and all its descendants are killed.

    Returns:
        How it ended; never an error of the program's.
    """
    supervisor = await asyncio.create_subprocess_exec(
        # -I -S: nothing of the environment or of installed packages runs in the child.
        *(sys.executable, "-I", "-S", _SUPERVISOR),
        *("--start-by", repr(start_by_s), "--kill-after", repr(kill_after_s), "--", *program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
        cwd="/",
        # A Ctrl-C or a kill meant for the daemon's group must not end a shot half way.
        start_new_session=True,
    )
    wait_max_s = max(0.0, start_by_s - shot.boot_time_s()) + kill_after_s + _GRACE_S
    communicating = asyncio.ensure_future(supervisor.communicate(text.encode()))
    with _handle_of(supervisor.pid) as send:
        try:
            done, _ = await asyncio.wait({communicating}, timeout=wait_max_s)
            if not done:
                # Stopped or stuck: its death takes the program with it (PR_SET_PDEATHSIG). Or it
                # ended while this process was stopped, and what it said is still to be read.
                send(signal.SIGKILL)
            told, _ = await communicating
        except asyncio.CancelledError:
            send(signal.SIGTERM)
            await communicating
            raise
    return _result(supervisor.returncode, told)


@contextlib.contextmanager
def _handle_of(pid: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Yield what sends signals to a child of this process, and to no later one of its pid.

    asyncio's own way would not do: it looks whether the child has ended, and then who waits for the
    child is told an exit code that nobody gave.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        # It has ended, and is waited for already.
        yield lambda _: None
        return

    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)

    try:
        yield send
    finally:
        os.close(handle)


def _result(code: int | None, told: bytes) -> ProgramResult:
    endings = {
        shot.Exit.ENDED: Ending.ENDED,
        shot.Exit.TOO_LATE: Ending.TOO_LATE,
        shot.Exit.KILLED: Ending.KILLED,
        shot.Exit.NOT_STARTED: Ending.NOT_STARTED,
    }
    try:
        ending = endings[shot.Exit(code if code is not None else -1)]
        report = json.loads(told)
        return ProgramResult(
            ending=ending, code=report["code"], stdout=report["stdout"], stderr=report["stderr"]
        )
    except (ValueError, KeyError):
        return ProgramResult(ending=Ending.UNKNOWN, stderr=f"its supervisor ended with {code}")
