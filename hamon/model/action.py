"""What hamon does to the world outside of ZooKeeper, and what it asks of it.

An action travels inside an intent, so that it is journalled before it starts (DESIGN rule 4). A
look changes nothing and is not journalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.model.guest import PowerState
from hamon.model.names import GuestId, HostName, IncidentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Shoot:
    """Order one device to cut the host's power; ends at ``deadline_s`` after its start."""

    host: HostName
    incident: IncidentId
    device: str
    attempt: int
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOn:
    """Order one device to switch the host on, or to give it its storage back.

    Ends at ``deadline_s`` after its start. Harmless wherever it comes late: a boot that was shut
    out stays so, and a later one starts no guest before the leader lets it.
    """

    host: HostName
    device: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutOutService:
    """Force a host's nova-compute down; with a ``reason`` also disable it. Idempotent."""

    service_host: str
    service_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftForceDown:
    """End the forced-down state of a host's nova-compute. Idempotent."""

    service_host: str
    service_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableService:
    """Have Nova's scheduler send nothing new to a host's nova-compute. Idempotent."""

    service_host: str
    service_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableService:
    """Let Nova's scheduler use a host's nova-compute again. Idempotent."""

    service_host: str
    service_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuate:
    """Ask Nova to rebuild a guest elsewhere. Not idempotent: see ``ports.cloud``.

    ``attempt``: which one of this guest's, so that an answer is not taken for that of another.
    ``target``: service host, "": Nova's scheduler chooses.
    """

    guest: GuestId
    attempt: int
    target: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPower:
    """Ask Nova to start or stop a guest; ``in_place``: Nova believes already that it runs."""

    guest: GuestId
    wanted: PowerState
    in_place: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetTask:
    """Have Nova forget what it was about to do with a guest when its host died. Idempotent.

    ``is_error``: the guest is in ERROR, and stays so.
    """

    guest: GuestId
    is_error: bool

    @property
    def subject(self) -> str:
        """What its call is noted under: beside that of the guest's last evacuation or start."""
        return f"reset_task:{self.guest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBeforeGate:
    """Run the operator's program before nova-compute may start on a returned host. Idempotent."""

    service_host: str
    incident: IncidentId

    @property
    def subject(self) -> str:
        """What its call is noted under: it is run once for each return."""
        return f"before_gate:{self.incident}"


CloudAction = (
    ShutOutService
    | LiftForceDown
    | DisableService
    | EnableService
    | Evacuate
    | SetPower
    | ResetTask
    | RunBeforeGate
)
Action = Shoot | PowerOn | CloudAction


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLook:
    """Ask one device for the host's power state and identity."""

    host: HostName
    device: str


class CloudLookKind(StrEnum):
    """What of Nova is read."""

    SERVICES = "services"
    SERVERS_OF = "servers_of"
    SERVERS_CHANGED = "servers_changed"
    SERVERS_TOUCHED = "servers_touched"
    SERVER = "server"
    MIGRATIONS_OF = "migrations_of"
    MIGRATIONS_CHANGED = "migrations_changed"
    GROUPS = "groups"
    IMAGE = "image"
    AGGREGATES = "aggregates"
    PROGRESS = "progress"
    TOKEN = "token"  # noqa: S105 - what is renewed


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudLook:
    """Read one list of Nova's, one server, how far Nova is with its evacuation, or one image.

    ``service_host``: whose, for the kinds that end in ``_of``. ``guest``: which server. ``image``:
    which image.
    """

    kind: CloudLookKind
    service_host: str = ""
    guest: GuestId | None = None
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLook:
    """Ask at a TCP port whether a guest that was moved is ready."""

    guest: GuestId
    address: str
    port: int


Look = PowerLook | CloudLook | ReadyLook
