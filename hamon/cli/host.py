"""``hamon host``."""

from __future__ import annotations

import click

from hamon.cli.lazy import LazyGroup

VERBS = {
    "list": ("hamon.cli.host_list", "One line for every enrolled host."),
    "show": ("hamon.cli.host_show", "Everything known of one host, and its guests."),
    "reserve": ("hamon.cli.host_reserve", "Give a reserved host back that was put to use."),
    "remove": ("hamon.cli.host_remove", "Forget a host that serves no more."),
}


@click.group("host", cls=LazyGroup, commands_in=VERBS)
def command() -> None:
    """List hosts, show one, or remove one."""
