"""The store on a real ZooKeeper ensemble: ``ports.Store`` over kazoo, safe to rest decisions on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, assert_never

from kazoo import exceptions as kz
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent

from hamon.coordination.connection import StoreClient
from hamon.coordination.session import SessionCredentials, StoreSettings
from hamon.coordination.translation import to_acls, to_rule, translated
from hamon.errors import (
    AccessDeniedError,
    ConfigError,
    NodeExistsError,
    NodeMissingError,
    Outcome,
    SessionLostError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)
from hamon.ports.store import (
    AccessRule,
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    SessionState,
    SetData,
    StoreOperation,
    WatchCallback,
)

T = TypeVar("T")

Called = Callable[[str, str, float], None]
"""Told of each call that ended: operation, outcome, seconds it took."""

_ANSWERED = (AccessDeniedError, NodeExistsError, NodeMissingError, WriteConflictError)


class ZooKeeperStore:
    """A session with ZooKeeper below one chroot; see ``ports.Store`` for the contract.

    Make and use it on one event loop; kazoo's threads only hand over to it.
    Ends itself (LOST for good) when the identity is refused or the server grants another session
    time-out than asked for: the arithmetic of detection would no longer hold.
    """

    def __init__(self, settings: StoreSettings, on_call: Called = lambda *_: None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            settings: where and as whom.
            on_call: told of each call that ended, for metrics.

        Raises:
            ConfigError: a file of TLS cannot be used.
        """
        self._settings = settings
        self._on_call = on_call
        self._loop = asyncio.get_running_loop()
        self._call_timeout_s = settings.call_timeout_s or settings.session_timeout_s / 2
        self._state = SessionState.LOST
        self._session = SessionCredentials(session_id=0, password=b"")
        self._callbacks: list[Callable[[SessionState], None]] = []
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._refused = ""
        self._is_closed = False
        resume = settings.resume
        self._client = StoreClient(
            hosts=",".join(settings.servers) + settings.chroot.rstrip("/"),
            timeout_s=settings.session_timeout_s,
            auth=f"{settings.user}:{settings.password}" if settings.user else None,
            tls=settings.tls,
            session=(resume.session_id, resume.password) if resume else None,
            on_connected=self._hand_over_connected,
        )
        self._client.add_listener(self._hand_over_state)

    async def start(self, timeout_s: float | None = None) -> None:
        """Connect, and check that this is the ensemble and the chroot that was meant.

        Args:
            timeout_s: give up after this long; None: wait until a server answers.

        Raises:
            StoreUnavailableError: no server answered in time.
            ConfigError: another session time-out was granted, or the chroot does not exist.
            AccessDeniedError: the server refused the identity.
        """
        try:
            self._client.start_async()
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._started)
            await self._verify_chroot()
        except TimeoutError:
            await self.close()
            why = f"no server of {', '.join(self._settings.servers)} answered in {timeout_s} s"
            raise StoreUnavailableError("store", "start", "/", Outcome.NOT_DONE, why) from None
        except BaseException:
            await self.close()
            raise

    async def _verify_chroot(self) -> None:
        if not await self.exists("/"):
            why = f"{self._settings.chroot} does not exist; run `hamon bootstrap`"
            raise ConfigError("zookeeper", "chroot", why)

    @property
    def state(self) -> SessionState:
        """The session's state."""
        return self._state

    @property
    def session_id(self) -> int:
        """Id of the present session, 0 when there is none."""
        return self._session.session_id

    @property
    def session_timeout_s(self) -> float:
        """The session time-out; another one is never accepted."""
        return self._settings.session_timeout_s

    @property
    def credentials(self) -> SessionCredentials:
        """What a successor of this process needs to go on with the session."""
        return self._session

    @property
    def is_resumed(self) -> bool:
        """Whether the present session is the one that was to be resumed."""
        resume = self._settings.resume
        return resume is not None and resume.session_id == self._session.session_id

    def on_state(self, callback: Callable[[SessionState], None]) -> None:
        """Have ``callback`` called at each change of the session's state."""
        self._callbacks.append(callback)

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:
        """Read a znode."""
        data, stat = await self._read(
            "get", path, lambda: self._client.get_async(path, self._watcher(watch))
        )
        return Node(
            path=path,
            data=data,
            version=stat.version,
            created_zxid=stat.czxid,
            owner=stat.ephemeralOwner,
        )

    async def exists(self, path: str, watch: WatchCallback | None = None) -> bool:
        """Say whether the znode exists."""
        stat = await self._read(
            "exists", path, lambda: self._client.exists_async(path, self._watcher(watch))
        )
        return stat is not None

    async def children(self, path: str, watch: WatchCallback | None = None) -> tuple[str, ...]:
        """List the names below a znode, sorted."""
        names = await self._read(
            "children", path, lambda: self._client.get_children_async(path, self._watcher(watch))
        )
        return tuple(sorted(names))

    async def access(self, path: str) -> tuple[AccessRule, ...]:
        """Read who may do what with a znode."""
        acls, _ = await self._read("access", path, lambda: self._client.get_acls_async(path))
        return tuple(sorted((to_rule(acl) for acl in acls), key=lambda rule: rule.identity))

    async def create_sequential(
        self, prefix: str, data: bytes, access: tuple[AccessRule, ...], *, is_ephemeral: bool
    ) -> str:
        """Make a znode named ``prefix`` plus a growing 10-digit counter."""
        with self._telling("create"):
            return await self._ask(
                "create",
                prefix,
                lambda: self._client.create_async(
                    prefix, data, to_acls(access), ephemeral=is_ephemeral, sequence=True
                ),
                Outcome.UNKNOWN,
            )

    async def commit(self, operations: Sequence[StoreOperation]) -> None:
        """Do all of ``operations`` or none."""
        with self._telling("commit"):
            await self._commit(operations)

    async def _commit(self, operations: Sequence[StoreOperation]) -> None:
        transaction = self._client.transaction()
        for operation in operations:
            match operation:
                case CheckVersion(path=path, version=version):
                    transaction.check(path, _exact(version))
                case CreateNode(path=path, data=data, access=access, is_ephemeral=is_ephemeral):
                    transaction.create(path, data, to_acls(access), ephemeral=is_ephemeral)
                case SetData(path=path, data=data, version=version):
                    transaction.set_data(path, data, _exact(version))
                case DeleteNode(path=path, version=version):
                    transaction.delete(path, _exact(version))
                case _:
                    assert_never(operation)
        subject = operations[0].path if operations else "/"
        results = await self._ask("commit", subject, transaction.commit_async, Outcome.UNKNOWN)
        # kazoo returns errors instead of raising them. The root cause is the one that is neither
        # "rolled back because of a later one" nor "not tried because of an earlier one".
        for operation, result in zip(operations, results, strict=True):
            match result:
                case kz.RolledBackError() | kz.RuntimeInconsistency():
                    continue
                case Exception():
                    raise translated(result, "commit", operation.path, Outcome.NOT_DONE)
                case _:
                    continue
        if any(isinstance(result, Exception) for result in results):
            why = "refused without a reason"
            raise StoreError("store", "commit", subject, Outcome.NOT_DONE, why)

    async def close(self) -> None:
        """End the session at once; waits at most one call's deadline for the server's answer."""
        await self._stop(self._client.stop)

    async def detach(self) -> None:
        """Disconnect and leave the session to a successor (see :attr:`credentials`).

        Idempotent; never raises. The session expires if nobody resumes it in time.
        """
        await self._stop(self._client.leave_session)

    async def _stop(self, stop: Callable[[], None]) -> None:
        if self._is_closed:
            return
        done = self._begin_stop(stop)
        try:
            async with asyncio.timeout(self._call_timeout_s):
                await done.wait()
        except TimeoutError:
            self._client.drop_connection()

    def _begin_stop(self, stop: Callable[[], None]) -> asyncio.Event:
        """Have kazoo stop in a thread of its own: it may take longer than anybody can wait."""
        self._is_closed = True
        self._enter(SessionState.LOST)
        done = asyncio.Event()

        def run() -> None:
            try:
                stop()
                self._client.close()
            finally:
                self._hand_over(done.set)

        threading.Thread(target=run, name="zookeeper-stop", daemon=True).start()
        return done

    # -- one call -------------------------------------------------------------------------------

    async def _read(self, operation: str, path: str, send: Callable[[], IAsyncResult[T]]) -> T:
        with self._telling(operation):
            return await self._ask(operation, path, send, Outcome.NOT_DONE)

    @contextlib.contextmanager
    def _telling(self, operation: str) -> Iterator[None]:
        """Tell what becomes of a call."""
        began_s = self._loop.time()
        outcome = str(Outcome.UNKNOWN)
        try:
            yield
            outcome = "ok"
        except _ANSWERED:
            outcome = "refused"
            raise
        except StoreError as error:
            outcome = error.outcome
            raise
        finally:
            self._on_call(operation, outcome, self._loop.time() - began_s)

    async def _ask(
        self,
        operation: str,
        path: str,
        send: Callable[[], IAsyncResult[T]],
        outcome_if_unanswered: Outcome,
    ) -> T:
        self._refuse_unless_connected(operation, path)
        answer: asyncio.Future[T] = self._loop.create_future()
        send().rawlink(lambda result: self._hand_over(_settle, answer, result))
        try:
            async with asyncio.timeout(self._call_timeout_s):
                return await answer
        except TimeoutError:
            # kazoo itself would not doubt the connection while requests keep it busy.
            self._client.drop_connection()
            why = f"no answer within {self._call_timeout_s:g} s"
            raise StoreUnavailableError(
                "store", operation, path, outcome_if_unanswered, why
            ) from None
        except kz.KazooException as error:
            raise translated(error, operation, path, outcome_if_unanswered) from error

    def _refuse_unless_connected(self, operation: str, path: str) -> None:
        if self._refused:
            why = self._refused
            raise AccessDeniedError("store", operation, path, Outcome.NOT_DONE, why)
        match self._state:
            case SessionState.CONNECTED:
                return
            case SessionState.SUSPENDED:
                why = "not connected"
                raise StoreUnavailableError("store", operation, path, Outcome.NOT_DONE, why)
            case SessionState.LOST:
                why = "there is no session"
                raise SessionLostError("store", operation, path, Outcome.NOT_DONE, why)
            case _:
                assert_never(self._state)

    # -- from kazoo's threads to the loop -------------------------------------------------------

    def _hand_over(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to tell.
            return

    def _hand_over_state(self, state: str) -> None:
        if state == KazooState.SUSPENDED:
            self._hand_over(self._enter, SessionState.SUSPENDED)
        elif self._client.client_state == KeeperState.AUTH_FAILED:
            self._hand_over(self._refuse, None, "the server refused the identity")
        elif state == KazooState.LOST:
            self._hand_over(self._enter, SessionState.LOST)
        # CONNECTED is told by the connection itself, once it has authenticated.

    def _hand_over_connected(self, negotiated_s: float) -> None:
        client_id = self._client.client_id
        if client_id is not None:
            session = SessionCredentials(session_id=client_id[0], password=client_id[1])
            self._hand_over(self._enter_connected, negotiated_s, session)

    def _watcher(self, watch: WatchCallback | None) -> Callable[[WatchedEvent], None] | None:
        if watch is None:
            return None

        def fire(event: WatchedEvent) -> None:
            # The other type says that the connection went; on_state tells that.
            if event.type != EventType.NONE:
                self._hand_over(watch, event.path)

        return fire

    # -- on the loop ----------------------------------------------------------------------------

    def _enter_connected(self, negotiated_s: float, session: SessionCredentials) -> None:
        asked_s = self._settings.session_timeout_s
        if negotiated_s != asked_s:
            why = (
                f"asked for {asked_s:g} s, the server grants {negotiated_s:g} s: it must lie "
                f"between 2 and 20 times the server's tickTime"
            )
            self._refuse(ConfigError("zookeeper", "session_timeout_s", why), why)
            return
        if self._state is SessionState.SUSPENDED and session.session_id != self._session.session_id:
            # A server that starts a new session without saying that the old one has expired.
            self._enter(SessionState.LOST)
        self._session = session
        self._enter(SessionState.CONNECTED)
        if not self._started.done():
            self._started.set_result(None)

    def _refuse(self, error: ConfigError | None, why: str) -> None:
        if self._is_closed:
            return
        self._refused = why
        # Else kazoo would go on keeping the ephemerals of a session that nobody uses.
        self._begin_stop(self._client.stop)
        if not self._started.done():
            denied = AccessDeniedError("store", "start", "/", Outcome.NOT_DONE, why)
            self._started.set_exception(error or denied)

    def _enter(self, state: SessionState) -> None:
        is_over = self._is_closed or self._refused
        if state is self._state or (is_over and state is not SessionState.LOST):
            return
        self._state = state
        if state is SessionState.LOST:
            self._session = SessionCredentials(session_id=0, password=b"")
        for callback in tuple(self._callbacks):
            callback(state)


def _settle(answer: asyncio.Future[T], result: IAsyncResult[T]) -> None:
    """Give the caller what kazoo got, unless it no longer waits."""
    if answer.done():
        return
    if result.exception is not None:
        answer.set_exception(result.exception)
    else:
        answer.set_result(result.get_nowait())


def _exact(version: int) -> int:
    """Refuse what ZooKeeper takes for "any version"."""
    if version < 0:
        raise ValueError(f"{version} is not a version")
    return version
