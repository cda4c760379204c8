"""ZooKeeper of a simulated world: it acts outside of every process, and what it commits is seen."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context, ContextVar
from dataclasses import dataclass
from random import Random

from hamon.ports.clock import Clock
from hamon.ports.store import AccessRule, Node, SessionState, StoreOperation, WatchCallback
from hamon.sim.process import Process
from hamon.sim.store import InMemoryStore
from hamon.sim.tree import TreeChange
from hamon.sim.zookeeper import InMemoryZooKeeper

TRAVEL_S = (0.001, 0.004)
"""How long a commit is on its way, at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A transaction on its way: whose, what, and when it was sent."""

    process: Process
    operations: tuple[StoreOperation, ...]
    sent_s: float


_COMMIT: ContextVar[Commit | None] = ContextVar("commit", default=None)

Changed = Callable[[tuple[TreeChange, ...], Commit | None], None]
"""Told of what each transaction or expiry changed, once it has and before its author knows."""


class Ensemble(InMemoryZooKeeper):
    """The ensemble.

    Args:
        clock: the world's.
        session_timeout_s: granted to every session.
        changed: sees everything.
    """

    def __init__(
        self,
        clock: Clock,
        session_timeout_s: float,
        changed: Changed,
    ) -> None:
        super().__init__(clock, session_timeout_s)
        self._changed = changed

    # typing.override comes with Python 3.12.
    def tell(self, changes: Iterable[TreeChange]) -> None:  # type: ignore[explicit-override]
        """Fire watches outside of the process whose request this is: it may end any moment."""
        seen = tuple(changes)
        self._changed(seen, _COMMIT.get())
        Context().run(super().tell, seen)

    def run(  # type: ignore[explicit-override]
        self, coroutine: Coroutine[object, object, None]
    ) -> None:
        """Do something later, whatever becomes of the process that is the cause."""
        Context().run(super().run, coroutine)


class ProcessStore:
    """A process's session (implements ``ports.Store``).

    Callbacks run within the process. Commits take a little time to travel, so that those of
    different processes meet in every order.
    """

    def __init__(
        self,
        store: InMemoryStore,
        process: Process,
        clock: Clock,
        random: Random,
    ) -> None:
        self.inner = store
        self._process = process
        self._clock = clock
        self._random = random
        self._is_cut = False

    @property
    def state(self) -> SessionState:
        """The session's state."""
        return self.inner.state

    @property
    def session_id(self) -> int:
        """Id of the present session, 0 when there is none."""
        return self.inner.session_id

    @property
    def session_timeout_s(self) -> float:
        """The session time-out the server granted."""
        return self.inner.session_timeout_s

    def on_state(self, callback: Callable[[SessionState], None]) -> None:
        """Have ``callback`` called within the process at each change of the session's state."""
        self.inner.on_state(self._process.bind(callback))

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """Read a znode."""
        return await self.inner.get(path, self._bound(watch))

    async def exists(self, path: str, watch: WatchCallback | None = None) -> bool:
        """Say whether the znode exists."""
        return await self.inner.exists(path, self._bound(watch))

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """List the names below a znode, sorted."""
        return await self.inner.children(path, self._bound(watch))

    async def access(self, path: str) -> tuple[AccessRule, ...]:
        """Read who may do what with a znode."""
        return await self.inner.access(path)

    async def create_sequential(
        self, prefix: str, data: bytes, access: tuple[AccessRule, ...], *, is_ephemeral: bool
    ) -> str:
        """Make a znode named ``prefix`` plus a growing counter."""
        return await self.inner.create_sequential(prefix, data, access, is_ephemeral=is_ephemeral)

    async def commit(self, operations: Sequence[StoreOperation]) -> None:
        """Do all of ``operations`` or none."""
        commit = Commit(
            process=self._process, operations=tuple(operations), sent_s=self._clock.now_s()
        )
        token = _COMMIT.set(commit)
        try:
            await self._clock.sleep(self._random.uniform(*TRAVEL_S))
            await self.inner.commit(operations)
        finally:
            _COMMIT.reset(token)

    async def close(self) -> None:
        """End the session at once."""
        await self.inner.close()

    # -- what the world does to it ----------------------------------------------------------------

    def cut(self, *, is_cut: bool) -> None:
        """Take the way to ZooKeeper away, or give it back."""
        if is_cut == self._is_cut:
            return
        self._is_cut = is_cut
        if self._process.is_stopped:
            return
        if is_cut:
            self.inner.cut()
        else:
            self.inner.heal()

    def freeze(self) -> None:
        """Stop being heard: the process was stopped."""
        self.inner.freeze()

    def thaw(self) -> None:
        """Be heard again, if there is a way."""
        self.inner.thaw()
        if self._is_cut:
            self.inner.cut()

    def die(self) -> None:
        """The process was killed: the session ends by its time-out."""
        self.inner.die()

    def _bound(self, watch: WatchCallback | None) -> WatchCallback | None:
        return None if watch is None else self._process.bind(watch)
