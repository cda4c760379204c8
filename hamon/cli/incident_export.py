"""``hamon incident export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation


@click.command("export")
@click.argument("incident")
@click.option(
    "--output",
    "to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it there, and not to standard output; what is there is replaced.",
)
@asks_daemon
@pass_invocation
def command(invocation: Invocation, incident: str, to: Path | None) -> None:
    """One JSON document of all that is kept.

    Record, timeline, migrations, and the policy that was in force; no secrets (docs/incidents.md).
    """
    document = json.dumps(invocation.client.ask("export", incident=incident), indent=2) + "\n"
    if to is None:
        click.echo(document, nl=False)
        return
    try:
        to.write_text(document, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{to} cannot be written: {error.strerror}") from error
    click.echo(f"incident {incident} is in {to}")
