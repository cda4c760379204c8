"""A session with ZooKeeper in memory, and the faults that matter between it and the ensemble.

Passes the same contract tests as the real adapter (``hamon.sim.zookeeper`` says where it differs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from enum import Enum, auto
from typing import Protocol, TypeVar

from hamon.errors import Outcome, SessionLostError, StoreUnavailableError
from hamon.ports.clock import Clock
from hamon.ports.store import (
    AccessRule,
    CreateNode,
    Node,
    SessionState,
    StoreOperation,
    WatchCallback,
)
from hamon.sim.tree import Caller, ChangeKind, Tree, TreeChange

T = TypeVar("T")


class Link(Enum):
    """How a client is joined to the ensemble."""

    WHOLE = auto()
    CUT = auto()
    FROZEN = auto()


class Loss(Enum):
    """What gets lost of the next change."""

    REQUEST = auto()
    REPLY = auto()


class Server(Protocol):
    """What a session needs of its ensemble (``hamon.sim.zookeeper`` has it)."""

    @property
    def clock(self) -> Clock:
        """Whose time sessions expire on."""

    @property
    def session_timeout_s(self) -> float:
        """Granted to every session."""

    @property
    def tree(self) -> Tree:
        """All znodes."""

    @property
    def has_quorum(self) -> bool:
        """Whether it serves anybody."""

    def open_session(self, client: InMemoryStore) -> int:
        """Begin a session; return its id."""

    def resume_session(self, session_id: int, client: InMemoryStore) -> bool:
        """Hear a session's client again; False when the session has ended."""

    def begin_silence(self, session_id: int) -> None:
        """Hear a session's client no more: the session ends after its time-out."""

    def end_session(self, session_id: int) -> None:
        """Remove the session and its ephemerals."""

    def forget(self, client: InMemoryStore) -> None:
        """Let go of a client that does not come back."""

    def tell(self, changes: Iterable[TreeChange]) -> None:
        """Fire the watches that these changes touch."""

    def run(self, coroutine: Coroutine[object, object, None]) -> None:
        """Do something later, on the clock's time."""


