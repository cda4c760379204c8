"""A Redfish service on loopback with one system that is a flag, and what a BMC may do wrong.

sushy-emulator, which the tests of the programs use, never refuses, lies, hangs or hangs up.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USERNAME = "hamon"
PASSWORD = "s3cret-of-rig"
PRODUCT_UUID = "a1234567-89ab-4def-a123-456789abcdef"
SYSTEM = "/redfish/v1/Systems/node-1"
ALIAS = "/redfish/v1/Systems/alias"
"""Where it sends readers on to :data:`SYSTEM`, as iLO does to a path with a slash behind it."""
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
_REDIRECTION = range(300, 400)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself, for 127.0.0.1; return its file and that of its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=rig", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class RedfishRig:
    """The service and its machine; attributes may be changed at any time.

    ``told_power``: the PowerState it tells whatever is true. ``told_uuid``: the system's UUID, None
    to leave it out. ``reset_status``: how it answers orders. ``obeys``: whether it carries them
    out. ``hangs``: it never answers them. ``hangs_up``: it closes the connection instead.
    ``delay_s``: how long it takes for any answer. ``orders``: the ResetTypes that arrived.
    ``endings``: how the other side ended the connections on which it hung.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = write_certificate(folder)
        self.is_on = True
        self.accepts = PASSWORD
        self.told_power: str | None = None
        self.told_uuid: str | None = PRODUCT_UUID
        self.reset_status = 204
        self.obeys = True
        self.delay_s = 0.0
        self.hangs = self.hangs_up = False
        self.orders: list[str] = []
        self.endings: list[str] = []
        self.is_stopping = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server = _Server(self)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more, and give the port back. Idempotent."""
        if not self.is_stopping.is_set():
            self.is_stopping.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, rig: RedfishRig) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rig = rig

    def handle_error(self, request: object, client_address: object) -> None:  # type: ignore[explicit-override]
        """Clients come without a trust in the certificate, and go in the middle: no matter."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30.0
    server: _Server

    @property
    def rig(self) -> RedfishRig:
        """Whose requests it answers."""
        return self.server.rig

    def log_message(self, format: str, *args: object) -> None:  # type: ignore[explicit-override]  # noqa: A002 - the base class's name
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        """Tell of the system."""
        if not self._is_let_in():
            return
        if self.path == ALIAS:
            self._answer(308, {})
            return
        if self.path != SYSTEM:
            self._answer(404, {})
            return
        power = self.rig.told_power or ("On" if self.rig.is_on else "Off")
        system: dict[str, object] = {
            "@odata.id": SYSTEM,
            "Id": "node-1",
            "Name": "node-1",
            "PowerState": power,
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": RESET,
                    "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"],
                }
            },
        }
        if self.rig.told_uuid is not None:
            system["UUID"] = self.rig.told_uuid
        self._answer(200, system)

    def do_POST(self) -> None:
        """Take an order."""
        said = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_let_in():
            return
        self.rig.orders.append(json.loads(said)["ResetType"])
        if self.rig.hangs:
            self._wait_for_the_end()
            return
        if self.rig.obeys:
            self.rig.is_on = self.rig.orders[-1] == "On"
        if self.rig.hangs_up:
            self.close_connection = True
            return
        self._answer(self.rig.reset_status, {})

    def _is_let_in(self) -> bool:
        if self.rig.is_stopping.wait(self.rig.delay_s):
            self.close_connection = True
            return False
        expected = base64.b64encode(f"{USERNAME}:{self.rig.accepts}".encode()).decode()
        given = self.headers.get("Authorization", "")
        if given == f"Basic {expected}":
            return True
        self._answer(401, {"error": {"message": f"wrong: {PASSWORD}"}})
        return False

    def _wait_for_the_end(self) -> None:
        """Wait until the other side ends the connection, and write down how it did."""
        self.close_connection = True
        # Below TLS, which does not tell a reset from an end.
        with socket.socket(fileno=os.dup(self.connection.fileno())) as plain:
            plain.settimeout(0.05)
            while not self.rig.is_stopping.is_set():
                try:
                    if not plain.recv(1):
                        self.rig.endings.append("closed")
                        return
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    self.rig.endings.append("reset")
                    return

    def _answer(self, status: int, body: dict[str, object]) -> None:
        told = json.dumps(body).encode() if body else b""
        self.send_response(status)
        if status in _REDIRECTION:
            self.send_header("Location", SYSTEM)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
