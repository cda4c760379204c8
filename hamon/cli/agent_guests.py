"""``hamon agent guests``."""

from __future__ import annotations

import click

from hamon.cli.agent_process import become
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation


@click.command("guests")
@agent_config_option
@pass_invocation
def command(invocation: Invocation) -> None:
    """Take care of this host's guests.

    The only process that opens this host's libvirt. Runs in the foreground until SIGTERM.
    """
    become("hamon.agent.guests", invocation.agent_config_path)
