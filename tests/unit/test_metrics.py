"""Metrics: bounded, documented, gone with what they describe, and counted once."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from hamon.metrics.collector import COLLECTED
from hamon.metrics.document import rendered
from hamon.metrics.instruments import Instruments
from hamon.metrics.registry import ALL, HOST_STATE, HOSTS, OF_DAEMON, Kind, Metric
from hamon.model.change import Change, Decision, Update, Versioned, migration_of
from hamon.model.control import Control, Hold, HoldKind
from hamon.model.guest import PowerState
from hamon.model.host import HostGuard, HostRecord, HostSpec, HostState, Right
from hamon.model.incident import (
    IncidentRecord,
    MigrationRecord,
    MigrationStatus,
    ShotOutcome,
    Trigger,
)
from hamon.model.names import ControllerId, Epoch, GuestId, HostName, IncidentId
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import Evidence, Power, Source, Vote
from hamon.model.reason import reason
from hamon.model.view import (
    ClusterView,
    ControllerView,
    HostView,
    IncidentView,
    MigrationView,
)
from hamon.ports.store import SessionState
from tests.builders import an_own

A, B = HostName("compute-a"), HostName("compute-b")
GUEST = GuestId("00000000-0000-0000-0000-000000000001")
INCIDENT = IncidentId("compute-a-1")
ME = ControllerId("controller-1")
DONE = {"result": "done", "reason": "other"}
COMPLETED = {"result": "completed", "reason": "other"}


def host(name: HostName, state: HostState | None, lost_s: float | None = None) -> HostView:
    """Build a host; None: never seen."""
    record = None if state is None else HostRecord(state=state, epoch=1, since="")
    return HostView(
        spec=HostSpec(name=name, planes=(), fence=()),
        guard=Versioned(value=HostGuard(right=Right.LIVE), version=0),
        record=Versioned(value=record, version=0),
        self_=Versioned(value=None, version=0),
        session_lost_s=lost_s,
    )


def incident(
    *stamps: str, status: MigrationStatus | None = None, closed: bool = False
) -> IncidentView:
    """Build compute-a's incident, with one migration when it has a status."""
    record = IncidentRecord(
        incident=INCIDENT,
        host=A,
        boot_id=None,
        trigger=Trigger.DETECTOR,
        reason="off_twice",
        stamps=dict.fromkeys(stamps, "2000-01-01T00:00:00.000Z"),
        closed=closed,
    )
    migrations = {}
    if status is not None:
        migration = MigrationRecord(
            guest=GUEST,
            name="guest-1",
            incident=INCIDENT,
            status=status,
            source_compute=A,
            source_node=A,
            wanted=PowerState.RUNNING,
        )
        migrations[GUEST] = MigrationView(record=Versioned(value=migration, version=0), since_s=0)
    return IncidentView(record=Versioned(value=record, version=0), since_s=0, migrations=migrations)


