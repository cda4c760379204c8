"""Daemons that are away, or hear nobody: nothing is lost by it, and nobody is shot for it."""

from __future__ import annotations

import pytest

from lab.deployment import DAEMON
from tests.integration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HOSTS = ("h1", "h2", "h3")


@pytest.mark.fault("F24")
def test_daemons__away_while_a_host_dies__it_is_helped_when_they_are_back(world: World) -> None:
    """Nobody saw the host die: whoever leads next finds it so."""
    [guest] = world.run_guests("h1")
    [other] = world.run_guests("h2")

    for daemon in world.lab.daemons:
        daemon.stop_service(DAEMON)
    world.power_cut("h1")
    world.stay(20.0)
    assert len(world.watching.boots(guest)) == 1
    for daemon in world.lab.daemons:
        daemon.start_service(DAEMON)

    world.wait_moved([guest])
    assert world.incident("h1")["proof"]["method"] == "power"
    assert len(world.watching.boots(other)) == 1


@pytest.mark.fault("F25")
def test_leader__that_hears_no_host__convicts_nobody_and_leaves_office(world: World) -> None:
    """It reaches ZooKeeper as before, and so could decide; another sees more."""
    guests = [name for host in HOSTS for name in world.run_guests(host)]
    blind = str(world.leader().name)

    for host in HOSTS:
        world.lab.cut_between(blind, host)
    world.wait(lambda: str(world.leader().name) != blind, "another daemon leads")
    assert world.incidents() == []
    world.power_cut("h1")

    world.wait_moved(guests[:1])
    assert str(world.leader().name) != blind
    assert {len(world.watching.boots(name)) for name in guests[1:]} == {1}
