"""Fence devices on bad days: without proof nothing moves, and a human can give it."""

from __future__ import annotations

import pytest

from lab.bmc import Fault
from lab.names import Plane
from tests.integration.world import World

pytestmark = pytest.mark.integration


@pytest.mark.fault("F2", "F26")
def test_bmc__dead__pages_and_waits_for_an_operators_word(world: World) -> None:
    """Without an answer from the BMC nothing moves until a human confirms the death."""
    [guest] = world.run_guests("h1")
    world.lab.bmc("h1").behave(Fault.DEAD)

    world.power_cut("h1")
    world.wait_state("h1", "FENCE_FAILED")
    assert world.incident("h1")["migrations"] == []
    assert len(world.watching.boots(guest)) == 1
    said = world.hamon("confirm-down", "h1", "--reason", "pulled its plugs", "--yes")

    assert said.returncode == 0, said.stderr
    world.wait_moved([guest])
    assert world.incident("h1")["proof"]["method"] == "operator"


@pytest.mark.fault("F26")
@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.SLOW, None])
def test_bmc__refusing_slow_or_silent__is_tried_until_it_works(
    world: World, fault: Fault | None
) -> None:
    """A BMC that does not do its work proves nothing; when it does again, all goes on."""
    [guest] = world.run_guests("h1")
    if fault is None:
        world.lab.cut("h1", Plane.BMC)
    else:
        world.lab.bmc("h1").behave(fault)

    world.power_cut("h1")
    world.wait_state("h1", "FENCE_FAILED")
    assert len(world.watching.boots(guest)) == 1
    world.lab.restore("h1", Plane.BMC)
    world.lab.bmc("h1").behave(Fault.OK)

    world.wait_moved([guest])
    assert world.incident("h1")["proof"]["method"] == "power"


@pytest.mark.fault("F28", "F42")
@pytest.mark.slow
def test_power__switched_on_by_hand_after_the_proof__guest_runs_once(world: World) -> None:
    """A proof ages: a host that is switched on again gets its guest back, or nobody does twice."""
    [guest] = world.run_guests("h1")

    world.power_cut("h1")
    world.wait_told("host_fenced")
    world.lab.host("h1").power_on()

    world.wait_moved([guest])
    world.wait(lambda: world.ask("guest", guest=guest)["migration"] is None, "migration over")
    assert len(world.watching.boots(guest)) == 2
