"""Nova behind ``ports.Cloud``, by python-novaclient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from hamon.backends.nova.answers import aggregate_of, group_of, image_of, migration_of, progress_of
from hamon.backends.nova.connection import Connection
from hamon.errors import (
    CloudConflictError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.model.cloud import (
    Aggregate,
    CloudMigration,
    ComputeService,
    Image,
    Progress,
    Server,
    ServerGroup,
)
from hamon.model.names import GuestId, guest_id
from hamon.ports.clock import Clock
from hamon.settings.values import NovaSettings

if TYPE_CHECKING:
    from novaclient.v2.client import Client

PAGE = 1000
"""Rows that are asked for at once; Nova gives fewer when its own ``max_limit`` is lower."""
_HOST, _NODE = "OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname"
_VM_STATE, _TASK_STATE = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state"


class NovaCloud:
    """Nova as an administrator sees it (implements ``ports.Cloud``).

    Args:
        settings: ``[nova]``.
        clock: the machine's.

    Raises:
        ConfigError: a secret, or the entry of the cloud, cannot be read.
    """

    def __init__(self, settings: NovaSettings, clock: Clock) -> None:
        self._connection = Connection(settings, clock)

    async def renew_token(self) -> None:
        """See ``ports.Cloud``."""
        await self._connection.renew_token()

    @property
    def stuck(self) -> int:
        """How many calls are past their deadline and have not come back."""
        return self._connection.stuck

    def close(self) -> None:
        """Begin no more calls. Idempotent."""
        self._connection.close()

    async def services(self) -> tuple[ComputeService, ...]:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> tuple[ComputeService, ...]:
            found = map(_service, (service.to_dict() for service in nova.services.list()))
            return tuple(sorted(found, key=lambda service: (service.binary, service.host)))

        return await self._connection.read("services", "all", read)

    async def destinations(self, server: Server) -> tuple[str, ...]:
        """See ``ports.Cloud``."""
        needed = {"VCPU": server.vcpus, "MEMORY_MB": server.ram_mib}
        if server.image:
            # A server that boots from a volume needs no room for its root disk.
            needed["DISK_GB"] = server.disk_gib
        resources = ",".join(f"{name}:{amount}" for name, amount in needed.items() if amount)

        def read(nova: Client) -> tuple[str, ...]:
            with_room = self._connection.allocation_candidates(resources)
            computes = (one.to_dict() for one in nova.hypervisors.list(detailed=True))
            return tuple(sorted(c["service"]["host"] for c in computes if c["id"] in with_room))

        return await self._connection.read("destinations", server.guest, read)

    async def servers(self, *, host: str = "", since: str = "") -> tuple[Server, ...]:
        """See ``ports.Cloud``."""
        assert bool(host) != bool(since), "one of host and since"
        wanted = {"host": host} if host else {"changes-since": since}
        return await self._connection.read(
            "servers", host or since, lambda nova: _all_servers(nova, wanted)
        )

    async def touched(self, since: str) -> frozenset[GuestId]:
        """See ``ports.Cloud``."""
        wanted = {"all_tenants": 1, "changes-since": since}

        def read(nova: Client) -> frozenset[GuestId]:
            return frozenset(
                guest_id(one["id"]) for one in _all(nova, "/servers", "servers", wanted)
            )

        return await self._connection.read("touched", since, read)

    async def server(self, name_or_uuid: str) -> Server:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> Server:
            if _is_uuid(name_or_uuid):
                return _whole(nova.servers.get(guest_id(name_or_uuid)).to_dict())
            # Nova searches by a pattern of its database, each of which has its own signs; letters
            # mean the same in all of them.
            pattern = re.sub(r"[^A-Za-z0-9]+", ".*", name_or_uuid)
            found = _all_servers(nova, {"name": f"^{pattern}$"})
            return _only([server for server in found if server.name == name_or_uuid], name_or_uuid)

        return await self._connection.read("server", name_or_uuid, read)

    async def groups(self) -> tuple[ServerGroup, ...]:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> tuple[ServerGroup, ...]:
            found: dict[str, ServerGroup] = {}
            offset = 0
            while page := nova.server_groups.list(all_projects=True, limit=PAGE, offset=offset):
                # By id: one that is deleted meanwhile moves the others, and one comes twice.
                found |= {group.id: group for group in (group_of(one.to_dict()) for one in page)}
                offset += len(page)
            return tuple(group for _, group in sorted(found.items()))

        return await self._connection.read("groups", "all", read)

    async def aggregates(self) -> tuple[Aggregate, ...]:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> tuple[Aggregate, ...]:
            found = map(aggregate_of, (one.to_dict() for one in nova.aggregates.list()))
            return tuple(sorted(found, key=lambda aggregate: aggregate.name))

        return await self._connection.read("aggregates", "all", read)

    async def image(self, image: str) -> Image:
        """See ``ports.Cloud``."""
        return await self._connection.read(
            "image", image, lambda _: image_of(self._connection.image(image))
        )

    async def migrations(self, *, host: str = "", since: str = "") -> tuple[CloudMigration, ...]:
        """See ``ports.Cloud``."""
        assert bool(host) != bool(since), "one of host and since"

        wanted = {"host": host} if host else {"changes-since": since}

        def read(nova: Client) -> tuple[CloudMigration, ...]:
            found = _all(nova, "/os-migrations", "migrations", {"limit": PAGE, **wanted})
            return tuple(sorted(map(migration_of, found), key=lambda migration: migration.number))

        return await self._connection.read("migrations", host or since, read)

    async def progress(self, guest: GuestId) -> Progress:
        """See ``ports.Cloud``."""

        def read(nova: Client) -> Progress:
            path = f"/servers/{guest}/os-instance-actions"
            # Newest first.
            _, body = nova.services.client.get(path)
            for number, action in enumerate(body["instanceActions"]):
                if action["action"] == "evacuate":
                    _, body = nova.services.client.get(f"{path}/{action['request_id']}")
                    events = body["instanceAction"]["events"]
                    return replace(progress_of(events), is_newest=number == 0)
            return Progress()

        return await self._connection.read("progress", guest, read)

    async def shut_out(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        body: dict[str, object] = {"forced_down": True}
        if reason:
            body |= {"status": "disabled", "disabled_reason": reason}
        await self._write_service("shut_out", service_id, body, start_by_s)

    async def lift_force_down(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        await self._write_service("lift_force_down", service_id, {"forced_down": False}, start_by_s)

    async def disable(
        self, service_id: str, reason: str, *, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        body = {"status": "disabled", "disabled_reason": reason}
        await self._write_service("disable", service_id, body, start_by_s)

    async def enable(self, service_id: str, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        await self._write_service("enable", service_id, {"status": "enabled"}, start_by_s)

    async def evacuate(
        self,
        guest: GuestId,
        *,
        start_by_s: float,
        target: str = "",
        force: bool = False,
        password: str = "",
    ) -> str:
        """See ``ports.Cloud``."""

        def change(nova: Client) -> str:
            options: dict[str, object] = {"host": target or None, "password": password or None}
            if force:
                options["force"] = True
            answer = nova.servers.evacuate(guest, **options)
            return str(answer.request_ids[0])

        return await self._connection.change(
            "evacuate", guest, change, is_forced=force, start_by_s=start_by_s
        )

    async def start(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        await self._connection.change(
            "start", guest, lambda nova: nova.servers.start(guest), start_by_s=start_by_s
        )

    async def stop(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        await self._connection.change(
            "stop", guest, lambda nova: nova.servers.stop(guest), start_by_s=start_by_s
        )

    async def reboot(self, guest: GuestId, *, start_by_s: float | None = None) -> None:
        """See ``ports.Cloud``."""
        await self._connection.change(
            "reboot", guest, lambda nova: nova.servers.reboot(guest, "HARD"), start_by_s=start_by_s
        )

    async def reset_task(
        self, guest: GuestId, *, is_error: bool, start_by_s: float | None = None
    ) -> None:
        """See ``ports.Cloud``."""
        state = "error" if is_error else "active"
        await self._connection.change(
            "reset_task",
            guest,
            lambda nova: nova.servers.reset_state(guest, state),
            start_by_s=start_by_s,
        )

    async def _write_service(
        self,
        operation: str,
        service_id: str,
        body: Mapping[str, object],
        start_by_s: float | None,
    ) -> None:
        path = f"/os-services/{service_id}"
        # novaclient has no method that writes more than one of them in one request.
        await self._connection.change(
            operation,
            service_id,
            lambda nova: nova.services.client.put(path, body=dict(body)),
            start_by_s=start_by_s,
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
        binary=found["binary"],
    )


def _all_servers(nova: Client, wanted: Mapping[str, object]) -> tuple[Server, ...]:
    found = _all(nova, "/servers/detail", "servers", {"all_tenants": 1, **wanted})
    told = (_server(one) for one in found if not _is_in_lost_cell(one))
    return tuple(sorted(told, key=lambda server: server.guest))


def _all(
    nova: Client, path: str, name: str, wanted: Mapping[str, object]
) -> list[Mapping[str, Any]]:
    """Read a list page after page.

    Nova links to a next page when there may be one. novaclient does not look at that and asks until
    a page is empty: a second request for every list, however short.
    """
    found: list[Mapping[str, Any]] = []
    query = dict(wanted)
    while True:
        _, body = nova.services.client.get(f"{path}?{urlencode(query)}")
        found += body[name]
        if not body.get(f"{name}_links"):
            return found
        query["marker"] = found[-1].get("uuid") or found[-1]["id"]


def _only(found: list[Server], name: str) -> Server:
    def refused(kind: type[CloudRefusedError], why: str) -> CloudRefusedError:
        return kind("cloud", "server", name, Outcome.NOT_DONE, why)

    if not found:
        raise refused(CloudMissingError, "no server has this name or uuid")
    if len(found) > 1:
        uuids = ", ".join(server.guest for server in found)
        raise refused(CloudConflictError, f"several servers are called {name}: {uuids}")
    return found[0]


def _is_uuid(text: str) -> bool:
    try:
        # In the usual spelling: 32 digits may well be a name.
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_in_lost_cell(found: Mapping[str, Any]) -> bool:
    """Say whether this is all that Nova tells of a server whose cell is down: no state, no host."""
    return found.get("status") == "UNKNOWN" and _VM_STATE not in found


def _whole(found: Mapping[str, Any]) -> Server:
    if _is_in_lost_cell(found):
        why = "its cell is down"
        raise CloudUnavailableError("cloud", "server", found["id"], Outcome.NOT_DONE, why)
    return _server(found)


def _server(found: Mapping[str, Any]) -> Server:
    image, flavor = found.get("image") or {}, found.get("flavor") or {}
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
        updated_at=found.get("updated") or "",
        image=image.get("id", ""),
        vcpus=flavor.get("vcpus", 0),
        ram_mib=flavor.get("ram", 0),
        disk_gib=flavor.get("disk", 0),
        extra_specs=dict(flavor.get("extra_specs") or {}),
        tags=frozenset(found.get("tags") or ()),
    )
