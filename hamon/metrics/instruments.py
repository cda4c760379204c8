"""What the engine tells about itself, and nothing else: each method is one thing that happened."""

from __future__ import annotations

import time
from dataclasses import replace

from prometheus_client import CollectorRegistry

from hamon.metrics import registry as metrics
from hamon.metrics.collector import ClusterCollector
from hamon.metrics.shared import SharedInstruments, counter, gauge, histogram
from hamon.metrics.timeline import IncidentOpened, MigrationEnded, PhaseReached, Timeline
from hamon.model.change import Change, Create, Decision, Update
from hamon.model.incident import OPEN_MIGRATIONS, MigrationRecord, ShotOutcome
from hamon.model.names import Epoch, GuestId
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import Power
from hamon.model.view import ClusterView


class Instruments(SharedInstruments):
    """The metrics of one controller.

    Call it from one thread (the loop's); the endpoint reads from its own.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        version: str,
        policy_hash: str,
        evacuation: EvacuationPolicy,
    ) -> None:
        """Declare every metric in ``registry``.

        Args:
            registry: a registry of this controller's own.
            version: hamon's version.
            policy_hash: ``Settings.digest``.
            evacuation: how guests are placed.
        """
        super().__init__(registry, version=version)
        self._timeline = Timeline()
        self._cluster = ClusterCollector(policy_hash, evacuation)
        self._is_leading = False
        self._ended_by: dict[GuestId, str] = {}
        registry.register(self._cluster)
        self._is_leader = gauge(metrics.IS_LEADER, registry)
        self._epoch = gauge(metrics.EPOCH, registry)
        self._tick_duration = histogram(metrics.TICK_DURATION, registry)
        self._last_tick = gauge(metrics.LAST_TICK, registry)
        self._tick_lag = gauge(metrics.TICK_LAG, registry)
        self._changes = counter(metrics.CHANGES, registry)
        self._incidents = counter(metrics.INCIDENTS, registry)
        self._incident_phase = histogram(metrics.INCIDENT_PHASE, registry)
        self._migration_duration = histogram(metrics.MIGRATION_DURATION, registry)
        self._migrations_ended = counter(metrics.MIGRATIONS_ENDED, registry)
        self._fences = counter(metrics.FENCES, registry)
        self._fence_duration = histogram(metrics.FENCE_DURATION, registry)
        self._readings = counter(metrics.READINGS, registry)
        self._notices = counter(metrics.NOTICES, registry)
        self._kdump_datagrams = counter(metrics.KDUMP_DATAGRAMS, registry)

    # -- leading and seeing

    def observe_leadership(self, epoch: Epoch | None) -> None:
        """Note that a term began with ``epoch``, or ended (None)."""
        self._is_leading = epoch is not None
        self._is_leader.set(int(self._is_leading))
        if epoch is None:
            self._ended_by.clear()
            # What was decided last holds no more: another controller's decision counts now.
            self._cluster.picture = replace(self._cluster.picture, decision=None)
        else:
            self._epoch.set(epoch)

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
                case IncidentOpened():
                    self._incidents.labels(event.trigger).inc()
                case MigrationEnded():
                    reason = self._ended_by.pop(event.guest, "other")
                    self._migrations_ended.labels(event.result, reason).inc()
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

    def observe_change(self, change: Change) -> None:
        """Note a change that became durable, by this controller's own doing."""
        self._changes.labels(change.reason.code).inc()
        for operation in change.operations:
            value = operation.value if isinstance(operation, Create | Update) else None
            if isinstance(value, MigrationRecord) and value.status not in OPEN_MIGRATIONS:
                self._ended_by[value.guest] = change.reason.code

    def observe_shot(self, kind: str, outcome: ShotOutcome, duration_s: float) -> None:
        """Note a finished order to a fence device of ``kind``."""
        self._fences.labels(kind, outcome).inc()
        self._fence_duration.labels(kind).observe(duration_s)

    def count_reading(self, kind: str, power: Power) -> None:
        """Note the answer of a fence device of ``kind``."""
        self._readings.labels(kind, power).inc()

    def count_notice(self, event: str, outcome: str) -> None:
        """Note what became of a notice to the webhook; on any thread."""
        self._notices.labels(event, outcome).inc()

    def count_kdump_datagram(self, heard: str) -> None:
        """Note what arrived where crash notices are listened for."""
        self._kdump_datagrams.labels(heard).inc()
