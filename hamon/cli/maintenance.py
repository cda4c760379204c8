"""``hamon maintenance``."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation
from hamon.cli.request import send
from hamon.model.control import RequestKind


@click.command("maintenance")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.argument("host")
@click.option("--reason", default="", help="What is done there; needed for `on`.")
@click.option("--until", default="", help="When it ends by itself, as 2026-01-31T18:00.")
@asks_daemon
@pass_invocation
def command(invocation: Invocation, switch: str, host: str, reason: str, until: str) -> None:
    """Leave a host alone while somebody works on it.

    It is not fenced and takes no guests until `off`, or until the end that was given.
    """
    if switch == "off":
        if until:
            raise click.UsageError("--until goes with `on`")
        kind = RequestKind.MAINTENANCE_OFF
    else:
        if not reason:
            raise click.UsageError("--reason says what is done there, for those who come after you")
        kind = RequestKind.MAINTENANCE_ON
    end = _end(until) if until else None
    answer = send(invocation.client, kind, host=host, reason=reason, until=end)
    click.echo(answer["answer"])


def _end(text: str) -> str:
    """Return the end in UTC; without a zone it is this machine's."""
    try:
        end = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise click.UsageError(f"--until: {text!r} is no time such as 2026-01-31T18:00") from error
    if end <= datetime.now(UTC):
        raise click.UsageError(f"--until: {text} is past")
    return end.isoformat(timespec="seconds")
