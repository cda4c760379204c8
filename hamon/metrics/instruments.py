"""What the engine tells about itself, and nothing else: each method is one thing that happened."""

from __future__ import annotations

import platform
import time
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from hamon.errors import PortError
from hamon.metrics import registry as metrics
from hamon.metrics.collector import ClusterCollector
from hamon.metrics.registry import Metric
from hamon.metrics.timeline import MigrationEnded, PhaseReached, Timeline
from hamon.model.change import Decision
from hamon.model.incident import ShotOutcome
from hamon.model.names import Epoch
from hamon.model.proof import Power
from hamon.model.view import ClusterView
from hamon.ports.store import SessionState


class Instruments:
    """The metrics of one controller.

    Call it from one thread (the loop's); the endpoint reads from its own.
    """

    def __init__(self, registry: CollectorRegistry, *, version: str, policy_hash: str) -> None:
        """Declare every metric in ``registry``.

        Args:
            registry: a registry of this controller's own, so that tests and simulated controllers
                in one process do not meet.
            version: hamon's version.
            policy_hash: ``Settings.digest``.
        """
        self._timeline = Timeline()
        self._cluster = ClusterCollector(policy_hash)
        self._is_leading = False
        registry.register(self._cluster)
        ProcessCollector(registry=registry)

        build_info = _gauge(metrics.BUILD_INFO, registry)
        build_info.labels(version, platform.python_version()).set(1)
        self._is_leader = _gauge(metrics.IS_LEADER, registry)
        self._epoch = _gauge(metrics.EPOCH, registry)
        self._tick_duration = _histogram(metrics.TICK_DURATION, registry)
        self._last_tick = _gauge(metrics.LAST_TICK, registry)
        self._tick_lag = _gauge(metrics.TICK_LAG, registry)
        self._session_state = _gauge(metrics.SESSION_STATE, registry)
        self._commit_duration = _histogram(metrics.COMMIT_DURATION, registry)
        self._intents_late = _counter(metrics.INTENTS_LATE, registry)
        self._port_errors = _counter(metrics.PORT_ERRORS, registry)
        self._calls = _counter(metrics.CALLS, registry)
        self._call_duration = _histogram(metrics.CALL_DURATION, registry)
        self._stuck_workers = _gauge(metrics.STUCK_WORKERS, registry)
        self._incident_phase = _histogram(metrics.INCIDENT_PHASE, registry)
        self._migration_duration = _histogram(metrics.MIGRATION_DURATION, registry)
        self._migrations_ended = _counter(metrics.MIGRATIONS_ENDED, registry)
        self._fences = _counter(metrics.FENCES, registry)
        self._fence_duration = _histogram(metrics.FENCE_DURATION, registry)
        self._readings = _counter(metrics.READINGS, registry)
        self._kdump_datagrams = _counter(metrics.KDUMP_DATAGRAMS, registry)

    # -- leading and seeing

    def observe_leadership(self, epoch: Epoch | None) -> None:
        """Note that a term began with ``epoch``, or ended (None)."""
        self._is_leading = epoch is not None
        self._is_leader.set(int(self._is_leading))
        if epoch is None:
            # What was decided last holds no more: another controller's decision counts now.
            self._cluster.picture = replace(self._cluster.picture, decision=None)
        else:
            self._epoch.set(epoch)

    def observe_session(self, state: SessionState) -> None:
        """Note the state of this controller's ZooKeeper session."""
        for known in SessionState:
            self._session_state.labels(known).set(int(known is state))

    def observe_view(self, view: ClusterView, now_s: float) -> None:
        """Note the present view. Standbys call it too; what became of incidents, leaders count.

        Args:
            view: what this controller sees.
            now_s: its monotonic second.
        """
        self._cluster.picture = replace(
            self._cluster.picture, view=view, epoch_s=time.time() - now_s
        )
        for event in self._timeline.advance(view, now_s):
            if not self._is_leading:
                continue
            match event:
                case PhaseReached():
                    self._incident_phase.labels(event.phase).observe(event.after_s)
                case MigrationEnded():
                    self._migrations_ended.labels(event.result).inc()
                    if event.took_s is not None:
                        self._migration_duration.observe(event.took_s)

    def observe_tick(self, decision: Decision, duration_s: float) -> None:
        """Note a finished round of the leader.

        Args:
            decision: what it came to; holds and reasons are shown from it.
            duration_s: from observing to recorded.
        """
        self._cluster.picture = replace(self._cluster.picture, decision=decision)
        self._tick_duration.observe(duration_s)
        self._last_tick.set_to_current_time()

    def observe_lag(self, lag_s: float) -> None:
        """Note how much later than wanted a round began."""
        self._tick_lag.set(lag_s)

    # -- acting

    def observe_commit(self, duration_s: float) -> None:
        """Note an acknowledged transaction."""
        self._commit_duration.observe(duration_s)

    def count_late_intent(self) -> None:
        """Note an action that was not started because its lease was over."""
        self._intents_late.inc()

    def observe_shot(self, kind: str, outcome: ShotOutcome, duration_s: float) -> None:
        """Note a finished order to a fence device of ``kind``."""
        self._fences.labels(kind, outcome).inc()
        self._fence_duration.labels(kind).observe(duration_s)

    def observe_call(self, operation: str, outcome: str, duration_s: float) -> None:
        """Note a finished call to Nova."""
        self._calls.labels(operation, outcome).inc()
        self._call_duration.labels(operation).observe(duration_s)

    def count_reading(self, kind: str, power: Power) -> None:
        """Note the answer of a fence device of ``kind``."""
        self._readings.labels(kind, power).inc()

    def count_kdump_datagram(self, heard: str) -> None:
        """Note what arrived where crash notices are listened for."""
        self._kdump_datagrams.labels(heard).inc()

    def count_port_error(self, error: PortError) -> None:
        """Note a failed call to an outside system."""
        self._port_errors.labels(error.port, error.outcome).inc()

    def observe_stuck_workers(self, port: str, count: int) -> None:
        """Note how many workers of ``port`` are past their deadline and still busy."""
        self._stuck_workers.labels(port).set(count)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.meaning, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(
        metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets
    )
