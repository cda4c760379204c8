"""``hamon fence status``."""

from __future__ import annotations

from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("status")
@click.argument("host", required=False, default="")
@click.option("--all", "is_all", is_flag=True, help="Of every host.")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, output: str, *, is_all: bool) -> None:
    """What the last checks of fence devices came to, by this controller.

    Nothing is asked: each controller checks every device once each fencing.check_period_s.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("fence_status", host=chosen(host, is_all=is_all))
    if output == "json":
        print_json(answer)
    else:
        print_page([_table(answer["devices"])])


def chosen(host: str, *, is_all: bool) -> str:
    """Return the host that was named, "" for all."""
    if bool(host) == is_all:
        raise click.UsageError("say of which host, or --all")
    return host


def _table(devices: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - rich's table
    from hamon.cli.page import ALARM, CALM, NOTE, age, line, table

    def verdict(device: dict[str, Any]) -> Any:  # noqa: ANN401 - rich's text
        if device["kind"] == "watchdog":
            return line("proves by time", NOTE)
        if device["checked_age_s"] is None:
            return line("not asked yet", NOTE)
        return line(device["why"], ALARM) if device["why"] else line(device["power"], CALM)

    def good(device: dict[str, Any]) -> str:
        return "never" if device["good_age_s"] is None else f"{age(device['good_age_s'])} ago"

    return table(
        ("HOST", "LEVEL", "DEVICE", "KIND", "GOOD", "SAYS"),
        ((d["host"], d["level"], d["device"], d["kind"], good(d), verdict(d)) for d in devices),
    )
