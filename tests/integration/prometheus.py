"""A real Prometheus in the lab: scrapes every daemon and agent, evaluates the rules as shipped."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.hamon_files import AGENT_METRICS_PORT, METRICS_PORT
from lab.machine import Machine
from lab.names import PROJECT
from lab.network import inside
from lab.processes import wait_until
from tests.integration.world import World

RULES = PROJECT / "config" / "prometheus" / "hamon.rules.yml"
PORT = 9090
SCRAPES_S = 1
READY_WITHIN_S = 60.0

is_installed = shutil.which("prometheus") is not None


class Prometheus:
    """Runs in the network of a controller while entered."""

    def __init__(self, world: World, on: str = "c1") -> None:
        self._world = world
        self._machine: Machine = world.lab.machine(on)
        self._address = f"{world.lab.address(on)}:{PORT}"
        self._folder = Path(tempfile.mkdtemp(prefix="hamon-prometheus-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        config = self._folder / "prometheus.yml"
        # JSON is YAML.
        config.write_text(json.dumps(self._config()))
        words = [
            *("setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={config}"),
            *(f"--storage.tsdb.path={self._folder}/data", "--log.level=warn"),
            f"--web.listen-address={self._address}",
        ]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["nsenter", f"--net={self._network()}", "--", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        jobs = len(self._world.lab.daemons) + len(self._world.lab.hosts)
        wait_until(lambda: len(self.ask("up == 1")) == jobs, "every target up", READY_WITHIN_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now; nothing while Prometheus does not answer.

        Raises:
            AssertionError: it cannot be evaluated.
        """
        query = urllib.parse.urlencode({"query": expression})
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            with inside(self._network()):
                connection.request("GET", f"/api/v1/query?{query}")
                answer = connection.getresponse()
                text = answer.read()
            # It is still starting.
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return []
            told = json.loads(text)
        except OSError:
            return []
        finally:
            connection.close()
        assert told["status"] == "success", f"{expression}: {told}"
        result: list[dict[str, Any]] = told["data"]["result"]
        return result

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        found = self.ask('ALERTS{alertstate="firing"}')
        return {series["metric"]["alertname"] for series in found}

    def _network(self) -> Path:
        init = self._machine.init_process()
        assert init is not None, "the machine is on"
        return Path(f"/proc/{init.pid}/ns/net")

    def _config(self) -> dict[str, Any]:
        lab = self._world.lab
        jobs = {
            "hamon": [f"{lab.address(str(c.name))}:{METRICS_PORT}" for c in lab.daemons],
            "hamon-agent": [f"{lab.address(str(h.name))}:{AGENT_METRICS_PORT}" for h in lab.hosts],
        }
        return {
            "global": {"scrape_interval": f"{SCRAPES_S}s", "evaluation_interval": f"{SCRAPES_S}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": targets}]}
                for job, targets in jobs.items()
            ],
        }
