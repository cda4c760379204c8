from collections.abc import Callable
from typing import Any, Self, TypeVar

from kazoo.exceptions import KazooException

_T = TypeVar("_T")

class ForceRetryError(Exception): ...
class RetryFailedError(KazooException): ...
class InterruptedError(RetryFailedError): ...

class KazooRetry:
    max_tries: int
    delay: float
    backoff: float
    max_jitter: float
    max_delay: float
    sleep_func: Callable[[float], None]
    deadline: float | None
    interrupt: Callable[[], bool] | None
    retry_exceptions: tuple[type[Exception], ...]

    # Private: how far the present round of tries has come.
    _attempts: int
    _cur_delay: float
    _cur_stoptime: float | None

    def __init__(
        self,
        max_tries: int = 1,
        delay: float = 0.1,
        backoff: float = 2,
        max_jitter: float = 0.4,
        max_delay: float = 60.0,
        ignore_expire: bool = True,
        sleep_func: Callable[[float], None] = ...,
        deadline: float | None = None,
        interrupt: Callable[[], bool] | None = None,
    ) -> None: ...
    def reset(self) -> None: ...
    def copy(self) -> Self: ...
    def __call__(self, func: Callable[..., _T], *args: Any, **kwargs: Any) -> _T: ...
