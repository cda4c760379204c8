"""The way to Nova: one session, a client that reads and one that changes, threads with deadlines.

Rules (nova.md 9):

1. keystoneauth makes a read time-out into a failed connection and then sends the request again. A
   second evacuation while one is under way spoils both, so the client that changes never repeats.
2. Every request has a time-out; the session's own default is for ever.
3. A call that waited for a thread until nobody waited for it any more is not begun.
4. What a lease covers is sent while it lasts: the clock is read at the last moment before each HTTP
   request of that call, because fetching a token may take long, and another thread may have thrown
   away the one there was.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import keystoneauth1.exceptions
import novaclient.exceptions
import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session, TCPKeepAliveAdapter
from novaclient import client
from typing_extensions import override

from hamon.backends.nova.login import access
from hamon.errors import (
    CloudConflictError,
    CloudError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.ports.clock import Clock
from hamon.settings.values import NovaSettings

if TYPE_CHECKING:
    from novaclient.v2.client import Client

T = TypeVar("T")

VERSION = "2.79"
"""Of every call but one: in every Nova from Train on, with all that hamon needs (nova.md 1)."""

FORCE_VERSION = "2.67"
"""The last one in which an evacuation can skip the scheduler."""

PLACEMENT_VERSION = "1.22"
"""The first in which computes with a trait, being disabled, can be left out."""

READ_RETRIES = 2
_VERSION_AT_END = re.compile(r"/+(v[0-9.]+/*)?$")
_FIRST_SERVER_ERROR = 500
_NOT_NOW = frozenset({408, 429})
_NOT_LET_IN = frozenset({401, 403})
"""About hamon's own login and role, and not about what was asked for: done once they are mended."""


class _TooLateError(Exception):
    """The lease of a call was over before its next request could be sent."""


class _Lease(threading.local):
    """Until when the call of a thread may send, on CLOCK_BOOTTIME; None: without end."""

    start_by_s: float | None = None


