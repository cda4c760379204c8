"""``hamon disarm``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("disarm")
@click.option("--reason", default="", help="For those who come after you.")
@asks_daemon
@pass_invocation
def command(invocation: Invocation, reason: str) -> None:
    """Start nothing new, anywhere, until armed again.

    What a guest or a fence device already does comes to its end. It counts for every controller.
    """
    answer = send(invocation.client, RequestKind.DISARM, reason=reason)
    click.echo(answer["answer"])
