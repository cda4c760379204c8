"""``hamon incident``."""

from __future__ import annotations

import click

from hamon.cli.lazy import LazyGroup

VERBS = {
    "list": ("hamon.cli.incident_list", "One line for every incident: the open ones."),
    "show": ("hamon.cli.incident_show", "Everything kept of one incident, open or closed."),
    "export": ("hamon.cli.incident_export", "One JSON document of all that is kept."),
}


@click.group("incident", cls=LazyGroup, commands_in=VERBS)
def command() -> None:
    """List incidents, show one, or export it.

    `hamon explain INCIDENT` tells its story.
    """
