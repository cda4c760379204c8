"""ZooKeeper in memory: an ensemble and its sessions, deterministic, with the faults that matter.

Passes the same contract tests as the real adapter. Time is the injected clock's, and everything
happens on one event loop. One difference is on purpose: a connected session is touched without
gaps, so it expires only after its connection was cut or its process was frozen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from hamon.ports.clock import Clock
from hamon.ports.store import AccessRule
from hamon.sim.store import InMemoryStore
from hamon.sim.tree import EVERYONE, Tree, TreeChange


@dataclass(slots=True)
class _Session:
    """A session as the ensemble keeps it.

    ``silence`` changes whenever the ensemble begins or ceases to hear the client: it tells a timer
    that still counts from one that does not.
    """

    client: InMemoryStore | None
    silence: int = 0


class InMemoryZooKeeper:
    """The ensemble: one tree, sessions that expire, and switches for its bad days.

    Args:
        clock: whose time sessions expire on.
        session_timeout_s: granted to every session.
        root_access: rules of the root znode; by default it is the world's, as a new ensemble's.
    """

    def __init__(
        self, clock: Clock, session_timeout_s: float, root_access: tuple[AccessRule, ...] = EVERYONE
    ) -> None:
        self.clock = clock
        self.session_timeout_s = session_timeout_s
        self.tree = Tree(root_access)
        self.has_quorum = True
        self._sessions: dict[int, _Session] = {}
        self._clients: list[InMemoryStore] = []
        self._last_session_id = 0x100
        self._timers: set[asyncio.Task[None]] = set()

    def connect(self, *digests: str, resume: int = 0) -> InMemoryStore:
        """Give a client with these identities (``coordination.access.digest_of``).

        It is connected at once, or as soon as there is a quorum. ``resume``: a session that another
        client left; the new one goes on with it if it still lives.
        """
        client = InMemoryStore(self, frozenset(digests))
        self.admit(client, resume)
        return client

    def admit(self, client: InMemoryStore, resume: int = 0) -> None:
        """Serve a client that somebody else made."""
        self._clients.append(client)
        client.begin(resume)

    def lose_quorum(self) -> None:
        """Serve nobody: every client is suspended, and no session expires."""
        self.has_quorum = False
        for session in self._sessions.values():
            session.silence += 1
        for client in tuple(self._clients):
            if client.is_joined:
                client.lose_connection()

    def regain_quorum(self) -> None:
        """Serve again. Every session has its full time-out anew, as after a change of leader."""
        self.has_quorum = True
        for session_id in tuple(self._sessions):
            self.begin_silence(session_id)
        for client in tuple(self._clients):
            client.reconnect()

    def expire_all(self) -> None:
        """End every session at once."""
        for session_id in tuple(self._sessions):
            self.expire(session_id)

    def expire(self, session_id: int) -> None:
        """End a session: its ephemerals go, and a client that is connected gets a new one."""
        session = self._sessions.get(session_id)
        self.end_session(session_id)
        client = None if session is None else session.client
        if client is not None and client.is_joined:
            client.break_connection()

    def stop(self) -> None:
        """Cancel what still waits for a time, so that the loop can end."""
        for timer in tuple(self._timers):
            timer.cancel()

    # -- for the clients ------------------------------------------------------------------------

    def open_session(self, client: InMemoryStore) -> int:
        """Begin a session; return its id."""
        self._last_session_id += 1
        self._sessions[self._last_session_id] = _Session(client)
        return self._last_session_id

    def resume_session(self, session_id: int, client: InMemoryStore) -> bool:
        """Hear a session's client again; False when the session has ended."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        session.client = client
        session.silence += 1
        return True

    def begin_silence(self, session_id: int) -> None:
        """Hear a session's client no more: the session ends after its time-out."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.silence += 1
            self.run(self._expire_later(session_id, session, session.silence))

    def end_session(self, session_id: int) -> None:
        """Remove the session and its ephemerals."""
        if self._sessions.pop(session_id, None) is not None:
            self.tell(self.tree.remove_ephemerals(session_id))

    def forget(self, client: InMemoryStore) -> None:
        """Let go of a client that does not come back."""
        self._clients.remove(client)

    def tell(self, changes: Iterable[TreeChange]) -> None:
        """Fire the watches that these changes touch."""
        for change in changes:
            for client in tuple(self._clients):
                client.notice(change)

    def run(self, coroutine: Coroutine[object, object, None]) -> None:
        """Do something later, on the clock's time."""
        timer = asyncio.get_running_loop().create_task(coroutine)
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _expire_later(self, session_id: int, session: _Session, silence: int) -> None:
        await self.clock.sleep(self.session_timeout_s)
        if session.silence == silence:
            self.expire(session_id)
