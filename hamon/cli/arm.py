"""``hamon arm``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("arm")
@click.option("--reason", default="", help="For those who come after you.")
@asks_daemon
@pass_invocation
def command(invocation: Invocation, reason: str) -> None:
    """Act again.

    Takes back `hamon disarm`; it counts for every controller.
    """
    answer = send(invocation.client, RequestKind.ARM, reason=reason)
    click.echo(answer["answer"])
