"""Carry one order to a fence device, and be its alarm: a program of its own, standard library only.

    python -I -S shot.py --start-by SECONDS --kill-after SECONDS -- PROGRAM [ARGUMENT...]

A daemon that is stopped, swapped out or killed in the middle of a shot must not leave an order
behind that acts when nobody expects it any more. So the order is carried by this child, which needs
nobody:

1. It reads its whole standard input first. A daemon stopped before the last line can therefore not
   make a program that started in time act late.
2. The program is not started after ``--start-by`` (CLOCK_BOOTTIME); the clock is read in the new
   process, right before it becomes the program.
3. The program has ``--kill-after`` seconds. Then it is killed with all its descendants, also those
   that left its process group (fence agents run ssh and telnet in sessions of their own).
4. When the program ends by itself, what it left running is killed too. SIGTERM ends all at once.
5. If this process dies, the kernel kills the program; the program also carries its own timer.

Exit codes: see :class:`Exit`. Standard output is one JSON object: ``code`` of the program
(negative: the signal that ended it), ``stdout`` and ``stderr``, each cut at 256 KiB. It is written
when nothing can act any more, so a reader that does not read delays nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from enum import IntEnum

INPUT_MAX_BYTES = 32 * 1024
"""Less than a pipe holds, so that handing it over never blocks."""
OUTPUT_MAX_BYTES = 256 * 1024
WAIT_MAX_S = 60.0
"""Longest single wait; the clock is looked at again after it."""
REAP_FOR_S = 2.0
"""How long to wait for killed processes to go; one stuck in the kernel runs no more code anyway."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Exit(IntEnum):
    """How this process ends. Any other code means: it is not known what became of the order."""

    ENDED = 0  # the program ended by itself; its own code is in the report
    TOO_LATE = 3  # nothing was started
    KILLED = 4  # the program was started, and killed at its deadline or on SIGTERM
    NOT_STARTED = 5  # the program cannot be executed
    USAGE = 64  # it was called wrongly; nothing was started


