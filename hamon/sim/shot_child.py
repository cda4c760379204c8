"""The children of a simulated daemon that carry its orders to fence devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from hamon.model.host import FenceDeviceSpec
from hamon.model.names import HostName
from hamon.model.proof import PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import FenceDevice, ShotResult
from hamon.sim.process import Process


class ChildDevice:
    """A device whose orders are carried by children that outlive the daemon.

    Args:
        inner: the device.
        host: whose power.
        clock: an order whose lease has run out by it never starts.
        started: told when an order to switch off begins, and until when it had to.
        children: where they are kept, for whoever ends the world.
    """

    def __init__(
        self,
        inner: FenceDevice,
        host: HostName,
        clock: Clock,
        started: Callable[[HostName, float], None],
        children: list[Process],
    ) -> None:
        self._inner = inner
        self._host = host
        self._clock = clock
        self._started = started
        self._children = children

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._inner.spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Ask for the power state and the identity."""
        return await self._inner.read(timeout_s)

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order power off, from a child."""

        async def shoot() -> ShotResult:
            if self._clock.now_s() <= start_by_s:
                self._started(self._host, start_by_s)
            return await self._inner.cut_power(start_by_s, deadline_s)

        return await self._carried(shoot())

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order power on, from a child."""
        return await self._carried(self._inner.power_on(start_by_s, deadline_s))

    async def _carried(self, order: Coroutine[object, object, ShotResult]) -> ShotResult:
        answer: asyncio.Future[ShotResult] = asyncio.get_running_loop().create_future()

        async def carry() -> None:
            result = await order
            if not answer.done():
                answer.set_result(result)

        child = Process(f"{self._host}/shot", _never_crashes)
        self._children.append(child)
        child.spawn(carry())
        return await answer


def _never_crashes(process: Process, error: BaseException) -> None:
    raise AssertionError(process.name) from error
