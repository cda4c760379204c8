"""The supervisor of a shot: nothing late, nothing left behind, whatever becomes of the daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hamon.fencing import shot
from hamon.fencing.shot import Exit, boot_time_s

SUPERVISOR = [sys.executable, "-I", "-S", str(Path(shot.__file__))]
WITHIN_S = 20.0

HANGING = """
import os, subprocess, sys
# A grandchild in the group, and one that left it, as pexpect's do.
inside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
outside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
                           start_new_session=True)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {inside.pid} {outside.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
if sys.argv[2] == "hang":
    inside.wait()
"""

DAEMON = """
import os, signal, subprocess, sys
supervisor = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=open(sys.argv[1], "w"))
print(supervisor.pid, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
supervisor.stdin.write(b"action=off\\n")
supervisor.stdin.close()
supervisor.wait()
"""

ORDERING_DAEMON = """
import asyncio, os
from hamon.fencing.program import run_program
from hamon.fencing.shot import boot_time_s
# The program stops the daemon that ordered it, and ends.
program = ["/bin/sh", "-c", f"kill -STOP {os.getpid()}; echo done"]
result = asyncio.run(run_program(
    program, environment={}, start_by_s=boot_time_s() + 3.0, kill_after_s=2.0
))
print(result.ending, result.stdout.strip())
"""
ORDERING_WAITS_S = 3.0 + 2.0 + shot.REAP_FOR_S + 2.0


def arguments(
    *program: str, start_in_s: float = WITHIN_S, kill_after_s: float = WITHIN_S
) -> list[str]:
    """The supervisor's command line."""
    start_by = str(boot_time_s() + start_in_s)
    return [*SUPERVISOR, "--start-by", start_by, "--kill-after", str(kill_after_s), "--", *program]


def run(
    *program: str, text: str = "", start_in_s: float = WITHIN_S, kill_after_s: float = WITHIN_S
) -> tuple[int, dict[str, object]]:
    """Run the supervisor to its end; return its exit code and its report."""
    done = subprocess.run(
        arguments(*program, start_in_s=start_in_s, kill_after_s=kill_after_s),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WITHIN_S,
    )
    return done.returncode, json.loads(done.stdout)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not for a time."""
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def pids(path: Path) -> list[int]:
    """The processes the hanging program wrote down, once it did."""
    wait_until(path.exists, "the program did not start")
    return [int(pid) for pid in path.read_text().split()]


@contextlib.contextmanager
def stopped_daemon(report: Path, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A daemon that started a supervisor and was stopped before it handed the order over."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(report), *command], stdout=subprocess.PIPE, text=True
    )
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.communicate()


def test_shot__program_ends__reports_code_and_words() -> None:
    """What the program said and how it ended reach the daemon whole."""
    ending, report = run("/bin/sh", "-c", "cat; echo no >&2; exit 2", text="action=off\n")

    assert Exit.ENDED == ending
    assert {"code": 2, "stdout": "action=off\n", "stderr": "no\n"} == report


def test_shot__too_late__starts_nothing(tmp_path: Path) -> None:
    """An order whose lease ran out does not begin (rule 4)."""
    ending, report = run("/bin/touch", str(tmp_path / "acted"), start_in_s=-0.001)

    assert Exit.TOO_LATE == ending
    assert report["code"] is None
    assert not (tmp_path / "acted").exists()


def test_start__clock_ran_out_since_the_order_was_read__starts_nothing(tmp_path: Path) -> None:
    """The last look at the clock is right before the program."""
    with pytest.raises(subprocess.SubprocessError):
        shot.start(
            ["/bin/touch", str(tmp_path / "acted")], boot_time_s() - 0.001, 5.0, lambda *_: 0
        )

    assert not (tmp_path / "acted").exists()


def test_shot__program_missing__says_that_nothing_was_started() -> None:
    """A program that cannot run surely did nothing."""
    ending, _ = run("/nonexistent/fence_agent")

    assert Exit.NOT_STARTED == ending


def test_shot__called_wrongly__starts_nothing(tmp_path: Path) -> None:
    """A call that is not understood does nothing."""
    done = subprocess.run(
        [*SUPERVISOR, "--", "/bin/touch", str(tmp_path / "acted")], capture_output=True, check=False
    )

    assert Exit.USAGE == done.returncode
    assert not (tmp_path / "acted").exists()


@pytest.mark.fault("F27")
def test_shot__program_hangs__is_killed_with_all_descendants(tmp_path: Path) -> None:
    """At the deadline everything goes, also what left the process group."""
    names = tmp_path / "pids"

    # Long enough for three Pythons to start on a busy machine: they must live to be killed.
    ending, _ = run(sys.executable, "-c", HANGING, str(names), "hang", kill_after_s=6.0)

    assert Exit.KILLED == ending
    assert [False] * 3 == [is_running(pid) for pid in pids(names)]


@pytest.mark.fault("F27")
def test_shot__program_leaves_children_behind__they_are_killed(tmp_path: Path) -> None:
    """What a finished program left running cannot act later."""
    names = tmp_path / "pids"

    ending, _ = run(sys.executable, "-c", HANGING, str(names), "end")

    assert Exit.ENDED == ending
    assert [False] * 3 == [is_running(pid) for pid in pids(names)]


def test_shot__sigterm__ends_everything_at_once(tmp_path: Path) -> None:
    """A daemon that gives up an order takes it back whole."""
    names = tmp_path / "pids"
    supervisor = subprocess.Popen(
        arguments(sys.executable, "-c", HANGING, str(names), "hang"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    started = pids(names)

    supervisor.terminate()

    assert Exit.KILLED == supervisor.wait(WITHIN_S)
    assert [False] * 3 == [is_running(pid) for pid in started]


def test_shot__supervisor_killed__program_dies(tmp_path: Path) -> None:
    """An order without its supervisor has no alarm, so it ends with it."""
    names = tmp_path / "pids"
    supervisor = subprocess.Popen(
        arguments(sys.executable, "-c", HANGING, str(names), "hang", kill_after_s=300.0),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    started = pids(names)
    try:
        supervisor.kill()
        supervisor.wait(WITHIN_S)

        wait_until(lambda: not is_running(started[0]), "the program outlived its supervisor")
    finally:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_shot__endless_output__is_cut() -> None:
    """A program that never stops talking fills no memory."""
    ending, report = run("/bin/sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo end >&2")

    assert Exit.ENDED == ending
    assert shot.OUTPUT_MAX_BYTES == len(str(report["stdout"]))
    assert "end\n" == report["stderr"]


@pytest.mark.fault("F23")
def test_shot__daemon_stopped_before_the_order_is_whole__refuses(tmp_path: Path) -> None:
    """A daemon stopped in mid-shot cannot make it act late, also not when it wakes up."""
    report = tmp_path / "report"
    acted = tmp_path / "acted"
    command = arguments("/bin/sh", "-c", f"read -r order; touch {acted}", start_in_s=1.0)
    with stopped_daemon(report, command) as daemon:
        assert daemon.stdout is not None
        supervisor = int(daemon.stdout.readline())
        # The daemon is stopped and reaps nobody: the supervisor's end shows as a zombie.
        wait_until(lambda: not is_running(supervisor), "the supervisor waits for a stopped daemon")
        daemon.send_signal(signal.SIGCONT)
        daemon.wait(WITHIN_S)

    assert json.loads(report.read_text())["code"] is None
    assert not acted.exists()


@pytest.mark.fault("F23")
def test_shot__daemon_stopped_after_the_start__deadline_holds(tmp_path: Path) -> None:
    """The alarm is the supervisor's own: it needs no daemon."""
    names = tmp_path / "pids"
    program = arguments(sys.executable, "-c", HANGING, str(names), "hang", kill_after_s=2.0)
    # The shell takes the place of a pipe that the stopped daemon would have to close.
    command = ["/bin/sh", "-c", '"$@" </dev/null', "sh", *program]
    with stopped_daemon(tmp_path / "report", command):
        started = pids(names)

        wait_until(
            lambda: not any(is_running(pid) for pid in started),
            "the program outlived its deadline while the daemon was stopped",
        )


def test_program__ends_while_the_daemon_is_stopped__is_told_when_it_goes_on() -> None:
    """A daemon that was stopped beyond every deadline still reads what became of its order."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", ORDERING_DAEMON], stdout=subprocess.PIPE, text=True
    )
    try:
        _, status = os.waitpid(daemon.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        until_s = boot_time_s() + ORDERING_WAITS_S
        wait_until(lambda: boot_time_s() > until_s, "the deadline to pass")
        daemon.send_signal(signal.SIGCONT)
        told, _ = daemon.communicate(timeout=WITHIN_S)
    finally:
        daemon.kill()

    assert (0, "ended done\n") == (daemon.returncode, told)


@pytest.mark.parametrize("size", [shot.INPUT_MAX_BYTES, shot.INPUT_MAX_BYTES + 1])
def test_shot__long_order__is_whole_or_refused(size: int) -> None:
    """An order is never handed over in part."""
    ending, report = run("/usr/bin/wc", "-c", text="x" * size)

    if size <= shot.INPUT_MAX_BYTES:
        assert (Exit.ENDED, f"{size}\n") == (ending, report["stdout"])
    else:
        assert Exit.TOO_LATE == ending
