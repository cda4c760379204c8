"""How a command ends: the exit codes, and errors told without a traceback."""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click

from hamon.errors import (
    ConfigError,
    DeposedError,
    HamonError,
    Outcome,
    PortError,
    RequestRefusedError,
)


class ExitCode(IntEnum):
    """What a script may rely on.

    REFUSED: understood and not done, or done only in part. USAGE: the command line is wrong.
    UNKNOWN: nobody knows yet what became of it; look before repeating. CONFIG: the configuration
    cannot be used (sysexits' EX_CONFIG, which systemd does not restart on).
    """

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNKNOWN = 3
    CONFIG = 78


class DaemonUnreachableError(HamonError):
    """No daemon was asked: nothing can have happened.

    Args:
        why: what stands between the command and the daemon.
        advice: what to do about it.
    """

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(f"{why}\n{advice}")
        self.why = why
        self.advice = advice


class NoAnswerError(HamonError):
    """The daemon was asked and did not answer: whatever was asked for may have happened.

    Args:
        why: how the answer was lost.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Failure(click.ClickException):
    """A command that did not succeed, as it is told to the person who typed it.

    Args:
        message: what is wrong, first line.
        advice: what to do about it, empty when there is nothing to do.
        code: the exit code.
    """

    def __init__(self, message: str, advice: str = "", code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.advice = advice
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance

    # typing.override comes with Python 3.12.
    def show(self, file: IO[Any] | None = None) -> None:  # type: ignore[explicit-override]
        """Print it on standard error."""
        click.echo(f"hamon: {printable(self.message)}", err=True, file=file)
        if self.advice:
            click.echo(f"  {printable(self.advice)}", err=True, file=file)


def printable(text: str) -> str:
    """Return text from elsewhere so that a terminal shows it and obeys none of it."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


LOOK_FIRST = "look with `hamon status` before you repeat it"


def as_failure(error: HamonError) -> Failure:
    """Tell one of hamon's own errors as the end of a command."""
    match error:
        case ConfigError():
            return Failure(str(error), code=ExitCode.CONFIG)
        case RequestRefusedError():
            return Failure(f"refused: {error.why}", error.advice)
        case DaemonUnreachableError():
            return Failure(error.why, error.advice)
        case NoAnswerError():
            return Failure(f"outcome unknown: {error.why}", LOOK_FIRST, ExitCode.UNKNOWN)
        case PortError(outcome=Outcome.UNKNOWN):
            return Failure(f"outcome unknown: {error}", LOOK_FIRST, ExitCode.UNKNOWN)
        case DeposedError():
            return Failure("another controller took over meanwhile", LOOK_FIRST, ExitCode.UNKNOWN)
        case _:
            return Failure(str(error))
