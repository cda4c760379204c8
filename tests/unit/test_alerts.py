"""The alerts: what they are made of is exported, and they fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hamon.cli.wording import WORDINGS
from hamon.metrics import registry
from hamon.metrics.registry import Metric
from hamon.model.control import HoldKind

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
    """Whoever is woken finds the page that the alert names; it says which alert it is about."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    named = re.findall(r"runbook: (\S+)", RULES.read_text())

    assert len(alerts) == len(named) == len(set(named))
    for alert, name in zip(alerts, named, strict=True):
        assert (PROJECT / name).read_text().startswith(f"# {alert}\n")
    assert sorted(map(str, (PROJECT / "docs/runbooks").glob("*.md"))) == sorted(
        str(PROJECT / name) for name in named
    )


def test_rules__every_alert__is_tried() -> None:
    """That it fires when it should, and not before."""
    tried = {name for path in TRIALS for name in re.findall(r"alertname\W+(\w+)", path.read_text())}

    assert set(re.findall(r"- alert: (\w+)", RULES.read_text())) == tried


def test_rules__reasons_they_name__are_said_and_have_advice_and_a_line_in_the_runbook() -> None:
    """A code that nobody says never fires; one without advice is nothing to wake a person for."""
    [named] = re.findall(r'code=~"([^"]+)"', RULES.read_text())
    codes = named.split("|")
    page = (PROJECT / "docs" / "runbooks" / "needs-a-person.md").read_text()

    assert [code for code in codes if code not in WORDINGS or not WORDINGS[code].advice] == []
    assert [code for code in codes if f"`{code}`" not in page] == []


def test_runbook__of_holds__has_every_kind_that_may_need_a_person() -> None:
    """The alert names the kind, and nothing else."""
    page = (PROJECT / "docs" / "runbooks" / "hold-needs-a-person.md").read_text()
    ends_by_itself = {HoldKind.SHADOW, HoldKind.START_UP, HoldKind.MAINTENANCE}

    assert {kind for kind in HoldKind if f"`{kind}`" not in page} == ends_by_itself


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
