"""Build the fence devices of the enrolled hosts; at each address, one action at a time.

What comes from the configuration is validated here, whatever validated it before, because this is
the last place before a command line.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hamon.errors import ConfigError, FenceError
from hamon.fencing.fence_agent import AgentMetadata, FenceAgentDevice, read_metadata
from hamon.fencing.ipmi import PASSWORD_MAX_BYTES, IpmiDevice
from hamon.fencing.redfish import RedfishDevice
from hamon.fencing.revocation import RevocationDevice
from hamon.fencing.watchdog import WATCHDOG
from hamon.model.host import FenceDeviceSpec, HostSpec
from hamon.model.incident import ShotOutcome
from hamon.model.names import HostName
from hamon.model.proof import Power, PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import FenceDevice, ShotResult
from hamon.settings.files import check_authorities, check_program
from hamon.settings.secrets import Password

AGENT_FOLDERS = ("/usr/sbin", "/usr/bin")
"""Where fence-agents programs are; they are named without a path in the configuration."""

PASSWORD_IN_ARGUMENTS = frozenset(
    {
        "fence_idrac",
        "fence_ilo3",
        "fence_ilo4",
        "fence_ilo5",
        "fence_imm",
        "fence_ipmilan",
        "fence_ipmilanplus",
    }
)
"""All one program: it hands the password to ipmitool as an argument, for everyone to read (S18)."""

READS_AT_ONCE = {"ipmi": 100, "redfish": 20, "agent": 40, "storage": 40}
"""Reads by devices of one kind at the same time: each is a program, and takes memory (Redfish
25 MB). Orders are not counted: a hundred hosts that are read must not keep one from being shot."""

Reading = Callable[[], Coroutine[Any, Any, PowerReading]]
Order = Callable[[], Coroutine[Any, Any, ShotResult]]

_USERNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class Turns:
    """Turns at one device address: one action at a time, and an order to cut power goes first.

    A BMC or a power strip takes few sessions at once. An order must start within its lease, so it
    does not queue behind reads: the read under way is broken off (it is harmless, and asked again),
    and those that wait stay behind it.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._is_taken = False
        self._orders = 0
        self._reading: asyncio.Task[PowerReading] | None = None

    async def read(self, ask: Reading, wait_max_s: float) -> PowerReading | None:
        """Run a read in its turn; None when it had to give way to an order.

        Raises:
            TimeoutError: its turn did not come within ``wait_max_s``.
        """
        async with asyncio.timeout(wait_max_s), self._changed:
            await self._changed.wait_for(lambda: not self._is_taken and not self._orders)
            self._is_taken = True
        reading = self._reading = asyncio.create_task(ask())
        try:
            await asyncio.wait({reading})
            return None if reading.cancelled() else reading.result()
        finally:
            # The device is free only when the program that talks to it is gone.
            reading.cancel()
            await asyncio.wait({reading})
            self._reading = None
            await self._release()

    async def order(self, shoot: Order, wait_max_s: float) -> ShotResult:
        """Run an order as soon as no other order runs.

        Raises:
            TimeoutError: its turn did not come within ``wait_max_s``; it was not run.
        """
        self._orders += 1
        try:
            if self._reading is not None:
                self._reading.cancel()
            async with asyncio.timeout(wait_max_s), self._changed:
                await self._changed.wait_for(lambda: not self._is_taken)
                self._is_taken = True
        except BaseException:
            self._orders -= 1
            await self._wake()
            raise
        self._orders -= 1
        try:
            return await shoot()
        finally:
            await self._release()

    async def _release(self) -> None:
        self._is_taken = False
        await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class TakingTurns:
    """A fence device that waits for its turn at its address (implements ``ports.FenceDevice``)."""

    def __init__(
        self, device: FenceDevice, turns: Turns, crowd: asyncio.Semaphore, clock: Clock
    ) -> None:
        self._device = device
        self._turns = turns
        self._crowd = crowd
        self._clock = clock

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._device.spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Read in turn; UNKNOWN when the device was busy. See ``ports.FenceDevice``."""
        asked_s = self._clock.now_s()
        give_up_s = asked_s + timeout_s

        def ask() -> Coroutine[Any, Any, PowerReading]:
            return self._device.read(max(0.0, give_up_s - self._clock.now_s()))

        try:
            async with asyncio.timeout(timeout_s), self._crowd:
                reading = await self._turns.read(ask, timeout_s)
            why = "gave way to an order"
        except TimeoutError:
            reading, why = None, "the device is busy"
        if reading is not None:
            return reading
        return PowerReading(
            device=self.spec.name,
            power=Power.UNKNOWN,
            identity="",
            asked_s=asked_s,
            observed_s=self._clock.now_s(),
            detail=why,
        )

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order in turn; LATE if the device was busy for the lease. See ``ports.FenceDevice``."""
        return await self._order(lambda: self._device.cut_power(start_by_s, deadline_s), start_by_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order in turn; LATE if the device was busy for the lease. See ``ports.FenceDevice``."""
        return await self._order(lambda: self._device.power_on(start_by_s, deadline_s), start_by_s)

    async def _order(self, order: Order, start_by_s: float) -> ShotResult:
        if self._clock.now_s() > start_by_s:
            return ShotResult(outcome=ShotOutcome.LATE, detail="its lease was over")
        try:
            return await self._turns.order(order, max(0.0, start_by_s - self._clock.now_s()))
        except TimeoutError:
            # Never given, so no failure of the device's: it is journalled anew (DESIGN rule 4).
            return ShotResult(outcome=ShotOutcome.LATE, detail="the device is busy")


class DeviceBuilder:
    """Builds fence devices; all that it built share the turns at their addresses.

    Args:
        clock: CLOCK_BOOTTIME.
        identity: returns the system uuid that devices of a host must answer for, "": not known.
    """

    def __init__(self, clock: Clock, identity: Callable[[HostName], str] = lambda _: "") -> None:
        self._clock = clock
        self._identity = identity
        self._turns: dict[str, Turns] = {}
        self._crowds = {kind: asyncio.Semaphore(most) for kind, most in READS_AT_ONCE.items()}
        self._metadata: dict[str, AgentMetadata] = {}
        self._validated: set[tuple[str, tuple[tuple[str, str], ...]]] = set()

    async def build(self, host: HostSpec) -> tuple[FenceDevice, ...]:
        """Build the devices of a host, in the order of its specification.

        A watchdog is none to be built: there is nothing to shoot with and nothing to read. Starts
        each fence-agents program once for its metadata, and once for each set of options that it is
        to judge; touches no device.

        Raises:
            ConfigError: a device cannot be used as it is configured; ``path`` names the host.
        """
        devices: list[FenceDevice] = []
        for spec in host.fence:
            if spec.kind == WATCHDOG:
                continue
            try:
                device, address = await self._build(spec, host)
            except (ValueError, FenceError) as error:
                raise ConfigError(f"host {host.name}", f"fence.{spec.name}", str(error)) from error
            turns = self._turns.setdefault(address or f"{host.name}/{spec.name}", Turns())
            devices.append(TakingTurns(device, turns, self._crowds[spec.kind], self._clock))
        return tuple(devices)

    async def _build(self, spec: FenceDeviceSpec, host: HostSpec) -> tuple[FenceDevice, str]:
        """Build one device; return it and what its turns are taken at ("": it alone)."""
        if spec.username and _USERNAME.fullmatch(spec.username) is None:
            raise ValueError("username: letters, digits and _ . @ - only, no - in front")
        password = Password(spec.password_file)
        # Now rather than at the first shot: a password that is missing or too long fails early.
        now = password()
        match spec.kind:
            case "ipmi":
                address = str(ipaddress.ip_address(spec.address))
                if not spec.username or not now:
                    raise ValueError("ipmi needs a username and a password_file")
                if len(now.encode()) > PASSWORD_MAX_BYTES:
                    raise ValueError(f"IPMI 2.0 takes at most {PASSWORD_MAX_BYTES} bytes password")
                bmc = IpmiDevice(spec, password, self._clock, lambda: self._identity(host.name))
                return bmc, f"{address}:{spec.port}"
            case "redfish":
                address = str(ipaddress.ip_address(spec.address))
                if not spec.username or not now:
                    raise ValueError("redfish needs a username and a password_file")
                if not spec.system.startswith("/"):
                    raise ValueError("redfish needs the path of its system: it may serve several")
                if spec.ca_file:
                    check_authorities(spec.ca_file)
                service = RedfishDevice(
                    spec, password, self._clock, lambda: self._identity(host.name)
                )
                return service, f"{address}:{spec.port}"
            case "agent":
                address = str(ipaddress.ip_address(spec.address)) if spec.address else ""
                return await self._agent(spec, password), address
            case "storage":
                check_program(spec.program)
                return RevocationDevice(spec, host, self._clock), ""
            case _:
                raise ValueError(f"kind {spec.kind!r}: there are ipmi, redfish, agent and storage")

    async def _agent(self, spec: FenceDeviceSpec, password: Password) -> FenceAgentDevice:
        """Build a fence-agents device whose options its program has found no fault with."""
        program = agent_path(spec.agent)
        if program not in self._metadata:
            self._metadata[program] = await read_metadata(program, self._clock)
        device = FenceAgentDevice(spec, program, self._metadata[program], password, self._clock)
        if (program, device.look) not in self._validated:
            await device.validate()
            self._validated.add((program, device.look))
        return device


def agent_path(agent: str) -> str:
    """Return the absolute path of a fence-agents program, named with or without its folder.

    Raises:
        ValueError: it is not installed, or it cannot keep a password to itself.
    """
    path = Path(agent)
    if path.name in PASSWORD_IN_ARGUMENTS:
        raise ValueError(
            f'{path.name} shows the password to every user of this machine; use kind = "ipmi",'
            " which speaks the same protocol"
        )
    known = [path] if path.is_absolute() else [Path(folder) / agent for folder in AGENT_FOLDERS]
    for candidate in known:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return str(candidate)
    raise ValueError(f"{agent} is not installed (package fence-agents)")
