"""A sushy-emulator on loopback: the Redfish service that OpenStack's own projects test with."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import bcrypt

from tests.contract.redfish_rig import PASSWORD, USERNAME, write_certificate

NODES = {
    "node-1": "11111111-2222-4333-8444-555555555551",
    "node-2": "11111111-2222-4333-8444-555555555552",
}
"""Two systems of one service."""


class Emulator:
    """A sushy-emulator over TLS with a login, both systems on."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.certificate, key = write_certificate(folder)
        digest = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "logins").write_text(f"{USERNAME}:{digest}\n")
        systems = [
            {"uuid": uuid, "name": name, "power_state": "On", "nics": []}
            for name, uuid in NODES.items()
        ]
        (folder / "emulator.conf").write_text(
            f"SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\n"
            f"SUSHY_EMULATOR_LISTEN_PORT = {self.port}\n"
            f"SUSHY_EMULATOR_SSL_CERT = {str(self.certificate)!r}\n"
            f"SUSHY_EMULATOR_SSL_KEY = {str(key)!r}\n"
            f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'logins')!r}\n"
            f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n"
            f"SUSHY_EMULATOR_FAKE_DRIVER = True\n"
            f"SUSHY_EMULATOR_FAKE_SYSTEMS = {json.dumps(systems)}\n"
        )
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(str(Path(sys.executable).with_name("sushy-emulator")), "--config"),
                    str(folder / "emulator.conf"),
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
