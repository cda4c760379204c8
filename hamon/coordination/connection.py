"""kazoo made fit for high availability: bounded connecting, fast doubt, nothing queued.

Each class overrides one thing of kazoo's that is unsafe here. Everything in this module runs on
kazoo's threads. ``override`` of the typing module comes with Python 3.12: hence the ignores.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.states import KeeperState
from kazoo.retry import KazooRetry

from hamon.coordination.session import TlsFiles
from hamon.errors import ConfigError

# kazoo logs the session's password and, at DEBUG, the identity's.
_LOG = logging.getLogger("hamon.zookeeper")
_LOG.setLevel(logging.WARNING)

CONNECT_TIMEOUT_MAX_S = 1.0
RETRY_DELAY_S = 0.1
RETRY_DELAY_MAX_S = 1.0


class NotSentError(KazooException):
    """There is no connection: the request was never sent."""


class BoundedHandler(SequentialThreadingHandler):
    """Gives up early on a server that does not answer, so that the next one is tried in time.

    kazoo waits a whole session time-out for each server: one that swallows packets costs the
    session.
    """

    def __init__(
        self, connect_timeout_s: float, silence_max_s: float, tls: TlsFiles | None
    ) -> None:
        super().__init__()
        self._connect_timeout_s = connect_timeout_s
        self._silence_max_s = silence_max_s
        self._tls = tls
        # Now, so that files that cannot be used are told at the start.
        self._context = tls.context() if tls is not None else None

    def create_connection(  # type: ignore[explicit-override]
        self,
        *args: Any,  # noqa: ANN401 - handed on as they come
        **kwargs: Any,  # noqa: ANN401
    ) -> socket.socket:
        """Connect within this handler's time-out instead of the one asked for."""
        kwargs["timeout"] = self._connect_timeout_s
        connection = super().create_connection(*args, **kwargs)
        milliseconds = int(self._silence_max_s * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return connection if self._tls is None else self._secured(connection, kwargs["hostname"])

    def select(  # type: ignore[explicit-override]
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait for sockets; what TLS has decrypted already is there at once.

        kazoo's loop asks the kernel, which knows nothing of it: an answer that came in one piece
        with another would lie there until something else arrives.
        """
        decrypted = [each for each in rlist if isinstance(each, ssl.SSLSocket) and each.pending()]
        if decrypted:
            return decrypted, [], []
        ready: tuple[list[Any], list[Any], list[Any]] = super().select(rlist, wlist, xlist, timeout)
        return ready

    def _secured(self, connection: socket.socket, server: str) -> ssl.SSLSocket:
        """Encrypt a connection, with files that may have been rotated since the last one."""
        assert self._tls is not None
        try:
            self._context = self._tls.context()
        except ConfigError as error:
            _LOG.warning("the last files for TLS that could be used are used: %s", error)
        assert self._context is not None
        before_s = connection.gettimeout()
        connection.settimeout(self._connect_timeout_s)
        secured = self._context.wrap_socket(connection, server_hostname=server)
        secured.settimeout(before_s)
        return secured


class DoubtingConnection(ConnectionHandler):
    """Doubts a silent connection after half the session time-out, and tells what was negotiated."""

    client: StoreClient

    def _connect(  # type: ignore[explicit-override]
        self, host: str, hostip: str, port: int
    ) -> tuple[float, float]:
        read_timeout_ms, connect_timeout_ms = super()._connect(host, hostip, port)
        # kazoo keeps the negotiated time-out in a local variable and returns shares of it.
        negotiated_ms = connect_timeout_ms * len(self.client.hosts)
        self.client.connection_made(negotiated_ms / 1000)
        return min(read_timeout_ms, negotiated_ms / 2), connect_timeout_ms

    def _invoke(  # type: ignore[explicit-override]
        self, timeout: float, request: object, xid: int | None = None
    ) -> object:
        # A stopped server's kernel still takes connections. Where a session is at stake, do not
        # wait long for its answer; a new session may take a commit.
        if self.client.has_session:
            timeout = min(timeout, self.client.answer_timeout_s)
        return super()._invoke(timeout, request, xid)


class StoreClient(KazooClient):
    """A kazoo client that refuses requests while it is not connected, and never waits an hour.

    Args:
        hosts: ``address:port``, comma-separated, and the chroot.
        timeout_s: the session time-out to ask for.
        auth: ``user:password``, None: the certificate says who this is.
        tls: what the connection is encrypted with, None: it is not.
        session: id and password of a session to resume.
        on_connected: called with the negotiated time-out in seconds, after authentication.
    """

    def __init__(
        self,
        *,
        hosts: str,
        timeout_s: float,
        auth: str | None,
        tls: TlsFiles | None,
        session: tuple[int, bytes] | None,
        on_connected: Callable[[float], None],
    ) -> None:
        servers = hosts.count(",") + 1
        self.answer_timeout_s = timeout_s / (2 * servers)
        connect_timeout_s = min(CONNECT_TIMEOUT_MAX_S, timeout_s / (3 * servers))
        super().__init__(
            hosts=hosts,
            timeout=timeout_s,
            client_id=session,
            handler=BoundedHandler(connect_timeout_s, timeout_s / 2, tls),
            auth_data=[("digest", auth)] if auth is not None else [],
            connection_retry=_endless_retry(),
            command_retry=_endless_retry(),
            logger=_LOG,
        )
        self._on_connected = on_connected
        self._connection = DoubtingConnection(self, self._conn_retry.copy(), logger=_LOG)

    @property
    def has_session(self) -> bool:
        """Whether there is a session that a connection would go on with."""
        return bool(self._session_id)

    def connection_made(self, negotiated_s: float) -> None:
        """Tell that the server took this connection, with this session time-out."""
        self._on_connected(negotiated_s)

    def drop_connection(self) -> None:
        """Cut the connection, from any thread; kazoo notices and connects anew."""
        connection = self._connection._socket  # noqa: SLF001 - kazoo has no other way
        if connection is not None:
            # Closing would not wake the thread that selects on it.
            # Not that of TLS, which would have the other thread read on without decrypting.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def leave_session(self) -> None:
        """Stop, but leave the session to be resumed until it expires. May block."""
        self._stopped.set()
        self.drop_connection()
        self._safe_close()

    def _call(  # type: ignore[explicit-override]
        self, request: object, async_object: IAsyncResult[Any]
    ) -> bool | None:
        # kazoo would queue it and send it whenever the connection is back.
        if self._state == KeeperState.CONNECTING:
            async_object.set_exception(NotSentError("not connected"))
            return False
        return super()._call(request, async_object)


def _endless_retry() -> KazooRetry:
    """Try for ever, at most a second apart; kazoo's own default grows to an hour."""
    return KazooRetry(max_tries=-1, delay=RETRY_DELAY_S, max_delay=RETRY_DELAY_MAX_S)
