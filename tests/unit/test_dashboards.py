"""The dashboards: made from tools/dashboards.py, about metrics that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hamon.metrics.registry import ALL, Kind
from tools.dashboards import FOLDER, rendered

FILES = sorted(FOLDER.glob("*.json"))


def panels(path: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def expressions(path: Path) -> list[str]:
    """Return everything that a dashboard asks."""
    return [target["expr"] for panel in panels(path) for target in panel["targets"]]


def test_dashboards__files__are_the_rendered_ones() -> None:
    """What is shown is what stands in one place."""
    made = {path.name: path.read_text() for path in FILES}

    assert made == rendered(), "run: python -m tools.dashboards"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboard__metrics_it_asks_for__are_those_hamon_has(path: Path) -> None:
    """A panel about a metric that nobody exports is empty for ever."""
    known = {metric.name for metric in ALL} | {
        f"{metric.name}_bucket" for metric in ALL if metric.kind is Kind.HISTOGRAM
    }

    read = set(re.findall(r"\bhamon_[a-z_]+", " ".join(expressions(path))))

    assert read
    assert read <= known


def test_dashboards__every_metric__is_on_one_of_them_or_in_an_alert() -> None:
    """What nobody looks at needs not be told."""
    rules = (FOLDER.parent / "prometheus" / "hamon.rules.yml").read_text()
    shown = " ".join([rules, *(text for path in FILES for text in expressions(path))])

    assert [metric.name for metric in ALL if metric.name not in shown] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboard__panels__have_help_a_source_that_is_chosen_and_a_place(path: Path) -> None:
    """Nothing overlaps, and no panel is bound to one installation's data source."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(path):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
