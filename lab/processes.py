"""Processes that a lab started: recorded before they run, recognised, and only those killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.names import LabError

# The shell writes its own pid and start time and then becomes the program, so there is no moment
# in which the program runs unrecorded, also if the lab's tool is killed here.
_RECORD_AND_RUN = """
setsid sh -c '
    record="$1"; log="$2"; shift 2
    read -r stat < "/proc/$$/stat"
    set -- "${stat##*) }" "$@"
    start=$(echo "$1" | cut -d " " -f 20); shift
    echo "$$ $start" > "$record.new" && mv "$record.new" "$record" && exec "$@" >> "$log" 2>&1
' sh "$@" < /dev/null > /dev/null 2>&1 &
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process by its pid and start time; the start time tells it from a later one of that pid.

    Attributes:
        pid: as seen from the machine's own PID namespace.
        start_ticks: field 22 of `/proc/<pid>/stat`.
    """

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        return process_of(self.pid) == self

    def kill(self, deadline_s: float = 10.0) -> None:
        """Kill it with SIGKILL and wait until it is gone. Idempotent.

        Raises:
            LabError: it is still there after `deadline_s`.
        """
        if self.alive():
            signal_process(self, signal.SIGKILL)
        wait_until(lambda: not self.alive(), f"process {self.pid} gone", deadline_s)


def kill_session(leader: Process) -> None:
    """Kill a daemon of `start_recorded` with the programs that it started. Idempotent.

    Raises:
        LabError: the daemon would not die.
    """
    if leader.alive():
        # Its group bears its pid, and nobody else gets that pid while it lives.
        os.killpg(leader.pid, signal.SIGKILL)
    leader.kill()


def process_of(pid: int) -> Process | None:
    """The running process of a pid, or None if there is none or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(") ")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(pid=pid, start_ticks=int(fields[19]))


def signal_process(process: Process, number: signal.Signals) -> None:
    """Send a signal to exactly this process, never to a later one with its pid."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Checked after the handle is held: from here on the pid cannot come to mean another.
        if process.alive():
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def children_of(pid: int) -> list[Process]:
    """The running children of a process that has one thread, as `unshare` has."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for number in pids if (child := process_of(int(number))) is not None]


def start_recorded(
    argv: Sequence[str], *, record: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """Start a program as a daemon of its own session, recorded before it runs.

    Args:
        argv: the program, with arguments; it must not fork away.
        record: file that gets "<pid> <start time>".
        log: file to which standard output and error are appended.
        environment: its whole environment; this process's own by default.

    Raises:
        LabError: it was not recorded within a few seconds.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    subprocess.run(
        ["sh", "-c", _RECORD_AND_RUN, "sh", str(record), str(log), *argv],
        check=True,
        env=environment,
    )
    wait_until(record.exists, f"{argv[0]} recorded in {record}", 5.0)
    process = read_record(record)
    if process is None:
        raise LabError(f"{record} names no process")
    return process


def read_record(record: Path) -> Process | None:
    """The process that a record names, running or not; None without a record."""
    try:
        pid, start_ticks = record.read_text().split()
    except FileNotFoundError:
        return None
    return Process(pid=int(pid), start_ticks=int(start_ticks))


def write_record(record: Path, process: Process) -> None:
    """Record a process, atomically."""
    new = record.with_name(record.name + ".new")
    new.write_text(f"{process.pid} {process.start_ticks}\n")
    new.rename(record)


def wait_until(
    condition: Callable[[], bool], what: str, deadline_s: float, *, every_s: float = 0.02
) -> None:
    """Wait until a condition holds.

    Args:
        condition: what is asked.
        what: it is that is waited for.
        deadline_s: how long at most.
        every_s: pause between two questions.

    Raises:
        LabError: it does not within `deadline_s`; the message names `what`.
    """
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {deadline_s:g} s in vain for: {what}")
        time.sleep(every_s)


def run(argv: Sequence[str], *, text: str | None = None, deadline_s: float = 30.0) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        LabError: it failed or took longer than `deadline_s`; the message has its words.
    """
    try:
        result = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=deadline_s, check=False
        )
    except subprocess.TimeoutExpired as expired:
        raise LabError(f"{' '.join(argv)}: no end after {deadline_s:g} s") from expired
    if result.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {result.returncode}: {result.stderr.strip()}")
    return result.stdout
