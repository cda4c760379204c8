"""``hamon host reserve``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("reserve")
@click.argument("host")
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str) -> None:
    """Give a reserved host back that was put to use.

    It takes no more guests from then on; those it has stay, until somebody moves them.
    """
    answer = send(invocation.client, RequestKind.RESERVE, host=host)
    click.echo(answer["answer"])
