"""A small client of the lab's OpenStack, for the lab itself: it talks from outside of the lab."""

import http.client
import json
from pathlib import Path
from typing import Any

from typing_extensions import override

from lab.machine import Machine
from lab.names import LabError, Plane
from lab.network import inside
from lab.openstack import configuration

TIMEOUT_S = 60.0
COMPUTE_VERSION, PLACEMENT_VERSION = "2.79", "1.22"
_UNAUTHORIZED = 401
_FIRST_ERROR = 400


class Api:
    """Calls of one user in one project.

    Args:
        cloud: the machine with the control plane.
        password: of the user.
        user, project: whose calls these are; both in the default domain.
    """

    def __init__(
        self, cloud: Machine, password: str, *, user: str = "admin", project: str = "admin"
    ) -> None:
        self._cloud = cloud
        self._password = password
        self._user = user
        self._project = project
        self._token = ""

    def call(
        self,
        port: int,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
    ) -> Any:  # noqa: ANN401 - what the API answers
        """Call an API; a token that is missing or expired is fetched first.

        Args:
            port: which API.
            method: of HTTP.
            path: below the root, with the query.
            body: bytes as they are, anything else as JSON, None: no body.
            content_type: of the body.

        Raises:
            LabError: no answer, or an error; with its beginning.
        """
        status, answer = self._with_token(port, method, path, _encoded(body), content_type)
        if status == _UNAUTHORIZED:
            self._token = ""
            status, answer = self._with_token(port, method, path, _encoded(body), content_type)
        if status >= _FIRST_ERROR:
            what = f"{method} {path} on port {port}: {status}"
            raise LabError(_refusal(what, answer, self._password))
        return json.loads(answer) if answer.startswith((b"{", b"[")) else None

    def is_answered(self) -> bool:
        """Whether keystone answers by now, and knows this user."""
        try:
            self._token = self._authenticate()
        except LabError:
            return False
        return True

    def _with_token(
        self, port: int, method: str, path: str, body: bytes | None, content_type: str
    ) -> tuple[int, bytes]:
        if not self._token:
            self._token = self._authenticate()
        headers = {
            "X-Auth-Token": self._token,
            "Content-Type": content_type,
            "OpenStack-API-Version": (f"compute {COMPUTE_VERSION}, placement {PLACEMENT_VERSION}"),
        }
        status, answer, _ = self._send(port, method, path, body, headers)
        return status, answer

    def _authenticate(self) -> str:
        domain = {"name": "Default"}
        user = {"name": self._user, "domain": domain, "password": self._password}
        question = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": self._project, "domain": domain}},
            }
        }
        status, answer, headers = self._send(
            configuration.IDENTITY_PORT,
            "POST",
            "/v3/auth/tokens",
            _encoded(question),
            {"Content-Type": "application/json"},
        )
        if status >= _FIRST_ERROR:
            what = f"keystone gives {self._user} no token: {status}"
            raise LabError(_refusal(what, answer, self._password))
        return headers["X-Subject-Token"]

    def _send(
        self, port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = ConnectionInside(self._cloud, port)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        except OSError as error:
            raise LabError(f"port {port} of {self._cloud.name} does not answer: {error}") from error
        finally:
            connection.close()


class ConnectionInside(http.client.HTTPConnection):
    """A connection that is made in a machine's network.

    Args:
        machine: whose network.
        port: of the machine itself.
        address: where it listens; "": on the management plane.
    """

    def __init__(self, machine: Machine, port: int, *, address: str = "") -> None:
        own = machine.layout.address(machine.name, Plane.MANAGEMENT)
        super().__init__(address or own, port, timeout=TIMEOUT_S)
        self._machine = machine

    @override
    def connect(self) -> None:
        """Connect from the machine's own network namespace."""
        init = self._machine.init_process()
        if init is None:
            raise OSError(f"{self._machine.name} is off")
        with inside(Path(f"/proc/{init.pid}/ns/net")):
            super().connect()


def without_password(text: str, password: str) -> str:
    """What an error may say of what something printed or answered."""
    return text.replace(password, "***")


def _refusal(what: str, answer: bytes, password: str) -> str:
    # An API may quote what it was configured with or asked.
    return f"{what} {without_password(answer.decode(errors='replace'), password)[:500]}"


def _encoded(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body).encode()
