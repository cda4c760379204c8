"""``hamon agent install-hook``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation


@click.command("install-hook")
@agent_config_option
@pass_invocation
def command(invocation: Invocation) -> None:
    """Put the gate where libvirt calls it.

    From then on no protected guest starts on this host without a permit. May be repeated.
    """
    from hamon.agent.config import load_config
    from hamon.agent.hook_files import install_hook

    config = load_config(invocation.agent_config_path)
    if not install_hook(config.libvirt_hooks_dir, config.folders, config.boot_id_file):
        click.echo(f"the hook in {config.libvirt_hooks_dir} is as it should be")
        return
    click.echo(f"the hook is installed in {config.libvirt_hooks_dir}")
    click.echo("libvirtd finds its first hook when it starts: restart it once if this is the first")
