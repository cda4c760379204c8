"""Fence devices. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import PowerReading


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotResult:
    """What became of an order to a device. Acceptance proves nothing: the state is read apart."""

    outcome: ShotOutcome
    detail: str = ""


class FenceDevice(Protocol):
    """One way to cut one host's power, and to read it back.

    A device whose ``spec.is_revocation`` takes storage away instead of power: for it OFF means
    "shut out of its storage" (the host may run on, and can change no disk), ON means "has its
    storage", and to power on is to give the storage back.
    """

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        ...

    async def read(self, timeout_s: float) -> PowerReading:
        """Ask for the power state and the identity. Harmless, idempotent; never raises PortError.

        Timeouts, errors, refused logins and transitional states come back as UNKNOWN or
        TRANSITION readings; only a settled answer is ON or OFF.
        """
        ...

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order power off (never reboot, never cycle).

        Idempotent in effect: off stays off. The child that carries the order refuses to begin
        after ``start_by_s`` (CLOCK_BOOTTIME) and kills itself and its group ``deadline_s`` after
        its start, even if this process is stopped. Never raises PortError: the outcome is DONE
        (the device took the order), NOT_DONE (it surely did not), LATE (it was never given, because
        ``start_by_s`` had passed) or UNKNOWN.
        """
        ...

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order power on; storage given back, if that is what was taken.

        Idempotent in effect: on stays on. Carried, bounded and answered like :meth:`cut_power`: the
        child refuses to begin after ``start_by_s`` and is gone ``deadline_s`` after its start,
        never raises PortError, and UNKNOWN means that the host may come up at any moment: treat it
        as one that does.
        """
        ...
