"""What a compute host tells Prometheus."""

import io
import json

import pytest
from prometheus_client import CollectorRegistry

from hamon.agent.events import JsonEventLog
from hamon.agent.metered import MeteredEventLog
from hamon.metrics.agent import AgentInstruments
from hamon.metrics.picture import AgentPicture
from hamon.metrics.registry import OF_AGENT
from hamon.model.guest import GrantState
from hamon.model.host import DomainState
from hamon.ports.store import SessionState
from tests.virtual_clock import VirtualClock

PICTURE = AgentPicture(
    round_s=90.0,
    is_shadow=True,
    is_libvirt_healthy=True,
    domains=(DomainState.RUNNING, DomainState.RUNNING, DomainState.SHUTOFF),
    grants=(GrantState.RUNNING,),
    failed={"libvirt": False, "storage:nfs1": True},
)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Give a registry of the test's own."""
    return CollectorRegistry()


def instruments(registry: CollectorRegistry, picture: AgentPicture = PICTURE) -> AgentInstruments:
    """Declare the metrics of an agent that looks like this."""
    return AgentInstruments(
        registry, version="1.2.3", clock=VirtualClock(), picture=lambda: picture
    )


def test_agent__every_declared_metric__is_served_and_no_other(
    registry: CollectorRegistry,
) -> None:
    """None outside of registry.py, and none of its kinds lied about."""
    instruments(registry)

    served = {
        (family.name + "_total" if family.type == "counter" else family.name, family.type)
        for family in registry.collect()
        if family.name.startswith("hamon_")
    }

    assert served == {(metric.name, str(metric.kind)) for metric in OF_AGENT}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("hamon_agent_is_shut_out", {}, 0),
        ("hamon_agent_is_shadow", {}, 1),
        ("hamon_agent_libvirt_healthy", {}, 1),
        ("hamon_agent_domains", {"state": "running"}, 2),
        ("hamon_agent_domains", {"state": "shutoff"}, 1),
        ("hamon_agent_domains", {"state": "paused"}, 0),
        ("hamon_agent_grants", {"state": "running"}, 1),
        ("hamon_agent_grants", {"state": "revoked"}, 0),
        ("hamon_agent_check_failed", {"check": "libvirt"}, 0),
        ("hamon_agent_check_failed", {"check": "storage:nfs1"}, 1),
        ("hamon_zookeeper_session_state", {"state": "lost"}, 1),
        ("hamon_stuck_workers", {"system": "libvirt"}, 3),
    ],
)
def test_agent__its_picture__reaches_its_series(
    registry: CollectorRegistry, name: str, labels: dict[str, str], value: float | None
) -> None:
    """Zero is a number and not a gap."""
    told = instruments(registry)
    told.observe_session(SessionState.LOST)
    told.watch_stuck_workers("libvirt", lambda: 3)

    assert registry.get_sample_value(name, labels) == value


@pytest.mark.parametrize(("round_s", "is_known"), [(None, False), (0.0, True)])
def test_agent__last_round__is_told_in_the_time_of_the_wall(
    registry: CollectorRegistry, round_s: float | None, *, is_known: bool
) -> None:
    """And one that has never read anything says 0, and not 1970 and a bit."""
    instruments(registry, AgentPicture(round_s=round_s))

    value = registry.get_sample_value("hamon_agent_last_round_timestamp_seconds")

    assert value is not None
    assert (value > 1e9) == is_known
    assert is_known or value == 0.0


def test_log__counted__has_every_line_and_its_count(registry: CollectorRegistry) -> None:
    """What is counted is written as ever."""
    told, stream = instruments(registry), io.StringIO()
    log = MeteredEventLog(JsonEventLog(stream, VirtualClock()), told.count_event)

    log.info("permit_given", guest="a")
    log.warning("start_refused", guest="a")
    log.warning("start_refused", guest="b")
    log.error("grant_unreadable", guest="a")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("permit_given", "info"),
        ("start_refused", "warning"),
        ("start_refused", "warning"),
        ("grant_unreadable", "error"),
    ]
    labels = {"event": "start_refused", "level": "warning"}
    assert registry.get_sample_value("hamon_agent_events_total", labels) == 2
