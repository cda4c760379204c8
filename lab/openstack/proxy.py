"""Stands before an OpenStack API and spoils what it is told to: late, lost, refused, unanswered.

It runs as `python -m lab.openstack.proxy PORT TARGET_PORT FAULTS`. FAULTS is a file with a JSON
list, read anew for each request; without it everything passes. The first fault that fits is done.
It prints a line for each request that it answered: see `lab.openstack.access`.
"""

import http.client
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from typing_extensions import override

from lab.openstack import access
from lab.openstack.access import Request

TARGET_TIMEOUT_S = 120.0
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


class What(StrEnum):
    """What becomes of a request."""

    DELAY = "delay"  # passed on after a while
    DROP = "drop"  # not passed on, not answered: the connection just ends
    ANSWER = "answer"  # not passed on, answered with a status
    SWALLOW = "swallow"  # carried out, but not answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong.

    Attributes:
        name: tells it from others; its `times` are counted by it.
        what: becomes of the request.
        method: of HTTP, "": any.
        path: a regular expression that is searched in path and query.
        body: likewise in the body.
        times: how often it is done, 0: always.
        delay_s: how long a delayed request waits.
        status: that is answered.
    """

    name: str
    what: What
    method: str = ""
    path: str = ""
    body: str = ""
    times: int = 0
    delay_s: float = 0.0
    status: int = http.client.SERVICE_UNAVAILABLE

    def fits(self, method: str, path: str, body: str) -> bool:
        """Whether a request is one that it is meant for."""
        return (
            self.method in {"", method}
            and re.search(self.path, path) is not None
            and re.search(self.body, body) is not None
        )


def write_faults(file: Path, faults: tuple[Fault, ...]) -> None:
    """Have a proxy do these faults from now on, and no others."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps([asdict(fault) for fault in faults]))
    new.rename(file)


class Faults:
    """The faults of one proxy, and how often each was done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}

    def due(self, method: str, path: str, body: str) -> Fault | None:
        """The fault to do to a request, None: it passes. Counts it as done."""
        try:
            listed = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        for fault in (Fault(**entry | {"what": What(entry["what"])}) for entry in listed):
            if not fault.fits(method, path, body):
                continue
            with self._lock:
                done = self._done.get(fault.name, 0)
                if fault.times and done >= fault.times:
                    continue
                self._done[fault.name] = done + 1
            return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """One connection of a client; the server carries the target and the faults."""

    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def do_GET(self) -> None:
        """Pass a request on, or do to it what is due."""
        asked_s = access.now_s()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.faults.due(self.command, self.path, body.decode(errors="replace"))
        what = fault.what if fault is not None else None
        if fault is not None and what is What.DELAY:
            time.sleep(fault.delay_s)
        if what is What.DROP:
            self.close_connection = True
            return
        if fault is not None and what is What.ANSWER:
            self._answer(fault.status, [], json.dumps({"fault": fault.name}).encode())
            self._tell(asked_s, fault.status, body)
            return
        status, headers, answer = self._carry_out(body)
        if what is What.SWALLOW:
            self.close_connection = True
            return
        self._answer(status, headers, answer)
        self._tell(asked_s, status, body)

    # The names that BaseHTTPRequestHandler calls.
    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815

    def _carry_out(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = http.client.HTTPConnection(
            "127.0.0.1", self.server.target_port, timeout=TARGET_TIMEOUT_S
        )
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        try:
            target.request(self.command, self.path, body=body or None, headers=headers)
            response = target.getresponse()
            return response.status, response.getheaders(), response.read()
        except OSError as error:
            return http.client.BAD_GATEWAY, [], str(error).encode()
        finally:
            target.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _tell(self, asked_s: float, status: int, body: bytes) -> None:
        self.server.tell(
            Request(
                asked_s=asked_s,
                answered_s=access.now_s(),
                sender=str(self.client_address[0]),
                agent=self.headers.get("User-Agent", ""),
                method=self.command,
                path=self.path,
                action=_action(body),
                status=status,
            )
        )

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing but what `_tell` says."""


class Proxy(ThreadingHTTPServer):
    """Serves one API's clients.

    Args:
        port: where it listens, on every address.
        target_port: where the API listens on this machine.
        faults: what goes wrong.
        tell: is told of each request that was answered.
    """

    daemon_threads = True
    request_queue_size = 128
    """A client that asks for sixty things at once is not to be turned away by the lab: the 5 of
    the standard library made resets that no Nova makes."""

    def __init__(
        self,
        port: int,
        target_port: int,
        faults: Faults,
        tell: Callable[[Request], None] = access.print_request,
    ) -> None:
        super().__init__(("0.0.0.0", port), Handler)  # noqa: S104 - a machine's own network
        self.target_port = target_port
        self.faults = faults
        self.tell = tell


def _action(body: bytes) -> str:
    """What a request to a server's `action` asks for; "" for other requests."""
    try:
        named = json.loads(body or b"null")
    except ValueError:
        return ""
    return next(iter(named), "") if isinstance(named, dict) else ""


def main() -> None:
    """Serve until killed."""
    port, target_port, faults = sys.argv[1:]
    Proxy(int(port), int(target_port), Faults(Path(faults))).serve_forever()


if __name__ == "__main__":
    main()