class _LeasedAdapter(TCPKeepAliveAdapter):
    """The last place before the network, where nothing can take long any more."""

    def __init__(self, lease: _Lease, clock: Clock, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self._lease = lease
        self._clock = clock

    @override
    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request, if it is not too late."""
        start_by_s = self._lease.start_by_s
        # safety: whoever leads by now may have decided otherwise; sent late, this would undo it.
        if start_by_s is not None and self._clock.now_s() > start_by_s:
            raise _TooLateError
        return super().send(*arguments, **options)


class _ChangingSession(Session):
    """A session that sends nothing twice: not even when it is told that its token has ended."""

    @override
    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request, once."""
        options["allow_reauth"] = False
        return super().request(*arguments, **options)


class Connection:
    """Runs calls of novaclient in threads, each with a deadline, and tells errors apart.

    Args:
        settings: ``[nova]``.
        clock: the machine's.

    Raises:
        ConfigError: a secret, or the entry of the cloud, cannot be read.
    """

    def __init__(self, settings: NovaSettings, clock: Clock) -> None:
        self._settings = settings
        self._access = access(settings)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="nova")
        self._stuck = 0
        self._lease = _Lease()
        # requests keeps ten connections by default, and throws away what does not fit.
        http = requests.Session()
        for scheme in ("http://", "https://"):
            http.mount(scheme, _LeasedAdapter(self._lease, clock, settings.threads))
        self._reader = self._client(self._session(Session, http), VERSION, retries=READ_RETRIES)
        self._placement = self._other(http, "placement", PLACEMENT_VERSION)
        self._images = self._other(http, "image", None)
        self._changing = self._session(_ChangingSession, http)
        self._changer = self._client(self._changing, VERSION, retries=0)
        self._forcer = self._client(self._changing, FORCE_VERSION, retries=0)

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
        start_by_s: float | None = None,
    ) -> T:
        """Have a thread change something, once.

        Args:
            operation: for the error.
            target: for the error.
            work: given the client.
            is_forced: with the version in which an evacuation can skip the scheduler.
            start_by_s: CLOCK_BOOTTIME; nothing is sent later than this. None: whenever it may be.

        Raises:
            CloudUnavailableError: UNKNOWN, or NOT_DONE when no thread was free, keystone gave no
                token, or it was too late.
            CloudRefusedError: and its kinds, NOT_DONE.
        """
        nova = self._forcer if is_forced else self._changer

        def once() -> T:
            self._lease.start_by_s = start_by_s
            try:
                return self._with_token(operation, target, lambda: work(nova))
            except _TooLateError as error:
                why = "its time was over before it could begin"
                outcome = Outcome.NOT_DONE
                raise CloudUnavailableError("cloud", operation, target, outcome, why) from error
            finally:
                self._lease.start_by_s = None

        return await self._call(operation, target, once, Outcome.UNKNOWN)

    async def renew_token(self) -> None:
        """Have a thread log in anew; the former token is kept until the new one is there."""

        def log_in() -> None:
            auth = self._access.auth
            # A login of another kind has no token that could end too early.
            if isinstance(auth, BaseIdentityPlugin):
                auth.auth_ref = auth.get_auth_ref(self._changing)

        await self._call("renew_token", "keystone", log_in, Outcome.NOT_DONE)

    def allocation_candidates(self, resources: str) -> frozenset[str]:
        """Ask placement for the resource providers that have room; called in a thread of a read.

        Args:
            resources: as placement takes them: ``VCPU:1,MEMORY_MB:512``.
        """
        query = urlencode({"resources": resources, "required": "!COMPUTE_STATUS_DISABLED"})
        answer = self._placement.get(f"/allocation_candidates?{query}").json()
        return frozenset(answer["provider_summaries"])

    def image(self, image: str) -> Mapping[str, Any]:
        """Ask glance for what it says of an image; called in a thread of a read.

        Nova's own view of images ended at microversion 2.35, and glance has another address.
        """
        endpoint = self._images.get_endpoint()
        if not endpoint:
            raise keystoneauth1.exceptions.EndpointNotFound
        # The catalog has it with the version or without.
        base = _VERSION_AT_END.sub("", endpoint)
        answer = self._images.get(f"/v2/images/{quote(image, safe='')}", endpoint_override=base)
        found: Mapping[str, Any] = answer.json()
        return found

    @property
    def stuck(self) -> int:
        """How many calls are past their deadline and have not come back."""
        return self._stuck

    def _came_back(self, future: asyncio.Future[T]) -> None:
        """Take the outcome of a call that nobody waits for any more."""
        self._stuck -= 1
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        """Begin no more calls; one that is stuck ends with the process. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _with_token(self, operation: str, target: str, work: Callable[[], T]) -> T:
        """Work with a token that is there before, and once more when it was refused."""
        self._fetch_token(operation, target)
        try:
            return work()
        except novaclient.exceptions.Unauthorized:
            # Refused, so not done: the token has ended before its time.
            self._changing.invalidate()
            self._fetch_token(operation, target)
            return work()

    def _fetch_token(self, operation: str, target: str) -> None:
        """See to it that there is a token.

        Raises:
            CloudUnavailableError: NOT_DONE, as nothing was sent to Nova.
        """
        try:
            self._changing.get_auth_headers()
        except (keystoneauth1.exceptions.ClientException, OSError) as error:
            # Whatever keystone says, it says of hamon, and nothing of what Nova is to be asked.
            why = f"keystone gave no token: {error}"[:500]
            outcome = Outcome.NOT_DONE
            raise CloudUnavailableError("cloud", operation, target, outcome, why) from error

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
            self._stuck += 1
            future.add_done_callback(self._came_back)
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
        except OSError as error:
            # requests lets some of them through, a file of authorities that is gone for example.
            raise CloudUnavailableError("cloud", operation, target, outcome, str(error)) from error

    def _session(self, kind: type[Session], http: requests.Session) -> Session:
        return kind(
            auth=self._access.auth,
            session=http,
            verify=self._access.verify,
            cert=self._access.certificate,
            timeout=self._settings.request_timeout_s,
        )

    def _other(self, http: requests.Session, service: str, microversion: str | None) -> Adapter:
        """Return the way to another service of the catalog, which is only read."""
        preferred = self._access.interface
        return Adapter(
            self._session(Session, http),
            service_type=service,
            interface=preferred if isinstance(preferred, str) else list(preferred),
            region_name=self._access.region or None,
            default_microversion=microversion,
        )

    def _client(self, session: Session, version: str, *, retries: int) -> Client:
        return client.Client(
            version,
            session=session,
            region_name=self._access.region or None,
            endpoint_type=self._access.interface,
            endpoint_override=self._access.endpoint_override or None,
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
    if code in _NOT_LET_IN:
        return CloudUnavailableError("cloud", operation, target, Outcome.NOT_DONE, why)
    kinds: dict[int, type[CloudRefusedError]] = {404: CloudMissingError, 409: CloudConflictError}
    kind = kinds.get(code, CloudRefusedError)
    return kind("cloud", operation, target, Outcome.NOT_DONE, why)
