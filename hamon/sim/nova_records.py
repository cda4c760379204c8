"""What a simulated Nova has in its database, and the orders that it sends to its own parts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from hamon.model.cloud import (
    EVACUATION,
    Aggregate,
    CloudMigration,
    ComputeService,
    Image,
    Progress,
    Server,
    ServerGroup,
)
from hamon.model.names import GuestId
from hamon.ports.clock import Clock

DELETED = "deleted"
IMAGE = "image-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvacuationOrder:
    """From the API to a conductor; ``target``: the compute that was asked for, "": none."""

    guest: GuestId
    target: str


class PowerVerb(StrEnum):
    """What a compute may be told to do with a guest."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOrder:
    """From the API to the compute that the guest belonged to when somebody asked."""

    guest: GuestId
    host: str
    verb: PowerVerb


Order = EvacuationOrder | PowerOrder


class NovaRecords:
    """The tables. Every change of a row stamps it, as Nova's ``updated_at``.

    Args:
        clock: the world's; gives its wall-clock stamps.
        hosts: one nova-compute each, up and enabled.
    """

    def __init__(self, clock: Clock, hosts: tuple[str, ...]) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.services = {
            host: ComputeService(id=f"service-{host}", host=host, is_up=True) for host in hosts
        }
        self.servers: dict[GuestId, Server] = {}
        self.groups: dict[str, ServerGroup] = {}
        self.images: dict[str, Image] = {IMAGE: Image(id=IMAGE)}
        self.aggregates: dict[str, Aggregate] = {}
        self.migrations: dict[int, CloudMigration] = {}
        self.progress: dict[GuestId, Progress] = {}
        self.is_conductor_up = True

    def add_server(
        self,
        guest: GuestId,
        name: str,
        host: str,
        *,
        ram_mib: int = 96,
        vm_state: str = "active",
    ) -> None:
        """Have a server on a host."""
        self.put(
            Server(
                guest=guest,
                name=name,
                host=host,
                node=host,
                vm_state=vm_state,
                image=IMAGE,
                vcpus=1,
                ram_mib=ram_mib,
            )
        )

    def put(self, server: Server) -> None:
        """Write a server as it is now."""
        self.servers[server.guest] = replace(server, updated_at=self._clock.wall())

    def change(self, guest: GuestId, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Write some fields of a server."""
        self.put(replace(self.servers[guest], **changes))

    def is_there(self, guest: GuestId) -> bool:
        """Say whether a server exists and was not deleted."""
        server = self.servers.get(guest)
        return server is not None and server.vm_state != DELETED

    def delete(self, guest: GuestId) -> None:
        """Delete a server; its migrations are in no list any more."""
        self.change(guest, vm_state=DELETED, task_state="")
        for number, row in tuple(self.migrations.items()):
            if row.guest == guest:
                del self.migrations[number]

    def put_service(self, host: str, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Write some fields of a compute service; as of any row, that changes its stamp."""
        self.services[host] = replace(self.services[host], beat_at=self._clock.wall(), **changes)

    def beat(self, host: str) -> None:
        """Write a heartbeat of a nova-compute: told, but not up, while it is forced down."""
        self.put_service(host, is_up=not self.services[host].is_forced_down)

    def lose(self, host: str) -> None:
        """Take a nova-compute for down, because no heartbeat came for long."""
        self.services[host] = replace(self.services[host], is_up=False)

    def begin_evacuation(self, guest: GuestId, target: str) -> int:
        """Make the record of an evacuation that was just accepted; return its number."""
        number = next(self._numbers)
        self.progress[guest] = Progress()
        self.migrations[number] = CloudMigration(
            number=number,
            guest=guest,
            kind=EVACUATION,
            status="accepted",
            source=self.servers[guest].host,
            destination=target,
            created_at=self._clock.wall(),
        )
        return number

    def move_on(self, number: int, status: str, destination: str | None = None) -> None:
        """Write a migration's next status; nothing when it went with its server."""
        row = self.migrations.get(number)
        if row is None:
            return
        self.migrations[number] = replace(
            row,
            status=status,
            destination=row.destination if destination is None else destination,
            updated_at=self._clock.wall(),
        )