def view(*hosts: HostView, of: IncidentView | None = None) -> ClusterView:
    """Build a view of hosts and at most one incident."""
    return ClusterView(
        own=an_own(epoch=Epoch(3)),
        wall="",
        control=Versioned(value=Control(), version=0),
        hosts={each.name: each for each in hosts},
        incidents={} if of is None else {INCIDENT: of},
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    """Give a registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
def instruments(registry: CollectorRegistry) -> Instruments:
    """Give the instruments of a leader."""
    instruments = Instruments(
        registry, version="1.2.3", policy_hash="p1", evacuation=EvacuationPolicy()
    )
    instruments.observe_leadership(Epoch(3))
    return instruments


def test_document__page_in_docs__is_the_rendered_one() -> None:
    """What is documented is what is served."""
    page = Path(__file__).parents[2] / "docs/metrics.md"

    assert page.read_text() == rendered(), "run: python -m hamon.metrics.document > docs/metrics.md"


def test_registry__every_declared_metric__is_served_and_no_other(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """No metric outside of registry.py, and none of its kinds or labels lied about."""
    instruments.observe_view(view(host(A, HostState.UP)), now_s=0)
    instruments.observe_tick(Decision(), duration_s=0.1)

    served = {
        (family.name + "_total" if family.type == "counter" else family.name, family.type)
        for family in registry.collect()
        if family.name.startswith("hamon_")
    }

    assert served == {(metric.name, str(metric.kind)) for metric in OF_DAEMON}


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_registry__names_and_labels__follow_the_rules(metric: Metric) -> None:
    """Prefix, _total for counters only, buckets for histograms only, no guest as a label."""
    assert metric.name.startswith("hamon_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert {"guest", "instance", "uuid", "server"}.isdisjoint(metric.labels)
    assert metric.kind is Kind.GAUGE or metric not in COLLECTED


def test_host_state__host_removed__its_series_vanishes(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """A series about a host that is gone would be an alert nobody can end."""
    labels = {"host": A, "state": "UP"}
    instruments.observe_view(view(host(A, HostState.UP), host(B, None)), now_s=0)
    assert registry.get_sample_value(HOST_STATE.name, labels) == 1
    assert registry.get_sample_value(HOSTS.name, {"state": "NONE"}) == 1

    instruments.observe_view(view(host(B, HostState.SUSPECT)), now_s=1)

    assert registry.get_sample_value(HOST_STATE.name, labels) is None
    assert registry.get_sample_value(HOSTS.name, {"state": "UP"}) == 0


def holds_of(registry: CollectorRegistry, kind: HoldKind) -> tuple[float | None, float | None]:
    """How many holds of a kind end by themselves, and how many need a person."""
    ends, needs = (
        registry.get_sample_value("hamon_holds", {"kind": kind, "needs_human": needs_human})
        for needs_human in ("false", "true")
    )
    return ends, needs


@pytest.mark.parametrize(
    ("state", "attempt", "expected"),
    [
        (HostState.FENCE_FAILED, 1, 1),
        (HostState.FENCING, 1, 0),
        (HostState.FENCING, 2, 1),
        (HostState.EVACUATING, 2, 0),
        (HostState.UP, 1, 0),
    ],
)
def test_not_proven__fencing_failed__also_while_it_is_tried_again(
    registry: CollectorRegistry,
    instruments: Instruments,
    state: HostState,
    attempt: int,
    expected: int,
) -> None:
    """FENCE_FAILED comes and goes with each attempt: an alert on that alone would, too."""
    failed, fenced = host(A, state), incident()
    record = replace(failed.record.value, incident=INCIDENT)  # type: ignore[type-var]
    failed = replace(failed, record=Versioned(value=record, version=0))
    value = replace(fenced.record.value, attempt=attempt)
    fenced = replace(fenced, record=Versioned(value=value, version=0))

    instruments.observe_view(view(failed, of=fenced), now_s=0)

    assert registry.get_sample_value("hamon_hosts_not_proven_dead") == expected


@pytest.mark.parametrize(
    ("floor", "closed", "expected"), [(2, False, 1), (2, True, 0), (0, False, 0)]
)
def test_contradicted__a_level_lied__until_the_incident_is_closed(
    registry: CollectorRegistry,
    instruments: Instruments,
    floor: int,
    expected: int,
    *,
    closed: bool,
) -> None:
    """The reason itself is there for one round only, which no scrape would see."""
    lied = incident(closed=closed)
    value = replace(lied.record.value, floor=floor)
    lied = replace(lied, record=Versioned(value=value, version=0))

    instruments.observe_view(view(host(A, HostState.FENCING), of=lied), now_s=0)

    assert registry.get_sample_value("hamon_incidents_contradicted") == expected


def test_holds_and_reasons__of_the_last_round__vanish_when_the_term_ends(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """Only the leader holds; a standby that still showed holds would page for nothing."""
    storm = Hold(kind=HoldKind.STORM, scope="cluster", reason="4 hosts", needs_human=True)
    cooling = replace(storm, reason="a storm ended", until_s=1.0, needs_human=False)
    decision = Decision(
        reasons=(reason("host_suspected", A),),
        holds=(storm, replace(storm, scope="rack=a1"), cooling),
    )
    instruments.observe_tick(decision, duration_s=0.1)
    assert holds_of(registry, HoldKind.STORM) == (1, 2)
    assert {holds_of(registry, kind) for kind in HoldKind if kind is not HoldKind.STORM} == {(0, 0)}
    assert registry.get_sample_value("hamon_reasons", {"code": "host_suspected"}) == 1

    instruments.observe_leadership(None)

    assert holds_of(registry, HoldKind.STORM) == (None, None)
    assert registry.get_sample_value("hamon_is_leader") == 0
    assert registry.get_sample_value("hamon_epoch") == 3


def phase_seconds(registry: CollectorRegistry) -> dict[str, float]:
    """Return the observed seconds of each phase."""
    return {
        sample.labels["phase"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "hamon_incident_phase_seconds_sum"
    }


def test_incident__from_first_silence_to_return__each_phase_is_timed_once(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """All phases count from the first sign, by this controller's own clock (S20)."""
    silent = Evidence(
        source=Source.ECHO,
        subject="management",
        vote=Vote.SILENT,
        observed_s=104.0,
        changed_s=100.0,
        observer=ME,
    )
    dead = replace(host(A, HostState.FENCING, lost_s=104.0), evidence=(silent,))
    instruments.observe_view(view(host(A, HostState.UP)), now_s=90.0)

    waiting, done = MigrationStatus.WAITING, MigrationStatus.DONE
    courses = (
        (105.0, incident("convicted")),
        (107.0, incident("convicted", "fenced")),
        (108.0, incident("convicted", "fenced", "evacuating", status=waiting)),
        (110.0, incident("convicted", "fenced", "evacuating", status=done)),
        (110.5, incident("convicted", "fenced", "evacuated", status=done)),
        (111.0, incident("convicted", "fenced", "evacuated", status=done)),
        (
            200.0,
            incident(
                *("convicted", "fenced", "evacuated", "returned"),
                status=MigrationStatus.COMPLETED,
                closed=True,
            ),
        ),
        (201.0, incident("convicted", "returned", status=done, closed=True)),
    )
    for now_s, course in courses:
        instruments.observe_view(view(dead, of=course), now_s)

    expected = {
        "session_lost": 4.0,
        "convicted": 5.0,
        "fenced": 7.0,
        "first_rebuilt": 10.0,
        "evacuated": 10.5,
        "returned": 100.0,
    }
    assert expected == phase_seconds(registry)
    assert registry.get_sample_value("hamon_migrations_ended_total", DONE) == 1
    assert registry.get_sample_value("hamon_migrations_ended_total", COMPLETED) is None
    assert registry.get_sample_value("hamon_migration_duration_seconds_sum") == 2.0


def test_incident__open_before_this_controller_watched__is_not_timed(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """Nobody here saw it begin; but what ends from now on is counted, and nothing twice."""
    accepted = incident("convicted", status=MigrationStatus.ACCEPTED)
    instruments.observe_view(view(host(A, HostState.EVACUATING), of=accepted), now_s=5)
    done = incident("convicted", "evacuated", status=MigrationStatus.DONE)
    instruments.observe_view(view(host(A, HostState.EVACUATED), of=done), now_s=6)

    assert phase_seconds(registry) == {}
    assert registry.get_sample_value("hamon_migrations_ended_total", DONE) == 1
    assert registry.get_sample_value("hamon_migration_duration_seconds_count") == 0


def test_incident__ended_before_this_controller_watched__is_no_news(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """A controller that starts does not count its predecessors' work again."""
    done = incident("convicted", status=MigrationStatus.DONE)
    instruments.observe_view(view(host(A, HostState.EVACUATED), of=done), now_s=5)
    completed = incident("convicted", status=MigrationStatus.COMPLETED, closed=True)
    instruments.observe_view(view(host(A, HostState.UP), of=completed), now_s=6)

    assert registry.get_sample_value("hamon_migrations_ended_total", DONE) is None
    assert registry.get_sample_value("hamon_migrations_ended_total", COMPLETED) is None


def test_incident__seen_by_a_standby__is_not_counted(registry: CollectorRegistry) -> None:
    """Otherwise the sum over controllers would count everything as often as there are some."""
    standby = Instruments(registry, version="1", policy_hash="", evacuation=EvacuationPolicy())
    standby.observe_view(view(host(A, HostState.UP)), now_s=1)
    done = incident("convicted", status=MigrationStatus.DONE)
    standby.observe_view(view(host(A, HostState.EVACUATING), of=done), now_s=2)

    assert phase_seconds(registry) == {}
    assert registry.get_sample_value("hamon_migrations_ended_total", DONE) is None


def test_policies__controllers_that_differ__are_counted(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """Two policies in one cluster decide differently after each change of leader."""
    other = ControllerId("controller-2")
    present = replace(
        view(), controllers={other: ControllerView(controller=other, policy_hash="p2")}
    )

    instruments.observe_view(present, now_s=0)

    assert registry.get_sample_value("hamon_policies") == 2


def test_actions__each__reaches_its_series(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """Shots, readings, calls, workers, lag, session: by kind and outcome."""
    instruments.observe_shot("ipmi", ShotOutcome.DONE, duration_s=2.5)
    instruments.count_reading("ipmi", Power.OFF)
    instruments.observe_call("zookeeper", "commit", "ok", 0.02)
    instruments.watch_stuck_workers("nova", lambda: 2)
    instruments.observe_lag(0.3)
    instruments.observe_session(SessionState.SUSPENDED)

    for name, labels, value in (
        ("hamon_fences_total", {"kind": "ipmi", "result": "done"}, 1),
        ("hamon_fence_duration_seconds_sum", {"kind": "ipmi"}, 2.5),
        ("hamon_power_readings_total", {"kind": "ipmi", "power": "off"}, 1),
        (
            "hamon_calls_total",
            {"system": "zookeeper", "operation": "commit", "outcome": "ok"},
            1,
        ),
        (
            "hamon_call_duration_seconds_sum",
            {"system": "zookeeper", "operation": "commit"},
            0.02,
        ),
        ("hamon_tick_lag_seconds", {}, 0.3),
        ("hamon_stuck_workers", {"system": "nova"}, 2),
        ("hamon_zookeeper_session_state", {"state": "suspended"}, 1),
        ("hamon_zookeeper_session_state", {"state": "connected"}, 0),
    ):
        assert (name, value) == (name, registry.get_sample_value(name, labels))


def test_migration__ended_by_a_change_of_this_controller__tells_its_reason(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """Result and reason: the code of the change that ended it, once."""
    accepted = incident("convicted", status=MigrationStatus.ACCEPTED)
    instruments.observe_view(view(host(A, HostState.EVACUATING), of=accepted), now_s=5)
    done = incident("convicted", "evacuated", status=MigrationStatus.DONE)
    record = done.migrations[GUEST].record.value
    write = Update(key=migration_of(INCIDENT, GUEST), version=0, value=record)
    change = Change(subject=GUEST, reason=reason("guest_evacuated", GUEST), operations=(write,))

    instruments.observe_change(change)
    instruments.observe_view(view(host(A, HostState.EVACUATED), of=done), now_s=6)

    labels = {"result": "done", "reason": "guest_evacuated"}
    assert registry.get_sample_value("hamon_migrations_ended_total", labels) == 1
    assert registry.get_sample_value("hamon_changes_total", {"code": "guest_evacuated"}) == 1


def test_incident__opened_while_this_controller_leads__is_counted_once(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """By who opened it; those that were open before are no news."""
    instruments.observe_view(view(host(A, HostState.UP)), now_s=1)
    for now_s in (2, 3):
        of = incident("convicted")
        instruments.observe_view(view(host(A, HostState.FENCING), of=of), now_s=now_s)

    assert registry.get_sample_value("hamon_incidents_total", {"trigger": "detector"}) == 1


def test_evidence__of_all_hosts__is_counted_by_source_and_vote(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    """What the controller knows by, at a glance."""
    vote = Evidence(
        source=Source.ECHO,
        subject="management",
        vote=Vote.SILENT,
        observed_s=0,
        changed_s=0,
        observer=ME,
    )
    seen = [replace(host(name, HostState.UP), evidence=(vote,)) for name in (A, B)]

    instruments.observe_view(view(*seen), now_s=1)

    labels = {"source": "echo", "vote": "silent"}
    assert registry.get_sample_value("hamon_evidence", labels) == 2
