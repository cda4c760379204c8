import logging
import socket
from typing import Any

from kazoo.client import KazooClient
from kazoo.interfaces import IHandler, _Event
from kazoo.retry import KazooRetry

class ConnectionHandler:
    client: KazooClient
    handler: IHandler
    retry_sleeper: KazooRetry
    logger: logging.Logger
    connection_closed: _Event
    connection_stopped: _Event
    ping_outstanding: _Event

    _socket: socket.socket | None
    _xid: int | None
    _connection_routine: Any
    def __init__(
        self,
        client: KazooClient,
        retry_sleeper: KazooRetry,
        logger: logging.Logger | None = None,
        sasl_options: dict[str, str] | None = None,
    ) -> None: ...
    def start(self) -> None: ...
    def stop(self, timeout: float | None = None) -> bool: ...
    def close(self) -> None: ...
    def zk_loop(self) -> None: ...
    def _connect_loop(self, retry: KazooRetry) -> str: ...
    def _connect_attempt(self, host: str, hostip: str, port: int, retry: KazooRetry) -> str: ...
    # The negotiated read and connect time-outs, in milliseconds.
    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]: ...
    def _invoke(self, timeout: float, request: object, xid: int | None = None) -> Any: ...
    def _send_request(self, read_timeout: float | None, connect_timeout: float | None) -> None: ...
    def _send_ping(self, connect_timeout: float | None) -> None: ...
