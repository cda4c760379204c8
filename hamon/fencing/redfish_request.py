"""Ask one Redfish service one thing: a program of its own, run under ``shot.py``.

    python -I redfish_request.py < REQUEST

The request is one JSON object on standard input, because it holds the password:

    url, system      https://ADDRESS:PORT, and the path of the ComputerSystem
    username, password
    verify           a file or a folder of authorities to believe, or false
    action           "read", or the ResetType to order: "ForceOff", "On"
    expected         uuids, each a spelling of the system that is to be ordered; none: any
    timeout_s        of one request

The answer is one JSON object on standard output. To "read": ``power`` (a Redfish PowerState, null
if there is none) and ``uuid`` ("" if it names no system). To an order: ``outcome`` (a ShotOutcome).
Both: ``detail``.

It loads no module of hamon's: ``-I`` finds installed packages only, and this file is run by path.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
import sys
import warnings
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
from requests.adapters import HTTPAdapter
from sushy.exceptions import HTTPError, SushyError, raise_for_response
from sushy.resources.constants import PowerState, ResetType
from sushy.resources.system.system import System

_LANDS_IN = {ResetType.FORCE_OFF: PowerState.OFF, ResetType.ON: PowerState.ON}
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_MAYBE_THERE_ALREADY = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
"""What iLO and iDRAC answer when the system is already as ordered."""


class _Adapter(HTTPAdapter):
    """Leaves nothing behind in the kernel when this process is killed.

    safety: what a killed process had written, the kernel would go on sending for minutes, and an
    order could arrive long after its deadline. With a linger time of zero it throws it away.
    """

    # typing.override comes with Python 3.12.
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[explicit-override]  # noqa: ANN401 - the base class's
        """Open every connection with these options."""
        linger = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        no_delay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().init_poolmanager(*args, socket_options=[no_delay, linger], **kwargs)


class Connector:
    """What a sushy resource asks through: each request is sent once, on one connection.

    sushy's own sends a request again, also a POST, when its answer does not arrive; whether it also
    opens a session depends on the BMC. Here nothing is repeated, and there is no session to close:
    every request carries the password, and goes to the configured address, whatever host the BMC
    writes into its links. ``has_ordered``: an order may have been sent.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.has_ordered = False
        self._url = request["url"]
        self._timeout_s = request["timeout_s"]
        self._session = requests.Session()
        # Neither a proxy nor a .netrc of whoever runs this.
        self._session.trust_env = False
        self._session.auth = (request["username"].encode(), request["password"].encode())
        self._session.verify = request["verify"]
        # sushy's own way: some BMCs choke on compression.
        self._session.headers.update({"OData-Version": "4.0", "Accept-Encoding": "identity"})
        self._session.mount("https://", _Adapter())

    def get(self, path: str = "", **_: object) -> requests.Response:
        """Read a resource. Errors are those of ``requests`` and of sushy."""
        return self._send("GET", path)

    def post(
        self, path: str = "", data: dict[str, str] | None = None, **_: object
    ) -> requests.Response:
        """Order something. Errors are those of ``requests`` and of sushy."""
        self.has_ordered = True
        return self._send("POST", path, data)

    def _send(
        self, method: str, path: str, data: dict[str, str] | None = None
    ) -> requests.Response:
        response = self._session.request(
            method,
            self._url + urlsplit(path).path,
            json=data,
            timeout=self._timeout_s,
            # A POST that is sent elsewhere would become a GET, and its success say nothing. A GET
            # iLO sends on, to the same path with a slash behind it.
            allow_redirects=method == "GET",
        )
        raise_for_response(method, path, response)
        if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise SushyError(f"{method} {path} was answered with {response.status_code}")
        return response


def read(system: System) -> dict[str, object]:
    """Tell the power state and who answered."""
    return {"power": system.power_state and system.power_state.value, "uuid": identity(system.uuid)}


def order(
    system: System, reset: ResetType, connector: Connector, expected: list[str]
) -> dict[str, object]:
    """Order the state; what is known of the order comes from the answer to it, and from nothing.

    A system that names another machine than the expected one is ordered nothing.
    """
    named = identity(system.uuid)
    if expected and named and named not in expected:
        detail = f"it answers for another machine ({named}, wanted {expected[0]}): nothing ordered"
        return {"outcome": "not_done", "detail": detail}
    try:
        system.reset_system(reset)
    except (SushyError, requests.RequestException, ValueError) as error:
        outcome = "not_done"
        if connector.has_ordered:
            outcome = _judged(system, reset, error)
        return {"outcome": outcome, "detail": str(error)}
    return {"outcome": "done", "detail": ""}


def identity(uuid: object) -> str:
    """Return a system's UUID in its canonical form, "" for none: also all zeros and all ones."""
    try:
        parsed = UUID(str(uuid))
    except ValueError:
        return ""
    return "" if set(parsed.bytes) in ({0x00}, {0xFF}) else str(parsed)


def _judged(system: System, reset: ResetType, error: Exception) -> str:
    """Say what is known of an order that was sent and not accepted."""
    status = error.status_code if isinstance(error, HTTPError) else None
    if status in _REFUSED:
        return "not_done"
    if status in _MAYBE_THERE_ALREADY:
        try:
            system.refresh()
        except (SushyError, requests.RequestException, ValueError):
            return "unknown"
        if system.power_state is _LANDS_IN[reset]:
            return "done"
    return "unknown"


def answer(request: dict[str, Any]) -> dict[str, object]:
    """Do what is asked; see the module's docstring."""
    connector = Connector(request)
    try:
        system = System(connector, request["system"])
    except (SushyError, requests.RequestException, ValueError) as error:
        # Nothing but reading was tried.
        return {"power": None, "uuid": None, "outcome": "not_done", "detail": str(error)}
    if request["action"] == "read":
        return {"detail": "", **read(system)}
    return order(system, ResetType(request["action"]), connector, request["expected"])


def main() -> None:
    """Run as a program; see the module's docstring."""
    # What there is to say is in the answer.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    request = json.loads(sys.stdin.read())
    sys.stdout.write(json.dumps(answer(request)) + "\n")


if __name__ == "__main__":
    main()
