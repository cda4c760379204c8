from typing import Any

from kazoo.handlers import utils
from kazoo.interfaces import IHandler

class KazooTimeoutError(Exception): ...

class AsyncResult(utils.AsyncResult[Any]):
    def __init__(self, handler: SequentialThreadingHandler) -> None: ...

class SequentialThreadingHandler(IHandler):
    queue_impl: Any
    queue_empty: type[Exception]
    callback_queue: Any
    completion_queue: Any
    def __init__(self) -> None: ...
    @property
    def running(self) -> bool: ...
    def create_socket_pair(self) -> tuple[Any, Any]: ...
