"""A watchdog in memory: a machine's device, and the hold that one of its processes has on it.

The hold implements ``ports.Watchdog`` and passes the same contract tests as the real one.
"""

from __future__ import annotations

from collections.abc import Callable

from hamon.errors import Outcome, WatchdogError
from hamon.ports.watchdog import WatchdogKind

HARDWARE = WatchdogKind(identity="i6300ESB timer", is_soft=False, nowayout=True)
FACTORY_TIMEOUT_S = 60.0


class SimulatedWatchdog:
    """The device of one machine, as the kernel drives it.

    Args:
        now_s: the machine's time.
        kind: what it is.
        on_deadline: told of every new second at which it fires unless it is petted before.
        drift: how much slower than ``now_s`` its own clock runs.

    ``deadline_s``: when it fires, None: it is not armed. ``pets``: when it was petted.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        kind: WatchdogKind = HARDWARE,
        on_deadline: Callable[[float], None] = lambda _: None,
        drift: float = 0.0,
    ) -> None:
        self._now_s = now_s
        self.kind = kind
        self._on_deadline = on_deadline
        self._drift = drift
        self.timeout_s = FACTORY_TIMEOUT_S
        self.deadline_s: float | None = None
        self.pets: list[float] = []
        self.is_held = False

    def pet(self) -> None:
        """Put the deadline off; arm it if it is not."""
        self.pets.append(self._now_s())
        self.deadline_s = self.pets[-1] + self.timeout_s * (1 + self._drift)
        self._on_deadline(self.deadline_s)

    def release(self, *, disarm: bool) -> None:
        """Be closed by whoever holds it, or with its process."""
        self.is_held = False
        if disarm and not self.kind.nowayout:
            self.deadline_s = None
        else:
            # As the kernel does it.
            self.pet()

    def reset(self) -> None:
        """Start anew with the machine: not armed, and with the time-out it came with."""
        self.deadline_s = None
        self.is_held = False
        self.timeout_s = FACTORY_TIMEOUT_S


class InMemoryWatchdog:
    """One process's hold on a device."""

    def __init__(self, device: SimulatedWatchdog) -> None:
        self._device = device
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether this process holds the device."""
        return self._is_open

    def kind(self) -> WatchdogKind:
        """Tell what it is. See ``ports.Watchdog``."""
        return self._device.kind

    def open(self, timeout_s: int) -> float:
        """Take, arm and pet it. See ``ports.Watchdog``."""
        if self._device.is_held:
            raise WatchdogError("watchdog", "open", "memory", Outcome.NOT_DONE, "it is held")
        self._device.is_held = self._is_open = True
        self._device.pet()
        self._device.timeout_s = float(timeout_s)
        self._device.pet()
        return self._device.timeout_s

    def pet(self) -> None:
        """Put the reset off. See ``ports.Watchdog``."""
        if not self._is_open:
            raise WatchdogError("watchdog", "pet", "memory", Outcome.UNKNOWN, "it is not open")
        self._device.pet()

    def close(self, *, disarm: bool) -> None:
        """Let go of it. See ``ports.Watchdog``."""
        if self._is_open:
            self._is_open = False
            self._device.release(disarm=disarm)
