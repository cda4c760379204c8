"""What the store's contract needs done to either ZooKeeper: the real one and the one in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

from hamon.clock import SystemClock
from hamon.coordination.access import CONTROLLERS_USER, Identities, access_for, digest_of
from hamon.coordination.bootstrap import bootstrap
from hamon.coordination.session import SessionCredentials, StoreSettings, TlsFiles
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.ports.store import AccessRule, CreateNode, Permission, Store
from hamon.sim.store import InMemoryStore
from hamon.sim.zookeeper import InMemoryZooKeeper

REAL_TIMEOUT_S = 4.0
MEMORY_TIMEOUT_S = 0.5
WITHIN_S = 20.0


def password_of(user: str) -> str:
    """The password of a test identity."""
    return f"secret of {user}"


def rule(user: str, *permissions: Permission) -> AccessRule:
    """A rule for a test identity; without permissions named, all of them."""
    return AccessRule(
        identity=digest_of(user, password_of(user)),
        permissions=frozenset(permissions or Permission),
    )


ALICE = (rule("alice"),)
"""Rules of a znode that is alice's alone."""

ROOM = (*ALICE, rule("bob", Permission.READ, Permission.CREATE, Permission.DELETE))
"""Rules of the chroot: bob may do everything there but change it."""


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true, and fail when it does not."""
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.01)


class StoreWorld(Protocol):
    """Either ZooKeeper with one chroot of this test's own."""

    session_timeout_s: float

    async def make_room(self) -> None:
        """Make the chroot, with the rules of :data:`ROOM`."""
        ...

    async def make_cluster(self, identities: Identities) -> None:
        """Make the chroot as ``hamon bootstrap`` does."""
        ...

    async def connect(self, user: str) -> Store:
        """Open a session as this identity."""
        ...

    async def expire(self, store: Store) -> None:
        """Have the ensemble end a session whose client is alive."""
        ...

    def break_connection(self, store: Store) -> None:
        """Break a session's connection; it can be made again at once."""
        ...

    async def abandon(self, store: Store) -> None:
        """Leave without a word, as a killed process does."""
        ...

    async def succeed(self, store: Store, user: str) -> Store:
        """Leave the session and go on with it in another client."""
        ...

    async def stop(self) -> None:
        """Close every session."""
        ...


class MemoryWorld:
    """ZooKeeper in memory."""

    session_timeout_s = MEMORY_TIMEOUT_S

    def __init__(self) -> None:
        self.server = InMemoryZooKeeper(SystemClock(), MEMORY_TIMEOUT_S)

    async def make_room(self) -> None:
        """Put the rules on the root: it is the chroot here."""
        self.server = InMemoryZooKeeper(SystemClock(), MEMORY_TIMEOUT_S, ROOM)

    async def make_cluster(self, identities: Identities) -> None:
        """Make the cluster at the root."""
        rules = access_for("/", identities)
        self.server = InMemoryZooKeeper(SystemClock(), MEMORY_TIMEOUT_S, rules)
        store = await self.connect(CONTROLLERS_USER)
        await bootstrap(store, "/", identities)
        await store.close()

    async def connect(self, user: str) -> InMemoryStore:
        """Open a session."""
        return self.server.connect(digest_of(user, password_of(user)))

    async def expire(self, store: Store) -> None:
        """End the session in the server."""
        self.server.expire(store.session_id)

    def break_connection(self, store: Store) -> None:
        """Break the connection."""
        assert isinstance(store, InMemoryStore)
        store.break_connection()

    async def abandon(self, store: Store) -> None:
        """Kill the process."""
        assert isinstance(store, InMemoryStore)
        store.die()

    async def succeed(self, store: Store, user: str) -> InMemoryStore:
        """Detach and resume."""
        assert isinstance(store, InMemoryStore)
        session_id = store.session_id
        await store.detach()
        return self.server.connect(digest_of(user, password_of(user)), resume=session_id)

    async def stop(self) -> None:
        """Stop the server's timers."""
        self.server.stop()


class RealWorld:
    """A real server, and a chroot of this test's own; encrypted or not, who is who by passwords."""

    session_timeout_s = REAL_TIMEOUT_S

    def __init__(self, address: str, tls: TlsFiles | None = None) -> None:
        self._address = address
        self._tls = tls
        self._chroot = f"/test-{uuid4().hex}"
        self._stores: list[ZooKeeperStore] = []

    async def make_room(self) -> None:
        """Make the chroot."""
        root = await self._open("alice", "/")
        await root.commit([CreateNode(path=self._chroot, data=b"", access=ROOM)])

    async def make_cluster(self, identities: Identities) -> None:
        """Make the cluster in a folder of its own."""
        self._chroot += "/cluster"
        root = await self._open(CONTROLLERS_USER, "/")
        await bootstrap(root, self._chroot, identities)

    async def connect(self, user: str) -> ZooKeeperStore:
        """Open a session."""
        return await self._open(user, self._chroot)

    async def expire(self, store: Store) -> None:
        """Take the session over with another client and close it there."""
        assert isinstance(store, ZooKeeperStore)
        twin = await self._open("alice", self._chroot, resume=store.credentials)
        await twin.close()

    def break_connection(self, store: Store) -> None:
        """Shut the socket."""
        assert isinstance(store, ZooKeeperStore)
        store._client.drop_connection()  # noqa: SLF001 - a fault from outside

    async def abandon(self, store: Store) -> None:
        """Detach."""
        assert isinstance(store, ZooKeeperStore)
        await store.detach()

    async def succeed(self, store: Store, user: str) -> ZooKeeperStore:
        """Detach and resume."""
        assert isinstance(store, ZooKeeperStore)
        credentials = store.credentials
        await store.detach()
        return await self._open(user, self._chroot, resume=credentials)

    async def stop(self) -> None:
        """Close every session."""
        for store in self._stores:
            await store.close()

    async def _open(
        self, user: str, chroot: str, resume: SessionCredentials | None = None
    ) -> ZooKeeperStore:
        store = ZooKeeperStore(
            StoreSettings(
                servers=(self._address,),
                chroot=chroot,
                session_timeout_s=REAL_TIMEOUT_S,
                user=user,
                password=password_of(user),
                tls=self._tls,
                resume=resume,
            )
        )
        self._stores.append(store)
        await store.start(WITHIN_S)
        return store
