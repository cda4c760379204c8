"""Prometheus against the running lab: every expression answers, the right alerts fire and clear."""

from __future__ import annotations

import json
import re

import pytest

from hamon.metrics.registry import OF_AGENT, OF_DAEMON, Kind
from lab.names import PROJECT
from tests.integration.prometheus import RULES, Prometheus, is_installed
from tests.integration.world import World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed, reason="needs the package prometheus"),
]

WINDOW = {"$__rate_interval": "1m", "$__range": "10m", "$controller": ".*"}
"""What Grafana puts in the place of its variables."""

NOT_IN_THIS_LAB = frozenset({"hamon_kdump_datagrams_total", "hamon_notices_total"})
"""Neither crash notices nor a webhook are configured."""

UP_AND_DOWN_S = 180.0


def test_host__killed_and_back__metrics_rules_and_panels_tell_of_it(world: World) -> None:
    """What operators look at is fed by what happens, and quiet again afterwards."""
    guests = world.run_guests("h1", 2)

    with Prometheus(world) as prometheus:
        assert "HamonIncidentOpen" not in prometheus.firing()
        world.power_cut("h1")
        world.wait_moved(guests)
        world.wait(lambda: "HamonIncidentOpen" in prometheus.firing(), "the alert fires")
        assert prometheus.firing() <= {"HamonIncidentOpen", "HamonHoldNeedsPerson"}

        for expression in expressions():
            prometheus.ask(expression)
        # Those of incidents before are counted as well.
        assert phases(prometheus) >= {"convicted", "fenced", "first_rebuilt", "evacuated"}
        assert missing(prometheus) == set()

        world.bring_back()
        world.wait(lambda: prometheus.firing() == set(), "every alert is quiet", UP_AND_DOWN_S)
        assert "returned" in phases(prometheus)


def expressions() -> list[str]:
    """Return everything that dashboards and rules ask."""
    asked = re.findall(r"expr: ([^>\n].*)", RULES.read_text())
    for path in (PROJECT / "config" / "grafana").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            asked += [target["expr"] for target in panel["targets"]]
    for name, value in WINDOW.items():
        asked = [expression.replace(name, value) for expression in asked]
    return asked


def phases(prometheus: Prometheus) -> set[str]:
    """Return the phases of incidents that were timed, but for the one that needs no session lost.

    A conviction by power may come before the session ends.
    """
    found = prometheus.ask("hamon_incident_phase_seconds_count > 0")
    return {series["metric"]["phase"] for series in found} - {"session_lost"}


def missing(prometheus: Prometheus) -> set[str]:
    """Return the metrics of which no process has a series, or that nothing has ever fed."""
    absent = set()
    for metric in {*OF_DAEMON, *OF_AGENT}:
        name = f"{metric.name}_count" if metric.kind is Kind.HISTOGRAM else metric.name
        is_counted = metric.kind is not Kind.GAUGE
        # What is told only while there is something to tell was so during the incident.
        if not prometheus.ask(f"{name} > 0" if is_counted else f"last_over_time({name}[10m])"):
            absent.add(metric.name)
    return absent - NOT_IN_THIS_LAB
