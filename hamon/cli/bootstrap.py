"""``hamon bootstrap``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, config_option, pass_invocation


@click.command("bootstrap")
@config_option
@pass_invocation
def command(invocation: Invocation) -> None:
    """Make the cluster's place in ZooKeeper.

    With final access rules from the first write. May be repeated: only what is missing is made.
    """
    from hamon.ensemble import chroot_of, controllers_identity
    from hamon.entry import run_bootstrap
    from hamon.settings.load import load

    settings = load(invocation.config_path)
    run_bootstrap(settings)
    click.echo(f"{chroot_of(settings.cluster)} is ready on {', '.join(settings.zookeeper.servers)}")
    click.echo("For agent.toml on every compute host:")
    scheme, _, subject = controllers_identity(settings).partition(":")
    if scheme == "x509":
        told = f'controllers_subject = "{subject}"'
    else:
        told = f'controllers_digest = "{controllers_identity(settings)}"'
    click.echo(f"  [zookeeper]\n  {told}")
