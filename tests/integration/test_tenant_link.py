"""A host whose guests lost their network: it is told of, spared from new guests, and not shot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.deployment import CONFIG, GUESTS
from tests.integration.world import World

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LINK, FAR_END = "tenant0", "tenant0-far"


@pytest.mark.fault("F10")
def test_link__of_the_guests_down__host_is_degraded_until_it_is_up(world: World) -> None:
    """Its guests run and write: nothing of it is a reason to move them by force."""
    [guest] = world.run_guests("h1")

    with checked_link(world, "h1"):
        world.wait_state("h1", "UP")
        world.lab.host("h1").run(["ip", "link", "set", FAR_END, "down"])
        world.wait_state("h1", "DEGRADED")
        world.wait_reason("h1", "host_degraded")
        world.lab.host("h1").run(["ip", "link", "set", FAR_END, "up"])
        world.wait_state("h1", "UP")

    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@contextmanager
def checked_link(world: World, host: str) -> Iterator[None]:
    """Have a host's agent look after a link that its guests need."""
    machine = world.lab.host(host)
    settings = machine.path(CONFIG / "agent.toml")
    own = settings.read_text()
    machine.run(["ip", "link", "add", LINK, "type", "veth", "peer", "name", FAR_END])
    for end in (LINK, FAR_END):
        machine.run(["ip", "link", "set", end, "up"])
    settings.write_text(f'{own}\n[checks]\nlinks = ["{LINK}"]\n')
    world.lab.restart_service(host, GUESTS)
    try:
        yield
    finally:
        settings.write_text(own)
        world.lab.restart_service(host, GUESTS)
        machine.run(["ip", "link", "del", LINK])
