"""The watchdog of a compute host. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogKind:
    """What a watchdog is. ``is_soft``, ``nowayout``: see ``model.host.WatchdogFacts``."""

    identity: str
    is_soft: bool
    nowayout: bool


class Watchdog(Protocol):
    """A device that resets the machine unless it is petted in time.

    Its calls are short and block (a register, or one message to a BMC), and on purpose: a pet that
    runs anywhere else than in the task that decided on it would not be ordered after the decision.
    Every one of them raises WatchdogError when the device did not do it.
    """

    @property
    def is_open(self) -> bool:
        """Whether this process holds the device."""
        ...

    def kind(self) -> WatchdogKind:
        """Tell what it is, without opening it: that would arm it. Idempotent."""
        ...

    def open(self, timeout_s: int) -> float:
        """Take the device, arm it and pet it; return the time-out that it really has, in seconds.

        Not idempotent. Drivers round, and some cannot change the time-out at all, so what comes
        back may be more or less than ``timeout_s``.

        Raises:
            WatchdogError: another process holds it, or it is not there. With outcome UNKNOWN it may
                be armed and not held: it then resets the machine.
        """
        ...

    def pet(self) -> None:
        """Put the reset off by the whole time-out.

        Raises:
            WatchdogError: nobody knows whether it was put off.
        """
        ...

    def close(self, *, disarm: bool) -> None:
        """Let go of the device. Idempotent; never raises.

        It pets a device that stays armed: the kernel does so whenever an armed device is closed,
        also when its process dies.

        Args:
            disarm: stop it, where the driver lets that happen (not with nowayout).
        """
        ...
