"""This host's own znodes, typed: the guard, its grants, and what it publishes of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from hamon.coordination.access import Identities, access_for
from hamon.coordination.codec import NodeValue, decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import (
    NodeMissingError,
    StoreError,
    UnreadableNodeError,
    WriteConflictError,
)
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState
from hamon.model.host import HostGuard, HostMode, HostSelf
from hamon.model.names import BootId, GuestId, HostName
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    SetData,
    Store,
    StoreOperation,
    WatchCallback,
)

V = TypeVar("V")


class Watches:
    """Leaves at most one watch on each path, and tells which paths fired.

    Args:
        wake: called at each firing.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: set[str] = set()

    def on(self, path: str) -> WatchCallback | None:
        """Return a callback to leave at ``path``; None when one waits there already."""
        if path in self._waiting:
            return None
        self._waiting.add(path)
        return self._fired

    def is_waiting(self, path: str) -> bool:
        """Say whether nothing has happened at ``path`` since it was last read."""
        return path in self._waiting

    def forget(self, path: str) -> None:
        """Note that no watch may be left at ``path``: the call that was to leave it failed."""
        self._waiting.discard(path)

    def forget_all(self) -> None:
        """Note that all watches are gone, as after a lost session."""
        self._waiting.clear()

    def _fired(self, path: str) -> None:
        self._waiting.discard(path)
        self._wake()


class HostZnodes:
    """Reads and writes below ``hosts/<host>`` as this host's identity. Errors: those of Store."""

    def __init__(self, store: Store, host: HostName, watches: Watches) -> None:
        self._store = store
        self._host = host
        self._watches = watches
        self._grants: dict[GuestId, Versioned[Grant]] = {}
        self._unreadable: dict[GuestId, str] = {}
        self._mode: Versioned[HostMode] | None = None

    def path(self, kind: PlaceKind, guest: GuestId | None = None) -> str:
        """Tell the path of one of this host's znodes."""
        return to_path(Place(kind=kind, host=self._host, guest=guest))

    async def guard(self) -> Versioned[HostGuard]:
        """Read the host's right to live, and watch it.

        Raises:
            UnreadableNodeError: a newer schema or rubbish.
        """
        return await self._read(self.path(PlaceKind.GUARD), HostGuard)

    async def mode(self) -> Versioned[HostMode] | None:
        """Read which mode this host is told of, and watch it; None: an older hamon made no znode.

        Raises:
            UnreadableNodeError: a newer schema or rubbish.
        """
        path = self.path(PlaceKind.MODE)
        if self._mode is not None and self._watches.is_waiting(path):
            return self._mode
        try:
            node = await self._watched(path, lambda watch: self._store.get(path, watch))
        except NodeMissingError:
            return None
        value = decode(path, node.data)
        told = value if isinstance(value, HostMode) else HostMode()
        self._mode = Versioned(value=told, version=node.version)
        return self._mode

    async def say_ungated(
        self, told: Versioned[HostMode], guard: Versioned[HostGuard]
    ) -> Versioned[HostMode]:
        """Say that guests start here without hamon's leave, while the guard is as it was read.

        Raises:
            WriteConflictError: the guard or the word changed; nothing was done.
        """
        check = CheckVersion(path=self.path(PlaceKind.GUARD), version=guard.version)
        return await self._say(told, check, is_ungated=True)

    async def say_gated(self, told: Versioned[HostMode]) -> Versioned[HostMode]:
        """Say that no protected guest starts here without hamon's leave.

        Raises:
            WriteConflictError: the word changed; nothing was done.
        """
        return await self._say(told, is_ungated=False)

    async def _say(
        self, told: Versioned[HostMode], *checks: CheckVersion, is_ungated: bool
    ) -> Versioned[HostMode]:
        path = self.path(PlaceKind.MODE)
        value = replace(told.value, is_ungated=is_ungated)
        write = SetData(path=path, data=encode(path, value), version=told.version)
        try:
            await self._store.commit([*checks, write])
        finally:
            # Whatever became of it: what was read is no longer how it is.
            self._mode = None
        return Versioned(value=value, version=told.version + 1)

    async def registered(self) -> BootId | None:
        """Read which boot the heartbeat registered last, and watch it; None: none, or unreadable.

        safety: unreadable counts as not registered; as an error it would keep denials from being
        read.
        """
        try:
            return (await self._read(self.path(PlaceKind.SELF), HostSelf)).value.boot_id
        except UnreadableNodeError:
            return None

    async def grants(self) -> dict[GuestId, Versioned[Grant]]:
        """Read every grant that can be read, and watch them; unchanged ones are not read again."""
        path = self.path(PlaceKind.GRANTS)
        names = await self._watched(path, lambda w: self._store.children(path, w))
        guests = frozenset(map(GuestId, names))
        for gone in (self._grants.keys() | self._unreadable.keys()) - guests:
            self._grants.pop(gone, None)
            self._unreadable.pop(gone, None)
        for guest in sorted(guests):
            await self._refresh(guest)
        return dict(self._grants)

    @property
    def unreadable(self) -> dict[GuestId, str]:
        """Grants with a newer schema or rubbish, and what is wrong with them."""
        return self._unreadable

    def forget_grants(self) -> None:
        """Have every grant read again, and the mode."""
        self._grants.clear()
        self._mode = None

    async def _refresh(self, guest: GuestId) -> None:
        path = self.path(PlaceKind.GRANT, guest)
        if self._watches.is_waiting(path) and (guest in self._grants or guest in self._unreadable):
            return
        self._grants.pop(guest, None)
        try:
            self._grants[guest] = await self._read(path, Grant)
            self._unreadable.pop(guest, None)
        except UnreadableNodeError as error:
            self._unreadable[guest] = error.why

    async def claim(
        self,
        guest: GuestId,
        grant: Versioned[Grant],
        guard: Versioned[HostGuard],
        boot_id: BootId,
    ) -> Versioned[Grant]:
        """Claim a grant for this boot while the guard still has the version read (protocol 7).

        Raises:
            WriteConflictError: the guard or the grant changed; nothing was done.
        """
        claimed = replace(grant.value, state=GrantState.CLAIMED, boot_id=boot_id)
        check = CheckVersion(path=self.path(PlaceKind.GUARD), version=guard.version)
        return await self._set(guest, grant, claimed, check)

    async def settle(
        self, guest: GuestId, grant: Versioned[Grant], state: GrantState, reason: str = ""
    ) -> Versioned[Grant]:
        """Write what became of a grant; its definition is no longer needed.

        Raises:
            WriteConflictError: the grant changed; nothing was done.
        """
        settled = replace(grant.value, state=state, definition="", reason=reason)
        return await self._set(guest, grant, settled)

    async def _set(
        self, guest: GuestId, grant: Versioned[Grant], value: Grant, *checks: CheckVersion
    ) -> Versioned[Grant]:
        path = self.path(PlaceKind.GRANT, guest)
        write = SetData(path=path, data=encode(path, value), version=grant.version)
        try:
            await self._store.commit([*checks, write])
        finally:
            # Whatever became of it: what was read is no longer how it is.
            self._grants.pop(guest, None)
        return Versioned(value=value, version=grant.version + 1)

    async def _read(self, path: str, kind: type[V]) -> Versioned[V]:
        node = await self._watched(path, lambda watch: self._store.get(path, watch))
        value = decode(path, node.data)
        if not isinstance(value, kind):
            raise UnreadableNodeError(path, "it is empty")
        return Versioned(value=value, version=node.version)

    async def _watched(self, path: str, read: Callable[[WatchCallback | None], Awaitable[V]]) -> V:
        try:
            return await read(self._watches.on(path))
        except StoreError:
            self._watches.forget(path)
            raise


