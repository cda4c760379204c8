"""``hamon agent forget``."""

from __future__ import annotations

import click

from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation


@click.command("forget")
@click.argument("guest", metavar="UUID")
@agent_config_option
@pass_invocation
def command(invocation: Invocation, guest: str) -> None:
    """Give up a guest of this host whose definition libvirt lost.

    hamon keeps what it knows of a guest when a definition vanishes without anybody having been
    seen undefining it: it may be all that is left. This says that it was meant to go. A guest that
    libvirt still defines is not forgotten: undefine it.
    """
    from hamon.agent.config import load_config
    from hamon.agent.host_files import ask_to_forget
    from hamon.model.names import guest_id

    try:
        uuid = guest_id(guest)
    except ValueError as error:
        raise click.UsageError(f"{guest} is not a guest's UUID") from error
    config = load_config(invocation.agent_config_path)
    try:
        ask_to_forget(config.folders, uuid)
    except OSError as error:
        raise Failure(f"{error.filename} cannot be written: {error.strerror}") from error
    click.echo(f"host {config.host} forgets guest {uuid}, unless libvirt defines it")
