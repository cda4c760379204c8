"""The lab's faulty proxy: each fault does what it says, and nothing else is spoilt."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from lab.openstack.access import Request
from lab.openstack.proxy import Fault, Faults, Proxy, What, write_faults
from lab.processes import wait_until


class Target(ThreadingHTTPServer):
    """An API that answers with what it was asked, and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.carried_out: list[str] = []


class Echo(BaseHTTPRequestHandler):
    """One connection to the target."""

    protocol_version = "HTTP/1.1"
    server: Target

    def do_POST(self) -> None:
        """Carry out a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.carried_out.append(self.path)
        self.send_response(202)
        self.send_header("x-openstack-request-id", "req-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class World:
    """A client, the proxy and the API behind it."""

    def __init__(self, faults: Path) -> None:
        self._faults = faults
        self.target = Target()
        self.told: list[Request] = []
        port = self.target.server_address[1]
        self._proxy = Proxy(0, port, Faults(faults), tell=self.told.append)
        for server in (self.target, self._proxy):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def spoil(self, *faults: Fault) -> None:
        """Have these things go wrong."""
        write_faults(self._faults, faults)

    def post(self, path: str, body: str = "{}") -> tuple[int, str, str | None]:
        """Post; return status, body and request id."""
        client = http.client.HTTPConnection("127.0.0.1", self._proxy.server_address[1], timeout=5.0)
        try:
            client.request("POST", path, body=body)
            response = client.getresponse()
            request_id = response.getheader("x-openstack-request-id")
            return response.status, response.read().decode(), request_id
        finally:
            client.close()

    def close(self) -> None:
        """End both servers."""
        for server in (self.target, self._proxy):
            server.shutdown()
            server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A proxy that spoils nothing yet."""
    world = World(tmp_path / "faults.json")
    yield world
    world.close()


def test_proxy__no_fault__passes_everything(world: World) -> None:
    """Status, headers and body come through."""
    assert (202, '{"a": 1}', "req-1") == world.post("/servers", '{"a": 1}')


def test_proxy__each_answer__is_told_with_its_sender_and_what_was_asked_for(world: World) -> None:
    """What an evacuation costs is counted here, so nothing that was answered may be missing."""
    world.spoil(Fault(name="busy", what=What.ANSWER, body="stop", status=409))
    world.post("/servers/1/action", '{"evacuate": {}}')
    world.post("/servers/1/action", '{"os-stop": null}')
    world.post("/servers/1/action", "no JSON")

    # The answer is there a moment before it is told.
    wait_until(lambda: len(world.told) == 3, "three told", 5.0)
    seen = {(told.action, told.status) for told in world.told}
    assert {("evacuate", 202), ("os-stop", 409), ("", 202)} == seen
    assert {"127.0.0.1"} == {told.sender for told in world.told}
    assert all(told.answered_s >= told.asked_s for told in world.told)


def test_proxy__answer__is_not_passed_on(world: World) -> None:
    """A refused request never reaches the API."""
    world.spoil(Fault(name="busy", what=What.ANSWER, path="/action", status=409))

    assert 409 == world.post("/servers/1/action")[0]
    assert [] == world.target.carried_out


def test_proxy__swallow__is_carried_out_and_not_answered(world: World) -> None:
    """The unknown outcome: done, and nobody was told."""
    world.spoil(Fault(name="lost", what=What.SWALLOW))

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        world.post("/servers/1/action")
    assert ["/servers/1/action"] == world.target.carried_out


def test_proxy__drop__is_neither_carried_out_nor_answered(world: World) -> None:
    """The other unknown outcome, which looks the same to the client."""
    world.spoil(Fault(name="cut", what=What.DROP))

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        world.post("/servers/1/action")
    assert [] == world.target.carried_out


def test_proxy__counted_fault__is_done_so_often_and_only_where_it_fits(world: World) -> None:
    """A fault can hit the second evacuate only, and nothing else."""
    world.spoil(Fault(name="once", what=What.ANSWER, body="evacuate", times=1, status=503))

    said = [world.post("/servers/1/action", body)[0] for body in ("start", "evacuate", "evacuate")]

    assert [202, 503, 202] == said


def test_proxy__delay__is_answered_in_the_end(world: World) -> None:
    """A late answer is an answer."""
    world.spoil(Fault(name="late", what=What.DELAY, delay_s=0.05))

    assert 202 == world.post("/servers")[0]


def test_proxy__sixty_clients_at_the_same_moment__turns_nobody_away(tmp_path: Path) -> None:
    """Else the lab refuses what Nova would have taken."""
    proxy = Proxy(0, 1, Faults(tmp_path / "none"))
    place = ("127.0.0.1", proxy.server_address[1])
    with ExitStack() as held:
        held.callback(proxy.server_close)
        # Nobody is taken in yet: it is busy with others.
        clients = [held.enter_context(socket.socket()) for _ in range(60)]
        for client in clients:
            client.setblocking(False)  # noqa: FBT003 - the standard library's
            client.connect_ex(place)

        wait_until(lambda: all(map(is_connected, clients)), "all are connected", 5.0)


def is_connected(client: socket.socket) -> bool:
    """Whether the other side's machine took the connection."""
    _, writable, _ = select.select([], [client], [], 0)
    return bool(writable) and client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
