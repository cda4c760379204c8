"""The operator's program before the gate: it is run for a host, and its end is told apart."""

import os
import time
from pathlib import Path

import pytest

from hamon.backends.nova.before_gate import BeforeGateProgram
from hamon.errors import CloudRefusedError, CloudUnavailableError


async def test_program__run__is_given_the_host_by_novas_name(tmp_path: Path) -> None:
    """It must know whose queues are meant."""
    told = tmp_path / "told"

    await BeforeGateProgram(("/bin/sh", "-c", f"echo {{host}} > {told}"), 10.0).run("compute-7")

    assert told.read_text() == "compute-7\n"


async def test_program__ends_badly__says_its_last_words() -> None:
    """An operator reads them in the log."""
    program = BeforeGateProgram(("/bin/sh", "-c", "echo no broker; exit 3"), 10.0)

    with pytest.raises(CloudRefusedError, match="ended with 3: no broker"):
        await program.run("h1")


async def test_program__not_there__says_so() -> None:
    """A misspelt path."""
    with pytest.raises(CloudRefusedError, match="cannot be run: No such file"):
        await BeforeGateProgram(("/no/such/program",), 10.0).run("h1")


async def test_program__does_not_end__is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A host must not stay shut for a program that hangs."""
    lock = tmp_path / "lock"
    program = BeforeGateProgram(("/bin/sh", "-c", f"echo $$ > {lock}; sleep 600 & wait"), 0.5)

    with pytest.raises(CloudUnavailableError, match=r"did not end within 0.5 s and was killed"):
        await program.run("h1")

    with pytest.raises(ProcessLookupError):
        os.kill(int(lock.read_text()), 0)


async def test_program__leaves_something_behind__is_killed_with_it(tmp_path: Path) -> None:
    """It holds the pipe, and would go on at the queues after the gate has opened."""
    lock = tmp_path / "lock"
    program = BeforeGateProgram(("/bin/sh", "-c", f"sleep 600 & echo $! > {lock}"), 0.5)

    with pytest.raises(CloudUnavailableError, match="was killed"):
        await program.run("h1")

    # Whoever inherits it reaps it in its own time.
    assert _is_dead(int(lock.read_text()))


def _is_dead(pid: int) -> bool:
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
    return False
