"""``hamon evacuate-host``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from hamon.cli.asking import ask_in_words
from hamon.cli.client import Client
from hamon.cli.evacuation import (
    STANDALONE_ENDS,
    TIMEOUT_S,
    Wanted,
    carry_out,
    check_target,
    expected_of,
    how_long,
    preview,
    rehearsal_table,
)
from hamon.cli.failure import ExitCode, Failure
from hamon.cli.invocation import (
    Invocation,
    asks_daemon,
    format_option,
    pass_invocation,
    yes_option,
)
from hamon.model.control import RequestKind
from hamon.model.names import host_name


@click.command("evacuate-host")
@click.argument("host")
@click.option("--target-host", help="The one destination for all its guests.")
@click.option("--dry-run", is_flag=True, help="Only say where each guest could go, and why not.")
@yes_option
@click.option("--no-wait", is_flag=True, help="End as soon as the leader has accepted.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds to watch for.",
)
@click.option(
    "--standalone", is_flag=True, help="Be the controller oneself; only if no other is there."
)
@format_option
@asks_daemon
@pass_invocation
def command(  # noqa: PLR0913 - one for each option
    invocation: Invocation,
    host: str,
    target_host: str | None,
    timeout_s: float,
    output: str,
    *,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    standalone: bool,
) -> None:
    """Rebuild a dead host's guests elsewhere.

    The same incident as the detector's: the host is fenced first, and without proof of its death
    nothing moves. It may pass over holds, which it shows and which are written down. A host that
    anything sees alive is refused. Exit code 0: every guest that should move is confirmed; with
    --dry-run: every one of them could move now.
    """
    if output == "json" and not dry_run:
        raise click.UsageError("-f json goes with --dry-run")
    if standalone and no_wait:
        raise click.UsageError("--standalone cannot leave before it is done: drop --no-wait")

    def evacuate(client: Client, on_stop: str = "") -> ExitCode:
        if dry_run:
            return _rehearse(client, host, target_host, output)
        wanted = _agreed(invocation, client, host, target_host, yes=yes)
        return carry_out(client, wanted, no_wait=no_wait, timeout_s=timeout_s, on_stop=on_stop)

    if not standalone:
        raise SystemExit(evacuate(invocation.client))
    from hamon.entry import run_standalone
    from hamon.logs import LogLevel, configure
    from hamon.settings.load import load

    try:
        name = host_name(host)
    except ValueError as error:
        raise Failure(str(error)) from error
    settings = load(invocation.config_path)

    def ask(socket_path: Path) -> int:
        return evacuate(Client(socket_path), STANDALONE_ENDS)

    # What the controller logs is for its journal; the person at this terminal reads the progress.
    configure(LogLevel.WARNING, settings.log.format, sys.stderr)
    logging.disable(logging.INFO)
    try:
        raise SystemExit(run_standalone(settings, name, ask))
    except KeyboardInterrupt as error:
        raise Failure(STANDALONE_ENDS, code=ExitCode.UNKNOWN) from error


def _rehearse(client: Client, host: str, target: str | None, output: str) -> ExitCode:
    from hamon.cli.page import line, print_json, print_page

    check_target(client, host, target)
    shown = client.ask("host", host=host)
    rehearsal = client.ask("rehearsal", host=host, target=target)
    placed = {row["guest"] for row in rehearsal["guests"] if row["destination"]}
    expected = set(expected_of(shown))
    if output == "json":
        print_json(rehearsal)
    else:
        counted = f"{len(placed & expected)} of {len(expected)} guests that should move could"
        table = rehearsal_table(rehearsal)
        print_page([*preview(client, shown), table, line(counted), *how_long(rehearsal)])
    return ExitCode.OK if expected <= placed else ExitCode.REFUSED


def _agreed(
    invocation: Invocation, client: Client, host: str, target: str | None, *, yes: bool
) -> Wanted:
    """Show what would happen, ask, and bind what was shown."""
    from hamon.cli.page import print_page

    check_target(client, host, target)
    shown = client.ask("host", host=host)
    rehearsal = client.ask("rehearsal", host=host, target=target)
    expected = expected_of(shown)
    table = rehearsal_table(rehearsal)
    print_page([*preview(client, shown), table, *how_long(rehearsal)])
    ask_in_words(
        invocation,
        f"Fence {host} unless that is proven already, and move {len(expected)} guests?",
        yes=yes,
    )
    return Wanted(
        kind=RequestKind.EVACUATE_HOST,
        host=host,
        boot_id=shown["boot_id"],
        expected=expected,
        target=target,
    )
