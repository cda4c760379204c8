"""A simulated Nova as one controller's process sees it (implements ``ports.Cloud``).

What was sent is carried out, whoever dies or is stopped meanwhile; an answer may be late or lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Protocol, TypeVar

from hamon.errors import CloudUnavailableError, HamonError, Outcome
from hamon.model.cloud import (
    Aggregate,
    CloudMigration,
    ComputeService,
    Image,
    Progress,
    Server,
    ServerGroup,
)
from hamon.model.names import ControllerId, GuestId
from hamon.ports.clock import Clock
from hamon.sim.cloud import refuse_late
from hamon.sim.nova import SimulatedNova

T = TypeVar("T")

TRAVEL_S = (0.005, 0.04)
"""How long a call is on its way to Nova, and its answer back, at random."""

TIMEOUT_S = 30.0
"""After so long the client gives a call up."""


class Surroundings(Protocol):
    """What calls need of their world."""

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    def evacuation_sent(self, controller: ControllerId, guest: GuestId) -> None:
        """Be told that a controller sends a request to evacuate."""
        ...


class Road:
    """The way to Nova's API, and what may happen on it; one for all controllers."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.loses_next_request = False
        self.loses_next_answer = False


class ClientCloud:
    """One controller's calls.

    Args:
        world: around them.
        nova: who answers.
        road: between them.
        controller: whose calls.
        random: luck, by seed.
    """

    def __init__(
        self,
        world: Surroundings,
        nova: SimulatedNova,
        road: Road,
        controller: ControllerId,
        random: Random,
    ) -> None:
        self._world = world
        self._nova = nova
        self._road = road
        self._controller = controller
        self._random = random

    async def services(self) -> tuple[ComputeService, ...]:
        """See ``ports.Cloud``."""
        return await self._read("services", self._nova.api.services)

    async def renew_token(self) -> None:
        """See ``ports.Cloud``."""
        await self._read("renew_token", self._nova.api.renew_token)

    async def destinations(self, server: Server) -> tuple[str, ...]:
        """See ``ports.Cloud``."""
        return await self._read("destinations", lambda: self._nova.api.destinations(server))

    async def servers(self, *, host: str = "", since: str = "") -> tuple[Server, ...]:
        """See ``ports.Cloud``."""
        return await self._read("servers", lambda: self._nova.api.servers(host=host, since=since))

    async def touched(self, since: str) -> frozenset[GuestId]:
        """See ``ports.Cloud``."""
        return await self._read("touched", lambda: self._nova.api.touched(since))

    async def server(self, name_or_uuid: str) -> Server:
        """See ``ports.Cloud``."""
        return await self._read("server", lambda: self._nova.api.server(name_or_uuid))

    async def groups(self) -> tuple[ServerGroup, ...]:
        """See ``ports.Cloud``."""
        return await self._read("groups", self._nova.api.groups)

    async def aggregates(self) -> tuple[Aggregate, ...]:
        """See ``ports.Cloud``."""
        return await self._read("aggregates", self._nova.api.aggregates)

    async def image(self, image: str) -> Image:
        """See ``ports.Cloud``."""
        return await self._read("image", lambda: self._nova.api.image(image))

    async def migrations(self, *, host: str = "", since: str = "") -> tuple[CloudMigration, ...]:
        """See ``ports.Cloud``."""
        api = self._nova.api
        return await self._read("migrations", lambda: api.migrations(host=host, since=since))

    async def progress(self, guest: GuestId) -> Progress:
        """See ``ports.Cloud``."""
        return await self._read("progress", lambda: self._nova.api.progress(guest))

    async def shut_out(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "shut_out", service_id, start_by_s)
        await self._call("shut_out", lambda: self._nova.api.shut_out(service_id, reason))

    async def lift_force_down(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "lift_force_down", service_id, start_by_s)
        await self._call("lift_force_down", lambda: self._nova.api.lift_force_down(service_id))

    async def disable(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "disable", service_id, start_by_s)
        await self._call("disable", lambda: self._nova.api.disable(service_id, reason))

    async def enable(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "enable", service_id, start_by_s)
        await self._call("enable", lambda: self._nova.api.enable(service_id))

    async def evacuate(
        self,
        guest: GuestId,
        *,
        start_by_s: float,
        target: str = "",
        force: bool = False,
        password: str = "",
    ) -> str:
        """See ``ports.Cloud``. What is late is not sent; what was sent may arrive late."""
        refuse_late(self._world.clock, "evacuate", guest, start_by_s)
        self._world.evacuation_sent(self._controller, guest)

        async def arrive() -> str:
            return await self._nova.api.evacuate(
                guest, start_by_s=float("inf"), target=target, force=force, password=password
            )

        is_lost, self._road.loses_next_request = self._road.loses_next_request, False
        is_unanswered, self._road.loses_next_answer = self._road.loses_next_answer, False
        return await self._call("evacuate", arrive, is_lost=is_lost, is_unanswered=is_unanswered)

    async def start(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "start", guest, start_by_s)
        await self._call("start", lambda: self._nova.api.start(guest))

    async def stop(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "stop", guest, start_by_s)
        await self._call("stop", lambda: self._nova.api.stop(guest))

    async def reboot(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "reboot", guest, start_by_s)
        await self._call("reboot", lambda: self._nova.api.reboot(guest))

    async def reset_task(
        self, guest: GuestId, *, is_error: bool, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._world.clock, "reset_task", guest, start_by_s)
        await self._call("reset_task", lambda: self._nova.api.reset_task(guest, is_error=is_error))

    # -- inside -----------------------------------------------------------------------------------

    async def _read(self, operation: str, call: Callable[[], Coroutine[object, object, T]]) -> T:
        return await self._call(operation, call, outcome=Outcome.NOT_DONE)

    async def _call(
        self,
        operation: str,
        call: Callable[[], Coroutine[object, object, T]],
        *,
        outcome: Outcome = Outcome.UNKNOWN,
        is_lost: bool = False,
        is_unanswered: bool = False,
    ) -> T:
        """Carry a call there and its answer back; whatever is not back in time is unknown."""
        answered = asyncio.Event()
        results: list[T] = []
        failures: list[HamonError] = []
        there_s = self._random.uniform(*TRAVEL_S) + self._road.delay_s
        back_s = self._random.uniform(*TRAVEL_S)

        async def travel() -> None:
            await self._world.clock.sleep(there_s)
            try:
                results.append(await call())
            except HamonError as error:
                failures.append(error)
            if not is_unanswered:
                await self._world.clock.sleep(back_s)
                answered.set()

        if not is_lost:
            self._nova.api_process.spawn(travel())
        try:
            await _first(answered.wait(), self._world.clock.sleep(TIMEOUT_S))
        except TimeoutError as late:
            why = f"no answer within {TIMEOUT_S:g} s"
            raise CloudUnavailableError("cloud", operation, "nova", outcome, why) from late
        if failures:
            raise failures[0]
        return results[0]


async def _first(
    wanted: Coroutine[object, object, object], limit: Coroutine[object, object, None]
) -> None:
    """Wait for what is wanted, and no longer than a limit.

    Raises:
        TimeoutError: the limit came first.
    """
    waits = [asyncio.ensure_future(wanted), asyncio.ensure_future(limit)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not waits[0].done():
            raise TimeoutError
    finally:
        for wait in waits:
            wait.cancel()
