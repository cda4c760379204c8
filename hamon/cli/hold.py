"""``hamon hold``."""

from __future__ import annotations

import click

from hamon.cli.lazy import LazyGroup

VERBS = {
    "list": ("hamon.cli.hold_list", "What holds hamon back, why, and what ends it."),
    "release": ("hamon.cli.hold_release", "Let hosts of a real loss pass a storm's hold."),
}


@click.group("hold", cls=LazyGroup, commands_in=VERBS)
def command() -> None:
    """Show what holds hamon back, or release hosts from a storm."""
