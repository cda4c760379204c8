"""The network in memory: planes with hosts that answer probes, cut wherever a test wants it.

Implements ``ports.Probe`` (one per controller) and passes the same contract tests as the real one.
"""

from __future__ import annotations

from typing import Protocol

from hamon.ports.clock import Clock
from hamon.ports.probe import ProbeAnswer, ProbeResult


class Endpoint(Protocol):
    """What answers at an address: a host, whatever state it is in."""

    def answer(self) -> ProbeResult:
        """Tell what a connection brings back now; SILENT for a host without power."""
        ...


class SimulatedNetwork:
    """Planes, what is attached to them, and who is cut off.

    A cut is of one party (a host or a controller, by name) from one plane, in both directions. A
    controller that is cut off hears silence from everybody, as with a pulled cable.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._endpoints: dict[tuple[str, int], tuple[str, str, Endpoint]] = {}
        self._cuts: set[tuple[str, str]] = set()
        self.delay_s = 0.001

    def attach(self, plane: str, host: str, address: str, port: int, endpoint: Endpoint) -> None:
        """Have ``endpoint`` answer at an address of a plane; replaces what answered there."""
        self._endpoints[address, port] = (plane, host, endpoint)

    def cut(self, plane: str, party: str) -> None:
        """Cut a host or a controller off a plane. Idempotent."""
        self._cuts.add((plane, party))

    def restore(self, plane: str, party: str) -> None:
        """Undo a cut. Idempotent."""
        self._cuts.discard((plane, party))

    async def knock(
        self, controller: str, address: str, port: int, timeout_s: float
    ) -> ProbeResult:
        """Carry one probe of a controller there and back."""
        result = self._look(controller, address, port)
        if result.answer is ProbeAnswer.SILENT or self.delay_s > timeout_s:
            await self._clock.sleep(timeout_s)
            return ProbeResult(answer=ProbeAnswer.SILENT, detail=result.detail or "no answer")
        await self._clock.sleep(self.delay_s)
        # The host may have died, or the cable been pulled, while the answer was on its way.
        return self._look(controller, address, port)

    def _look(self, controller: str, address: str, port: int) -> ProbeResult:
        attached = self._endpoints.get((address, port))
        if attached is None:
            return ProbeResult(answer=ProbeAnswer.SILENT, detail="nothing is there")
        plane, host, endpoint = attached
        if {(plane, controller), (plane, host)} & self._cuts:
            return ProbeResult(answer=ProbeAnswer.SILENT, detail="no answer")
        return endpoint.answer()


class SimulatedProbe:
    """One controller's probe."""

    def __init__(self, network: SimulatedNetwork, controller: str) -> None:
        self._network = network
        self._controller = controller

    async def knock(self, address: str, port: int, timeout_s: float) -> ProbeResult:
        """Knock at an address; see ``ports.Probe``."""
        return await self._network.knock(self._controller, address, port, timeout_s)
