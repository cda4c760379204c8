"""``hamon explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("explain")
@click.argument("host")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, output: str) -> None:
    """Why something is or is not done about a host.

    The evidence, what hamon concludes from it now, what stands in the way, and what you can do.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("explain", host=host)
    if output == "json":
        print_json(answer)
    else:
        print_page(_page(answer))


def _page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.host_show import evidence, host_header, thoughts
    from hamon.cli.page import heading, line

    yield from host_header(answer)
    yield from thoughts(answer)
    if not answer["reasons"] and not answer["planned"]:
        yield heading("Why")
        yield line("- nothing is to be said: all is well")
    yield from evidence(answer)
    for incident in answer["incidents"]:
        counted = ", ".join(f"{n} {status}" for status, n in incident["migrations"].items())
        end = "closed" if incident["closed"] else "open"
        yield line(f"incident {incident['incident']} ({end}): {counted or 'no migration'}")
    role = "which leads" if answer["is_leading"] else "which stands by and only thinks along"
    yield line(f"as seen by {answer['seen_by']}, {role}")
