from collections.abc import Mapping
from typing import Any

class Resource:
    def to_dict(self) -> dict[str, Any]: ...

class WithMeta:
    request_ids: list[str]

class HttpClient:
    def put(self, url: str, *, body: Mapping[str, object]) -> object: ...

class ServiceManager:
    client: HttpClient
    def list(self, *, binary: str | None = ...) -> list[Resource]: ...

class ServerManager:
    def get(self, server: str) -> Resource: ...
    def list(
        self, *, detailed: bool = ..., search_opts: Mapping[str, object], limit: int = ...
    ) -> list[Resource]: ...
    def evacuate(self, server: str, **options: object) -> WithMeta: ...
    def start(self, server: str) -> WithMeta: ...
    def stop(self, server: str) -> WithMeta: ...
    def reboot(self, server: str, reboot_type: str) -> WithMeta: ...

class MigrationManager:
    def list(
        self,
        *,
        host: str | None = ...,
        marker: str | None = ...,
        limit: int = ...,
        changes_since: str | None = ...,
    ) -> list[Resource]: ...

class HypervisorManager:
    def list(self, *, detailed: bool = ...) -> list[Resource]: ...

class ServerGroupsManager:
    def list(
        self, *, all_projects: bool = ..., limit: int = ..., offset: int = ...
    ) -> list[Resource]: ...

class Client:
    services: ServiceManager
    servers: ServerManager
    migrations: MigrationManager
    hypervisors: HypervisorManager
    server_groups: ServerGroupsManager
