"""A simulated host's libvirt as one process of that host sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from hamon.errors import HypervisorError
from hamon.model.host import HostCapacity
from hamon.model.names import BootId, GuestId
from hamon.ports.hypervisor import Domain, DomainEvent
from hamon.sim.hypervisor import InMemoryHypervisor
from hamon.sim.process import Process


class ClientLibvirt:
    """A host's libvirt as one agent process sees it: what was sent is done, whoever dies."""

    def __init__(self, inner: InMemoryHypervisor, libvirtd: Process, client: Process) -> None:
        self._inner = inner
        self._libvirtd = libvirtd
        self._client = client

    def on_event(self, callback: Callable[[GuestId, DomainEvent], None]) -> None:
        """Have ``callback`` called within the client."""
        self._inner.on_event(self._client.bind(callback))

    def on_connection(self, callback: Callable[[bool], None]) -> None:
        """Have ``callback`` called within the client."""
        self._inner.on_connection(self._client.bind(callback))

    async def domains(self) -> tuple[Domain, ...]:
        """List every domain."""
        return await self._inner.domains()

    async def capacity(self, boot_id: BootId) -> HostCapacity:
        """Tell what this host offers to guests."""
        return await self._inner.capacity(boot_id)

    async def define(self, definition: str) -> None:
        """Define the domain."""
        await self._send(self._inner.define(definition))

    async def start(self, guest: GuestId) -> None:
        """Start a defined domain."""
        await self._send(self._inner.start(guest))

    async def destroy(self, guest: GuestId) -> None:
        """End the domain's process at once."""
        await self._send(self._inner.destroy(guest))

    async def undefine(self, guest: GuestId) -> None:
        """Forget the definition."""
        await self._send(self._inner.undefine(guest))

    async def _send(self, call: Coroutine[object, object, None]) -> None:
        answer: asyncio.Future[HypervisorError | None]
        answer = asyncio.get_running_loop().create_future()
        self._libvirtd.spawn(_serve(call, answer))
        error = await answer
        if error is not None:
            raise error


async def _serve(
    call: Coroutine[object, object, None], answer: asyncio.Future[HypervisorError | None]
) -> None:
    error: HypervisorError | None = None
    try:
        await call
    except HypervisorError as failure:
        error = failure
    if not answer.done():
        answer.set_result(error)
