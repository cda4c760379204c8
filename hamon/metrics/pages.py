"""What is answered over HTTP: metrics, and whether this process lives and is of use."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Check = Callable[[], bool]


class Pages:
    """A WSGI application: ``/metrics``, ``/healthz``, ``/readyz``, and nothing else.

    The two checks answer whoever asks, in one word: load balancers and systems that restart what is
    ill have no password, and learn nothing by it.

    Args:
        registry: what ``/metrics`` shows.
        is_healthy: this process gets on with its work.
        is_ready: and it has what it needs for it.
        username: who may read the metrics; "": everybody.
        password: asked at each request, so that a rotated one counts at once.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        is_healthy: Check,
        is_ready: Check,
        username: str = "",
        password: Callable[[], str] = str,
    ) -> None:
        self._metrics = make_wsgi_app(registry, disable_compression=False)
        self._checks = {"/healthz": is_healthy, "/readyz": is_ready}
        self._username = username
        self._password = password

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            return _say(start, HTTPStatus.METHOD_NOT_ALLOWED)
        if path in self._checks:
            is_well = self._checks[path]()
            return _say(start, HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)
        if path != "/metrics":
            return _say(start, HTTPStatus.NOT_FOUND)
        if not self._is_known(environ.get("HTTP_AUTHORIZATION", "")):
            return _say(start, HTTPStatus.UNAUTHORIZED, ("WWW-Authenticate", 'Basic realm="hamon"'))
        answer: Iterable[bytes] = self._metrics(environ, start)
        return answer

    def _is_known(self, authorization: str) -> bool:
        if not self._username:
            return True
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            told = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(told, f"{self._username}:{self._password()}".encode())


def _say(start: StartResponse, status: HTTPStatus, *headers: tuple[str, str]) -> list[bytes]:
    text = f"{status.phrase.lower()}\n".encode()
    shared = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start(f"{status.value} {status.phrase}", [*shared, *headers])
    return [text]
