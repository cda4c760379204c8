from collections.abc import Callable
from typing import Any, TypeVar

from kazoo.interfaces import IAsyncResult

_T = TypeVar("_T")

class AsyncResult(IAsyncResult[_T]):
    def __init__(
        self,
        handler: Any,
        condition_factory: Callable[[], Any],
        timeout_factory: Callable[[], BaseException],
    ) -> None: ...