class OwnZnode:
    """One persistent znode that this process alone writes: set when its value changes."""

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._path = path
        self._written: tuple[bytes, int] | None = None

    async def put(self, value: NodeValue, *, may_stay_empty: bool = False) -> None:
        """Write ``value`` unless it is there already. Idempotent; errors are those of Store.

        Args:
            value: what is to be there.
            may_stay_empty: that nothing was ever written says the same.
        """
        data = encode(self._path, value)
        if self._written is None:
            node = await self._store.get(self._path)
            self._written = (node.data, node.version)
        written, version = self._written
        if written == data or (may_stay_empty and not written):
            return
        self._written = None
        try:
            await self._store.commit([SetData(path=self._path, data=data, version=version)])
        except WriteConflictError:
            # A former process of this host wrote late: read and write again next time.
            return
        self._written = (data, version + 1)


class OwnEphemeral:
    """One ephemeral of this process's session: while it is there, the process is.

    Args:
        store: the process's own.
        path: of the znode.
        identities: whose access rules it gets.
    """

    def __init__(self, store: Store, path: str, identities: Identities) -> None:
        self._store = store
        self._path = path
        self._identities = identities
        self._session = 0
        self._written: tuple[bytes, int] | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was made by the session of now."""
        return self._written is not None and self._session == self._store.session_id

    async def put(self, value: NodeValue) -> None:
        """Make it by the session of now, or change it, unless it says so already. Idempotent.

        One that a former process of this host left is taken away: there is one of each process.
        Errors are those of Store.
        """
        data = encode(self._path, value)
        session = self._store.session_id
        known = self._written if session == self._session else None
        self._session, self._written = session, None
        if known is None:
            left = await self._left()
            if left is None or left.owner != session:
                await self._store.commit([*self._removal(left), self._creation(data)])
                self._written = (data, 0)
                return
            known = (left.data, left.version)
        there, version = known
        if there != data:
            await self._store.commit([SetData(path=self._path, data=data, version=version)])
            version += 1
        self._written = (data, version)

    async def _left(self) -> Node | None:
        try:
            return await self._store.get(self._path)
        except NodeMissingError:
            return None

    def _removal(self, left: Node | None) -> list[StoreOperation]:
        return [] if left is None else [DeleteNode(path=self._path, version=left.version)]

    def _creation(self, data: bytes) -> StoreOperation:
        access = access_for(self._path, self._identities)
        return CreateNode(path=self._path, data=data, access=access, is_ephemeral=True)
