"""Tells another system over HTTP what happens: in order, again until taken, never in the way.

A notice that nobody takes is tried again for an hour. So many wait at most; of more the oldest
goes, which is told in the log.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

import requests
import structlog

from hamon.model.notice import Notice
from hamon.settings.secrets import Password
from hamon.settings.values import WebhookSettings

_log = structlog.get_logger()

WAITING_MAX = 1000
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
PAUSE_S = 1.0
PAUSE_MAX_S = 60.0
GIVE_UP_AFTER_S = 3600.0
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

Counted = Callable[[str, str], None]
"""Told event and outcome of each notice: sent, refused, given_up, dropped."""


class Webhook:
    """Sends notices from a thread of its own, one after the other.

    Args:
        settings: where to, and which.
        count: told what became of each notice, for metrics; on any thread.
        pause_s: after the first failure; twice as long each time.

    Raises:
        ConfigError: the token or the address cannot be read.
    """

    def __init__(
        self, settings: WebhookSettings, count: Counted, *, pause_s: float = PAUSE_S
    ) -> None:
        self._settings = settings
        self._count = count
        self._pause_s = pause_s
        self._token = Password(str(settings.token_file or ""))
        self._url = Password(str(settings.url_file or ""))
        # Now rather than at the first notice.
        self._token()
        self._url()
        self._waiting: queue.Queue[Notice] = queue.Queue(WAITING_MAX)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Have a notice sent, if it is of those that are wanted; returns at once, never raises."""
        if notice.event not in self._settings.events:
            return
        while True:
            try:
                self._waiting.put_nowait(notice)
            except queue.Full:
                self._drop_oldest()
            else:
                return

    def close(self) -> None:
        """Send no more; whoever leads next tells the latest of every open incident again."""
        self._ended.set()

    def _drop_oldest(self) -> None:
        try:
            oldest = self._waiting.get_nowait()
        except queue.Empty:
            return
        _log.warning("notice_dropped", id=oldest.id, why=f"{WAITING_MAX} wait already")
        self._count(oldest.event, "dropped")

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                notice = self._waiting.get(timeout=1.0)
            except queue.Empty:
                continue
            self._deliver(notice)

    def _deliver(self, notice: Notice) -> None:
        since_s, pause_s, told = time.monotonic(), self._pause_s, ""
        while not self._ended.is_set():
            outcome, why = self._post(notice)
            if outcome != "later":
                if why:
                    _log.warning("notice_refused", id=notice.id, why=why)
                self._count(notice.event, outcome)
                return
            if told != why:
                _log.warning("notice_not_sent", id=notice.id, why=why)
                told = why
            if time.monotonic() - since_s > GIVE_UP_AFTER_S:
                _log.error("notice_given_up", id=notice.id, why=why)
                self._count(notice.event, "given_up")
                return
            self._ended.wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _post(self, notice: Notice) -> tuple[str, str]:
        """Send it once; return what came of it (sent, refused, later), and why not."""
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        ca_file = self._settings.ca_file
        try:
            # Of the answer only the status is read: the rest may be of any length.
            with requests.post(
                self._settings.url or self._url(),
                json=notice.body,
                headers={**headers, "X-Hamon-Notice": notice.id},
                timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
                verify=str(ca_file) if ca_file is not None else True,
                allow_redirects=False,
                stream=True,
            ) as answer:
                status = answer.status_code
        except (requests.RequestException, OSError) as error:
            return "later", _said(error)
        if answer.ok and status < HTTPStatus.MULTIPLE_CHOICES:
            return "sent", ""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
            return "later", f"HTTP {status}"
        return "refused", f"HTTP {status}"


def _said(error: Exception) -> str:
    """Say in a word what went wrong: the text of requests' errors holds the whole address."""
    cause = error.args[0] if error.args else error
    reason = getattr(cause, "reason", None)
    return type(reason or error).__name__
