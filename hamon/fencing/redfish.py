"""A BMC that speaks Redfish, through sushy.

Rules:

1. TLS always, checked against ``ca_file`` or the machine's own authorities; only an explicit
   ``allow_insecure_tls`` believes whoever answers.
2. Only a settled ``Off`` is Off: on the way there (``PoweringOff``) guests may still write.
3. An accepted order is not power off: the state is read apart.
4. Every reading says which system answered: its UUID (S12). One address may serve several systems,
   so the system is configured, never guessed. One that names another machine is ordered nothing.
5. Each action is one child (``redfish_request.py``) with the password on its standard input; it
   opens no session that a BMC, which has few, would have to keep.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from hamon.errors import ConfigError
from hamon.fencing.program import PATH, ProgramResult, order_outcome, run_program
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import spellings
from hamon.ports.clock import Clock
from hamon.ports.fencing import ShotResult

_REQUEST = str(Path(__file__).resolve().with_name("redfish_request.py"))
_POWER = {
    "On": Power.ON,
    "Off": Power.OFF,
    "PoweringOn": Power.TRANSITION,
    "PoweringOff": Power.TRANSITION,
    "Paused": Power.TRANSITION,
}


class RedfishDevice:
    """One ComputerSystem as a fence device (implements ``ports.FenceDevice``).

    Args:
        spec: the device; ``address`` is an IP address, ``system`` a path (``fencing/devices.py``
            checks both).
        password: reads the password; called for every action, so that a rotated one is used.
            Raises nothing but ConfigError.
        clock: CLOCK_BOOTTIME.
        expected: returns the uuid of the system that is to be ordered, "": not known.

    Raises:
        ValueError: there is nothing to check the BMC's certificate with.
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
        self._verify = _authorities(spec)
        address = ipaddress.ip_address(spec.address)
        host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004  IPv6
        self._url = f"https://{host}:{spec.port}"

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Ask for ``PowerState`` and ``UUID``; see ``ports.FenceDevice``."""
        asked_s = self._clock.now_s()
        power, identity, detail = Power.UNKNOWN, "", ""
        try:
            password = self._password()
        except ConfigError as error:
            detail = str(error)
        else:
            answer = await self._run("read", password, asked_s + timeout_s, timeout_s)
            told = _told(answer)
            power = _POWER.get(str(told.get("power")), Power.UNKNOWN)
            identity = str(told.get("uuid") or "")
            if power is Power.UNKNOWN:
                detail = _detail(answer, told, password) or f"PowerState: {told.get('power')}"
            elif not identity:
                detail = "the BMC names no system"
        return PowerReading(
            device=self._spec.name,
            power=power,
            identity=identity,
            asked_s=asked_s,
            observed_s=self._clock.now_s(),
            detail=detail,
        )

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order ``ForceOff``; see ``ports.FenceDevice``. Already off is DONE."""
        return await self._order("ForceOff", start_by_s, deadline_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order ``On``; see ``ports.FenceDevice``. Already on is DONE."""
        return await self._order("On", start_by_s, deadline_s)

    async def _order(self, reset: str, start_by_s: float, deadline_s: float) -> ShotResult:
        try:
            password = self._password()
        except ConfigError as error:
            return ShotResult(outcome=ShotOutcome.NOT_DONE, detail=str(error))
        answer = await self._run(reset, password, start_by_s, deadline_s)
        told = _told(answer)
        # A child that broke down may have given the order before.
        ended = ShotOutcome(str(told.get("outcome", ShotOutcome.UNKNOWN)))
        return ShotResult(
            outcome=order_outcome(answer, ended), detail=_detail(answer, told, password)
        )

    async def _run(
        self, action: str, password: str, start_by_s: float, deadline_s: float
    ) -> ProgramResult:
        request = {
            "url": self._url,
            "system": self._spec.system,
            "username": self._spec.username,
            "password": password,
            "verify": self._verify,
            "action": action,
            "expected": spellings(self._expected()),
            "timeout_s": deadline_s,
        }
        return await run_program(
            (sys.executable, "-I", _REQUEST),
            environment={"PATH": PATH, "LC_ALL": "C"},
            text=json.dumps(request),
            start_by_s=start_by_s,
            kill_after_s=deadline_s,
        )


def _authorities(spec: FenceDeviceSpec) -> str | bool:
    """Return what the BMC's certificate is checked with: a file, a folder, or False for nothing.

    Not left to ``requests``, which would believe the authorities that it brings along.
    """
    if spec.allow_insecure_tls:
        return False
    if spec.ca_file:
        return spec.ca_file
    paths = ssl.get_default_verify_paths()
    found = paths.cafile or paths.capath
    if not found:
        raise ValueError("this machine knows no certificate authority; set ca_file")
    return found


def _told(answer: ProgramResult) -> Mapping[str, object]:
    """Return what the child said, nothing if it did not end well."""
    if not answer.is_success:
        return {}
    try:
        told = json.loads(answer.stdout)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _detail(answer: ProgramResult, told: Mapping[str, object], password: str) -> str:
    """Return what went wrong as one line without the password, "" if nothing did."""
    if not told:
        return answer.detail(password)
    said = str(told.get("detail", ""))
    return dataclasses.replace(answer, stdout=said, stderr="").detail(password) if said else ""
