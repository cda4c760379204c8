"""Ctrl-C, and every other polite way to end a program, at any moment, once."""

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked the program to end. Not an Exception, so that nothing takes it for a fault.

    Attributes:
        exit_status: what a shell expects of a program that ended so.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


def listen() -> None:
    """Raise `Interrupted` in the main thread at the first signal; later ones are ignored.

    What was begun is then taken down undisturbed. Also by the children that help with it: they
    inherit that the signals are ignored.
    """
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


def ignore() -> None:
    """Take no more notice: the program is tidying up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    ignore()
    raise Interrupted(number)
