"""``hamon fence``."""

from __future__ import annotations

import click

from hamon.cli.lazy import LazyGroup

VERBS = {
    "status": ("hamon.cli.fence_status", "What the last checks of fence devices came to."),
    "check": ("hamon.cli.fence_check", "Ask fence devices now; nothing is switched."),
    "off": ("hamon.cli.fence_off", "Shut a host out; its guests then run elsewhere."),
    "on": ("hamon.cli.fence_on", "Switch a host on."),
}


@click.group("fence", cls=LazyGroup, commands_in=VERBS)
def command() -> None:
    """Try fence devices, or use them by hand."""
