"""SIGHUP on running services: checked whole, or the old settings stay."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lab.deployment import CONFIG, DAEMON, GUESTS, HEARTBEAT
from lab.machine import Machine
from tests.integration.world import World

pytestmark = pytest.mark.integration


def test_daemons__hung_up__go_by_what_they_read_and_keep_the_old_when_it_is_wrong(
    world: World,
) -> None:
    """Nothing that runs is touched, and a mistake changes nothing."""
    [guest] = world.run_guests("h1")
    files = [daemon.path(CONFIG / "hamon.toml") for daemon in world.lab.daemons]
    good = [file.read_text() for file in files]

    def hashes() -> set[str]:
        return {line["policy_hash"] for line in world.ask("status")["controllers"]}

    def hang_up(event: str) -> None:
        for daemon in world.lab.daemons:
            before = len(world.logged(event, on=daemon))
            daemon.signal_process(DAEMON, signal.SIGHUP)
            world.wait(
                lambda daemon=daemon, before=before: (  # type: ignore[misc]
                    len(world.logged(event, on=daemon)) > before
                ),
                f"{event} on {daemon.name}",
            )

    [before] = hashes()
    try:
        _replace(files, "storm_hosts_max = 2", "storm_hosts_max = many")
        hang_up("settings_refused")
        assert hashes() == {before}

        _replace(files, "storm_hosts_max = many", "storm_hosts_max = 3")
        hang_up("settings_changed")
        world.wait(lambda: len(hashes()) == 1 and hashes() != {before}, "the new settings")
        world.wait_state("h1", "UP")
    finally:
        for file, text in zip(files, good, strict=True):
            file.write_text(text)
        hang_up("settings_changed")
    world.wait(lambda: hashes() == {before}, "the old settings again")
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


@pytest.mark.parametrize("service", [HEARTBEAT, GUESTS])
def test_agent__hung_up__goes_on_with_its_session_and_its_guests(
    world: World, service: str
) -> None:
    """A host whose agent reads its settings again is not a moment suspect."""
    [guest] = world.run_guests("h1")
    host = world.lab.host("h1")
    file = host.path(CONFIG / "agent.toml")
    good = file.read_text()
    pid = host.processes()[service]["pid"]

    def hang_up(event: str) -> None:
        before = len(world.logged(event, on=host, service=service))
        host.signal_process(service, signal.SIGHUP)
        world.wait(
            lambda: len(world.logged(event, on=host, service=service)) > before,
            f"{event} of {service}",
        )

    try:
        file.write_text("host = ")
        hang_up("settings_refused")
        file.write_text(good.replace("call_timeout_s = 4.0", "call_timeout_s = 4.5"))
        hang_up("settings_changed")
        world.wait_owned("h1", [guest])
    finally:
        file.write_text(good)
        hang_up("settings_changed")
    world.wait(lambda: _is_served(world, host), "h1 is served as before")
    assert host.processes()[service]["pid"] == pid
    assert world.state("h1") == "UP"
    assert len(world.watching.boots(guest)) == 1
    assert world.incidents() == []


def _is_served(world: World, host: Machine) -> bool:
    shown = world.ask("host", host=str(host.name))
    return bool(shown["session"]) and shown["state"] == "UP"


def _replace(files: list[Path], old: str, new: str) -> None:
    for file in files:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
