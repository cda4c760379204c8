"""The way to Nova: one session, a client that reads and one that changes, threads with deadlines.

Rules (nova.md 9):

1. keystoneauth makes a read time-out into a failed connection and then sends the request again. A
   second evacuation while one is under way spoils both, so the client that changes never repeats.
2. Every request has a time-out; the session's own default is for ever.
3. A call that waited for a thread until nobody waited for it any more is not begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import keystoneauth1.exceptions
import novaclient.exceptions
import requests
from keystoneauth1.identity import v3
from keystoneauth1.session import Session, TCPKeepAliveAdapter
from novaclient import client

from hamon.errors import (
    CloudConflictError,
    CloudError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)

if TYPE_CHECKING:
    from novaclient.v2.client import Client

T = TypeVar("T")

VERSION = "2.79"
"""Of every call but one: in every Nova from Train on, with all that hamon needs (nova.md 1)."""

FORCE_VERSION = "2.67"
"""The last one in which an evacuation can skip the scheduler."""

READ_RETRIES = 2
_FIRST_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaSettings:
    """How Nova is reached, and as whom.

    ``request_timeout_s``: of one HTTP request. ``call_timeout_s``: of one call of the port, with
    the wait for a thread and every page. ``threads``: calls at the same time. ``ca_file``: "": the
    machine's own authorities.
    """

    auth_url: str
    username: str
    password: str
    project: str
    user_domain: str = "Default"
    project_domain: str = "Default"
    region: str = ""
    interface: str = "internal"
    endpoint_override: str = ""
    ca_file: str = ""
    request_timeout_s: float = 30.0
    call_timeout_s: float = 60.0
    threads: int = 16


class Connection:
    """Runs calls of novaclient in threads, each with a deadline, and tells errors apart."""

    def __init__(self, settings: NovaSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="nova")
        self._session = _session(settings)
        self._reader = self._client(VERSION, retries=READ_RETRIES)
        self._changer = self._client(VERSION, retries=0)
        self._forcer = self._client(FORCE_VERSION, retries=0)

    async def read(self, operation: str, target: str, work: Callable[[Client], T]) -> T:
        """Have a thread read; see :meth:`change` for the errors, whose outcome is NOT_DONE here."""
        return await self._call(operation, target, lambda: work(self._reader), Outcome.NOT_DONE)

    async def change(
        self,
        operation: str,
        target: str,
        work: Callable[[Client], T],
        *,
        is_forced: bool = False,
    ) -> T:
        """Have a thread change something, once.

        Args:
            operation: for the error.
            target: for the error.
            work: given the client.
            is_forced: with the version in which an evacuation can skip the scheduler.

        Raises:
            CloudUnavailableError: UNKNOWN, or NOT_DONE when no thread was free.
            CloudRefusedError: and its kinds, NOT_DONE.
        """
        nova = self._forcer if is_forced else self._changer
        return await self._call(operation, target, lambda: work(nova), Outcome.UNKNOWN)

    def renew_token(self) -> None:
        """Forget the token, so that the next call fetches one that lives long enough."""
        self._session.invalidate()

    def close(self) -> None:
        """Begin no more calls; one that is stuck ends with the process. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(
        self, operation: str, target: str, work: Callable[[], T], outcome: Outcome
    ) -> T:
        start_by_s = time.monotonic() + self._settings.call_timeout_s

        def work_in_time() -> T:
            # safety: nobody waits for it any more; done now, it could undo what came after it.
            if time.monotonic() > start_by_s:
                why = "no thread was free in time"
                raise CloudUnavailableError("cloud", operation, target, Outcome.NOT_DONE, why)
            return work()

        future = asyncio.get_running_loop().run_in_executor(self._threads, work_in_time)
        done, _ = await asyncio.wait({future}, timeout=self._settings.call_timeout_s)
        if not done:
            future.add_done_callback(_look_at)
            why = f"no answer within {self._settings.call_timeout_s:g} s"
            raise CloudUnavailableError("cloud", operation, target, outcome, why)
        try:
            return future.result()
        except (
            novaclient.exceptions.ClientException,
            keystoneauth1.exceptions.ClientException,
        ) as error:
            raise translated(error, operation, target, outcome) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # novaclient stumbles over what is not Nova's answer, a load balancer's for example.
            why = f"an answer that is not Nova's: {error!r}"
            raise CloudUnavailableError("cloud", operation, target, outcome, why) from error

    def _client(self, version: str, *, retries: int) -> Client:
        settings = self._settings
        return client.Client(
            version,
            session=self._session,
            region_name=settings.region or None,
            endpoint_type=settings.interface,
            endpoint_override=settings.endpoint_override or None,
            connect_retries=retries,
            status_code_retries=retries,
        )


def translated(error: Exception, operation: str, target: str, outcome: Outcome) -> CloudError:
    """Turn an error of the client libraries into hamon's.

    Args:
        error: theirs.
        operation: the call that failed.
        target: what it was about.
        outcome: of a call whose answer says nothing.
    """
    why = str(error)[:500]
    code = getattr(error, "code", None) or getattr(error, "http_status", None)
    if not isinstance(code, int) or code >= _FIRST_SERVER_ERROR or code in _NOT_NOW:
        return CloudUnavailableError("cloud", operation, target, outcome, why)
    kinds: dict[int, type[CloudRefusedError]] = {404: CloudMissingError, 409: CloudConflictError}
    kind = kinds.get(code, CloudRefusedError)
    return kind("cloud", operation, target, Outcome.NOT_DONE, why)


def _session(settings: NovaSettings) -> Session:
    auth = v3.Password(
        auth_url=settings.auth_url,
        username=settings.username,
        password=settings.password,
        project_name=settings.project,
        user_domain_name=settings.user_domain,
        project_domain_name=settings.project_domain,
    )
    # requests keeps ten connections by default, and throws away what does not fit.
    http = requests.Session()
    for scheme in ("http://", "https://"):
        http.mount(scheme, TCPKeepAliveAdapter(pool_maxsize=settings.threads))
    return Session(
        auth=auth,
        session=http,
        verify=settings.ca_file or True,
        timeout=settings.request_timeout_s,
    )


def _look_at(future: asyncio.Future[T]) -> None:
    """Take the outcome of a call that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
