"""What hamon needs from the world, as Protocols with contracts. No code, no client library.

Rules for every port:

1. Times are seconds on the machine's CLOCK_BOOTTIME (it runs on while a machine sleeps); durations
   are in seconds and positive.
2. Every call has a deadline of its own. A change whose answer did not come is ``UNKNOWN``.
3. Callbacks come on the event loop's thread and must not block.
4. One contract test suite per port runs against the in-memory and the real adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hamon.model.cloud import CloudMigration, ComputeService, Server
from hamon.model.host import DomainState, FenceDeviceSpec, HostCapacity
from hamon.model.incident import ShotOutcome
from hamon.model.names import BootId, GuestId, HostName
from hamon.model.proof import PowerReading


class Clock(Protocol):
    """Time. Injected so that the simulator can own it."""

    def now_s(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        ...

    def wall(self) -> str:
        """Return the UTC wall-clock time, ISO 8601 with milliseconds; for humans only (S20)."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Return after ``duration_s`` (at once if it is not positive)."""
        ...


# -- Store: ZooKeeper -----------------------------------------------------------------------------


class Permission(StrEnum):
    """ZooKeeper's permissions. CREATE and DELETE concern children, not the znode itself."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Who may do what with a znode: a digest identity (``user:base64(sha1(user:password))``)."""

    digest: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A znode as read.

    ``version`` restarts at 0 when a znode is deleted and made again; ``created_zxid`` does not
    repeat. ``owner``: session id of an ephemeral, 0 for a persistent znode.
    """

    path: str
    data: bytes
    version: int
    created_zxid: int
    owner: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVersion:
    """Part of a commit: the znode has exactly this version."""

    path: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNode:
    """Part of a commit: make the znode; its parent exists, it does not."""

    path: str
    data: bytes
    access: tuple[AccessRule, ...]
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetData:
    """Part of a commit: replace the data if the znode has exactly this version."""

    path: str
    data: bytes
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteNode:
    """Part of a commit: remove the znode if it has exactly this version and no children."""

    path: str
    version: int


StoreOperation = CheckVersion | CreateNode | SetData | DeleteNode


class SessionState(StrEnum):
    """A session as its client knows it. LOST is learnt only after a reconnect (zookeeper.md 8)."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


WatchCallback = Callable[[str], None]
"""Called once, with the path, when the watched znode (or its list of children) changed."""


class Store(Protocol):
    """A ZooKeeper session below the cluster's chroot.

    Every call raises:
        StoreUnavailableError: not connected, or no answer within the store's own deadline; for a
            change the outcome is UNKNOWN: read before anything is repeated.
        SessionLostError: the session has expired.
        AccessDeniedError: the identity may not.
    """

    @property
    def state(self) -> SessionState:
        """The session's state."""
        ...

    @property
    def session_id(self) -> int:
        """Id of the present session, 0 when there is none; equals ``Node.owner`` of its nodes."""
        ...

    @property
    def session_timeout_s(self) -> float:
        """The session time-out the server granted."""
        ...

    def on_state(self, callback: Callable[[SessionState], None]) -> None:
        """Have ``callback`` called at each change of the session's state.

        Watches do not outlive a change of state: after each return to CONNECTED, list and read
        again. CONNECTED straight after LOST is a new session, with another ``session_id``.
        """
        ...

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """Read a znode; ``watch`` fires once at its next change or deletion. Idempotent.

        May be stale by as much as the server lags; a decision rests on a commit, not on a read.

        Raises:
            NodeMissingError: there is none (no watch is left).
        """
        ...

    async def exists(self, path: str, watch: WatchCallback | None = None) -> bool:
        """Say whether the znode exists; ``watch`` fires at creation, change or deletion."""
        ...

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """List the names below a znode, sorted; ``watch`` fires once when the list changes.

        Raises:
            NodeMissingError: there is no such znode (no watch is left).
        """
        ...

    async def access(self, path: str) -> tuple[AccessRule, ...]:
        """Read who may do what with a znode, sorted by digest. Needs ADMIN there. Idempotent.

        Whoever is not a digest identity comes back as ``scheme:id``, for example ``world:anyone``.

        Raises:
            NodeMissingError: there is no such znode.
        """
        ...

    async def create_sequential(
        self, prefix: str, data: bytes, access: tuple[AccessRule, ...], *, is_ephemeral: bool
    ) -> str:
        """Make a znode named ``prefix`` plus a growing 10-digit counter; return its full path.

        Not idempotent. Unknown outcome: list the parent and look for a nonce carried in the name
        or data.
        """
        ...

    async def commit(self, operations: Sequence[StoreOperation]) -> None:
        """Do all of ``operations`` or none, atomically and durably.

        Not idempotent as such; exact versions make a repetition harmless (it conflicts).

        Raises:
            WriteConflictError: a version check failed; nothing was done.
            NodeMissingError, NodeExistsError: likewise; nothing was done.
            StoreUnavailableError: UNKNOWN, it may have been done.
        """
        ...

    async def close(self) -> None:
        """End the session at once: its ephemerals go. Idempotent; never raises."""
        ...


