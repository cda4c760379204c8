"""Nova in memory: what it does when it is asked to shut out, evacuate, start and stop.

Implements ``ports.Cloud`` and passes the same contract tests as the real Nova. What Nova does by
itself afterwards (rebuild, clean up) is done when the world says so.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from enum import StrEnum

from hamon.errors import (
    CloudConflictError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.model.cloud import CloudMigration, ComputeService, Server
from hamon.model.names import GuestId
from hamon.ports.clock import Clock

EVACUATION = "evacuation"
_EVACUABLE = frozenset({"active", "stopped", "error"})
_UNDER_WAY = frozenset({"accepted", "pre-migrating"})


class CloudFault(StrEnum):
    """What can go wrong with a call."""

    UNWELL = "unwell"  # not carried out, answered with 503
    LOSES_ANSWER = "loses_answer"  # carried out, and not answered


class SimulatedCloud:
    """One Nova.

    Args:
        clock: the world's; gives its wall-clock stamps.
        hosts: one nova-compute each, up and enabled.

    ``fault`` may be changed at any time.
    """

    def __init__(self, clock: Clock, hosts: tuple[str, ...]) -> None:
        self._clock = clock
        self._services = {
            host: ComputeService(id=f"service-{host}", host=host, is_up=True) for host in hosts
        }
        self._servers: dict[GuestId, Server] = {}
        self._migrations: dict[int, CloudMigration] = {}
        self._numbers = itertools.count(1)
        self.fault: CloudFault | None = None

    # -- what the world does ----------------------------------------------------------------------

    def add_server(self, guest: GuestId, name: str, host: str) -> None:
        """Have a server run on a host."""
        self._servers[guest] = Server(
            guest=guest, name=name, host=host, node=host, vm_state="active"
        )

    def lose(self, host: str) -> None:
        """Have a nova-compute write no heartbeat any more, and Nova notice it."""
        self._services[host] = replace(self._services[host], is_up=False)

    def rebuild_all(self) -> None:
        """Carry every accepted evacuation to its end, on the first host that is up and enabled."""
        for number, migration in sorted(self._migrations.items()):
            if migration.status not in _UNDER_WAY:
                continue
            free = [s.host for s in self._services.values() if s.is_up and s.is_enabled]
            where = migration.destination or next((h for h in free if h != migration.source), "")
            server = self._servers[migration.guest]
            if not where:
                self._move_on(number, "error")
                fault = "No valid host was found."
                self._servers[server.guest] = replace(
                    server, vm_state="error", task_state="", fault=fault
                )
                continue
            self._move_on(number, "done", where)
            # What was stopped ends stopped; what was in ERROR runs.
            vm_state = "stopped" if server.vm_state == "stopped" else "active"
            self._servers[server.guest] = replace(
                server, host=where, node=where, vm_state=vm_state, task_state="", fault=""
            )

    def come_back(self, host: str) -> None:
        """Start a nova-compute again: it cleans up what was evacuated from it, then it beats."""
        for number, migration in sorted(self._migrations.items()):
            if migration.source == host and migration.status in {*_UNDER_WAY, "done"}:
                self._move_on(number, "completed")
        service = self._services[host]
        beat_at = self._clock.wall()
        self._services[host] = replace(service, is_up=not service.is_forced_down, beat_at=beat_at)

    def settle(self) -> None:
        """Have every start and stop that was asked for come about."""
        ends = {"powering-on": "active", "powering-off": "stopped"}
        for guest, server in self._servers.items():
            if server.task_state in ends:
                self._servers[guest] = replace(
                    server, vm_state=ends[server.task_state], task_state=""
                )

    # -- the port ---------------------------------------------------------------------------------

    async def services(self) -> tuple[ComputeService, ...]:
        """See ``ports.Cloud``."""
        self._begin("services", "all", Outcome.NOT_DONE)
        return tuple(service for _, service in sorted(self._services.items()))

    async def servers(self, host: str) -> tuple[Server, ...]:
        """See ``ports.Cloud``."""
        self._begin("servers", host, Outcome.NOT_DONE)
        return tuple(s for _, s in sorted(self._servers.items()) if s.host == host)

    async def migrations(self, since: str) -> tuple[CloudMigration, ...]:
        """See ``ports.Cloud``."""
        self._begin("migrations", since or "all", Outcome.NOT_DONE)
        return tuple(m for _, m in sorted(self._migrations.items()) if m.updated_at >= since)

    async def shut_out(self, service_id: str, reason: str) -> None:
        """See ``ports.Cloud``."""
        self._begin("shut_out", service_id)
        service = self._service(service_id, "shut_out")
        self._services[service.host] = replace(
            service, is_forced_down=True, is_up=False, is_enabled=False, disabled_reason=reason
        )
        self._end("shut_out", service_id)

    async def lift_force_down(self, service_id: str) -> None:
        """See ``ports.Cloud``."""
        self._begin("lift_force_down", service_id)
        service = self._service(service_id, "lift_force_down")
        left = [
            migration
            for migration in self._migrations.values()
            if migration.source == service.host and migration.status == "done"
        ]
        if service.is_forced_down and left:
            why = f"Unable to force up host {service.host}: {len(left)} evacuations are done"
            raise CloudRefusedError("cloud", "lift_force_down", service_id, Outcome.NOT_DONE, why)
        self._services[service.host] = replace(service, is_forced_down=False)
        self._end("lift_force_down", service_id)

    async def enable(self, service_id: str) -> None:
        """See ``ports.Cloud``."""
        self._begin("enable", service_id)
        service = self._service(service_id, "enable")
        self._services[service.host] = replace(service, is_enabled=True, disabled_reason="")
        self._end("enable", service_id)

    async def evacuate(
        self, guest: GuestId, *, target: str = "", force: bool = False, password: str = ""
    ) -> str:
        """See ``ports.Cloud``. The password is nowhere kept."""
        del force, password
        self._begin("evacuate", guest)
        server = self._server(guest, "evacuate")
        self._check_evacuation(server, target)
        number = next(self._numbers)
        stamp = self._clock.wall()
        self._migrations[number] = CloudMigration(
            number=number,
            guest=guest,
            kind=EVACUATION,
            status="accepted",
            source=server.host,
            destination=target,
            created_at=stamp,
            updated_at=stamp,
        )
        self._servers[guest] = replace(server, task_state="rebuilding")
        self._end("evacuate", guest)
        return f"req-{number}"

    async def start(self, guest: GuestId) -> None:
        """See ``ports.Cloud``."""
        self._ask_power(guest, "start", "stopped", "powering-on")

    async def stop(self, guest: GuestId) -> None:
        """See ``ports.Cloud``."""
        self._ask_power(guest, "stop", "active", "powering-off")

    # -- inside -----------------------------------------------------------------------------------

    def _begin(self, operation: str, target: str, outcome: Outcome = Outcome.UNKNOWN) -> None:
        is_read = outcome is Outcome.NOT_DONE
        if self.fault is CloudFault.UNWELL or (is_read and self.fault is not None):
            raise CloudUnavailableError("cloud", operation, target, outcome, "unwell (HTTP 503)")

    def _end(self, operation: str, target: str) -> None:
        if self.fault is CloudFault.LOSES_ANSWER:
            why = "the answer was lost"
            raise CloudUnavailableError("cloud", operation, target, Outcome.UNKNOWN, why)

    def _service(self, service_id: str, operation: str) -> ComputeService:
        for service in self._services.values():
            if service.id == service_id:
                return service
        why = "no such service (HTTP 404)"
        raise CloudMissingError("cloud", operation, service_id, Outcome.NOT_DONE, why)

    def _server(self, guest: GuestId, operation: str) -> Server:
        if guest not in self._servers:
            why = "no such server (HTTP 404)"
            raise CloudMissingError("cloud", operation, guest, Outcome.NOT_DONE, why)
        return self._servers[guest]

    def _check_evacuation(self, server: Server, target: str) -> None:
        def refused(kind: type[CloudRefusedError], why: str) -> CloudRefusedError:
            return kind("cloud", "evacuate", server.guest, Outcome.NOT_DONE, why)

        if target and target not in self._services:
            raise refused(CloudMissingError, f"Compute host {target} not found.")
        if target == server.host:
            raise refused(CloudRefusedError, "The target host can't be the same one.")
        if self._services[server.host].is_up:
            why = f"Compute service of {server.host} is still in use."
            raise refused(CloudRefusedError, why)
        if server.vm_state not in _EVACUABLE:
            raise refused(CloudConflictError, f"it is in vm_state {server.vm_state}")

    def _ask_power(self, guest: GuestId, operation: str, needed: str, task_state: str) -> None:
        self._begin(operation, guest)
        server = self._server(guest, operation)
        if server.vm_state != needed:
            why = f"it is in vm_state {server.vm_state}"
            raise CloudConflictError("cloud", operation, guest, Outcome.NOT_DONE, why)
        self._servers[guest] = replace(server, task_state=task_state)
        self._end(operation, guest)

    def _move_on(self, number: int, status: str, destination: str | None = None) -> None:
        migration = self._migrations[number]
        self._migrations[number] = replace(
            migration,
            status=status,
            destination=migration.destination if destination is None else destination,
            updated_at=self._clock.wall(),
        )
