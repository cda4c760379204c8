"""Daemons of the shared lab with other settings, for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from lab import deployment
from lab.deployment import CONFIG, DAEMON
from lab.machine import Machine
from tests.integration.world import World

Edit = Callable[[str], str]


@contextmanager
def reconfigured(world: World, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Have all daemons run with other files, and with their own again at the end.

    Args:
        world: whose lab.
        edits: what becomes of a file below /etc/hamon, by its name there; "" stands for a file
            that there is not, and then becomes none again.

    Raises:
        LabError: no daemon led, or a host was not seen, with the new files.
    """
    with ExitStack() as files:
        # The last to run, when every file is its own again.
        files.callback(_restart, world)
        for daemon in world.lab.daemons:
            for name, edit in edits.items():
                files.enter_context(_edited(daemon, name, edit))
        _restart(world)
        yield


def added(text: str) -> Edit:
    """Return the edit that adds a text at the end of a file."""
    return lambda whole: f"{whole}\n{text}\n"


def replaced(old: str, new: str) -> Edit:
    """Return the edit that puts a text in the place of another, which must be there."""

    def edit(whole: str) -> str:
        assert old in whole, f"no {old!r} in:\n{whole}"
        return whole.replace(old, new)

    return edit


@contextmanager
def _edited(daemon: Machine, name: str, edit: Edit) -> Iterator[None]:
    file = daemon.path(CONFIG / name)
    good = file.read_text() if file.exists() else None
    file.touch(mode=0o600)
    file.write_text(edit(good or ""))
    try:
        yield
    finally:
        if good is None:
            file.unlink()
        else:
            file.write_text(good)


def _restart(world: World) -> None:
    for daemon in world.lab.daemons:
        daemon.stop_service(DAEMON)
    for daemon in world.lab.daemons:
        daemon.start_service(DAEMON)
    world.wait(
        lambda: (
            deployment.leader(world.lab.daemons) is not None
            and len(world.ask("hosts")["hosts"]) == len(world.lab.hosts)
        ),
        "a daemon leads with the other settings",
    )