# -- Liveness probes ------------------------------------------------------------------------------


class ProbeAnswer(StrEnum):
    """What a TCP connection to a host brought back."""

    ECHO = "echo"  # the heartbeat process answered with its boot id: strong
    CONNECTED = "connected"  # a kernel took the connection: weak
    REFUSED = "refused"  # a kernel refused it: weak
    SILENT = "silent"  # nothing came back in time
    FAILED = "failed"  # the probe itself could not be made (no route here, no descriptor): no vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One probe. ``host`` and ``boot_id`` only with ECHO: who answered, and in which life."""

    answer: ProbeAnswer
    host: HostName | None = None
    boot_id: BootId | None = None
    detail: str = ""


class Probe(Protocol):
    """Knocks at a host's agent."""

    async def knock(self, address: str, port: int, timeout_s: float) -> ProbeResult:
        """Connect, ask for the boot id, close. Harmless, idempotent; never raises PortError."""
        ...


# -- Fence devices --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotResult:
    """What became of an order to cut power. Acceptance proves nothing: the state is read apart."""

    outcome: ShotOutcome
    detail: str = ""


class FenceDevice(Protocol):
    """One way to cut one host's power, and to read it back."""

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        ...

    async def read(self, timeout_s: float) -> PowerReading:
        """Ask for the power state and the identity. Harmless, idempotent; never raises PortError.

        Timeouts, errors, refused logins and transitional states come back as UNKNOWN or
        TRANSITION readings; only a settled answer is ON or OFF.
        """
        ...

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Order power off (never reboot, never cycle).

        Idempotent in effect: off stays off. The child that carries the order refuses to begin
        after ``start_by_s`` (CLOCK_BOOTTIME) and kills itself and its group ``deadline_s`` after
        its start, even if this process is stopped. Never raises PortError: the outcome is DONE
        (the device took the order), NOT_DONE (it surely did not), LATE (it was never given, because
        ``start_by_s`` had passed) or UNKNOWN.
        """
        ...


# -- Hypervisor: libvirt on a compute host --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain as libvirt has it. ``definition``: inactive XML without secrets."""

    guest: GuestId
    name: str
    state: DomainState
    is_persistent: bool
    definition: str
    has_managed_save: bool = False


class DomainEvent(StrEnum):
    """What libvirt told about a domain, folded to what hamon needs."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    OTHER = "other"


class Hypervisor(Protocol):
    """libvirt of this very host; only the guests process opens it.

    Every call raises:
        HypervisorUnreachableError: no connection, or no answer within the adapter's deadline; for a
            change the outcome is UNKNOWN: libvirt may still carry it out later (a start sent to a
            stopped libvirtd runs when it resumes: the permit must be withdrawn first).
        HypervisorError: libvirt refused; NOT_DONE.
    """

    def on_event(self, callback: Callable[[GuestId, DomainEvent], None]) -> None:
        """Have ``callback`` called at domain events while connected (none is queued while not)."""
        ...

    def on_connection(self, callback: Callable[[bool], None]) -> None:
        """Have ``callback`` called when libvirt becomes reachable (True) or unreachable (False)."""
        ...

    async def domains(self) -> tuple[Domain, ...]:
        """List every domain, running or not, sorted by uuid. Idempotent."""
        ...

    async def capacity(self, boot_id: BootId) -> HostCapacity:
        """Tell what this host offers to guests. Idempotent."""
        ...

    async def define(self, definition: str) -> None:
        """Define the domain, or redefine it (autostart off, saved memory dropped). Idempotent."""
        ...

    async def start(self, guest: GuestId) -> None:
        """Start a defined domain. Already running is success.

        Raises:
            GuestNotFoundError: it is not defined here.
        """
        ...

    async def destroy(self, guest: GuestId) -> None:
        """End the domain's process at once. Not running, or not there, is success."""
        ...

    async def undefine(self, guest: GuestId) -> None:
        """Forget the definition; disks and NVRAM files stay. Not there is success."""
        ...


class Permits(Protocol):
    """What the libvirt hook of this host obeys: the gate in front of every guest start.

    A permit is for one guest in this boot. The hook lets an unprotected guest pass, and a protected
    one only with a permit. ``withdraw`` and the hook take the same lock, so that a start either
    passed before the withdrawal (and is told) or never passes.
    """

    def protect(self, guests: frozenset[GuestId]) -> None:
        """Write down, durably across boots, which guests are protected. Idempotent."""
        ...

    def protected(self) -> frozenset[GuestId]:
        """Tell which guests are protected."""
        ...

    def give(self, guest: GuestId, generation: int) -> None:
        """Allow starts of the guest in this boot and forget earlier passages. Idempotent."""
        ...

    def withdraw(self, guest: GuestId) -> bool:
        """Allow no more starts of the guest.

        Returns:
            True when no start has passed the gate since the permit was given: none ever will.
            False when one has: only libvirt can tell what became of it.
        """
        ...

    def held(self) -> frozenset[GuestId]:
        """Tell which guests have a permit now."""
        ...


# -- Cloud: Nova ----------------------------------------------------------------------------------


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
