"""What people type: refused with a reason and what to do, and nothing is lost."""

from __future__ import annotations

import re

import pytest

from lab.deployment import CONFIG, DAEMON
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_evacuate_host__that_cannot_be__is_refused_and_nothing_opens(world: World) -> None:
    """A live host, unknown names, and a host as its own target are refused with a reason."""
    for arguments, why in (
        (("h1",), "alive"),
        (("h9",), "not enrolled"),
        (("h1", "--target-host", "h9"), "not enrolled"),
        (("h1", "--target-host", "h1"), "can't be the same"),
        (("h",), "not enrolled"),
    ):
        said = world.hamon("evacuate-host", *arguments, "--yes")
        assert (arguments, said.returncode) == (arguments, 1), said
        assert why in said.stderr, (arguments, said.stderr)

    assert world.incidents() == []


def test_evacuate__unknown_guest__is_refused(world: World) -> None:
    """A guest that hamon does not know is refused, with where to look."""
    said = world.hamon("evacuate", "nobody", "--yes")

    assert said.returncode == 1
    assert "not known" in said.stderr


def test_evacuate_host__down_host_with_target__all_guests_go_there(world: World) -> None:
    """A command opens the same incident as the detector, is watched, and ends with 0."""
    guests = world.run_guests("h1", 2)
    said = world.hamon("maintenance", "on", "h1", "--reason", "the command is to be first")
    assert said.returncode == 0, said.stderr
    world.power_cut("h1")
    world.wait_reason("h1", "conviction_held")

    said = world.hamon("evacuate-host", "h1", "--target-host", "h2", "--yes", deadline_s=180.0)

    assert said.returncode == 0, said.stdout + said.stderr
    assert {world.owner(name) for name in guests} == {"h2"}
    incident = world.incident("h1")
    assert incident["trigger"] == "operator"
    assert [line.partition(":")[0] for line in incident["overridden"]] == ["maintenance"]
    world.wait_moved(guests)


def test_daemon__with_a_broken_configuration__refuses_to_start_and_says_where(
    world: World,
) -> None:
    """Unknown keys and broken TOML are refused with file and key; the other daemon leads on."""
    standby = world.standby()
    file = standby.path(CONFIG / "hamon.toml")
    good = file.read_text()
    standby.stop_service(DAEMON)
    try:
        for bad, where in (
            (good.replace("[fencing]", "[fencing]\nshots = 3"), "shots"),
            (good.replace("[fencing]", "[fencing"), "hamon.toml"),
            (re.sub(r"(session_timeout_s) = .*", r"\1 = 1.0", good), "session"),
        ):
            assert bad != good
            file.write_text(bad)
            said = world.hamon(
                "daemon", "--config", str(CONFIG / "hamon.toml"), on=str(standby.name)
            )
            assert said.returncode == 78, said
            assert where in said.stderr, said.stderr
            assert "Traceback" not in said.stderr
    finally:
        file.write_text(good)
        standby.start_service(DAEMON)
    world.wait(lambda: world.ask("status")["armed"], "a daemon answers")