class InMemoryStore:
    """A session with the ensemble in memory; see ``ports.Store`` for the contract."""

    def __init__(self, server: Server, digests: frozenset[str]) -> None:
        self._server = server
        self._digests = digests
        self._state = SessionState.LOST
        self._session_id = 0
        self._link = Link.WHOLE
        self._is_closed = False
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._loss: Loss | None = None
        self._callbacks: list[Callable[[SessionState], None]] = []
        self._data_watches: dict[str, list[WatchCallback]] = {}
        self._list_watches: dict[str, list[WatchCallback]] = {}
        self._late: list[tuple[WatchCallback, str]] = []

    # -- the port -------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """The session's state."""
        return self._state

    @property
    def session_id(self) -> int:
        """Id of the present session, 0 when there is none."""
        return self._session_id

    @property
    def session_timeout_s(self) -> float:
        """The session time-out the server granted."""
        return self._server.session_timeout_s

    def on_state(self, callback: Callable[[SessionState], None]) -> None:
        """Have ``callback`` called at each change of the session's state."""
        self._callbacks.append(callback)

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """Read a znode."""

        def read() -> Node:
            node = self._server.tree.get(path, self._caller())
            _leave(self._data_watches, path, watch)
            return node

        return await self._ask("get", path, read)

    async def exists(self, path: str, watch: WatchCallback | None = None) -> bool:
        """Say whether the znode exists."""

        def read() -> bool:
            _leave(self._data_watches, path, watch)
            return self._server.tree.exists(path)

        return await self._ask("exists", path, read)

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """List the names below a znode, sorted."""

        def read() -> tuple[str, ...]:
            names = self._server.tree.children(path, self._caller())
            _leave(self._list_watches, path, watch)
            return names

        return await self._ask("children", path, read)

    async def access(self, path: str) -> tuple[AccessRule, ...]:
        """Read who may do what with a znode."""
        return await self._ask(
            "access", path, lambda: self._server.tree.access(path, self._caller())
        )

    async def create_sequential(
        self, prefix: str, data: bytes, access: tuple[AccessRule, ...], *, is_ephemeral: bool
    ) -> str:
        """Make a znode named ``prefix`` plus a growing 10-digit counter."""

        def create() -> str:
            path = self._server.tree.next_in_sequence(prefix)
            operation = CreateNode(path=path, data=data, access=access, is_ephemeral=is_ephemeral)
            self._server.tell(self._server.tree.commit([operation], self._caller()))
            return path

        return await self._ask("create", prefix, create, is_change=True)

    async def commit(self, operations: Sequence[StoreOperation]) -> None:
        """Do all of ``operations`` or none."""
        subject = operations[0].path if operations else "/"
        await self._ask(
            "commit",
            subject,
            lambda: self._server.tell(self._server.tree.commit(operations, self._caller())),
            is_change=True,
        )

    async def close(self) -> None:
        """End the session at once; behind a cut connection it ends by its time-out."""
        if not self._is_closed:
            session_id = self._session_id
            is_heard = self._state is SessionState.CONNECTED and self._link is Link.WHOLE
            self._vanish()
            if is_heard:
                self._server.end_session(session_id)

    async def detach(self) -> None:
        """Disconnect and leave the session to a successor, until it expires. Idempotent."""
        self._vanish()

    # -- what a test or the simulator does to it ------------------------------------------------

    def die(self) -> None:
        """Kill the process: nothing of it is heard again, the session ends by its time-out."""
        self._callbacks.clear()
        self._vanish()

    def cut(self) -> None:
        """Cut the connection without a word; the client doubts it after half the time-out."""
        self._link = Link.CUT
        self._server.begin_silence(self._session_id)
        self._server.run(self._doubt_later(self._session_id))

    def heal(self) -> None:
        """Join it again. A client that noticed nothing goes on as if nothing had been."""
        self._link = Link.WHOLE
        if self._state is SessionState.CONNECTED and self._server.resume_session(
            self._session_id, self
        ):
            self._deliver_late()
        else:
            self.lose_connection()
            self.reconnect()

    def freeze(self) -> None:
        """Stop the process: it sends and notices nothing, and believes what it believed."""
        self._link = Link.FROZEN
        self._thawed.clear()
        self._server.begin_silence(self._session_id)

    def thaw(self) -> None:
        """Let the process go on: it learns what it missed."""
        self._thawed.set()
        if self._server.has_quorum:
            self.heal()
        else:
            self._link = Link.WHOLE
            self.lose_connection()

    def break_connection(self) -> None:
        """Break the connection; the client comes back at once."""
        self.lose_connection()
        self.reconnect()

    def lose_next(self, loss: Loss) -> None:
        """Lose the request or the reply of the next change; the connection breaks with it."""
        self._loss = loss

    # -- for the ensemble -----------------------------------------------------------------------

    @property
    def is_joined(self) -> bool:
        """Whether nothing stands between the client and the ensemble."""
        return self._link is Link.WHOLE

    def begin(self, resume: int) -> None:
        """Open the session, or go on with a former one, if there is a quorum."""
        if self._server.has_quorum:
            self._session_id = resume
            self._join()

    def lose_connection(self) -> None:
        """Be told that the connection broke, unless the process is in no state to notice."""
        if self._link is not Link.FROZEN and self._state is SessionState.CONNECTED:
            self._enter(SessionState.SUSPENDED)

    def reconnect(self) -> None:
        """Come back at the loop's next turn, if the way is free."""
        asyncio.get_running_loop().call_soon(self._join)

    def notice(self, change: TreeChange) -> None:
        """Fire the watches that a change touches; behind a broken line they are late."""
        parent = change.path.rpartition("/")[0] or "/"
        fired = self._data_watches.pop(change.path, [])
        if change.kind is ChangeKind.DELETED:
            fired += self._list_watches.pop(change.path, [])
        self._late += [(watch, change.path) for watch in fired]
        if change.kind is not ChangeKind.CHANGED:
            self._late += [(watch, parent) for watch in self._list_watches.pop(parent, [])]
        if self._link is Link.WHOLE:
            self._deliver_late()

    # -- inside ---------------------------------------------------------------------------------

    async def _ask(
        self, operation: str, path: str, act: Callable[[], T], *, is_change: bool = False
    ) -> T:
        self._refuse_unless_connected(operation, path)
        await self._turn()
        lost = StoreUnavailableError(
            "store",
            operation,
            path,
            Outcome.UNKNOWN if is_change else Outcome.NOT_DONE,
            "no answer",
        )
        if self._link is Link.CUT:
            await self._server.clock.sleep(self.session_timeout_s / 2)
            # Mended meanwhile: the client gives this connection up and comes back.
            self.break_connection()
            raise lost
        if self._state is not SessionState.CONNECTED:
            raise lost
        loss, self._loss = (self._loss, None) if is_change else (None, self._loss)
        if loss is Loss.REQUEST:
            self.break_connection()
            raise lost
        answer = act()
        if loss is Loss.REPLY:
            self.break_connection()
            raise lost
        await self._turn()
        return answer

    async def _turn(self) -> None:
        """Let the request or the answer travel; a stopped process waits until it goes on."""
        await asyncio.sleep(0)
        await self._thawed.wait()

    async def _doubt_later(self, session_id: int) -> None:
        await self._server.clock.sleep(self.session_timeout_s / 2)
        if self._link is Link.CUT and self._session_id == session_id:
            self.lose_connection()

    def _join(self) -> None:
        """Go on with the session if it lives, else tell LOST and open a new one next."""
        is_free = self._server.has_quorum and self._link is Link.WHOLE and not self._is_closed
        if not is_free or self._state is SessionState.CONNECTED:
            return
        if self._session_id and not self._server.resume_session(self._session_id, self):
            self._session_id = 0
            if self._state is SessionState.SUSPENDED:
                self._enter(SessionState.LOST)
                self.reconnect()
                return
        self._session_id = self._session_id or self._server.open_session(self)
        self._enter(SessionState.CONNECTED)

    def _vanish(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._server.forget(self)
        self._server.begin_silence(self._session_id)
        self._session_id = 0
        self._enter(SessionState.LOST)

    def _enter(self, state: SessionState) -> None:
        self._data_watches.clear()
        self._list_watches.clear()
        self._late.clear()
        if state is self._state:
            return
        self._state = state
        for callback in tuple(self._callbacks):
            callback(state)

    def _deliver_late(self) -> None:
        loop = asyncio.get_running_loop()
        for watch, path in self._late:
            loop.call_soon(watch, path)
        self._late.clear()

    def _caller(self) -> Caller:
        return Caller(digests=self._digests, session_id=self._session_id)

    def _refuse_unless_connected(self, operation: str, path: str) -> None:
        if self._state is SessionState.LOST:
            why = "there is no session"
            raise SessionLostError("store", operation, path, Outcome.NOT_DONE, why)
        if self._state is SessionState.SUSPENDED:
            why = "not connected"
            raise StoreUnavailableError("store", operation, path, Outcome.NOT_DONE, why)


def _leave(watches: dict[str, list[WatchCallback]], path: str, watch: WatchCallback | None) -> None:
    if watch is not None:
        watches.setdefault(path, []).append(watch)
