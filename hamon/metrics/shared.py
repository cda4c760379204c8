"""What every process of hamon tells that serves metrics: its build, its calls, its session."""

from __future__ import annotations

import platform
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from hamon.metrics import registry as metrics
from hamon.metrics.registry import Metric
from hamon.ports.store import SessionState


class SharedInstruments:
    """The metrics that daemon and agent have in common."""

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        """Declare them in ``registry``.

        Args:
            registry: a registry of this process' own, so that tests and simulated controllers in
                one process do not meet.
            version: hamon's version.
        """
        ProcessCollector(registry=registry)
        build_info = gauge(metrics.BUILD_INFO, registry)
        build_info.labels(version, platform.python_version()).set(1)
        self._session_state = gauge(metrics.SESSION_STATE, registry)
        self._calls = counter(metrics.CALLS, registry)
        self._call_duration = histogram(metrics.CALL_DURATION, registry)
        self._stuck_workers = gauge(metrics.STUCK_WORKERS, registry)

    def observe_session(self, state: SessionState) -> None:
        """Note the state of this process' ZooKeeper session."""
        for known in SessionState:
            self._session_state.labels(known).set(int(known is state))

    def observe_call(self, system: str, operation: str, outcome: str, duration_s: float) -> None:
        """Note a finished call to an outside system."""
        self._calls.labels(system, operation, outcome).inc()
        self._call_duration.labels(system, operation).observe(duration_s)

    def watch_stuck_workers(self, system: str, count: Callable[[], int]) -> None:
        """Show from now on how many workers of a system are past their deadline and still busy.

        Args:
            system: as in :meth:`observe_call`.
            count: asked on the endpoint's thread.
        """
        self._stuck_workers.labels(system).set_function(count)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    """Declare a gauge."""
    return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    """Declare a counter."""
    return Counter(metric.name, metric.meaning, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    """Declare a histogram."""
    return Histogram(
        metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets
    )
