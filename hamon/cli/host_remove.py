"""``hamon host remove``."""

from __future__ import annotations

import click

from hamon.cli.asking import ask_for_name
from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, config_option, pass_invocation, yes_option


@click.command("remove")
@click.argument("host")
@yes_option
@config_option
@pass_invocation
def command(invocation: Invocation, host: str, *, yes: bool) -> None:
    """Forget a host that serves no more.

    Refused while it lives, may run guests, or guests of it are still to move. A host that died and
    will never come back may go as soon as they have moved, and its incident goes with it. Take it
    out of hosts.d first, or the leader enrols it again.
    """
    from hamon.entry import run_remove_host
    from hamon.model.names import host_name
    from hamon.settings.load import load

    try:
        name = host_name(host)
    except ValueError as error:
        raise Failure(str(error)) from error
    settings = load(invocation.config_path)
    if any(spec.name == name for spec in settings.hosts):
        advice = f"take it out of {settings.hosts_dir} on every controller, and restart them"
        raise Failure(f"host {name} is still configured and would be enrolled again", advice)
    ask_for_name(invocation, f"Everything ZooKeeper holds of host {name} goes.", name, yes=yes)
    run_remove_host(settings, name)
    click.echo(f"host {name} is forgotten")
