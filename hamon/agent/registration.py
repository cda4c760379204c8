"""Registering this boot of the host and staying registered (docs/protocol.md 1).

Plain async code over ports, so that the simulator runs it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hamon.agent.events import EventLog
from hamon.agent.wake import Wake
from hamon.coordination.access import Identities, access_for
from hamon.coordination.codec import decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import (
    AccessDeniedError,
    NodeMissingError,
    StoreError,
    UnreadableNodeError,
)
from hamon.model.host import Heartbeat, HostGuard, HostSelf, Leaving, Right, WatchdogFacts
from hamon.model.names import BootId, HostName, IncidentId
from hamon.ports.clock import Clock
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    SessionState,
    SetData,
    Store,
    StoreOperation,
)

PERIOD_S = 2.0
"""How often the registration is looked at without any sign that it changed."""

RETRY_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paths:
    guard: str
    self_: str
    heartbeat: str


class Registration:
    """Keeps ``self`` and ``alive/hb`` of this boot in ZooKeeper.

    Args:
        store: the session whose ephemeral is the heartbeat.
        clock: for pauses.
        log: told of every change.
        host: its name.
        facts: what to say of this host; ``leaving`` is set through :meth:`announce`.
        identities: digests of the controllers and of this host.
        former_session: session id that a former process of this host left behind, 0: none.
        is_guarded: leave it to :class:`hamon.agent.guarded_heartbeat.GuardedHeartbeat` to write
            what has changed of ``facts``.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: EventLog,
        host: HostName,
        facts: HostSelf,
        identities: Identities,
        former_session: int = 0,
        is_guarded: bool = False,
    ) -> None:
        self._store = store
        self._log = log
        self._facts = facts
        self._identities = identities
        self._own_sessions = {former_session} - {0}
        self._registered_session = 0
        self._is_guarded = is_guarded
        self._told = ""
        self._wake = Wake(clock)
        self._paths = _Paths(
            guard=to_path(Place(kind=PlaceKind.GUARD, host=host)),
            self_=to_path(Place(kind=PlaceKind.SELF, host=host)),
            heartbeat=to_path(Place(kind=PlaceKind.HEARTBEAT, host=host)),
        )
        store.on_state(self._on_state)

    @property
    def is_registered(self) -> bool:
        """Whether the heartbeat of the present session was seen in place."""
        return (
            self._store.state is SessionState.CONNECTED
            and self._registered_session != 0
            and self._registered_session == self._store.session_id
        )

    @property
    def facts(self) -> HostSelf:
        """What is to be said of this host."""
        return self._facts

    def say_watchdog(self, watchdog: WatchdogFacts | None) -> None:
        """Have a watchdog said of this host, or none any more."""
        self._facts = replace(self._facts, watchdog=watchdog)

    def announce(self, leaving: Leaving | None) -> None:
        """Say that the host goes, or that it stays after all; written at the next step."""
        if leaving is not self._facts.leaving:
            self._facts = replace(self._facts, leaving=leaving)
            self._wake.set()

    async def run(self) -> None:
        """Stay registered until cancelled.

        Raises:
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        while True:
            await self.rest(await self.step())

    async def rest(self, duration_s: float) -> None:
        """Return after a while, or sooner when there may be something to do."""
        await self._wake.wait(duration_s)

    async def step(self) -> float:
        """Do what is missing now; return after how many seconds to look again.

        Raises:
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        if self._store.state is not SessionState.CONNECTED:
            return PERIOD_S
        session = self._store.session_id
        try:
            return await self._step(session)
        except AccessDeniedError:
            # The store does not come back from this by itself: a new process tries again.
            raise
        except UnreadableNodeError as error:
            # safety: nobody can say whether this boot may live; unregistered is the careful side.
            self._tell("registration_held", why=str(error))
            return PERIOD_S
        except StoreError as error:
            # Conflicts and unknown outcomes alike: look again.
            self._tell("registration_delayed", why=error.why)
            return RETRY_S

    async def _step(self, session: int) -> float:
        heartbeat = await self._heartbeat()
        if heartbeat is not None and heartbeat.owner == session:
            self._own_sessions.add(session)
            if self._registered_session != session:
                self._registered_session = session
                self._tell("host_registered", session=hex(session))
            if not self._is_guarded:
                await self._renew_facts()
            return PERIOD_S
        self._registered_session = 0
        guard = await self._store.get(self._paths.guard)
        incident = shut_out_by(guard, self._facts.boot_id)
        if incident is not None:
            # This boot was convicted; what it says no longer counts until the host has rebooted.
            self._tell("registration_shut_out", incident=incident)
            return PERIOD_S
        operations = self._removal(heartbeat)
        if operations is None:
            self._tell("registration_waits", why="a heartbeat of another session has to expire")
            return RETRY_S
        await self._register(guard, operations)
        return 0.0

    def _removal(self, heartbeat: Node | None) -> list[StoreOperation] | None:
        """Say how to make room for the heartbeat; None: it is not ours to remove."""
        if heartbeat is None:
            return []
        if heartbeat.owner in self._own_sessions:
            return [DeleteNode(path=self._paths.heartbeat, version=heartbeat.version)]
        return None

    async def _register(self, guard: Node, removal: list[StoreOperation]) -> None:
        own = await self._store.get(self._paths.self_)
        create = CreateNode(
            path=self._paths.heartbeat,
            data=encode(self._paths.heartbeat, Heartbeat(boot_id=self._facts.boot_id)),
            access=access_for(self._paths.heartbeat, self._identities),
            is_ephemeral=True,
        )
        facts = encode(self._paths.self_, self._facts)
        await self._store.commit(
            [
                CheckVersion(path=self._paths.guard, version=guard.version),
                SetData(path=self._paths.self_, data=facts, version=own.version),
                *removal,
                create,
            ]
        )

    async def _renew_facts(self) -> None:
        """Write ``self`` anew when what it says has changed."""
        renewal = await self.renewal()
        if renewal:
            await self._store.commit(renewal)
            self.tell_renewed()

    async def renewal(self) -> tuple[StoreOperation, ...]:
        """Read ``self``; return what brings it up to date, nothing if it is."""
        own = await self._store.get(self._paths.self_)
        data = encode(self._paths.self_, self._facts)
        if own.data == data:
            return ()
        return (SetData(path=self._paths.self_, data=data, version=own.version),)

    def tell_renewed(self) -> None:
        """Log what is said of this host now."""
        facts = self._facts
        self._tell(
            "host_facts_renewed", leaving=facts.leaving, has_watchdog=facts.watchdog is not None
        )

    async def _heartbeat(self) -> Node | None:
        try:
            return await self._store.get(self._paths.heartbeat)
        except NodeMissingError:
            return None

    def _on_state(self, state: SessionState) -> None:
        if state is not SessionState.CONNECTED:
            self._registered_session = 0
        self._wake.set()

    def _tell(self, event: str, **facts: object) -> None:
        """Log an event unless it is the one that was logged last."""
        line = f"{event} {facts}"
        if line != self._told:
            self._told = line
            self._log.info(event, **facts)


def shut_out_by(guard: Node, boot_id: BootId) -> IncidentId | str | None:
    """Say which incident shut this boot out, "" when the guard does not say; None: it may live.

    A boot may live while another one of its host is shut out: that is how a host returns.

    Raises:
        UnreadableNodeError: nobody can say.
    """
    value = decode(guard.path, guard.data)
    if not isinstance(value, HostGuard):
        raise UnreadableNodeError(guard.path, "it is empty")
    if value.right is Right.SHUT_OUT and value.boot_id == boot_id:
        return value.incident or ""
    return None
