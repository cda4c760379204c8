"""``hamon fence check``."""

from __future__ import annotations

from typing import Any

import click

from hamon.cli.failure import ExitCode
from hamon.cli.fence_status import chosen
from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("check")
@click.argument("host", required=False, default="")
@click.option("--all", "is_all", is_flag=True, help="Of every host.")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, output: str, *, is_all: bool) -> None:
    """Ask fence devices now for their state, and for whom they answer; nothing is switched.

    Exit code 0: all of them would be there. 1: one would not.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("fence_check", host=chosen(host, is_all=is_all))
    if output == "json":
        print_json(answer)
    else:
        print_page([_table(answer["devices"])])
    is_good = not any(device["why"] for device in answer["devices"])
    raise SystemExit(ExitCode.OK if is_good else ExitCode.REFUSED)


def _table(devices: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - rich's table
    from hamon.cli.page import ALARM, CALM, line, table

    return table(
        ("HOST", "DEVICE", "KIND", "TOOK", "SAYS"),
        (
            (
                d["host"],
                d["device"],
                d["kind"],
                f"{d['took_s']:.1f} s",
                line(d["why"], ALARM) if d["why"] else line(d["power"], CALM),
            )
            for d in devices
        ),
    )
