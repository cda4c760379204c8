"""Where Prometheus asks: who is answered what, and what a bad client costs the others."""

import base64
import contextlib
import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from hamon.errors import ConfigError
from hamon.metrics.certificate import Certificate
from hamon.metrics.endpoint import REQUESTS_AT_ONCE, Endpoint
from hamon.metrics.pages import Pages
from lab.authority import Authority

HERE = "127.0.0.1"
DEADLINE_S = 10.0

Serve = Callable[..., Endpoint]


class Process:
    """How the process does that is asked for."""

    is_healthy = True
    is_ready = True


@pytest.fixture
def process() -> Process:
    """Give a process that is well."""
    return Process()


@pytest.fixture
def serve(process: Process) -> Iterator[Serve]:
    """Serve one gauge on loopback; arguments are those of Pages and Endpoint."""
    endpoints: list[Endpoint] = []
    registry = CollectorRegistry()
    Gauge("hamon_is_leader", "One gauge.", registry=registry).set(1)

    def start(
        *,
        username: str = "",
        password: str = "",
        security: Callable[[], ssl.SSLContext] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> Endpoint:
        pages = Pages(
            registry,
            is_healthy=lambda: process.is_healthy,
            is_ready=lambda: process.is_ready,
            username=username,
            password=lambda: password,
        )
        endpoints.append(
            Endpoint(
                pages,
                HERE,
                0,
                config_path="hamon.toml",
                security=security,
                deadline_s=deadline_s,
            )
        )
        return endpoints[-1]

    yield start
    for endpoint in endpoints:
        endpoint.close()


def get(
    endpoint: Endpoint,
    path: str = "/metrics",
    *,
    method: str = "GET",
    trusts: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, str]:
    """Ask once; return status and body."""
    connection = (
        http.client.HTTPConnection(HERE, endpoint.port, timeout=DEADLINE_S)
        if trusts is None
        else http.client.HTTPSConnection(HERE, endpoint.port, timeout=DEADLINE_S, context=trusts)
    )
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def basic(username: str, password: str) -> str:
    """Return the header of a login."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def test_metrics__asked__are_answered(serve: Serve) -> None:
    """Prometheus gets the text format; nothing else is there."""
    endpoint = serve()

    assert get(endpoint) == (200, get(endpoint)[1])
    assert "hamon_is_leader 1.0" in get(endpoint)[1]
    assert get(endpoint, "/")[0] == 404
    assert get(endpoint, method="POST")[0] == 405


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_checks__asked_by_whoever__answer_in_one_word(
    serve: Serve, process: Process, path: str
) -> None:
    """A load balancer has no password, and learns nothing but yes or no."""
    endpoint = serve(username="prometheus", password="secret")

    assert get(endpoint, path) == (200, "ok\n")
    process.is_healthy = process.is_ready = False
    assert get(endpoint, path) == (503, "service unavailable\n")


def test_readyz__of_one_that_waits_for_zookeeper__says_no_while_it_lives(
    serve: Serve, process: Process
) -> None:
    """Whoever restarts what is ill must not restart what waits."""
    endpoint = serve()
    process.is_ready = False

    assert (get(endpoint, "/healthz")[0], get(endpoint, "/readyz")[0]) == (200, 503)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        basic("prometheus", "wrong"),
        basic("other", "secret"),
        "Basic rubbish!",
        "Basic",
        "Bearer secret",
        "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
    ],
)
def test_metrics__asked_with_wrong_credentials__are_not_told(
    serve: Serve, authorization: str
) -> None:
    """And the answer says how to log in."""
    endpoint = serve(username="prometheus", password="secret")

    status, text = get(endpoint, Authorization=authorization)

    assert (status, text) == (401, "unauthorized\n")


def test_metrics__asked_with_the_right_credentials__are_told(serve: Serve) -> None:
    """By whoever has them."""
    endpoint = serve(username="prometheus", password="sécret")

    status, _ = get(endpoint, Authorization=basic("prometheus", "sécret"))

    assert status == 200


def test_client__sends_byte_by_byte__is_hung_up_on_and_keeps_nobody_out(serve: Serve) -> None:
    """Slowloris: however often it sends something, its time is over at once for all of it."""
    endpoint = serve(deadline_s=0.5)
    slow = [socket.create_connection((HERE, endpoint.port)) for _ in range(REQUESTS_AT_ONCE - 1)]
    for client in slow:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")

    assert get(endpoint)[0] == 200
    for client in slow:
        drip(client)
        assert is_ended(client)
        client.close()


def drip(client: socket.socket) -> None:
    """Send something again and again until the other side has had enough."""
    until_s = time.monotonic() + DEADLINE_S
    with contextlib.suppress(OSError):
        while time.monotonic() < until_s and not is_ended(client):
            client.send(b"x")


def is_ended(client: socket.socket) -> bool:
    """Say whether the other side has hung up, without waiting for it."""
    ready, _, _ = select.select([client], [], [], 0.01)
    try:
        return bool(ready) and client.recv(4096) == b""
    except OSError:
        return True


def test_client__beyond_those_served_at_once__is_hung_up_on_until_there_is_a_place(
    serve: Serve,
) -> None:
    """A flood costs neither threads nor memory without end."""
    endpoint = serve(deadline_s=0.5)
    silent = [socket.create_connection((HERE, endpoint.port)) for _ in range(2 * REQUESTS_AT_ONCE)]

    for client in silent:
        client.settimeout(DEADLINE_S)
        assert client.recv(1) == b""
        client.close()
    assert get(endpoint)[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"\r\n" * 10,
    ],
    ids=["line", "header", "headers", "tls", "nothing"],
)
def test_client__sends_rubbish__is_refused_and_the_next_is_served(
    serve: Serve, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Huge or malformed: no traceback, no line in the log."""
    endpoint = serve(deadline_s=1.0)
    with socket.create_connection((HERE, endpoint.port), timeout=DEADLINE_S) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        told = b""
        try:
            while part := client.recv(65536):
                told += part
        except ConnectionResetError:
            # What it sent was not read to its end.
            pass

    assert b" 200 " not in told
    assert get(endpoint)[0] == 200
    assert capfd.readouterr() == ("", "")


class Served:
    """An authority, the files that are served, and what was complained of."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder)
        self.troubles: list[str] = []
        self.chain, self.key = self.issue()

    def issue(self) -> tuple[Path, Path]:
        """Write a new certificate and its key in the place of the former."""
        return self._authority.issue("metrics", HERE)

    def certificate(self) -> Certificate:
        """Build what serves it."""
        return Certificate(self.chain, self.key, self.troubles.append)

    def trust(self) -> ssl.SSLContext:
        """Return what a client checks it with."""
        return self._authority.trusted()


@pytest.fixture
def authority(tmp_path: Path) -> Served:
    """Give an authority."""
    return Served(tmp_path)


def served(endpoint: Endpoint, trusts: ssl.SSLContext) -> bytes:
    """Return the certificate that is served now."""
    with (
        socket.create_connection((HERE, endpoint.port), timeout=DEADLINE_S) as plain,
        trusts.wrap_socket(plain, server_hostname=HERE) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_metrics__served_with_a_certificate__are_read_by_whoever_trusts_it(
    serve: Serve, authority: Served
) -> None:
    """And by nobody without encryption; who does not shake hands keeps nobody out."""
    endpoint = serve(security=authority.certificate().context, deadline_s=1.0)
    mute = socket.create_connection((HERE, endpoint.port))

    assert get(endpoint, trusts=authority.trust())[0] == 200
    with pytest.raises((http.client.HTTPException, OSError)):
        get(endpoint)
    mute.close()


def test_certificate__rotated_while_served__counts_at_once(serve: Serve, authority: Served) -> None:
    """Nobody restarts a daemon for a certificate."""
    endpoint = serve(security=authority.certificate().context)
    before = served(endpoint, authority.trust())

    authority.issue()

    assert served(endpoint, authority.trust()) != before
    assert authority.troubles == []


def test_certificate__rotated_to_rubbish__is_told_once_and_the_last_good_one_serves(
    serve: Serve, authority: Served
) -> None:
    """A rotation that went wrong does not take the metrics away."""
    endpoint = serve(security=authority.certificate().context)
    before = served(endpoint, authority.trust())

    authority.chain.write_text("rubbish")

    assert [served(endpoint, authority.trust()) for _ in range(2)] == [before, before]
    [trouble] = authority.troubles
    assert str(authority.chain) in trouble
    assert "metrics.certificate_file" in trouble


@pytest.mark.parametrize("damage", ["missing", "rubbish", "other_key"])
def test_certificate__that_cannot_be_used__is_refused_with_its_file(
    authority: Served, damage: str
) -> None:
    """At the start, with what is wrong and the key it stands in."""
    match damage:
        case "missing":
            authority.key.unlink()
        case "rubbish":
            authority.key.write_text("rubbish")
        case _:
            chain = authority.chain.read_bytes()
            authority.issue()
            authority.chain.write_bytes(chain)

    with pytest.raises(ConfigError, match=r"metrics\.(certificate|key)_file"):
        authority.certificate()


def test_endpoint__port_taken__says_which() -> None:
    """A second daemon on one machine fails with the key to change, not with a traceback."""
    with socket.socket() as other:
        other.bind((HERE, 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ConfigError, match=f"metrics.listen: .*{port}.* in use") as caught:
            Endpoint(
                Pages(CollectorRegistry(), is_healthy=bool, is_ready=bool),
                HERE,
                port,
                config_path="hamon.toml",
            )

    assert caught.value.path == "hamon.toml"
