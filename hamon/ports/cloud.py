"""Nova. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from typing import Protocol

from hamon.model.cloud import CloudMigration, ComputeService, Server
from hamon.model.names import GuestId


class Cloud(Protocol):
    """Nova as an administrator sees it; only the leader changes anything.

    Every call raises:
        CloudUnavailableError: no answer in time, or an answer that says nothing (5xx); for a change
            the outcome is UNKNOWN: it may have been done, or may be done yet.
        CloudRefusedError: Nova refused; NOT_DONE.
    """

    async def services(self) -> tuple[ComputeService, ...]:
        """List every nova-compute, sorted by host. Idempotent."""
        ...

    async def servers(self, host: str) -> tuple[Server, ...]:
        """List every project's servers that Nova gives to a host, sorted by id. Idempotent."""
        ...

    async def migrations(self, since: str) -> tuple[CloudMigration, ...]:
        """List the migrations that changed at or after a moment, oldest first. Idempotent.

        Args:
            since: ISO 8601 UTC in Nova's clock; "": all that Nova remembers.
        """
        ...

    async def shut_out(self, service_id: str, reason: str) -> None:
        """Force a compute service down and disable it with a reason, in one write. Idempotent."""
        ...

    async def lift_force_down(self, service_id: str) -> None:
        """End a forced-down state; Nova refuses while evacuations there are done. Idempotent."""
        ...

    async def enable(self, service_id: str) -> None:
        """Let the scheduler use a compute service again. Idempotent."""
        ...

    async def evacuate(
        self, guest: GuestId, *, target: str = "", force: bool = False, password: str = ""
    ) -> str:
        """Ask for the rebuild of a server elsewhere; return the id of the request.

        Not idempotent: newer Novas take a second request while one is under way, and both records
        are spoilt then. After an unknown outcome the migrations are looked at first.

        Args:
            guest: the server.
            target: a service host name, "": the scheduler chooses.
            force: skip the scheduler's filters for ``target``.
            password: the administrator's password in the guest; "": Nova makes one.

        Raises:
            CloudConflictError: the server is in no state that can be evacuated.
            CloudMissingError: it is gone, or the target is unknown.
        """
        ...

    async def start(self, guest: GuestId) -> None:
        """Ask for a server to be started; that it runs is read from the servers.

        Raises:
            CloudConflictError: it is not stopped.
        """
        ...

    async def stop(self, guest: GuestId) -> None:
        """Ask for a server to be stopped; that it is off is read from the servers.

        Raises:
            CloudConflictError: it does not run.
        """
        ...
