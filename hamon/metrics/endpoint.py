"""Where Prometheus asks: HTTP on threads of its own, so that a busy loop still answers.

Rules:

1. A client has one deadline for all it does, so that one that is slow on purpose is left.
2. So many at once and no more; who comes then is hung up on. Neither costs the loop a tick.
3. Nothing of a request is read but its head.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from hamon.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

REQUEST_DEADLINE_S = 10.0
REQUESTS_AT_ONCE = 16

Security = Callable[[], ssl.SSLContext]


class Endpoint:
    """Serves one application until closed."""

    def __init__(
        self,
        pages: WSGIApplication,
        address: str,
        port: int,
        *,
        config_path: str,
        security: Security | None = None,
        deadline_s: float = REQUEST_DEADLINE_S,
    ) -> None:
        """Listen, and answer from now on.

        Args:
            pages: what is served.
            address: an IP address of this machine.
            port: TCP port; 0: any free one.
            config_path: file named when the address cannot be had.
            security: returns what the next connection is encrypted with, None: it is not.
            deadline_s: a client that is not answered by then is hung up on.

        Raises:
            ConfigError: the port is taken, or the address is not this machine's.
        """
        try:
            self._server = _listening(address, port)
        except OSError as error:
            why = f"cannot listen on {address} port {port}: {error.strerror}; set another one"
            raise ConfigError(config_path, "metrics.listen", why) from error
        self._server.security = security
        self._server.deadline_s = deadline_s
        self._server.set_app(pages)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    # typing.override comes with Python 3.12.
    def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002 - the base class's name
        """Say nothing: a line for each scrape helps nobody."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    """A slow client neither keeps others waiting nor the process from ending."""

    security: Security | None = None
    deadline_s = REQUEST_DEADLINE_S

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(*arguments, **options)
        self._places = threading.BoundedSemaphore(REQUESTS_AT_ONCE)

    def get_request(self) -> tuple[Any, Any]:  # type: ignore[explicit-override]
        """Take a connection; the thread that serves it shakes hands."""
        connection, client = super().get_request()
        connection.settimeout(self.deadline_s)
        if self.security is None:
            return connection, client
        secured = self.security().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return secured, client

    def process_request(self, request: Any, client_address: Any) -> None:  # type: ignore[explicit-override]  # noqa: ANN401
        """Serve a connection in a thread of its own, if there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # type: ignore[explicit-override]  # noqa: ANN401
        """Serve a connection until it is answered or its time is over."""
        hang_up = threading.Timer(self.deadline_s, _hang_up, [request])
        hang_up.daemon = True
        hang_up.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            hang_up.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # type: ignore[explicit-override]  # noqa: ANN401
        """Say nothing: what a client does wrong is its own trouble, and a log can be flooded."""


def _hang_up(connection: socket.socket) -> None:
    """End a connection under whoever reads from it or writes to it."""
    # Not that of TLS: it would take away what the other thread is using.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listening(address: str, port: int) -> _Server:
    is_ipv4 = isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
    server = (_Server if is_ipv4 else _Server6)((address, port), _Handler, bind_and_activate=False)
    try:
        # Not the HTTP server's own: it asks name servers who this address is, and they may be down.
        socketserver.TCPServer.server_bind(server)
        server.server_name, server.server_port = address, server.server_address[1]
        server.setup_environ()
        server.server_activate()
    except OSError:
        server.server_close()
        raise
    return server
