"""``hamon agent leave``."""

from __future__ import annotations

import click

from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation

CANCEL = "cancel"


@click.command("leave")
@click.argument("why", type=click.Choice(["shutdown", "reboot", CANCEL]))
@agent_config_option
@pass_invocation
def command(invocation: Invocation, why: str) -> None:
    """Announce an orderly shutdown or reboot.

    The heartbeat passes it on, so that a host that goes on purpose is not taken for a dead one.
    `cancel` takes the announcement back.
    """
    from hamon.agent.config import load_config
    from hamon.agent.host_files import announce_leaving
    from hamon.model.host import Leaving

    config = load_config(invocation.agent_config_path)
    leaving = None if why == CANCEL else Leaving(why)
    try:
        announce_leaving(config.folders.run_dir, leaving)
    except OSError as error:
        raise Failure(f"{error.filename} cannot be written: {error.strerror}") from error
    click.echo(
        f"host {config.host} stays" if leaving is None else f"host {config.host} leaves: {leaving}"
    )
