"""Shadow mode: all is decided and told, nothing is done."""

from __future__ import annotations

import pytest

from tests.integration.reconfigured import reconfigured, replaced
from tests.integration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_shadow__host_dies__is_told_and_left_alone_until_hamon_is_active(world: World) -> None:
    """A new installation shows what it would do; switched to active, it does it when asked.

    The host died while its hook let every guest start: by itself hamon leaves it alone.
    """
    [guest] = world.run_guests("h1")

    with reconfigured(world, {"hamon.toml": replaced('"active"', '"shadow"')}):
        mark = world.lab.host("h1").path("/var/lib/hamon/shadow")
        world.wait(mark.exists, "its agent goes by shadow mode")
        world.power_cut("h1")
        world.wait(lambda: not world.ask("explain", host="h1")["session"], "h1's session gone")
        world.wait_reason("h1", "conviction_held")
        said = world.hamon("explain", "h1")
        assert "shadow" in said.stdout, said
        assert world.state("h1") == "SUSPECT"
        assert world.incidents() == []
        assert len(world.watching.boots(guest)) == 1

    world.wait(lambda: "ungated" in world.holds(), "the host is held")
    said = world.hamon("evacuate-host", "h1", "--yes", deadline_s=180.0)
    assert said.returncode == 0, said.stderr
    world.wait_moved([guest])
    assert world.incident("h1")["proof"]["method"] == "power"
