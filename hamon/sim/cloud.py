"""Nova in memory: what it does when it is asked to shut out, evacuate, start and stop.

Implements ``ports.Cloud`` and passes the same contract tests as the real Nova. What Nova does by
itself afterwards (rebuild, clean up) is done when the world says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

from hamon.errors import (
    CloudConflictError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.model.cloud import (
    CONDUCTOR,
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
from hamon.sim.nova_records import (
    DELETED,
    EvacuationOrder,
    NovaRecords,
    Order,
    PowerOrder,
    PowerVerb,
)

_EVACUABLE = frozenset({"active", "stopped", "error"})
_UNDER_WAY = frozenset({"accepted", "pre-migrating"})
_REBOOTABLE = frozenset({"active", "stopped", "paused", "suspended", "error"})
_REBOOTING = "rebooting_hard"
_ENDS = {"powering-on": "active", "powering-off": "stopped", _REBOOTING: "active"}


class CloudFault(StrEnum):
    """What can go wrong with a call."""

    UNWELL = "unwell"  # not carried out, answered with 503
    LOSES_ANSWER = "loses_answer"  # carried out, and not answered


def refuse_late(clock: Clock, operation: str, target: str, start_by_s: float | None) -> None:
    """Refuse an order whose lease is over: it is not sent.

    Raises:
        CloudUnavailableError: NOT_DONE.
    """
    if start_by_s is not None and clock.now_s() > start_by_s:
        why = "its time was over before it could begin"
        raise CloudUnavailableError("cloud", operation, target, Outcome.NOT_DONE, why)


class SimulatedCloud:
    """One Nova.

    Args:
        clock: the world's.
        records: what it has in its database.
        cast: sends an order to Nova's other parts; by default there are none.

    ``fault`` may be changed at any time.
    """

    def __init__(
        self,
        clock: Clock,
        records: NovaRecords,
        cast: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        self._clock = clock
        self._records = records
        self._cast = cast
        self.fault: CloudFault | None = None

    # -- what the world does ----------------------------------------------------------------------

    def rebuild_all(self) -> None:
        """Carry every accepted evacuation to its end, on the first host that is up and enabled."""
        records = self._records
        for number, migration in sorted(records.migrations.items()):
            if migration.status not in _UNDER_WAY:
                continue
            free = [s.host for s in records.services.values() if s.is_up and s.is_enabled]
            where = migration.destination or next((h for h in free if h != migration.source), "")
            server = records.servers[migration.guest]
            if not where:
                records.move_on(number, "error")
                fault = "No valid host was found."
                records.put(replace(server, vm_state="error", task_state="", fault=fault))
                continue
            records.move_on(number, "done", where)
            records.progress[migration.guest] = Progress(
                is_passed_on=True, taken_by=where, is_over=True
            )
            # What was stopped ends stopped; what was in ERROR runs.
            vm_state = "stopped" if server.vm_state == "stopped" else "active"
            records.put(
                replace(server, host=where, node=where, vm_state=vm_state, task_state="", fault="")
            )

    def come_back(self, host: str) -> None:
        """Start a nova-compute again: it cleans up what was evacuated from it, then it beats."""
        for number, migration in sorted(self._records.migrations.items()):
            if migration.source == host and migration.status in {*_UNDER_WAY, "done"}:
                self._records.move_on(number, "completed")
        self._records.beat(host)

    def settle(self) -> None:
        """Have every start, stop and reboot that was asked for come about."""
        for server in tuple(self._records.servers.values()):
            if server.task_state in _ENDS:
                vm_state = _ENDS[server.task_state]
                self._records.put(replace(server, vm_state=vm_state, task_state=""))

    # -- the port ---------------------------------------------------------------------------------

    async def services(self) -> tuple[ComputeService, ...]:
        """See ``ports.Cloud``."""
        self._begin("services", "all", Outcome.NOT_DONE)
        conductor = ComputeService(
            id="service-conductor",
            host="controller",
            is_up=self._records.is_conductor_up,
            binary=CONDUCTOR,
        )
        return (*(service for _, service in sorted(self._records.services.items())), conductor)

    async def renew_token(self) -> None:
        """See ``ports.Cloud``."""
        self._begin("renew_token", "keystone", Outcome.NOT_DONE)

    async def destinations(self, server: Server) -> tuple[str, ...]:
        """See ``ports.Cloud``. Every enabled compute has room."""
        self._begin("destinations", server.guest, Outcome.NOT_DONE)
        return tuple(
            host for host, service in sorted(self._records.services.items()) if service.is_enabled
        )

    async def servers(self, *, host: str = "", since: str = "") -> tuple[Server, ...]:
        """See ``ports.Cloud``."""
        assert bool(host) != bool(since), "one of host and since"
        self._begin("servers", host or since, Outcome.NOT_DONE)
        return tuple(
            server
            for _, server in sorted(self._records.servers.items())
            if (
                _is_at_or_after(server.updated_at, since)
                if since
                else server.host == host and _is_there(server)
            )
        )

    async def touched(self, since: str) -> frozenset[GuestId]:
        """See ``ports.Cloud``."""
        return frozenset(server.guest for server in await self.servers(since=since))

    async def server(self, name_or_uuid: str) -> Server:
        """See ``ports.Cloud``."""
        self._begin("server", name_or_uuid, Outcome.NOT_DONE)
        found = [
            server
            for _, server in sorted(self._records.servers.items())
            if _is_there(server)
            and (server.name == name_or_uuid or server.guest == name_or_uuid.lower())
        ]
        if not found:
            raise _missing("server", name_or_uuid, "server")
        if len(found) > 1:
            uuids = ", ".join(server.guest for server in found)
            why = f"several servers are called {name_or_uuid}: {uuids}"
            raise CloudConflictError("cloud", "server", name_or_uuid, Outcome.NOT_DONE, why)
        return found[0]

    async def groups(self) -> tuple[ServerGroup, ...]:
        """See ``ports.Cloud``."""
        self._begin("groups", "all", Outcome.NOT_DONE)
        return tuple(group for _, group in sorted(self._records.groups.items()))

    async def aggregates(self) -> tuple[Aggregate, ...]:
        """See ``ports.Cloud``."""
        self._begin("aggregates", "all", Outcome.NOT_DONE)
        return tuple(aggregate for _, aggregate in sorted(self._records.aggregates.items()))

    async def image(self, image: str) -> Image:
        """See ``ports.Cloud``."""
        self._begin("image", image, Outcome.NOT_DONE)
        found = self._records.images.get(image)
        if found is None:
            raise _missing("image", image, "image")
        return found

    async def migrations(self, *, host: str = "", since: str = "") -> tuple[CloudMigration, ...]:
        """See ``ports.Cloud``."""
        assert bool(host) != bool(since), "one of host and since"
        self._begin("migrations", host or since, Outcome.NOT_DONE)
        return tuple(
            migration
            for _, migration in sorted(self._records.migrations.items())
            if (
                _is_at_or_after(migration.updated_at, since)
                if since
                else host in {migration.source, migration.destination}
            )
        )

    async def progress(self, guest: GuestId) -> Progress:
        """See ``ports.Cloud``."""
        self._begin("progress", guest, Outcome.NOT_DONE)
        self._server(guest, "progress")
        return self._records.progress.get(guest, Progress())

    async def shut_out(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "shut_out", service_id, start_by_s)
        self._begin("shut_out", service_id)
        service = self._service(service_id, "shut_out")
        disabled = {"is_enabled": False, "disabled_reason": reason} if reason else {}
        self._records.put_service(service.host, is_forced_down=True, is_up=False, **disabled)
        self._end("shut_out", service_id)

    async def lift_force_down(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "lift_force_down", service_id, start_by_s)
        self._begin("lift_force_down", service_id)
        service = self._service(service_id, "lift_force_down")
        left = [
            migration
            for migration in self._records.migrations.values()
            if migration.source == service.host and migration.status == "done"
        ]
        if service.is_forced_down and left:
            why = f"Unable to force up host {service.host}: {len(left)} evacuations are done"
            raise CloudRefusedError("cloud", "lift_force_down", service_id, Outcome.NOT_DONE, why)
        self._records.put_service(service.host, is_forced_down=False)
        self._end("lift_force_down", service_id)

    async def disable(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "disable", service_id, start_by_s)
        self._begin("disable", service_id)
        service = self._service(service_id, "disable")
        self._records.put_service(service.host, is_enabled=False, disabled_reason=reason)
        self._end("disable", service_id)

    async def enable(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "enable", service_id, start_by_s)
        self._begin("enable", service_id)
        service = self._service(service_id, "enable")
        self._records.put_service(service.host, is_enabled=True, disabled_reason="")
        self._end("enable", service_id)

    async def evacuate(
        self,
        guest: GuestId,
        *,
        start_by_s: float,
        target: str = "",
        force: bool = False,
        password: str = "",
    ) -> str:
        """See ``ports.Cloud``. The password is nowhere kept."""
        del force, password
        refuse_late(self._clock, "evacuate", guest, start_by_s)
        self._begin("evacuate", guest)
        server = self._server(guest, "evacuate")
        self._check_evacuation(server, target)
        number = self._records.begin_evacuation(guest, target)
        self._records.put(replace(server, task_state="rebuilding"))
        self._cast(EvacuationOrder(guest=guest, target=target))
        self._end("evacuate", guest)
        return f"req-{number}"

    async def start(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "start", guest, start_by_s)
        self._ask_power(guest, PowerVerb.START, "stopped", "powering-on")

    async def stop(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "stop", guest, start_by_s)
        self._ask_power(guest, PowerVerb.STOP, "active", "powering-off")

    async def reboot(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "reboot", guest, start_by_s)
        self._begin("reboot", guest)
        server = self._server(guest, "reboot")
        if server.vm_state not in _REBOOTABLE or server.task_state not in {"", _REBOOTING}:
            raise _conflict("reboot", server)
        self._records.put(replace(server, task_state=_REBOOTING))
        self._cast(PowerOrder(guest=guest, host=server.host, verb=PowerVerb.REBOOT))
        self._end("reboot", guest)

    async def reset_task(
        self, guest: GuestId, *, is_error: bool, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        refuse_late(self._clock, "reset_task", guest, start_by_s)
        self._begin("reset_task", guest)
        server = self._server(guest, "reset_task")
        vm_state = "error" if is_error else "active"
        self._records.put(replace(server, vm_state=vm_state, task_state=""))
        self._end("reset_task", guest)

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
        for service in self._records.services.values():
            if service.id == service_id:
                return service
        raise _missing(operation, service_id, "service")

    def _server(self, guest: GuestId, operation: str) -> Server:
        server = self._records.servers.get(guest)
        if server is None or not _is_there(server):
            raise _missing(operation, guest, "server")
        return server

    def _check_evacuation(self, server: Server, target: str) -> None:
        def refused(kind: type[CloudRefusedError], why: str) -> CloudRefusedError:
            return kind("cloud", "evacuate", server.guest, Outcome.NOT_DONE, why)

        if target and target not in self._records.services:
            raise refused(CloudMissingError, f"Compute host {target} not found.")
        if target == server.host:
            raise refused(CloudRefusedError, "The target host can't be the same one.")
        if self._records.services[server.host].is_up:
            why = f"Compute service of {server.host} is still in use."
            raise refused(CloudRefusedError, why)
        if server.vm_state not in _EVACUABLE:
            raise refused(CloudConflictError, f"it is in vm_state {server.vm_state}")

    def _ask_power(
        self, guest: GuestId, operation: PowerVerb, needed: str, task_state: str
    ) -> None:
        self._begin(operation, guest)
        server = self._server(guest, operation)
        if server.vm_state != needed or server.task_state:
            raise _conflict(operation, server)
        self._records.put(replace(server, task_state=task_state))
        self._cast(PowerOrder(guest=guest, host=server.host, verb=operation))
        self._end(operation, guest)


def _is_at_or_after(stamp: str, since: str) -> bool:
    """Compare two moments in UTC; what was never changed has no stamp."""
    if not stamp:
        return False
    first, second = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (stamp, since))
    return first >= second


def _is_there(server: Server) -> bool:
    return server.vm_state != DELETED


def _missing(operation: str, target: str, what: str) -> CloudMissingError:
    why = f"no such {what} (HTTP 404)"
    return CloudMissingError("cloud", operation, target, Outcome.NOT_DONE, why)


def _conflict(operation: str, server: Server) -> CloudConflictError:
    why = f"it is in vm_state {server.vm_state}, task_state {server.task_state or 'none'}"
    return CloudConflictError("cloud", operation, server.guest, Outcome.NOT_DONE, why)
