"""A keystone and a Nova that answer over HTTP, remember what they were asked, and can be slow.

They answer from lists, so that what the client does (log in, page, send once) can be looked at; how
a real Nova behaves is a matter of the contract tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

MAX_LIMIT = 1000
"""Of a page, unless an operator of Nova has changed it."""

LISTS = {
    "/servers/detail": "servers",
    "/servers": "servers",
    "/os-migrations": "migrations",
    "/os-server-groups": "server_groups",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. ``place``: region and interface it came to; ``path``: below that."""

    method: str
    place: str
    path: str
    query: dict[str, str]
    body: Any


class NovaApi(ThreadingHTTPServer):
    """Both APIs.

    ``rows``: of the lists. ``servers``: those that can be asked for by id. ``bodies``: what is
    answered at a path that has no rows. ``more_services``: of the catalog. ``on_token`` is called
    before a token is given: the time that passes. ``is_keystone_well``: False: it answers with
    ``keystone_status``.
    ``are_tokens_good``: False: Nova takes none of them. ``expires_at``: what every token says of
    itself.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[Asked] = []
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS.values()}
        self.servers: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, Any] = {}
        self.more_services: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.is_keystone_well = True
        self.keystone_status = 503
        self.are_tokens_good = True
        self.expires_at = "2999-01-01T00:00:00.000000Z"
        self.on_token: Callable[[], None] = lambda: None
        self._given = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def new_token(self) -> str:
        """Give a token that holds until ``tokens`` forgets it."""
        self.on_token()
        self._given += 1
        token = f"token-{self._given}"
        if self.are_tokens_good:
            self.tokens.add(token)
        return token

    def catalog(self) -> dict[str, Any]:
        """What stands in a token."""
        endpoints = [
            {
                "id": f"{region}-{interface}",
                "region": region,
                "region_id": region,
                "interface": interface,
                "url": f"{self.url}/{region}-{interface}/v2.1",
            }
            for region in ("north", "south")
            for interface in ("public", "internal", "admin")
        ]
        compute = {"id": "1", "type": "compute", "name": "nova", "endpoints": endpoints}
        return {
            "methods": ["password"],
            "user": {"id": "1", "name": "hamon", "domain": {"id": "1", "name": "Default"}},
            "project": {"id": "1", "name": "service", "domain": {"id": "1", "name": "Default"}},
            "issued_at": "2026-11-22T00:00:00.000000Z",
            "expires_at": self.expires_at,
            "roles": [],
            "catalog": [compute, *self.more_services],
        }

    def page(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """One page of a list, by marker or by offset."""
        name = LISTS[path]
        rows = self.rows[name]
        start = int(query.get("offset", 0))
        if marker := query.get("marker"):
            ids = [row.get("uuid") or row["id"] for row in rows]
            start = ids.index(marker) + 1
        limit = min(MAX_LIMIT, int(query.get("limit", MAX_LIMIT)))
        page: dict[str, Any] = {name: rows[start : start + limit]}
        if len(page[name]) == limit and name in {"servers", "migrations"}:
            page[f"{name}_links"] = [{"rel": "next", "href": f"{self.url}{path}"}]
        return page


class _Answering(BaseHTTPRequestHandler):
    """One connection to them."""

    protocol_version = "HTTP/1.1"
    server: NovaApi

    def do_GET(self) -> None:
        """Answer a question."""
        asked = self._asked()
        if asked.place == "v3":
            link = {"rel": "self", "href": f"{self.server.url}/v3/"}
            version = {"id": "v3.14", "status": "stable", "links": [link]}
            self._answer(200, {"version": version})
        elif not self._may():
            self._answer(401, {"error": {"message": "token", "code": 401}})
        elif server := self.server.servers.get(asked.path.removeprefix("/servers/")):
            self._answer(200, {"server": server})
        else:
            body = self.server.bodies.get(asked.path)
            self._answer(200, body or self.server.page(asked.path, asked.query))

    def do_POST(self) -> None:
        """Give a token, or carry out an order."""
        asked = self._asked()
        if asked.place == "v3":
            status = 201 if self.server.is_keystone_well else self.server.keystone_status
            headers = {"X-Subject-Token": self.server.new_token()} if status == 201 else {}
            self._answer(status, {"token": self.server.catalog()}, headers)
        elif not self._may():
            self._answer(401, {"error": {"message": "token", "code": 401}})
        else:
            self._answer(200, {}, {"x-openstack-request-id": "req-1"})

    def do_PUT(self) -> None:
        """Carry out an order."""
        self.do_POST()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _may(self) -> bool:
        return self.headers.get("X-Auth-Token") in self.server.tokens

    def _asked(self) -> Asked:
        url = urlsplit(self.path)
        _, place, rest = f"{url.path}/".split("/", maxsplit=2)
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked(
            method=self.command,
            place=place,
            path="/" + rest.rstrip("/").removeprefix("v2.1/"),
            query=dict(parse_qsl(url.query)),
            body=json.loads(self.rfile.read(length) or "null"),
        )
        self.server.asked.append(asked)
        return asked

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
