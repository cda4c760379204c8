"""``hamon fence off``."""

from __future__ import annotations

import click

from hamon.cli.asking import ask_for_name
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation, yes_option
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("off")
@click.argument("host")
@click.option("--reason", required=True, help="Why; it goes into the incident.")
@click.option("--even-alive", is_flag=True, help="Also a host that lives: its guests are cut off.")
@yes_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, reason: str, *, even_alive: bool, yes: bool) -> None:
    """Shut a host out for certain; its guests then run elsewhere.

    The same incident, ladder and proof as when hamon finds it dead. Of a host whose fencing has
    failed the ladder is climbed once more.
    """
    from hamon.cli.evacuation import preview
    from hamon.cli.page import print_page

    client = invocation.client
    shown = client.ask("host", host=host)
    print_page(preview(client, shown))
    ask_for_name(invocation, f"The power of {host} is cut.", host, yes=yes)
    answer = send(
        client,
        RequestKind.FENCE_OFF,
        host=host,
        boot_id=shown["boot_id"],
        reason=reason,
        force=even_alive,
    )
    click.echo(f"{answer['answer']}; watch it with `hamon status --watch`")
