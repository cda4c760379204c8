"""``hamon daemon``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, config_option, pass_invocation


@click.command("daemon")
@config_option
@pass_invocation
def command(invocation: Invocation) -> None:
    """Run a controller.

    It runs in the foreground until SIGTERM. Exit code 78: the configuration cannot be used, and
    starting again will not help.
    """
    from hamon.entry import run_daemon
    from hamon.logs import configure
    from hamon.settings.load import load

    settings = load(invocation.config_path)
    configure(settings.log.level, settings.log.format)
    raise SystemExit(run_daemon(settings))
