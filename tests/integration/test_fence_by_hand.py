"""``hamon fence`` on the lab's BMCs: asked, and used by hand through the same guards."""

from __future__ import annotations

import json

import pytest

from lab.bmc import Fault
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_fence_check__all_devices__are_asked_and_a_broken_one_is_told(world: World) -> None:
    """What is broken is known before it is needed, and nothing is switched."""
    good = world.hamon("fence", "check", "--all", "-f", "json")
    world.lab.bmc("h1").behave(Fault.REFUSE)
    bad = world.hamon("fence", "check", "h1")
    world.lab.bmc("h1").behave(Fault.OK)

    assert good.returncode == 0, good.stdout + good.stderr
    devices = json.loads(good.stdout)["devices"]
    assert {"on"} == {device["power"] for device in devices}
    assert {"h1", "h2", "h3"} <= {device["host"] for device in devices}
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert world.hamon("fence", "check", "h1").returncode == 0


def test_fence_off__host_that_lives__only_when_told_so_and_on_brings_it_back(
    world: World,
) -> None:
    """A hand on the power button is the same incident, ladder and proof; and the way back."""
    [guest] = world.run_guests("h1")

    refused = world.hamon("fence", "off", "h1", "--reason", "smoke", "--yes")
    assert refused.returncode == 1, refused.stdout
    assert "--even-alive" in refused.stderr
    world.taken_down.add("h1")
    said = world.hamon("fence", "off", "h1", "--reason", "smoke", "--even-alive", "--yes")

    assert said.returncode == 0, said.stderr
    world.wait_moved([guest])
    incident = world.incident("h1")
    assert incident["proof"]["method"] == "power"
    assert any(text.startswith("alive: ") for text in incident["overridden"])
    world.wait_state("h1", "EVACUATED")
    assert world.hamon("fence", "on", "h1", "--reason", "aired", "--yes").returncode == 0
    world.wait_state("h1", "UP", "QUARANTINED")
