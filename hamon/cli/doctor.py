"""``hamon doctor``."""

from __future__ import annotations

import json

import click

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation, config_option, format_option, pass_invocation


@click.command("doctor")
@click.option("--config-only", is_flag=True, help="Read the configuration only.")
@format_option
@config_option
@pass_invocation
def command(invocation: Invocation, output: str, *, config_only: bool) -> None:
    """Say what is wrong with the configuration.

    Every fault with its file, key and reason. Exit code 0: it can be used; 78: it cannot.
    """
    if not config_only:
        raise click.UsageError("say what to look at: --config-only reads the configuration")
    from hamon.settings.load import check, load

    errors = check(invocation.config_path)
    if output == "json":
        faults = [{"file": e.path, "key": e.key, "why": e.why} for e in errors]
        click.echo(json.dumps({"faults": faults}, indent=2))
    elif errors:
        for error in errors:
            click.echo(str(error))
        click.echo(f"{len(errors)} to correct")
    else:
        settings = load(invocation.config_path)
        click.echo(f"{settings.path} can be used")
        click.echo(f"cluster {settings.cluster}, controller {settings.controller}")
        click.echo(f"ZooKeeper: {', '.join(settings.zookeeper.servers)}")
        click.echo(f"hosts: {len(settings.hosts)} in {settings.hosts_dir}")
    raise SystemExit(ExitCode.CONFIG if errors else ExitCode.OK)
