"""``hamon fence on``."""

from __future__ import annotations

import click

from hamon.cli.asking import ask_in_words
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation, yes_option
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("on")
@click.argument("host")
@click.option("--reason", required=True, help="Why; it is logged.")
@yes_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, reason: str, *, yes: bool) -> None:
    """Switch a host on by its fence devices.

    Refused while its guests are still to move. What returns is cleaned up before it may serve.
    """
    ask_in_words(invocation, f"Switch {host} on?", yes=yes)
    answer = send(invocation.client, RequestKind.FENCE_ON, host=host, reason=reason)
    click.echo(f"{answer['answer']}; see it with `hamon fence check {host}`")
