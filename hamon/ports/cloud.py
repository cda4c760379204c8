"""Nova. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from typing import Protocol

from hamon.model.cloud import (
    Aggregate,
    CloudMigration,
    ComputeService,
    Image,
    Progress,
    Server,
    ServerGroup,
)
from hamon.model.names import GuestId


class BeforeGate(Protocol):
    """The operator's program that prepares a returned host for the start of its nova-compute.

    For example one that purges the host's queues in RabbitMQ, where orders for it may have waited.
    """

    async def run(self, service_host: str) -> None:
        """Run it for a host, and wait for its end. Idempotent.

        Raises:
            CloudRefusedError: it could not be run, or ended badly; ``why`` has its last words.
            CloudUnavailableError: it did not end in time and was killed; UNKNOWN.
        """
        ...


class Cloud(Protocol):
    """Nova as an administrator sees it; only the leader changes anything.

    A request for a change is not sent later than ``start_by_s`` (CLOCK_BOOTTIME; the lease, S3):
    then CloudUnavailableError has the outcome NOT_DONE. None: it may be sent whenever.

    Every call raises:
        CloudUnavailableError: no answer in time, or an answer that says nothing (5xx); for a change
            the outcome is UNKNOWN: it may have been done, or may be done yet.
        CloudRefusedError: Nova refused; NOT_DONE.
    """

    async def renew_token(self) -> None:
        """Log in anew, so that the token lives long enough for many guests. Idempotent.

        When that fails the former token is kept: it may outlive keystone's trouble.
        """
        ...

    async def services(self) -> tuple[ComputeService, ...]:
        """List every service of Nova, sorted by kind and host. Idempotent."""
        ...

    async def destinations(self, server: Server) -> tuple[str, ...]:
        """Name the service hosts on which placement has room for a server, sorted. Idempotent.

        Nova's own filters may refuse some of them yet; the server's host may be among them.
        """
        ...

    async def servers(self, *, host: str = "", since: str = "") -> tuple[Server, ...]:
        """List servers of every project, sorted by id. Idempotent.

        Exactly one of the arguments is given. Those in a cell that is down are left out.

        Args:
            host: only those that Nova gives to this service host.
            since: only those that changed at or after this moment, ISO 8601 UTC in Nova's clock;
                also those that are gone, in vm_state ``deleted``.
        """
        ...

    async def touched(self, since: str) -> frozenset[GuestId]:
        """Tell which servers changed, and nothing else of them. Idempotent.

        For Nova that is a small part of the work of listing them.

        Args:
            since: those that changed at or after this moment, also those that are gone; see above.
        """
        ...

    async def server(self, name_or_uuid: str) -> Server:
        """Find one server of any project. Idempotent.

        Args:
            name_or_uuid: its uuid, or its exact name.

        Raises:
            CloudMissingError: there is none.
            CloudConflictError: several have this name; ``why`` has their uuids.
        """
        ...

    async def groups(self) -> tuple[ServerGroup, ...]:
        """List the server groups of every project, sorted by id. Idempotent."""
        ...

    async def aggregates(self) -> tuple[Aggregate, ...]:
        """List the host aggregates, sorted by name. Idempotent."""
        ...

    async def image(self, image: str) -> Image:
        """Read what glance says of one image. Idempotent.

        Args:
            image: its id.

        Raises:
            CloudMissingError: there is none; servers outlive the image they were made from.
        """
        ...

    async def migrations(self, *, host: str = "", since: str = "") -> tuple[CloudMigration, ...]:
        """List migrations of every kind, oldest first. Idempotent.

        Exactly one of the arguments is given.

        Args:
            host: only those with this service host as source or destination.
            since: only those that changed at or after this moment, ISO 8601 UTC in Nova's clock.
                Not those that nothing has changed since they were made: a new evacuation is seen
                only when a destination has claimed it, or none was found.
        """
        ...

    async def progress(self, guest: GuestId) -> Progress:
        """Tell how far Nova is with the newest evacuation of a guest that it accepted. Idempotent.

        Nothing of it is known to have happened when Nova has noted nothing.
        """
        ...

    async def shut_out(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """Force a compute service down and disable it with a reason, in one write. Idempotent.

        Args:
            service_id: the service.
            reason: why it is disabled; "": it is only forced down, and what an operator has
                disabled keeps the operator's reason.
            start_by_s: see above.
        """
        ...

    async def lift_force_down(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """End a forced-down state; Nova refuses while evacuations there are done. Idempotent."""
        ...

    async def disable(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """Have nothing new scheduled to a compute service. Idempotent.

        Nova tells the compute itself over RPC: one that does not answer makes the call slow.

        Args:
            service_id: the service.
            reason: why, not "".
            start_by_s: see above.
        """
        ...

    async def enable(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """Let the scheduler use a compute service again. Idempotent."""
        ...

    async def evacuate(
        self,
        guest: GuestId,
        *,
        start_by_s: float,
        target: str = "",
        force: bool = False,
        password: str = "",
    ) -> str:
        """Ask for the rebuild of a server elsewhere; return the id of the request.

        Not idempotent: newer Novas take a second request while one is under way, and both records
        are spoilt then. After an unknown outcome the migrations are looked at first.

        Args:
            guest: the server.
            start_by_s: see above.
            target: a service host name, "": the scheduler chooses.
            force: skip the scheduler's filters for ``target``.
            password: the administrator's password in the guest; "": Nova makes one.

        Raises:
            CloudConflictError: the server is in no state that can be evacuated.
            CloudMissingError: it is gone, or the target is unknown.
        """
        ...

    async def start(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """Ask for a server to be started; that it runs is read from the servers.

        Raises:
            CloudConflictError: it is not stopped.
        """
        ...

    async def stop(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """Ask for a server to be stopped; that it is off is read from the servers.

        Raises:
            CloudConflictError: it does not run.
        """
        ...

    async def reboot(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """Ask for a hard reboot; that it runs is read from the servers.

        The way to start a server in place that Nova believes to run: ``start`` is refused then.

        Raises:
            CloudConflictError: it is in no state that can be rebooted, or something is under way.
        """
        ...

    async def reset_task(
        self, guest: GuestId, *, is_error: bool, start_by_s: float | None = None
    ) -> None:
        """Forget what was under way with a server. Idempotent. Nothing is done on any host.

        Only for a server whose host is dead: else what is forgotten may still be going on.

        Args:
            guest: the server.
            is_error: it is in ERROR and stays so; else it counts as active, also if it was stopped.
            start_by_s: see above.
        """
        ...
