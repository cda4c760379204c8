"""``hamon agent``: needs nothing that a compute host does not have."""

from __future__ import annotations

import click

from hamon.cli.lazy import LazyGroup

VERBS = {
    "heartbeat": ("hamon.cli.agent_heartbeat", "Say that this boot of the host lives."),
    "guests": ("hamon.cli.agent_guests", "Take care of this host's guests."),
    "leave": ("hamon.cli.agent_leave", "Announce an orderly shutdown or reboot."),
    "forget": (
        "hamon.cli.agent_forget",
        "Give up a guest of this host whose definition libvirt lost.",
    ),
    "gate": ("hamon.cli.agent_gate", "Wait until nova-compute may start on this host."),
    "install-hook": ("hamon.cli.agent_install_hook", "Put the gate where libvirt calls it."),
    "uninstall-hook": ("hamon.cli.agent_uninstall_hook", "Take the gate away from libvirt."),
}


@click.group("agent", cls=LazyGroup, commands_in=VERBS)
def command() -> None:
    """What runs on a compute host."""
