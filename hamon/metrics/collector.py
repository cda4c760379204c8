"""Metrics about the cluster, made from the last view whenever Prometheus asks.

So a host that was removed has no series left, and a controller that sees nothing shows nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hamon.decide.tolerance import tolerable_failures
from hamon.metrics import registry
from hamon.metrics.registry import Metric
from hamon.model.change import Decision
from hamon.model.control import HoldKind
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, HostView

TOLERABLE_PERIOD_S = 60.0

NEVER_SEEN = "NONE"
"""State shown of a host that is enrolled and has never registered."""

COLLECTED: tuple[Metric, ...] = (
    registry.HOST_STATE,
    registry.HOSTS,
    registry.HOSTS_IN_MAINTENANCE,
    registry.ARMED,
    registry.FENCE_GOOD,
    registry.EVIDENCE,
    registry.TOLERABLE_FAILURES,
    registry.INCIDENTS_OPEN,
    registry.INCIDENTS_CONTRADICTED,
    registry.HOSTS_NOT_PROVEN,
    registry.MIGRATIONS,
    registry.UNREADABLE,
    registry.POLICIES,
    registry.HOLDS,
    registry.REASONS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is shown: the last view, and the last decision while this controller leads.

    ``epoch_s``: Unix time at which this controller's own clock read 0.
    """

    view: ClusterView | None = None
    epoch_s: float = 0.0
    decision: Decision | None = None


class ClusterCollector(Collector):
    """Answers Prometheus from a picture.

    Asked on the endpoint's thread while the loop's thread sets ``picture``: one assignment of an
    immutable value, so that no answer mixes two pictures.
    """

    def __init__(self, policy_hash: str, policy: EvacuationPolicy) -> None:
        self.picture = Picture()
        self._policy_hash = policy_hash
        self._policy = policy
        self._tolerable: tuple[float, int] | None = None

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the metrics without a view, so that a name taken twice is refused at the start."""
        return [_family(metric) for metric in COLLECTED]

    # typing.override comes with Python 3.12.
    def collect(self) -> Iterator[GaugeMetricFamily]:  # type: ignore[explicit-override]
        """Make the series of the present picture."""
        picture = self.picture
        if picture.view is not None:
            yield from _of_view(picture.view, self._policy_hash)
            yield _fence_devices(picture.view, picture.epoch_s)
            yield _evidence(picture.view)
        if picture.decision is None:
            self._tolerable = None
            return
        yield from _of_decision(picture.decision)
        if picture.view is not None and picture.view.cloud is None:
            failures = self._tolerable_failures(picture.view, picture.decision)
            yield _number(registry.TOLERABLE_FAILURES, failures)

    def _tolerable_failures(self, view: ClusterView, decision: Decision) -> int:
        """Count them anew once a minute: on the endpoint's thread, but the loop feels it."""
        now_s = time.monotonic()
        if self._tolerable is None or now_s - self._tolerable[0] >= TOLERABLE_PERIOD_S:
            failures = tolerable_failures(view, self._policy, decision.holds)
            self._tolerable = (now_s, failures)
        return self._tolerable[1]


def _of_view(view: ClusterView, policy_hash: str) -> Iterator[GaugeMetricFamily]:
    states = {
        name: NEVER_SEEN if host.record.value is None else str(host.record.value.state)
        for name, host in view.hosts.items()
    }
    host_state = _family(registry.HOST_STATE)
    for name, state in sorted(states.items()):
        host_state.add_metric([name, state], 1)
    yield host_state
    yield _counts(registry.HOSTS, Counter(states.values()), (NEVER_SEEN, *HostState))
    control = view.control.value
    yield _number(registry.HOSTS_IN_MAINTENANCE, len(control.maintenance))
    yield _number(registry.ARMED, int(control.is_armed))
    is_open = [incident for incident in view.incidents.values() if not incident.record.value.closed]
    yield _number(registry.INCIDENTS_OPEN, len(is_open))
    contradicted = [incident for incident in is_open if incident.record.value.floor]
    yield _number(registry.INCIDENTS_CONTRADICTED, len(contradicted))
    not_proven = [host for host in view.hosts.values() if _is_fenced_in_vain(view, host)]
    yield _number(registry.HOSTS_NOT_PROVEN, len(not_proven))
    statuses = Counter(
        str(migration.record.value.status)
        for incident in is_open
        for migration in incident.migrations.values()
    )
    yield _counts(registry.MIGRATIONS, statuses, MigrationStatus)
    yield _number(registry.UNREADABLE, len(view.unreadable))
    policies = {policy_hash, *(other.policy_hash for other in view.controllers.values())}
    yield _number(registry.POLICIES, len(policies - {""}))


def _is_fenced_in_vain(view: ClusterView, host: HostView) -> bool:
    """Say whether the ladder failed; it is climbed again and again, so the state alone flickers."""
    record = host.record.value
    if record is None or record.state is not HostState.FENCING:
        return record is not None and record.state is HostState.FENCE_FAILED
    incident = view.incidents.get(record.incident) if record.incident else None
    return incident is not None and incident.record.value.attempt > 1


def _fence_devices(view: ClusterView, epoch_s: float) -> GaugeMetricFamily:
    family = _family(registry.FENCE_GOOD)
    for name, host in sorted(view.hosts.items()):
        for device, check in sorted(host.device_checks.items()):
            good_s = 0.0 if check.good_s is None else epoch_s + check.good_s
            family.add_metric([name, device], good_s)
    return family


def _evidence(view: ClusterView) -> GaugeMetricFamily:
    family = _family(registry.EVIDENCE)
    counts = Counter((e.source, e.vote) for host in view.hosts.values() for e in host.evidence)
    for (source, vote), count in sorted(counts.items()):
        family.add_metric([source, vote], count)
    return family


def _of_decision(decision: Decision) -> Iterator[GaugeMetricFamily]:
    counts = Counter((hold.kind, hold.needs_human) for hold in decision.holds)
    holds = _family(registry.HOLDS)
    for kind in HoldKind:
        for needs_human in (False, True):
            holds.add_metric([kind, str(needs_human).lower()], counts[kind, needs_human])
    yield holds
    reasons = _family(registry.REASONS)
    for code, count in sorted(Counter(r.code for r in decision.reasons).items()):
        reasons.add_metric([code], count)
    yield reasons


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)


def _number(metric: Metric, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, value=value)


def _counts(metric: Metric, counts: Mapping[str, int], every: Iterable[str]) -> GaugeMetricFamily:
    """Make one series for every value there can be, so that zero is a number and not a gap."""
    family = _family(metric)
    for value in every:
        family.add_metric([str(value)], counts.get(str(value), 0))
    return family
