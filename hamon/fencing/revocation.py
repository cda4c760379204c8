"""An operator's own program that takes a host's storage away, as a fence device.

A host that cannot change a disk any more is as good as dead for its guests, also when it runs on:
the way out when a BMC lost its power together with its host. What takes the storage away (a Ceph
blocklist, an NFS export, an array's host group) differs at each site, so it is a program of the
site's. Its contract is in docs/fencing.md.

Rules:

1. Only the exact word ``revoked`` from ``status`` is Off, only ``granted`` is On.
2. An order that ended well is not yet a revocation: the state is read apart.
3. It is told the host and its addresses in its environment, and nothing else.
4. It can name no machine: its arguments are the operator's word, as a plug is.
"""

from __future__ import annotations

from hamon.fencing.program import PATH, ProgramResult, order_outcome, run_program
from hamon.model.host import FenceDeviceSpec, HostSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import ShotResult

_POWER = {"revoked": Power.OFF, "granted": Power.ON}


class RevocationDevice:
    """One host's access to its storage (implements ``ports.FenceDevice``).

    Args:
        spec: the device; ``program`` was checked (``fencing/devices.py`` does it).
        host: whose storage it is.
        clock: CLOCK_BOOTTIME.
    """

    def __init__(self, spec: FenceDeviceSpec, host: HostSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._environment = {
            "PATH": PATH,
            "LC_ALL": "C",
            "HAMON_HOST": host.name,
            "HAMON_ADDRESSES": ",".join(plane.address for plane in host.planes),
        }

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Run ``status``; see ``ports.FenceDevice``. OFF: shut out of its storage."""
        asked_s = self._clock.now_s()
        answer = await self._run("status", asked_s + timeout_s, timeout_s)
        power = Power.UNKNOWN
        if answer.is_success:
            power = _POWER.get(answer.stdout.removesuffix("\n"), Power.UNKNOWN)
        return PowerReading(
            device=self._spec.name,
            power=power,
            identity="",
            asked_s=asked_s,
            observed_s=self._clock.now_s(),
            detail=answer.detail() if power is Power.UNKNOWN else "",
        )

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Run ``revoke``; see ``ports.FenceDevice``. Already revoked is DONE."""
        return await self._order("revoke", start_by_s, deadline_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Run ``restore``; see ``ports.FenceDevice``. Already granted is DONE."""
        return await self._order("restore", start_by_s, deadline_s)

    async def _order(self, action: str, start_by_s: float, deadline_s: float) -> ShotResult:
        answer = await self._run(action, start_by_s, deadline_s)
        # A failure is UNKNOWN: half of it may be done.
        ended = ShotOutcome.DONE if answer.is_success else ShotOutcome.UNKNOWN
        return ShotResult(outcome=order_outcome(answer, ended), detail=answer.detail())

    async def _run(self, action: str, start_by_s: float, deadline_s: float) -> ProgramResult:
        return await run_program(
            (self._spec.program, *self._spec.arguments, action),
            environment=self._environment,
            start_by_s=start_by_s,
            kill_after_s=deadline_s,
        )
