"""``hamon incident list``."""

from __future__ import annotations

from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation

_TO_THE_MINUTE = len("01-01 00:00")


@click.command("list")
@click.option("--all", "with_closed", is_flag=True, help="The closed ones too, after the open.")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, output: str, *, with_closed: bool) -> None:
    """One line for every incident: the open ones.

    The newest first. So many closed ones are kept as recovery.incidents_kept says.
    """
    from hamon.cli.page import line, print_json, print_page, table

    answer = invocation.client.ask("incidents", with_closed=with_closed)
    if output == "json":
        print_json(answer)
        return
    columns = ("INCIDENT", "OPENED", "CLOSED", "GUESTS", "WHY")
    rows = [
        (
            each["incident"],
            _minute(each["stamps"].get("convicted", "")),
            _minute(each["stamps"].get("returned", "")) if each["closed"] else "open",
            counted(each["migrations"]),
            _why(each),
        )
        for each in answer["incidents"]
    ]
    page: list[Any] = [table(columns, rows)] if rows else [line("no incident is open")]
    if not with_closed and answer["closed"]:
        page.append(line(f"{answer['closed']} closed ones are kept: --all shows them", "dim"))
    print_page(page)


def _minute(stamp: str) -> str:
    from hamon.cli.page import when

    return when(stamp)[:_TO_THE_MINUTE]


def _why(incident: dict[str, Any]) -> str:
    by = incident["who"] or incident["trigger"]
    proof = f"proven by {incident['proof']}" if incident["proof"] else "not proven"
    return f"{incident['reason'].replace('_', ' ')} ({by}); {proof}"


def counted(migrations: dict[str, int]) -> str:
    """Say how many guests stand where."""
    return ", ".join(f"{count} {status}" for status, count in migrations.items()) or "none"
