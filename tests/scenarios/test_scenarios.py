"""Every folder here is a story: what is done to a cluster, and what must become of it."""

from pathlib import Path

import pytest

from hamon.sim.scenario import Scenario, expected, rewrite, run

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/scenario.toml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
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
