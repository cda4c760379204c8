"""The alerts: what they are made of is exported, and they fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hamon.metrics import registry
from hamon.metrics.registry import Metric

PROJECT = Path(__file__).resolve().parents[2]
RULES = PROJECT / "config" / "prometheus" / "hamon.rules.yml"
TRIALS = sorted((PROJECT / "tests" / "alerts").glob("*.yml"))

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs the package prometheus"
)


def test_rules__metrics_they_read__are_those_hamon_has() -> None:
    """An alert about a metric that nobody exports never fires."""
    known = {value.name for value in vars(registry).values() if isinstance(value, Metric)}

    read = set(re.findall(r"\bhamon_[a-z_]+", RULES.read_text()))

    assert read
    assert read <= known


def test_rules__runbooks__are_there() -> None:
    """Whoever is woken finds the page that the alert names."""
    named = re.findall(r"runbook: (\S+)", RULES.read_text())

    assert named
    assert [name for name in named if not (PROJECT / name).exists()] == []


@needs_promtool
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.stem)
def test_rules__trial__fire_when_they_should(trial: Path) -> None:
    """Prometheus itself evaluates them, over series that were written down."""
    said = subprocess.run(
        ["promtool", "test", "rules", str(trial)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr
