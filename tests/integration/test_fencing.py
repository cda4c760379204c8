"""Fence devices on bad days: without proof nothing moves, and a human can give it."""

from __future__ import annotations

import pytest

from lab.bmc import Fault
from lab.names import Plane
from tests.integration.reconfigured import reconfigured
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


@pytest.mark.slow
@pytest.mark.fault("F26", "F27")
@pytest.mark.parametrize("fault", [Fault.IGNORE_OFF, Fault.LIE_ON])
def test_bmc__accepts_off_and_reads_on__nothing_moves_until_it_works(
    world: World, fault: Fault
) -> None:
    """An order that was taken is no proof: the host may run, as this one does or did."""
    [guest] = world.run_guests("h1")
    world.lab.bmc("h1").behave(fault)

    world.isolate("h1")
    world.wait_state("h1", "FENCE_FAILED")
    assert world.incident("h1")["proof"] is None
    assert len(world.watching.boots(guest)) == 1
    world.lab.bmc("h1").behave(Fault.OK)

    world.wait_moved([guest])
    assert not world.lab.host("h1").powered()
    world.mend("h1")


@pytest.mark.slow
@pytest.mark.fault("F26")
def test_bmc__says_off_while_the_host_is_heard__host_is_not_convicted(world: World) -> None:
    """A BMC that lies convicts nobody of whom anybody else hears."""
    [guest] = world.run_guests("h1")
    world.lab.bmc("h1").behave(Fault.LIE_OFF)

    world.lab.cut("h1", Plane.MANAGEMENT)
    world.wait_reason("h1", "alive_by_echo")
    world.wait(lambda: not world.ask("host", host="h1")["session"], "the session ends")
    world.stay(10.0)
    assert world.incidents() == []
    world.mend("h1")

    world.wait_state("h1", "UP")
    assert len(world.watching.boots(guest)) == 1


@pytest.mark.slow
@pytest.mark.fault("F26")
def test_bmc__refuses_the_password__nothing_moves_until_it_is_right(world: World) -> None:
    """A login that fails proves nothing, and is told as what it is."""
    [guest] = world.run_guests("h1")

    with reconfigured(world, {"secrets/h1-bmc": lambda _: "wrong"}):
        # Cut off, so that nothing but its own power switch proves anything.
        world.isolate("h1")
        world.wait_state("h1", "FENCE_FAILED")
        assert all(shot["outcome"] != "done" for shot in world.incident("h1")["shots"])
        assert len(world.watching.boots(guest)) == 1

    world.wait_moved([guest])
    assert not world.lab.host("h1").powered()
    world.mend("h1")


@pytest.mark.slow
@pytest.mark.fault("F28", "F42")
def test_power__switched_on_by_hand_after_the_proof__guest_runs_once(world: World) -> None:
    """A proof ages: a host that is switched on again gets its guest back, or nobody does twice."""
    [guest] = world.run_guests("h1")

    world.power_cut("h1")
    world.wait_told("host_fenced")
    world.lab.host("h1").power_on()

    world.wait_moved([guest])
    world.wait(lambda: world.ask("guest", guest=guest)["migration"] is None, "migration over")
    assert len(world.watching.boots(guest)) == 2
