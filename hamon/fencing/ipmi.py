"""A BMC that speaks IPMI 2.0, through ``ipmitool``.

Rules:

1. The password travels in the child's environment only (security.md 3.2), never in its arguments.
2. Only the exact answers ``Chassis Power is off`` and ``Chassis Power is on`` count.
3. An accepted order is not power off: the state is read apart.
4. Every reading says which system answered (S12). The GUID is read as bytes, because ipmitool
   guesses how to print one, and each version guesses differently.
5. Where the machine to be ordered is known, one child reads the GUID and then gives the order, or
   does not (``ipmi_order.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from hamon.errors import ConfigError
from hamon.fencing import ipmi_order
from hamon.fencing.program import PATH, ProgramResult, order_outcome, run_program
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import spellings
from hamon.ports.clock import Clock
from hamon.ports.fencing import ShotResult

IPMITOOL = "/usr/bin/ipmitool"
PASSWORD_MAX_BYTES = 20
"""IPMI 2.0 has no room for more; ipmitool refuses a longer one."""

_POWER = {"Chassis Power is on": Power.ON, "Chassis Power is off": Power.OFF}
_ACCEPTED = {"off": "Chassis Power Control: Down/Off", "on": "Chassis Power Control: Up/On"}
_NO_SESSION = "Unable to establish IPMI v2 / RMCP+ session"
_GET_SYSTEM_GUID = ipmi_order.GET_SYSTEM_GUID
_ORDER = str(Path(ipmi_order.__file__).resolve())


class IpmiDevice:
    """One BMC as a fence device (implements ``ports.FenceDevice``).

    Args:
        spec: the device; ``address`` is an IP address, ``username`` was validated
            (``fencing/devices.py`` does both).
        password: reads the password; called for every action, so that a rotated one is used.
            Raises nothing but ConfigError.
        clock: CLOCK_BOOTTIME.
        expected: returns the uuid of the system that is to be ordered, "": not known.
    """

    def __init__(
        self,
        spec: FenceDeviceSpec,
        password: Callable[[], str],
        clock: Clock,
        expected: Callable[[], str] = lambda: "",
    ) -> None:
        self._spec = spec
        self._password = password
        self._clock = clock
        self._expected = expected

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Ask for the power state, then for the system's GUID; see ``ports.FenceDevice``.

        ``asked_s`` and ``observed_s`` are those of the power state.
        """
        asked_s = self._clock.now_s()
        give_up_s = asked_s + timeout_s

        def reading(power: Power, identity: str, detail: str) -> PowerReading:
            return PowerReading(
                device=self._spec.name,
                power=power,
                identity=identity,
                asked_s=asked_s,
                observed_s=observed_s,
                detail=detail,
            )

        try:
            password = self._password()
        except ConfigError as error:
            observed_s = asked_s
            return reading(Power.UNKNOWN, "", str(error))
        answer = await self._ask(("chassis", "power", "status"), password, give_up_s)
        observed_s = self._clock.now_s()
        power = _POWER.get(answer.stdout.strip()) if answer.is_success else None
        if power is None:
            return reading(Power.UNKNOWN, "", answer.detail(password))
        answer = await self._ask(_GET_SYSTEM_GUID, password, give_up_s)
        identity = _identity(answer.stdout) if answer.is_success else ""
        if not identity:
            return reading(power, "", f"the BMC names no system: {answer.detail(password)}")
        return reading(power, identity, "")

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order ``chassis power off``; see ``ports.FenceDevice``. Already off is DONE."""
        return await self._order("off", start_by_s, deadline_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order ``chassis power on``; see ``ports.FenceDevice``. Already on is DONE."""
        return await self._order("on", start_by_s, deadline_s)

    async def _order(self, power: str, start_by_s: float, deadline_s: float) -> ShotResult:
        try:
            password = self._password()
        except ConfigError as error:
            return ShotResult(outcome=ShotOutcome.NOT_DONE, detail=str(error))
        command = ("chassis", "power", power)
        accepted = spellings(self._expected())
        first = (sys.executable, "-I", "-S", _ORDER, ",".join(accepted)) if accepted else ()
        answer = await self._run(command, password, start_by_s, deadline_s, first=first)
        outcome = _outcome(answer, _ACCEPTED[power])
        return ShotResult(outcome=outcome, detail=answer.detail(password))

    async def _ask(
        self, command: tuple[str, ...], password: str, give_up_s: float
    ) -> ProgramResult:
        left_s = max(0.0, give_up_s - self._clock.now_s())
        return await self._run(command, password, give_up_s, left_s)

    async def _run(
        self,
        command: tuple[str, ...],
        password: str,
        start_by_s: float,
        deadline_s: float,
        *,
        first: tuple[str, ...] = (),
    ) -> ProgramResult:
        """Run ipmitool with one packet, sent again once after a second: a living BMC is faster."""
        spec = self._spec
        return await run_program(
            (
                *first,
                *(IPMITOOL, "-I", "lanplus", "-H", spec.address, "-p", str(spec.port)),
                *("-U", spec.username, "-E", "-C", str(spec.cipher), "-N", "1", "-R", "1"),
                # Enough for power and no more, whatever the account could do (security.md 6).
                *("-L", "OPERATOR", *command),
            ),
            environment={"PATH": PATH, "LC_ALL": "C", "IPMITOOL_PASSWORD": password},
            start_by_s=start_by_s,
            kill_after_s=deadline_s,
        )


def _outcome(answer: ProgramResult, accepted: str) -> ShotOutcome:
    """Say what is known of an order; a BMC that answers with an error may have obeyed."""
    ended = ShotOutcome.UNKNOWN
    if answer.is_success and answer.stdout.strip() == accepted:
        ended = ShotOutcome.DONE
    elif _NO_SESSION in answer.stderr or answer.code in set(ipmi_order.Exit):
        # Without a session no order leaves this machine; nor does one for another machine.
        ended = ShotOutcome.NOT_DONE
    return order_outcome(answer, ended)


def _identity(answer: str) -> str:
    """Turn the answer to Get System GUID into a uuid, bytes in the order the BMC sent them.

    Vendors send them in different orders; ``model.readings.same_system`` knows which.
    """
    guid = ipmi_order.guid_of(answer)
    return str(UUID(bytes=guid)) if guid else ""
