"""Masakari's API and engine beside the lab's OpenStack, with their own database and vhost."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.guest_places import CLIENT
from lab.locked_venv import LockedVenv
from lab.machine import Machine
from lab.names import LabError
from lab.openstack import configuration, identity, seed
from lab.openstack.api import ConnectionInside, without_password
from lab.openstack.configuration import CLOUD, USER
from lab.processes import Process, kill_session, start_recorded, wait_until
from lab.services import log_of

VENV = LockedVenv(name="masakari")
API, ENGINE = "masakari-api", "masakari-engine"
PORT = 15868
READY_TIMEOUT_S = 60.0
_ENGINE_STARTED = b"Starting ha_engine"
_CONFIG = Path("/etc/masakari")
_CTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_CTL_ENVIRONMENT = ("env", "HOME=/var/lib/rabbitmq", "RABBITMQ_NODENAME=rabbit@localhost")
# What must be forgotten between two runs (peers.md 25.1): a second notification of the same kind
# within minutes, and one of a host that is still on maintenance, are refused.
_FORGET = """\
SET FOREIGN_KEY_CHECKS = 0;
DELETE FROM vmoves; DELETE FROM notifications; DELETE FROM hosts; DELETE FROM failover_segments;
DELETE FROM atomdetails; DELETE FROM flowdetails; DELETE FROM logbooks;
"""

_MASAKARI = """\
[DEFAULT]
auth_strategy = noauth2
transport_url = rabbit://{login}:5672/masakari
masakari_api_listen = 127.0.0.1
masakari_api_workers = 1
os_privileged_user_name = nova
os_privileged_user_password = {password}
os_privileged_user_tenant = service
os_privileged_user_auth_url = {auth_url}
os_user_domain_name = Default
os_project_domain_name = Default
os_region_name = {region}
{options}
[wsgi]
api_paste_config = {venv}/etc/masakari/api-paste.ini
[database]
connection = mysql+pymysql://{login}/masakari?charset=utf8
[taskflow]
connection = mysql+pymysql://{login}/masakari?charset=utf8
[keystone_authtoken]
auth_type = password
[oslo_concurrency]
lock_path = /run/masakari
"""


@dataclass(slots=True, kw_only=True)
class MasakariService:
    """One Masakari in one lab.

    Attributes:
        cloud: the machine of OpenStack's control plane; Masakari runs on it.
        running: its processes by name.
    """

    cloud: Machine
    running: dict[str, Process] = field(default_factory=dict)
    _is_made: bool = False

    def start(self, options: Mapping[str, str]) -> None:
        """Start it anew with these options and nothing in its database.

        Raises:
            LabError: it could not be installed or set up, or does not start.
        """
        try:
            self._start(options)
        except LabError as error:
            raise LabError(without_password(str(error), seed.password())) from None

    def _start(self, options: Mapping[str, str]) -> None:
        venv = VENV.cached()
        folder = self.cloud.path(_CONFIG)
        folder.mkdir(exist_ok=True)
        (folder / "masakari.conf").write_text(config(venv, seed.password(), options))
        if not self._is_made:
            self._make(venv)
            self._is_made = True
        self._sql(_FORGET, "masakari")
        for name in (API, ENGINE):
            self._log(name).unlink(missing_ok=True)
            program = (str(venv / "bin" / name), "--config-file", f"{_CONFIG}/masakari.conf")
            self.running[name] = start_recorded(
                self.cloud.exec_argv(program),
                record=self.cloud.layout.processes / name,
                log=self._log(name),
            )
        wait_until(self._is_answered, f"{API} (see {self._log(API)})", READY_TIMEOUT_S)
        # The engine answers nobody; what it logs says that it listens.
        log = self._log(ENGINE)
        wait_until(
            lambda: _ENGINE_STARTED in log.read_bytes(), f"{ENGINE} (see {log})", READY_TIMEOUT_S
        )

    def _log(self, name: str) -> Path:
        return log_of(self.cloud.layout, self.cloud.name, name)

    def stop(self) -> None:
        """End it. Idempotent."""
        for process in self.running.values():
            kill_session(process)
        self.running.clear()

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Ask its API.

        Raises:
            LabError: no answer, or an error; with its beginning.
        """
        headers = {
            "X-User-Id": "admin",
            "X-Roles": "admin",
            "X-Project-Id": "admin",
            "X-Auth-Token": "admin:admin",
            "Content-Type": "application/json",
            "OpenStack-API-Version": "instance-ha 1.3",
        }
        connection = ConnectionInside(self.cloud, PORT, address="127.0.0.1")
        try:
            connection.request(method, f"/v1{path}", body=json.dumps(body), headers=headers)
            response = connection.getresponse()
            answer = response.read()
        except OSError as error:
            raise LabError(f"{API} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            refusal = answer.decode(errors="replace")[:500]
            raise LabError(f"{API}: {method} {path}: {response.status} {refusal}")
        return json.loads(answer or b"null")

    def _make(self, venv: Path) -> None:
        self._sql("CREATE DATABASE IF NOT EXISTS masakari;")
        rabbit = (*_CTL_ENVIRONMENT, _CTL)
        self.cloud.run([*rabbit, "add_vhost", "masakari"], deadline_s=60.0)
        grant = ["set_permissions", "-p", "masakari", USER, ".*", ".*", ".*"]
        self.cloud.run([*rabbit, *grant], deadline_s=60.0)
        manage = [str(venv / "bin" / "masakari-manage"), "--config-file"]
        sync = [*manage, f"{_CONFIG}/masakari.conf", "db", "sync"]
        self.cloud.run(sync, deadline_s=120.0)

    def _sql(self, statements: str, *database: str) -> None:
        self.cloud.run([*CLIENT, *database], text=statements)

    def _is_answered(self) -> bool:
        try:
            self.call("GET", "/segments")
        except LabError:
            return False
        return True


def config(venv: Path, password: str, options: Mapping[str, str]) -> str:
    """Write Masakari's configuration: what it cannot do without, and what a profile changes."""
    return _MASAKARI.format(
        login=f"{USER}:{password}@{CLOUD}",
        password=password,
        auth_url=configuration.AUTH_URL,
        region=identity.REGION,
        venv=venv,
        options="".join(f"{name} = {value}\n" for name, value in sorted(options.items())),
    )