class StoppedError(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for one."""


def boot_time_s() -> float:
    """Return CLOCK_BOOTTIME in seconds; it runs on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_input(start_by_s: float) -> bytes | None:
    """Read standard input to its end; None when the end did not come in time or never would."""
    text = b""
    while (left_s := start_by_s - boot_time_s()) > 0:
        ready, _, _ = select.select([0], [], [], min(left_s, WAIT_MAX_S))
        if not ready:
            continue
        piece = os.read(0, INPUT_MAX_BYTES)
        if not piece:
            return text
        text += piece
        if len(text) > INPUT_MAX_BYTES:
            return None
    return None


def start(
    program: list[str], start_by_s: float, kill_after_s: float, prctl: Callable[[int, int], int]
) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own.

    Raises:
        subprocess.SubprocessError: it was too late; the program did not run.
        OSError: the program cannot be executed.
    """

    def look_at_the_clock() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Survives exec. Second to the supervisor, for the case that it is the one that is stopped.
        signal.setitimer(signal.ITIMER_REAL, kill_after_s)
        if boot_time_s() > start_by_s:
            raise TimeoutError

    return subprocess.Popen(
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # One thread only: nothing can be locked at the moment of the fork.
        preexec_fn=look_at_the_clock,  # noqa: PLW1509
    )


def supervise(
    process: subprocess.Popen[bytes], text: bytes, kill_at_s: float, outputs: dict[int, bytearray]
) -> bool:
    """Feed the program, collect what it says; return whether it ended by itself in time."""
    assert process.stdin is not None  # asked of Popen
    # A program that does not read its input has said so by ending; its code is what counts.
    with contextlib.suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), text)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    ended = os.pidfd_open(process.pid)
    reading = set(outputs)
    while (left_s := kill_at_s - boot_time_s()) > 0:
        ready, _, _ = select.select([ended, *reading], [], [], min(left_s, WAIT_MAX_S))
        for output in reading & set(ready):
            if not collect(output, outputs[output]):
                reading.remove(output)
        if ended in ready:
            process.wait()
            return True
    return False


def collect(output: int, into: bytearray) -> bool:
    """Read once, keep what fits; say whether there may be more."""
    try:
        piece = os.read(output, 64 * 1024)
    except BlockingIOError:
        return False
    into += piece[: OUTPUT_MAX_BYTES - len(into)]
    return bool(piece)


def kill_descendants() -> None:
    """Kill every descendant; return when all are gone, or after ``REAP_FOR_S``.

    This process is their subreaper: whatever loses its parent becomes its child, whichever session
    it is in. So killing children until there are none reaches all.
    """
    until_s = boot_time_s() + REAP_FOR_S
    while boot_time_s() < until_s:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for child in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def children() -> list[int]:
    """List the processes whose parent is this one."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  pathlib loads slowly
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
            # The name in brackets may hold anything; the parent is the second field after it.
            if int(stat.read().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found


def run(program: list[str], start_by_s: float, kill_after_s: float) -> tuple[Exit, str]:
    """Carry the order out; return how it ended and the report.

    Nothing of the order runs any more when this returns or raises.
    """
    prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # No memory image of a process that knows a password.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    text = read_input(start_by_s)
    if text is None:
        return Exit.TOO_LATE, report(None, b"", b"its order did not arrive in time")
    kill_at_s = boot_time_s() + kill_after_s
    try:
        process = start(program, start_by_s, kill_after_s, prctl)
    except subprocess.SubprocessError:
        return Exit.TOO_LATE, report(None, b"", b"started too late")
    except OSError as error:
        return Exit.NOT_STARTED, report(None, b"", str(error).encode())
    assert process.stdout is not None  # asked of Popen
    assert process.stderr is not None
    stdout, stderr = process.stdout.fileno(), process.stderr.fileno()
    outputs = {stdout: bytearray(), stderr: bytearray()}
    for output in outputs:
        os.set_blocking(output, False)
    has_ended = False
    try:
        has_ended = supervise(process, text, kill_at_s, outputs)
        # On a busy machine its own alarm, set in the child, rings before the supervisor's.
        has_ended = has_ended and process.returncode != -signal.SIGALRM
    except StoppedError:
        pass
    finally:
        kill_descendants()
    for output, collected in outputs.items():
        while collect(output, collected):
            pass
    told = report(process.returncode if has_ended else None, outputs[stdout], outputs[stderr])
    return (Exit.ENDED if has_ended else Exit.KILLED), told


def report(code: int | None, stdout: bytes | bytearray, stderr: bytes | bytearray) -> str:
    """Put into words, for the daemon, what the program did."""
    import json  # noqa: PLC0415  until the program is started, every millisecond counts

    return json.dumps(
        {
            "code": code,
            "stdout": stdout.decode(errors="replace"),
            "stderr": stderr.decode(errors="replace"),
        }
    )


def stop(_signal: int, _frame: object) -> None:
    """Turn the first SIGTERM into the end of the order."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError


def main(arguments: list[str]) -> int:
    """Run as a program; see the module's docstring."""
    match arguments:
        case ["--start-by", start_by, "--kill-after", kill_after, "--", *program] if program:
            start_by_s, kill_after_s = float(start_by), float(kill_after)
        case _:
            sys.stderr.write("shot.py --start-by S --kill-after S -- PROGRAM [ARGUMENT...]\n")
            return Exit.USAGE
    signal.signal(signal.SIGTERM, stop)
    try:
        ending, told = run(program, start_by_s, kill_after_s)
    except StoppedError:
        # Between two steps: whatever was started is a child of this process.
        kill_descendants()
        ending, told = Exit.KILLED, report(None, b"", b"")
    # The daemon may be gone; the order is settled all the same.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(told)
        sys.stdout.flush()
    return ending


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
