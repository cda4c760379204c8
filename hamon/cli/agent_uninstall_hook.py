"""``hamon agent uninstall-hook``."""

from __future__ import annotations

import click

from hamon.cli.asking import ask_in_words
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation, yes_option


@click.command("uninstall-hook")
@yes_option
@agent_config_option
@pass_invocation
def command(invocation: Invocation, *, yes: bool) -> None:
    """Take the gate away from libvirt.

    For a host that leaves hamon's care: without the agent nobody gives permits, and after the next
    boot no protected guest would start. Only once the controllers do not evacuate this host any
    more: from then on nothing keeps a second copy of a guest from starting here. May be repeated.
    """
    from hamon.agent.config import load_config
    from hamon.agent.hook_files import uninstall_hook

    config = load_config(invocation.agent_config_path)
    ask_in_words(
        invocation,
        f"Guests of host {config.host} then start here also while they run elsewhere. Go on?",
        yes=yes,
    )
    if not uninstall_hook(config.libvirt_hooks_dir, config.folders):
        click.echo(f"there is no hook of hamon in {config.libvirt_hooks_dir}")
        return
    click.echo(f"the hook in {config.libvirt_hooks_dir} is removed: every guest starts here")
    click.echo("stop hamon-agent-guests: it does not start again without the hook")
