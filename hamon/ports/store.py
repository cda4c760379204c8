"""ZooKeeper, as a store of small znodes. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Permission(StrEnum):
    """ZooKeeper's permissions. CREATE and DELETE concern children, not the znode itself."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Who may do what with a znode.

    ``identity``: of a password its digest (``user:base64(sha1(user:password))``), of a certificate
    ``x509:`` and its subject.
    """

    identity: str
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
