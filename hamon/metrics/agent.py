"""What the guests process of a compute host tells about itself."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hamon.metrics import registry as metrics
from hamon.metrics.picture import AgentPicture
from hamon.metrics.registry import Metric
from hamon.metrics.shared import SharedInstruments, counter
from hamon.model.guest import GrantState
from hamon.model.host import DomainState
from hamon.ports.clock import Clock


class AgentInstruments(SharedInstruments):
    """The metrics of one guests process."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        version: str,
        clock: Clock,
        picture: Callable[[], AgentPicture],
    ) -> None:
        """Declare every metric in ``registry``.

        Args:
            registry: a registry of this process' own.
            version: hamon's version.
            clock: the picture's.
            picture: asked on the endpoint's thread.
        """
        super().__init__(registry, version=version)
        self._events = counter(metrics.AGENT_EVENTS, registry)
        registry.register(_AgentCollector(clock, picture))

    def count_event(self, event: str, level: str) -> None:
        """Note a line of the log."""
        self._events.labels(event, level).inc()


class _AgentCollector(Collector):
    def __init__(self, clock: Clock, picture: Callable[[], AgentPicture]) -> None:
        self._clock = clock
        self._picture = picture

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name no metric: there may be no picture yet."""
        return ()

    # typing.override comes with Python 3.12.
    def collect(self) -> Iterator[GaugeMetricFamily]:  # type: ignore[explicit-override]
        """Make the series of the present picture."""
        now = self._picture()
        yield _number(metrics.AGENT_LAST_ROUND, self._at_s(now.round_s))
        yield _number(metrics.AGENT_IS_SHUT_OUT, int(now.is_shut_out))
        yield _number(metrics.AGENT_IS_SHADOW, int(now.is_shadow))
        yield _number(metrics.AGENT_LIBVIRT, int(now.is_libvirt_healthy))
        yield _counts(metrics.AGENT_DOMAINS, now.domains, DomainState)
        yield _counts(metrics.AGENT_GRANTS, now.grants, GrantState)
        failed = _family(metrics.AGENT_CHECKS_FAILED)
        for check, is_failed in sorted(now.failed.items()):
            failed.add_metric([check], int(is_failed))
        yield failed

    def _at_s(self, moment_s: float | None) -> float:
        """Return the Unix time of a moment on the picture's clock."""
        return 0.0 if moment_s is None else time.time() - (self._clock.now_s() - moment_s)


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)


def _number(metric: Metric, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, value=value)


def _counts(metric: Metric, values: Iterable[str], every: Iterable[str]) -> GaugeMetricFamily:
    """Make one series for every value there can be, so that zero is a number and not a gap."""
    family = _family(metric)
    counts = Counts(values)
    for value in every:
        family.add_metric([str(value)], counts[value])
    return family
