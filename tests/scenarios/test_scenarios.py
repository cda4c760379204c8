"""Every folder here is a story: what is done to a cluster, and what must become of it."""

from pathlib import Path

import pytest

from hamon.sim.scenario import Scenario, expected, rewrite, run

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/scenario.toml"))


def marks_of(folder: Path) -> list[pytest.MarkDecorator]:
    """Mark a scenario with the faults that it says it plays."""
    faults = Scenario.read(folder).faults
    return [pytest.mark.fault(*faults)] if faults else []


@pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, id=folder.name, marks=marks_of(folder)) for folder in FOLDERS],
)
def test_scenario__played__gives_its_golden_events(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    """No rule is violated at any step, nothing hangs at the end, and the events are the golden."""
    scenario = Scenario.read(folder)
    played = run(scenario)
    assert None is played.violation
    if request.config.getoption("--rewrite", default=False):
        rewrite(scenario, played)
    assert expected(scenario) == played.golden, "\n".join(played.difference(expected(scenario)))


@pytest.mark.parametrize("row", ["7", "f7", "F07", "F7 "])
def test_faults__no_rows_of_the_matrix__are_refused(tmp_path: Path, row: str) -> None:
    """A misspelt row would be one that nothing claims to play."""
    text = (Path(__file__).parent / "host-dies/scenario.toml").read_text()
    (tmp_path / "scenario.toml").write_text(text.replace('["F1"]', f'["{row}"]'))

    with pytest.raises(ValueError, match="faults are numbered"):
        Scenario.read(tmp_path)
