"""Nova behind ``ports.Cloud``, by python-novaclient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hamon.backends.nova.connection import Connection, NovaSettings
from hamon.model.cloud import CloudMigration, ComputeService, Server
from hamon.model.names import GuestId, guest_id

if TYPE_CHECKING:
    from novaclient.v2.client import Client

PAGE = 1000
COMPUTE = "nova-compute"
_HOST, _NODE = "OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname"
_VM_STATE, _TASK_STATE = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state"


class NovaCloud:
    """Nova as an administrator sees it (implements ``ports.Cloud``)."""

    def __init__(self, settings: NovaSettings) -> None:
        self._connection = Connection(settings)

    def renew_token(self) -> None:
        """Have the next call fetch a token: before many guests are moved (nova.md 3.7)."""
        self._connection.renew_token()

    def close(self) -> None:
        """Begin no more calls. Idempotent."""
        self._connection.close()

    async def services(self) -> tuple[ComputeService, ...]:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> tuple[ComputeService, ...]:
            found = (service.to_dict() for service in nova.services.list(binary=COMPUTE))
            return tuple(sorted(map(_service, found), key=lambda service: service.host))

        return await self._connection.read("services", "all", read)

    async def servers(self, host: str) -> tuple[Server, ...]:
        """See ``ports.Cloud``."""
        wanted = {"all_tenants": 1, "host": host}

        def read(nova: Client) -> tuple[Server, ...]:
            # A limit of -1 reads page after page.
            found = nova.servers.list(detailed=True, search_opts=wanted, limit=-1)
            servers = (_server(server.to_dict()) for server in found)
            return tuple(sorted(servers, key=lambda server: server.guest))

        return await self._connection.read("servers", host, read)

    async def migrations(self, since: str) -> tuple[CloudMigration, ...]:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> tuple[CloudMigration, ...]:
            found: list[dict[str, Any]] = []
            marker = None
            while True:
                page = nova.migrations.list(marker=marker, limit=PAGE, changes_since=since or None)
                found += [migration.to_dict() for migration in page]
                if not page:
                    break
                marker = found[-1]["uuid"]
            return tuple(sorted(map(_migration, found), key=lambda migration: migration.number))

        return await self._connection.read("migrations", since or "all", read)

    async def shut_out(self, service_id: str, reason: str) -> None:
        """See ``ports.Cloud``."""
        await self._write_service(
            "shut_out",
            service_id,
            {"forced_down": True, "status": "disabled", "disabled_reason": reason},
        )

    async def lift_force_down(self, service_id: str) -> None:
        """See ``ports.Cloud``."""
        await self._write_service("lift_force_down", service_id, {"forced_down": False})

    async def enable(self, service_id: str) -> None:
        """See ``ports.Cloud``."""
        await self._write_service("enable", service_id, {"status": "enabled"})

    async def evacuate(
        self, guest: GuestId, *, target: str = "", force: bool = False, password: str = ""
    ) -> str:
        """See ``ports.Cloud``."""

        def change(nova: Client) -> str:
            options: dict[str, object] = {"host": target or None, "password": password or None}
            if force:
                options["force"] = True
            answer = nova.servers.evacuate(guest, **options)
            return str(answer.request_ids[0])

        return await self._connection.change("evacuate", guest, change, is_forced=force)

    async def start(self, guest: GuestId) -> None:
        """See ``ports.Cloud``."""
        await self._connection.change("start", guest, lambda nova: nova.servers.start(guest))

    async def stop(self, guest: GuestId) -> None:
        """See ``ports.Cloud``."""
        await self._connection.change("stop", guest, lambda nova: nova.servers.stop(guest))

    async def _write_service(
        self, operation: str, service_id: str, body: Mapping[str, object]
    ) -> None:
        path = f"/os-services/{service_id}"
        # novaclient has no method that writes more than one of them in one request.
        await self._connection.change(
            operation, service_id, lambda nova: nova.services.client.put(path, body=dict(body))
        )


def _service(found: Mapping[str, Any]) -> ComputeService:
    # Of a cell that is down Nova tells only this much (2.69).
    is_unknown = found["status"] == "UNKNOWN"
    return ComputeService(
        id=str(found.get("id", "")),
        host=found["host"],
        is_up=None if is_unknown else found["state"] == "up",
        is_forced_down=bool(found.get("forced_down")),
        is_enabled=found["status"] == "enabled",
        disabled_reason=found.get("disabled_reason") or "",
        beat_at=found.get("updated_at") or "",
    )


def _server(found: Mapping[str, Any]) -> Server:
    return Server(
        guest=guest_id(found["id"]),
        name=found.get("name", ""),
        host=found.get(_HOST) or "",
        node=found.get(_NODE) or "",
        vm_state=found.get(_VM_STATE) or "",
        task_state=found.get(_TASK_STATE) or "",
        is_locked=bool(found.get("locked")),
        metadata=dict(found.get("metadata") or {}),
        fault=(found.get("fault") or {}).get("message", ""),
    )


def _migration(found: Mapping[str, Any]) -> CloudMigration:
    return CloudMigration(
        number=int(found["id"]),
        guest=guest_id(found["instance_uuid"]),
        kind=found["migration_type"],
        status=found["status"],
        source=found["source_compute"] or "",
        destination=found["dest_compute"] or "",
        created_at=found["created_at"] or "",
        updated_at=found["updated_at"] or "",
    )
