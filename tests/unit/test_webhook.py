"""Telling another system: in order, again until it is taken, never in the way."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from hamon.errors import ConfigError
from hamon.model.notice import Notice, NoticeEvent
from hamon.settings.values import WebhookSettings
from hamon.webhook import WAITING_MAX, Webhook

WITHIN_S = 10.0
ALL = frozenset(NoticeEvent)


def a_notice(number: int = 1, event: NoticeEvent = NoticeEvent.OPENED) -> Notice:
    """The so-manieth notice."""
    name = f"lab/h1-{number}/{event}"
    return Notice(id=name, event=event, body={"id": name, "guests": []})


class Receiver:
    """Another system: answers as told, notes what it took."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.taken: queue.Queue[tuple[str, dict[str, str]]] = queue.Queue()
        self.is_asked = threading.Event()
        self.hangs = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 0:
                    receiver.is_asked.set()
                    receiver.hangs.wait(WITHIN_S)
                    status = 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                if status == 200:
                    receiver.taken.put((body["id"], dict(self.headers)))

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self) -> str:
        """Return the id of the next that is taken."""
        return self.taken.get(timeout=WITHIN_S)[0]

    def close(self) -> None:
        """End it."""
        self.hangs.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give another system."""
    receiver = Receiver()
    yield receiver
    receiver.close()


class Counts:
    """What became of notices."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[str, str]] = queue.Queue()

    def __call__(self, event: str, outcome: str) -> None:
        """Note it."""
        self.told.put((event, outcome))

    def next(self) -> tuple[str, str]:
        """Return the next."""
        return self.told.get(timeout=WITHIN_S)


@pytest.fixture
def counts() -> Counts:
    """Give the counts."""
    return Counts()


Build = Callable[[WebhookSettings], Webhook]


@pytest.fixture
def build(counts: Counts) -> Iterator[Build]:
    """Build webhooks that hardly pause, and end them."""
    built: list[Webhook] = []

    def start(settings: WebhookSettings) -> Webhook:
        built.append(Webhook(settings, counts, pause_s=0.001))
        return built[-1]

    yield start
    for webhook in built:
        webhook.close()


def test_notices__told__arrive_in_order(receiver: Receiver, counts: Counts, build: Build) -> None:
    """Each with its id, also as a header."""
    webhook = build(WebhookSettings(url=receiver.url, events=ALL))

    for number in range(3):
        webhook.tell(a_notice(number))

    name, headers = receiver.taken.get(timeout=WITHIN_S)
    assert name == headers["X-Hamon-Notice"] == "lab/h1-0/opened"
    assert [receiver.take(), receiver.take()] == ["lab/h1-1/opened", "lab/h1-2/opened"]
    assert [counts.next() for _ in range(3)] == [("opened", "sent")] * 3


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_notice__not_taken_now__is_sent_again_before_the_next(
    receiver: Receiver, counts: Counts, build: Build, status: int
) -> None:
    """A receiver that restarts loses nothing."""
    receiver.answers = [status, status]
    webhook = build(WebhookSettings(url=receiver.url, events=ALL))

    webhook.tell(a_notice(1))
    webhook.tell(a_notice(2))

    assert [receiver.take(), receiver.take()] == ["lab/h1-1/opened", "lab/h1-2/opened"]
    assert counts.next() == ("opened", "sent")


@pytest.mark.parametrize("status", [400, 401, 404, 302, 307])
def test_notice__refused__is_told_and_the_next_goes_on(
    receiver: Receiver, counts: Counts, build: Build, status: int
) -> None:
    """Sending it again would change nothing; nor is anybody followed elsewhere."""
    receiver.answers = [status]
    webhook = build(WebhookSettings(url=receiver.url, events=ALL))

    with capture_logs() as lines:
        webhook.tell(a_notice(1))
        webhook.tell(a_notice(2))
        assert receiver.take() == "lab/h1-2/opened"

    assert counts.next() == ("opened", "refused")
    assert [line["why"] for line in lines if line["event"] == "notice_refused"] == [
        f"HTTP {status}"
    ]


def test_notices__told_while_the_receiver_hangs__return_at_once_and_drop_the_oldest(
    receiver: Receiver, counts: Counts, build: Build
) -> None:
    """The loop never waits, and memory has an end."""
    receiver.answers = [0]
    webhook = build(WebhookSettings(url=receiver.url, events=ALL))

    webhook.tell(a_notice(0))
    assert receiver.is_asked.wait(WITHIN_S)
    for number in range(1, WAITING_MAX + 3):
        webhook.tell(a_notice(number))

    assert [counts.next() for _ in range(2)] == [("opened", "dropped")] * 2
    receiver.hangs.set()
    assert [receiver.take(), receiver.take()] == ["lab/h1-0/opened", "lab/h1-3/opened"]


def test_notice__nobody_there__is_told_once_without_the_address(
    counts: Counts, build: Build
) -> None:
    """However often it is tried: the address may be a secret."""
    receiver = Receiver()
    receiver.close()
    webhook = build(WebhookSettings(url=receiver.url, events=ALL))

    with capture_logs() as lines:
        webhook.tell(a_notice())
        until_s = time.monotonic() + WITHIN_S
        while not lines and time.monotonic() < until_s:
            time.sleep(0.001)
        webhook.close()

    assert [line["event"] for line in lines] == ["notice_not_sent"]
    assert receiver.url not in str(lines)
    assert counts.told.empty()


def test_notice__of_an_event_that_is_not_wanted__is_not_sent(
    receiver: Receiver, build: Build
) -> None:
    """Who is told what, the operator chooses."""
    webhook = build(WebhookSettings(url=receiver.url, events=frozenset({NoticeEvent.FINISHED})))

    webhook.tell(a_notice(1))
    webhook.tell(a_notice(2, NoticeEvent.FINISHED))

    assert receiver.take() == "lab/h1-2/finished"


def test_token_and_address__from_files__are_read_anew_each_time(
    receiver: Receiver, build: Build, tmp_path: Path
) -> None:
    """A rotated token counts at once."""
    token, address = tmp_path / "token", tmp_path / "address"
    for path, text in ((token, "first-token"), (address, receiver.url)):
        path.write_text(text)
        path.chmod(0o600)
    webhook = build(WebhookSettings(url_file=address, token_file=token, events=ALL))

    webhook.tell(a_notice(1))
    assert receiver.taken.get(timeout=WITHIN_S)[1]["Authorization"] == "Bearer first-token"
    token.write_text("second-token")
    webhook.tell(a_notice(2))
    assert receiver.taken.get(timeout=WITHIN_S)[1]["Authorization"] == "Bearer second-token"


def test_token__missing__is_refused_at_the_start(build: Build, tmp_path: Path) -> None:
    """And not when the first host dies."""
    with pytest.raises(ConfigError):
        build(WebhookSettings(url="http://127.0.0.1:9/", token_file=tmp_path / "gone"))
