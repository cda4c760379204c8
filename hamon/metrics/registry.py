"""Every metric of hamon, in one place: name, kind, labels, meaning.

Rules:

1. Prefix ``hamon_``, base units in the name, ``_total`` for counters.
2. The number of series is bounded: hosts may be labels, guests never.
3. A series about something that is gone goes too: what describes the cluster is collected from the
   last view when Prometheus asks (``collector.py``), never kept.

``docs/metrics.md`` is written from here; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Prometheus' kinds of metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. ``buckets``: upper bounds in the metric's unit, of histograms only."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_DEVICE_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0)
_INCIDENT_S = (
    *(0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 45.0, 60.0),
    *(120.0, 300.0, 600.0, 1800.0, 3600.0),
)

# -- This controller ------------------------------------------------------------------------------

BUILD_INFO = Metric(
    name="hamon_build_info",
    kind=Kind.GAUGE,
    labels=("version", "python"),
    meaning="Always 1; which version runs.",
)
IS_LEADER = Metric(
    name="hamon_is_leader",
    kind=Kind.GAUGE,
    meaning="1 while this controller leads. The sum over all controllers should be 1.",
)
EPOCH = Metric(
    name="hamon_epoch",
    kind=Kind.GAUGE,
    meaning="Epoch of this controller's last or present term; 0: it has not led yet.",
)
TICK_DURATION = Metric(
    name="hamon_tick_duration_seconds",
    kind=Kind.HISTOGRAM,
    buckets=_SHORT_S,
    meaning="How long one round of observing, deciding and recording took.",
)
LAST_TICK = Metric(
    name="hamon_last_tick_timestamp_seconds",
    kind=Kind.GAUGE,
    meaning="Unix time at which the leader finished its last round.",
)
TICK_LAG = Metric(
    name="hamon_tick_lag_seconds",
    kind=Kind.GAUGE,
    meaning="How much later than due the last round began; beyond a limit nobody is convicted.",
)
SESSION_STATE = Metric(
    name="hamon_zookeeper_session_state",
    kind=Kind.GAUGE,
    labels=("state",),
    meaning="1 for the state this controller's ZooKeeper session is in, 0 for the others.",
)
CALLS = Metric(
    name="hamon_calls_total",
    kind=Kind.COUNTER,
    labels=("system", "operation", "outcome"),
    meaning=(
        "Calls to ZooKeeper and Nova, by what was asked and what came of it: ok or done, refused,"
        " not_done, unknown."
    ),
)
CALL_DURATION = Metric(
    name="hamon_call_duration_seconds",
    kind=Kind.HISTOGRAM,
    labels=("system", "operation"),
    buckets=_CALL_S,
    meaning="How long a call to ZooKeeper or Nova took; one may be several requests.",
)
STUCK_WORKERS = Metric(
    name="hamon_stuck_workers",
    kind=Kind.GAUGE,
    labels=("system",),
    meaning="Workers of an outside system that are past their deadline and still busy.",
)

# -- The cluster as this controller sees it -------------------------------------------------------

HOST_STATE = Metric(
    name="hamon_host_state",
    kind=Kind.GAUGE,
    labels=("host", "state"),
    meaning="1 for the state each enrolled host is in; NONE: it has never registered.",
)
HOSTS = Metric(
    name="hamon_hosts",
    kind=Kind.GAUGE,
    labels=("state",),
    meaning="Enrolled hosts in each state.",
)
HOSTS_IN_MAINTENANCE = Metric(
    name="hamon_hosts_in_maintenance",
    kind=Kind.GAUGE,
    meaning="Hosts an operator takes care of; they are neither suspected nor fenced.",
)
ARMED = Metric(
    name="hamon_armed",
    kind=Kind.GAUGE,
    meaning="1: hamon acts; 0: an operator has disarmed it.",
)
HOLDS = Metric(
    name="hamon_holds",
    kind=Kind.GAUGE,
    labels=("kind", "needs_human"),
    meaning=(
        "Holds in force, by kind and whether a person has to end them (true, false); only the"
        " leader has any."
    ),
)
REASONS = Metric(
    name="hamon_reasons",
    kind=Kind.GAUGE,
    labels=("code",),
    meaning="Reasons of the leader's last round, by code: why something is done, or nothing is.",
)
FENCE_GOOD = Metric(
    name="hamon_fence_device_last_success_timestamp_seconds",
    kind=Kind.GAUGE,
    labels=("host", "device"),
    meaning="Unix time at which this controller last found a fence device good; 0: never.",
)
EVIDENCE = Metric(
    name="hamon_evidence",
    kind=Kind.GAUGE,
    labels=("source", "vote"),
    meaning="Votes on hosts that this controller holds now, by source and vote.",
)
TOLERABLE_FAILURES = Metric(
    name="hamon_tolerable_host_failures",
    kind=Kind.GAUGE,
    meaning=(
        "So many hosts could fail one after the other, those that carry most first, and every guest"
        " that moves would find a place; more than 100 are not looked at. Told by the leader of a"
        " libvirt cluster, at most a minute old."
    ),
)
INCIDENTS_OPEN = Metric(
    name="hamon_incidents_open",
    kind=Kind.GAUGE,
    meaning="Incidents that are not closed; one closes when its host has returned.",
)
INCIDENTS_CONTRADICTED = Metric(
    name="hamon_incidents_contradicted",
    kind=Kind.GAUGE,
    meaning="Open incidents whose host showed life after a fence device had proven it dead.",
)
HOSTS_NOT_PROVEN = Metric(
    name="hamon_hosts_not_proven_dead",
    kind=Kind.GAUGE,
    meaning=(
        "Convicted hosts whose fencing failed or began anew, and that are not proven dead now: none"
        " of their guests moves."
    ),
)
MIGRATIONS = Metric(
    name="hamon_migrations",
    kind=Kind.GAUGE,
    labels=("status",),
    meaning="Migrations of open incidents, by status.",
)
UNREADABLE = Metric(
    name="hamon_unreadable_nodes",
    kind=Kind.GAUGE,
    meaning="Znodes with a newer schema or rubbish; each is a hold.",
)
POLICIES = Metric(
    name="hamon_policies",
    kind=Kind.GAUGE,
    meaning="Different policies among the controllers; more than 1: their configurations differ.",
)

# -- What became of failures (counted by the leader) -----------------------------------------------

INCIDENTS = Metric(
    name="hamon_incidents_total",
    kind=Kind.COUNTER,
    labels=("trigger",),
    meaning="Incidents opened, by who opened them: detector, operator.",
)
CHANGES = Metric(
    name="hamon_changes_total",
    kind=Kind.COUNTER,
    labels=("code",),
    meaning="Changes recorded in ZooKeeper, by reason: what hamon thought and did.",
)
INCIDENT_PHASE = Metric(
    name="hamon_incident_phase_seconds",
    kind=Kind.HISTOGRAM,
    labels=("phase",),
    buckets=_INCIDENT_S,
    meaning=(
        "From the first sign that a host failed (session lost, or probes silent) until the phase "
        "was reached: session_lost, convicted, fenced, first_rebuilt, evacuated, returned."
    ),
)
MIGRATION_DURATION = Metric(
    name="hamon_migration_duration_seconds",
    kind=Kind.HISTOGRAM,
    buckets=_INCIDENT_S,
    meaning="From the record of a guest's migration until the guest was seen on its new host.",
)
MIGRATIONS_ENDED = Metric(
    name="hamon_migrations_ended_total",
    kind=Kind.COUNTER,
    labels=("result", "reason"),
    meaning=(
        "Migrations that ended: done, failed, error, stays; and the code of the change that ended"
        " them (other: another controller made it)."
    ),
)
FENCES = Metric(
    name="hamon_fences_total",
    kind=Kind.COUNTER,
    labels=("kind", "result"),
    meaning="Orders to cut power, by kind of device and outcome; done is acceptance, no proof.",
)
FENCE_DURATION = Metric(
    name="hamon_fence_duration_seconds",
    kind=Kind.HISTOGRAM,
    labels=("kind",),
    buckets=_DEVICE_S,
    meaning="How long an order to cut power took, by kind of device.",
)
READINGS = Metric(
    name="hamon_power_readings_total",
    kind=Kind.COUNTER,
    labels=("kind", "power"),
    meaning="Power readings, by kind of device and answer.",
)
NOTICES = Metric(
    name="hamon_notices_total",
    kind=Kind.COUNTER,
    labels=("event", "outcome"),
    meaning="Notices of the webhook, by what became of each: sent, refused, given_up, dropped.",
)
KDUMP_DATAGRAMS = Metric(
    name="hamon_kdump_datagrams_total",
    kind=Kind.COUNTER,
    labels=("heard",),
    meaning="What arrived where crash notices are listened for: notice, malformed, unknown_sender.",
)

# -- An agent: its guests process -----------------------------------------------------------------

AGENT_LAST_ROUND = Metric(
    name="hamon_agent_last_round_timestamp_seconds",
    kind=Kind.GAUGE,
    meaning="Unix time at which the agent last read from ZooKeeper what it may do; 0: never.",
)
AGENT_IS_SHUT_OUT = Metric(
    name="hamon_agent_is_shut_out",
    kind=Kind.GAUGE,
    meaning="1: this boot was given up for dead, and its guests are ended.",
)
AGENT_IS_SHADOW = Metric(
    name="hamon_agent_is_shadow",
    kind=Kind.GAUGE,
    meaning="1: this host goes by shadow mode, and nothing is done here.",
)
AGENT_LIBVIRT = Metric(
    name="hamon_agent_libvirt_healthy",
    kind=Kind.GAUGE,
    meaning="1: libvirt answered when it was asked last.",
)
AGENT_DOMAINS = Metric(
    name="hamon_agent_domains",
    kind=Kind.GAUGE,
    labels=("state",),
    meaning="Domains that libvirt has here, by state.",
)
AGENT_GRANTS = Metric(
    name="hamon_agent_grants",
    kind=Kind.GAUGE,
    labels=("state",),
    meaning="What the leader grants this host, by state; a guest that runs here has one running.",
)
AGENT_CHECKS_FAILED = Metric(
    name="hamon_agent_check_failed",
    kind=Kind.GAUGE,
    labels=("check",),
    meaning="1: a check of this host fails; 0: it passes, or is not known yet.",
)
AGENT_EVENTS = Metric(
    name="hamon_agent_events_total",
    kind=Kind.COUNTER,
    labels=("event", "level"),
    meaning="Lines of the agent's log, by event and level (info, warning, error).",
)

SHARED: tuple[Metric, ...] = (BUILD_INFO, SESSION_STATE, CALLS, CALL_DURATION, STUCK_WORKERS)
"""What both daemon and agent serve."""

ALL: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""Every metric above, in its order."""

OF_AGENT: tuple[Metric, ...] = (
    *SHARED,
    *(metric for metric in ALL if metric.name.startswith("hamon_agent_")),
)
OF_DAEMON: tuple[Metric, ...] = tuple(
    metric for metric in ALL if metric in SHARED or metric not in OF_AGENT
)
