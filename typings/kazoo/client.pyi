import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, overload

from kazoo.interfaces import IAsyncResult, IHandler, _Event
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.states import WatchedEvent, ZnodeStat
from kazoo.retry import KazooRetry
from kazoo.security import ACL

_Watch = Callable[[WatchedEvent], object]
_Listener = Callable[[str], object]

class KazooClient:
    handler: IHandler
    logger: logging.Logger
    auth_data: set[tuple[str, str]]
    default_acl: Sequence[ACL] | None
    chroot: str
    hosts: list[tuple[str, int]]
    randomize_hosts: bool
    read_only: bool | None
    last_zxid: int
    state: str
    state_listeners: set[_Listener]
    retry: KazooRetry

    # Private, and used with a reason beside each use.
    _connection: ConnectionHandler
    _conn_retry: KazooRetry
    _live: _Event
    _protocol_version: int | None
    _session_id: int | None
    _session_passwd: bytes
    _session_timeout: int
    _state: str
    _stopped: _Event
    _writer_stopped: _Event

    def __init__(
        self,
        hosts: str | Sequence[str] = "127.0.0.1:2181",
        timeout: float = 10.0,
        client_id: tuple[int, bytes] | None = None,
        handler: IHandler | None = None,
        default_acl: Sequence[ACL] | None = None,
        auth_data: Iterable[tuple[str, str]] | None = None,
        sasl_options: dict[str, str] | None = None,
        read_only: bool | None = None,
        randomize_hosts: bool = True,
        connection_retry: KazooRetry | dict[str, Any] | None = None,
        command_retry: KazooRetry | dict[str, Any] | None = None,
        logger: logging.Logger | None = None,
        keyfile: str | None = None,
        keyfile_password: str | None = None,
        certfile: str | None = None,
        ca: str | None = None,
        use_ssl: bool = False,
        verify_certs: bool = True,
        check_hostname: bool = False,
    ) -> None: ...
    @property
    def client_state(self) -> str: ...
    @property
    def client_id(self) -> tuple[int, bytes] | None: ...
    @property
    def connected(self) -> bool: ...
    def set_hosts(self, hosts: str, randomize_hosts: bool | None = None) -> None: ...
    def add_listener(self, listener: _Listener) -> None: ...
    def remove_listener(self, listener: _Listener) -> None: ...
    def start(self, timeout: float = 15) -> None: ...
    def start_async(self) -> _Event: ...
    def stop(self) -> None: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...
    def command(self, cmd: bytes = b"ruok") -> str: ...
    def server_version(self, retries: int = 3) -> tuple[int, ...]: ...
    def add_auth(self, scheme: str, credential: str) -> bool: ...
    def add_auth_async(self, scheme: str, credential: str) -> IAsyncResult[bool]: ...
    def unchroot(self, path: str) -> str: ...
    def sync(self, path: str) -> str: ...
    def sync_async(self, path: str) -> IAsyncResult[str]: ...
    @overload
    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: Literal[False] = False,
    ) -> str: ...
    @overload
    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        *,
        include_data: Literal[True],
    ) -> tuple[str, ZnodeStat]: ...
    @overload
    def create_async(
        self,
        path: str,
        value: bytes = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: Literal[False] = False,
    ) -> IAsyncResult[str]: ...
    @overload
    def create_async(
        self,
        path: str,
        value: bytes = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        *,
        include_data: Literal[True],
    ) -> IAsyncResult[tuple[str, ZnodeStat]]: ...
    def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> bool | str: ...
    def ensure_path_async(
        self, path: str, acl: Sequence[ACL] | None = None
    ) -> IAsyncResult[bool | str]: ...
    def exists(self, path: str, watch: _Watch | None = None) -> ZnodeStat | None: ...
    def exists_async(
        self, path: str, watch: _Watch | None = None
    ) -> IAsyncResult[ZnodeStat | None]: ...
    def get(self, path: str, watch: _Watch | None = None) -> tuple[bytes, ZnodeStat]: ...
    def get_async(
        self, path: str, watch: _Watch | None = None
    ) -> IAsyncResult[tuple[bytes, ZnodeStat]]: ...
    @overload
    def get_children(
        self, path: str, watch: _Watch | None = None, include_data: Literal[False] = False
    ) -> list[str]: ...
    @overload
    def get_children(
        self, path: str, watch: _Watch | None = None, *, include_data: Literal[True]
    ) -> tuple[list[str], ZnodeStat]: ...
    @overload
    def get_children_async(
        self, path: str, watch: _Watch | None = None, include_data: Literal[False] = False
    ) -> IAsyncResult[list[str]]: ...
    @overload
    def get_children_async(
        self, path: str, watch: _Watch | None = None, *, include_data: Literal[True]
    ) -> IAsyncResult[tuple[list[str], ZnodeStat]]: ...
    def get_acls(self, path: str) -> tuple[list[ACL], ZnodeStat]: ...
    def get_acls_async(self, path: str) -> IAsyncResult[tuple[list[ACL], ZnodeStat]]: ...
    def set_acls(self, path: str, acls: Sequence[ACL], version: int = -1) -> ZnodeStat: ...
    def set_acls_async(
        self, path: str, acls: Sequence[ACL], version: int = -1
    ) -> IAsyncResult[ZnodeStat]: ...
    def set(self, path: str, value: bytes | None, version: int = -1) -> ZnodeStat: ...
    def set_async(
        self, path: str, value: bytes | None, version: int = -1
    ) -> IAsyncResult[ZnodeStat]: ...
    def transaction(self) -> TransactionRequest: ...
    def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool | None: ...
    def delete_async(self, path: str, version: int = -1) -> IAsyncResult[bool]: ...
    def _reset(self) -> None: ...
    def _reset_session(self) -> None: ...
    def _session_callback(self, state: str) -> None: ...
    def _make_state_change(self, state: str) -> None: ...
    def _safe_close(self) -> None: ...
    def _call(self, request: object, async_object: IAsyncResult[Any]) -> bool | None: ...

# What one operation of a transaction comes to: the path created, the new stat, True, or the error
# that stopped it. kazoo does not raise these from commit().
_TransactionResult = str | ZnodeStat | bool | Exception

class TransactionRequest:
    client: KazooClient
    operations: list[object]
    committed: bool
    def __init__(self, client: KazooClient) -> None: ...
    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> None: ...
    def delete(self, path: str, version: int = -1) -> None: ...
    def set_data(self, path: str, value: bytes, version: int = -1) -> None: ...
    def check(self, path: str, version: int) -> None: ...
    def commit_async(self) -> IAsyncResult[list[_TransactionResult]]: ...
    def commit(self) -> list[_TransactionResult]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None: ...
