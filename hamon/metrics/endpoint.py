"""Where Prometheus asks: HTTP on threads of its own, so that a busy loop still answers."""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from hamon.errors import ConfigError

_REQUEST_TIMEOUT_S = 10.0


class Endpoint:
    """Serves one registry until closed."""

    def __init__(
        self, registry: CollectorRegistry, address: str, port: int, *, config_path: str
    ) -> None:
        """Listen, and answer from now on.

        Args:
            registry: what is served.
            address: an IP address of this machine.
            port: TCP port; 0: any free one.
            config_path: file named when the address cannot be had.

        Raises:
            ConfigError: the port is taken, or the address is not this machine's.
        """
        try:
            self._server = _listening(address, port)
        except OSError as error:
            why = f"cannot listen on {address} port {port}: {error.strerror}; set another one"
            raise ConfigError(config_path, "metrics.listen", why) from error
        self._server.set_app(make_wsgi_app(registry))
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
    timeout = _REQUEST_TIMEOUT_S
    """A client that says nothing is left after this."""

    # typing.override comes with Python 3.12.
    def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002 - the base class's name
        """Say nothing: a line for each scrape helps nobody."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    """A slow client neither keeps others waiting nor the process from ending."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listening(address: str, port: int) -> WSGIServer:
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
