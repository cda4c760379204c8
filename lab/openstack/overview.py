"""What Nova itself says of the lab: servers, compute services, migrations; as rows and as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.openstack.cloud import Cloud
from lab.openstack.programs import COMPUTE

_SERVER_HEADS = ("SERVER", "STATUS", "TASK", "HOST", "UUID")
_SERVICE_HEADS = ("SERVICE OF", "STATUS", "STATE", "FORCED DOWN", "REASON")
_MIGRATION_HEADS = ("MIGRATION", "TYPE", "SERVER", "FROM", "TO", "STATUS")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLine:
    """A server. ``host``: where Nova has it; ``domain``: its name in libvirt."""

    name: str
    uuid: str
    status: str
    task: str
    host: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """The nova-compute of a host."""

    host: str
    status: str
    state: str
    is_forced_down: bool
    reason: str

    @property
    def serves(self) -> bool:
        """Whether Nova may send guests there."""
        return (self.status, self.state, self.is_forced_down) == ("enabled", "up", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationLine:
    """A migration record. ``server``: the uuid."""

    number: int
    kind: str
    server: str
    source: str
    destination: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it, read one after the other."""

    servers: tuple[ServerLine, ...]
    services: tuple[ServiceLine, ...]
    migrations: tuple[MigrationLine, ...]

    def evacuations_of(self, server: str) -> tuple[MigrationLine, ...]:
        """The evacuations of a server by its uuid, oldest first."""
        return tuple(
            line for line in self.migrations if (line.kind, line.server) == ("evacuation", server)
        )


def read(cloud: Cloud) -> Overview:
    """Ask Nova.

    Raises:
        LabError: it does not answer.
    """
    servers = [
        ServerLine(
            name=name,
            uuid=str(found["id"]),
            status=str(found["status"]),
            task=str(found["OS-EXT-STS:task_state"] or ""),
            host=str(found["OS-EXT-SRV-ATTR:host"] or ""),
            domain=str(found["OS-EXT-SRV-ATTR:instance_name"]),
        )
        for name, found in cloud.servers().items()
    ]
    services = [
        ServiceLine(
            host=str(found["host"]),
            status=str(found["status"]),
            state=str(found["state"]),
            is_forced_down=bool(found["forced_down"]),
            reason=str(found["disabled_reason"] or ""),
        )
        for found in cloud.compute("GET", f"/os-services?binary={COMPUTE}")["services"]
    ]
    migrations = [
        MigrationLine(
            number=int(found["id"]),
            kind=str(found["migration_type"]),
            server=str(found["instance_uuid"]),
            source=str(found["source_compute"]),
            destination=str(found["dest_compute"] or ""),
            status=str(found["status"]),
        )
        for found in cloud.compute("GET", "/os-migrations")["migrations"]
    ]
    return Overview(
        servers=tuple(sorted(servers, key=lambda line: line.name)),
        services=tuple(sorted(services, key=lambda line: line.host)),
        migrations=tuple(sorted(migrations, key=lambda line: line.number)),
    )


def printed(overview: Overview) -> str:
    """Three tables, one below the other."""
    names = {line.uuid: line.name for line in overview.servers}
    tables = (
        (
            _SERVER_HEADS,
            [(s.name, s.status, s.task, s.host, s.uuid) for s in overview.servers],
        ),
        (
            _SERVICE_HEADS,
            [
                (s.host, s.status, s.state, "yes" if s.is_forced_down else "no", s.reason)
                for s in overview.services
            ],
        ),
        (
            _MIGRATION_HEADS,
            [
                # Of a server that is gone only the uuid is left.
                (
                    str(m.number),
                    m.kind,
                    names.get(m.server, m.server),
                    m.source,
                    m.destination,
                    m.status,
                )
                for m in overview.migrations
            ],
        ),
    )
    return "\n\n".join(_table(heads, rows) for heads, rows in tables)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
