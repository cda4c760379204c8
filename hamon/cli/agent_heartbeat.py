"""``hamon agent heartbeat``."""

from __future__ import annotations

import click

from hamon.cli.agent_process import become
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation


@click.command("heartbeat")
@agent_config_option
@pass_invocation
def command(invocation: Invocation) -> None:
    """Say that this boot of the host lives.

    Answers probes, touches no guest. Runs in the foreground until SIGTERM.
    """
    become("hamon.agent.heartbeat", invocation.agent_config_path)
