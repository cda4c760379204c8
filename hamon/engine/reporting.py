"""Reports: what a controller says of itself in ZooKeeper, when it changes and once a second.

The commit is also the proof of its session and, for a leader, of its term: only a committed write
shows that a participant still has its place (zookeeper.md 3.7).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from hamon.engine.health import OwnHealth
from hamon.engine.ports import Cluster, Probes
from hamon.errors import StoreError
from hamon.model.names import ControllerId, Epoch
from hamon.model.view import ControllerView
from hamon.ports.clock import Clock

_log = structlog.get_logger()

PERIOD_S = 1.0
"""How often the session is proven although nothing changed: well below any session time-out."""


class Reporter:
    """Keeps this controller's report up to date.

    Args:
        cluster: where it is written.
        probes: what it is about.
        health: told of each proof of the session.
        clock: time.
        controller: whose report.
        policy_hash: what controllers compare to know that they decide alike.
        version: of hamon.
        outside: tells which outside systems are reached.
    """

    def __init__(
        self,
        cluster: Cluster,
        probes: Probes,
        health: OwnHealth,
        clock: Clock,
        *,
        controller: ControllerId,
        policy_hash: str,
        version: str,
        outside: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        self._cluster = cluster
        self._probes = probes
        self._health = health
        self._clock = clock
        self._controller = controller
        self._policy_hash = policy_hash
        self._version = version
        self._outside = outside
        self._look = asyncio.Event()

    def look(self) -> None:
        """Look now whether there is something new to report. Idempotent; on the event loop."""
        self._look.set()

    async def run(self, epoch: Callable[[], Epoch | None]) -> None:
        """Report for ever.

        Args:
            epoch: the present term's epoch, None while standing by.

        Raises:
            DeposedError: the epoch moved on.
        """
        written: ControllerView | None = None
        written_s = -PERIOD_S
        while True:
            self._look.clear()
            report = self._report()
            now_s = self._clock.now_s()
            is_due = report != written or now_s - written_s >= PERIOD_S
            if is_due and await self._write(report, epoch()):
                written, written_s = report, now_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._look.wait()

    def _report(self) -> ControllerView:
        return ControllerView(
            controller=self._controller,
            version=self._version,
            policy_hash=self._policy_hash,
            reaches=self._probes.reaches(),
            silent=self._probes.silent(),
            heard=self._probes.heard(),
            outside=self._outside(),
        )

    async def _write(self, report: ControllerView, epoch: Epoch | None) -> bool:
        sent_s = self._clock.now_s()
        try:
            await self._cluster.report(report, epoch)
        except StoreError as error:
            _log.debug("report_failed", why=error.why)
            return False
        self._health.proved_session(sent_s)
        return True
