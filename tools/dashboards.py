"""Writes config/grafana/*.json: ``python -m tools.dashboards``; a test holds the two together.

Grafana's own JSON repeats itself a hundred times; here a panel is a title, a kind and what it asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "config" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

RATE = "$__rate_interval"
DAEMON = 'job="hamon", instance=~"$controller"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. ``asks``: legend and expression of each series. ``red_from``: a threshold."""

    title: str
    help: str
    asks: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    stacked: bool = False
    red_from: float | None = None
    red_below: float | None = None


def quantile(share: float, metric: str, by: str = "") -> str:
    """Return the expression of a quantile over a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[{RATE}])))"


def anyone(expression: str) -> str:
    """Return what any controller says: only the leader exports some, and all export others."""
    return f"max without (instance, job) ({expression})"


FLEET = (
    Panel(
        title="Leader",
        help="One, always. None: nothing is noticed. Two for a moment: a change of leader.",
        asks=(("", f"sum(hamon_is_leader{{{DAEMON}}})"),),
        kind="stat",
        width=3,
        height=4,
        red_below=1,
    ),
    Panel(
        title="Armed",
        help="0: an operator has disarmed hamon, and it does nothing.",
        asks=(("", f"min(hamon_armed{{{DAEMON}}})"),),
        kind="stat",
        width=3,
        height=4,
        red_below=1,
    ),
    Panel(
        title="Hosts up",
        help="Hosts that serve.",
        asks=(("", 'max(hamon_hosts{job="hamon", state="UP"})'),),
        kind="stat",
        width=3,
        height=4,
    ),
    Panel(
        title="Incidents open",
        help="Hosts that died and are not back.",
        asks=(("", 'max(hamon_incidents_open{job="hamon"})'),),
        kind="stat",
        width=3,
        height=4,
        red_from=1,
    ),
    Panel(
        title="Guests waiting",
        help="Guests of dead hosts that have no place yet.",
        asks=(("", 'max(hamon_migrations{job="hamon", status="WAITING"})'),),
        kind="stat",
        width=3,
        height=4,
        red_from=1,
    ),
    Panel(
        title="Holds for a person",
        help="What only a person can end.",
        asks=(
            ("", f"sum({anyone('hamon_holds{needs_human=' + chr(34) + 'true' + chr(34) + '}')})"),
        ),
        kind="stat",
        width=3,
        height=4,
        red_from=1,
    ),
    Panel(
        title="Hosts that may fail",
        help="One after the other, fullest first, with a place for every guest (libvirt only).",
        asks=(("", "max(hamon_tolerable_host_failures)"),),
        kind="stat",
        width=3,
        height=4,
        red_below=1,
    ),
    Panel(
        title="Oldest good word of a fence device",
        help="How long ago the device that was last seen good the longest ago was seen good.",
        asks=(("", "time() - min(hamon_fence_device_last_success_timestamp_seconds > 0)"),),
        kind="stat",
        unit="s",
        width=3,
        height=4,
        red_from=10800,
    ),
    Panel(
        title="Hosts by state",
        help="Enrolled hosts; NONE has never registered.",
        asks=(("{{state}}", f"{anyone('hamon_hosts')} > 0"),),
        stacked=True,
        width=12,
    ),
    Panel(
        title="Holds",
        help="What is held back, by kind; those for a person page.",
        asks=(("{{kind}} (person: {{needs_human}})", f"{anyone('hamon_holds')} > 0"),),
        width=12,
    ),
    Panel(
        title="What hosts are known by",
        help="Votes on hosts, by source.",
        asks=(("{{source}} {{vote}}", f"{anyone('hamon_evidence')}"),),
    ),
    Panel(
        title="Hosts that do not serve",
        help="And their state.",
        asks=(("{{host}} {{state}}", 'max by (host, state) (hamon_host_state{state!="UP"}) == 1'),),
        kind="table",
    ),
    Panel(
        title="Fence devices never seen good",
        help="By host: nobody may be able to prove it dead.",
        asks=(
            (
                "{{host}} {{device}}",
                "max by (host, device) (hamon_fence_device_last_success_timestamp_seconds) == 0",
            ),
        ),
        kind="table",
    ),
    Panel(
        title="Checks that fail on hosts",
        help="What hosts find broken of themselves.",
        asks=(("{{instance}} {{check}}", "hamon_agent_check_failed == 1"),),
        kind="table",
    ),
    Panel(
        title="Set aside",
        help="Hosts in maintenance or in shadow mode; znodes that nobody here can read.",
        asks=(
            ("in maintenance", "max(hamon_hosts_in_maintenance)"),
            ("in shadow mode", "sum(hamon_agent_is_shadow)"),
            ("unreadable znodes", "max(hamon_unreadable_nodes)"),
        ),
    ),
    Panel(
        title="Domains and grants",
        help="What libvirt has on all hosts, and what the leader grants them.",
        asks=(
            ("domains {{state}}", "sum by (state) (hamon_agent_domains) > 0"),
            ("grants {{state}}", "sum by (state) (hamon_agent_grants) > 0"),
        ),
    ),
    Panel(
        title="Epoch",
        help="Grows with each change of leader.",
        asks=(("", f"max(hamon_epoch{{{DAEMON}}})"),),
    ),
    Panel(
        title="Rounds of the leader",
        help="How long a round takes, and how late it begins.",
        asks=(
            ("99 % take less", quantile(0.99, "hamon_tick_duration_seconds")),
            ("half take less", quantile(0.5, "hamon_tick_duration_seconds")),
            ("late {{instance}}", f"hamon_tick_lag_seconds{{{DAEMON}}}"),
        ),
        unit="s",
    ),
    Panel(
        title="ZooKeeper",
        help="99 of 100 calls take less; by operation.",
        asks=(
            (
                "{{operation}}",
                (
                    "histogram_quantile(0.99, sum by (le, operation) (rate("
                    f'hamon_call_duration_seconds_bucket{{system="zookeeper"}}[{RATE}])))'
                ),
            ),
        ),
        unit="s",
    ),
    Panel(
        title="Sessions lost",
        help="Processes without a session, controllers and compute hosts.",
        asks=(
            ("{{job}}", 'count by (job) (hamon_zookeeper_session_state{state="connected"} == 0)'),
        ),
    ),
    Panel(
        title="Calls by outcome",
        help="To ZooKeeper and Nova.",
        asks=(
            (
                "{{system}} {{outcome}}",
                f"sum by (system, outcome) (rate(hamon_calls_total[{RATE}]))",
            ),
        ),
        unit="reqps",
    ),
    Panel(
        title="Calls that do not come back",
        help="Past their deadline and still busy.",
        asks=(("{{instance}} {{system}}", "hamon_stuck_workers > 0"),),
    ),
    Panel(
        title="Versions",
        help="Who runs what.",
        asks=(("{{job}} {{version}}", "count by (job, version) (hamon_build_info)"),),
    ),
    Panel(
        title="Memory",
        help="Resident memory of each controller.",
        asks=(("{{instance}}", f"process_resident_memory_bytes{{{DAEMON}}}"),),
        unit="bytes",
    ),
    Panel(
        title="Processor",
        help="Share of one processor that each controller takes.",
        asks=(("{{instance}}", f"rate(process_cpu_seconds_total{{{DAEMON}}}[{RATE}])"),),
        unit="percentunit",
    ),
    Panel(
        title="Policies",
        help="Different configurations among the controllers; more than one is a mistake.",
        asks=(("{{instance}}", f"hamon_policies{{{DAEMON}}}"),),
    ),
)

INCIDENT = (
    Panel(
        title="Incidents",
        help="Opened within the range, by who opened them.",
        asks=(("{{trigger}}", "sum by (trigger) (increase(hamon_incidents_total[$__range]))"),),
        kind="stat",
        width=6,
        height=5,
    ),
    Panel(
        title="Phases: half of the incidents",
        help="From the first sign that a host failed until the phase was reached.",
        asks=(
            (
                "{{phase}}",
                (
                    "histogram_quantile(0.5, sum by (le, phase) (increase("
                    "hamon_incident_phase_seconds_bucket[$__range])))"
                ),
            ),
        ),
        kind="bargauge",
        unit="s",
        width=9,
        height=5,
    ),
    Panel(
        title="Phases: the slowest of twenty",
        help="The same; 19 of 20 incidents were faster.",
        asks=(
            (
                "{{phase}}",
                (
                    "histogram_quantile(0.95, sum by (le, phase) (increase("
                    "hamon_incident_phase_seconds_bucket[$__range])))"
                ),
            ),
        ),
        kind="bargauge",
        unit="s",
        width=9,
        height=5,
    ),
    Panel(
        title="Guests of open incidents",
        help="By status of their migration.",
        asks=(("{{status}}", f"{anyone('hamon_migrations')} > 0"),),
        stacked=True,
        width=12,
    ),
    Panel(
        title="Migrations ended",
        help="By result, and the code of what ended them.",
        asks=(
            (
                "{{result}} {{reason}}",
                "sum by (result, reason) (increase(hamon_migrations_ended_total[$__range]))",
            ),
        ),
        kind="bargauge",
        width=12,
    ),
    Panel(
        title="How long a guest takes",
        help="From the record of its migration until it was seen on its new host.",
        asks=(
            ("half", quantile(0.5, "hamon_migration_duration_seconds")),
            ("95 %", quantile(0.95, "hamon_migration_duration_seconds")),
        ),
        unit="s",
    ),
    Panel(
        title="Orders to cut power",
        help="By kind of device and outcome; done is acceptance, no proof.",
        asks=(
            (
                "{{kind}} {{result}}",
                "sum by (kind, result) (increase(hamon_fences_total[$__range]))",
            ),
        ),
        kind="bargauge",
    ),
    Panel(
        title="How long an order takes",
        help="95 of 100 take less, by kind of device.",
        asks=(("{{kind}}", quantile(0.95, "hamon_fence_duration_seconds", by="kind")),),
        unit="s",
    ),
    Panel(
        title="Power read",
        help="Answers of fence devices.",
        asks=(
            (
                "{{kind}} {{power}}",
                f"sum by (kind, power) (rate(hamon_power_readings_total[{RATE}]))",
            ),
        ),
        unit="reqps",
    ),
    Panel(
        title="Why, now",
        help="Reasons of the leader's last round.",
        asks=(("{{code}}", f"{anyone('hamon_reasons')}"),),
        width=12,
    ),
    Panel(
        title="What was done",
        help="Changes recorded, by reason.",
        asks=(("{{code}}", f"sum by (code) (increase(hamon_changes_total[{RATE}])) > 0"),),
        width=12,
    ),
    Panel(
        title="Nova",
        help="Calls by what was asked.",
        asks=(
            (
                "{{operation}} {{outcome}}",
                f'sum by (operation, outcome) (rate(hamon_calls_total{{system="nova"}}[{RATE}]))',
            ),
        ),
        unit="reqps",
    ),
    Panel(
        title="Contradicted, not proven",
        help="Hosts that lived after a proof; dead hosts that cannot be fenced.",
        asks=(
            ("contradicted", f"{anyone('hamon_incidents_contradicted')}"),
            ("not proven dead", f"{anyone('hamon_hosts_not_proven_dead')}"),
        ),
    ),
    Panel(
        title="Agents: what they did and met",
        help="Warnings and errors of the guests processes.",
        asks=(
            (
                "{{event}}",
                f'sum by (event) (increase(hamon_agent_events_total{{level!="info"}}[{RATE}])) > 0',
            ),
        ),
    ),
    Panel(
        title="Crash notices",
        help="What arrived where kdump is listened for.",
        asks=(("{{heard}}", f"sum by (heard) (increase(hamon_kdump_datagrams_total[{RATE}]))"),),
    ),
    Panel(
        title="Webhook",
        help="Notices, by what became of them.",
        asks=(
            (
                "{{event}} {{outcome}}",
                "sum by (event, outcome) (increase(hamon_notices_total[$__range]))",
            ),
        ),
        kind="bargauge",
    ),
)


def dashboard(uid: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    placed, x, y, row_height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, row_height = 0, y + row_height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(_panel(number, panel, place))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return {
        "uid": uid,
        "title": title,
        "tags": ["hamon"],
        "timezone": "browser",
        "schemaVersion": 38,
        "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_variable_source(), _variable_controller()]},
        "panels": placed,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    is_instant = panel.kind in {"stat", "bargauge", "table"}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 20} if panel.stacked else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": is_instant,
                "range": not is_instant,
            }
            for index, (legend, expression) in enumerate(panel.asks)
        ],
    }


def _variable_source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _variable_controller() -> dict[str, Any]:
    query = 'label_values(hamon_is_leader{job="hamon"}, instance)'
    return {
        "name": "controller",
        "label": "Controller",
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def rendered() -> dict[str, str]:
    """Return the files by name."""
    made = {
        "fleet.json": dashboard("hamon-fleet", "hamon: fleet", FLEET),
        "incident.json": dashboard("hamon-incident", "hamon: incidents", INCIDENT),
    }
    return {name: json.dumps(content, indent=2) + "\n" for name, content in made.items()}


if __name__ == "__main__":
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)
