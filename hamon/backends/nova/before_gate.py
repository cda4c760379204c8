"""The operator's program that is run before nova-compute may start on a returned host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from hamon.errors import CloudRefusedError, CloudUnavailableError, Outcome

WORDS_MAX = 500


class BeforeGateProgram:
    """Runs it (implements ``ports.cloud.BeforeGate``).

    Args:
        argv: program and arguments; ``{host}`` becomes the host's name in Nova.
        timeout_s: how long it may take.
    """

    def __init__(self, argv: tuple[str, ...], timeout_s: float) -> None:
        self._argv = argv
        self._timeout_s = timeout_s

    async def run(self, service_host: str) -> None:
        """See ``ports.cloud.BeforeGate``."""
        argv = [part.replace("{host}", service_host) for part in self._argv]
        try:
            # In a group of its own, so that what it started ends with it.
            child = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            why = f"cannot be run: {error.strerror}"
            raise self._error(CloudRefusedError, service_host, Outcome.NOT_DONE, why) from error
        try:
            async with asyncio.timeout(self._timeout_s):
                said, _ = await child.communicate()
        except TimeoutError as error:
            # Also when its first process has ended: what it left behind holds the pipe.
            _kill_group(child.pid)
            why = f"did not end within {self._timeout_s:g} s and was killed"
            raise self._error(CloudUnavailableError, service_host, Outcome.UNKNOWN, why) from error
        finally:
            if child.returncode is None:
                _kill_group(child.pid)
                await child.wait()
        if child.returncode:
            words = said.decode(errors="replace").strip()[-WORDS_MAX:]
            why = f"ended with {child.returncode}: {words}"
            raise self._error(CloudRefusedError, service_host, Outcome.UNKNOWN, why)

    def _error(
        self,
        kind: type[CloudRefusedError | CloudUnavailableError],
        service_host: str,
        outcome: Outcome,
        why: str,
    ) -> CloudRefusedError | CloudUnavailableError:
        return kind("cloud", "before_gate", service_host, outcome, f"{self._argv[0]} {why}")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
