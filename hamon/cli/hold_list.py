"""``hamon hold list``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("list")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, output: str) -> None:
    """What holds hamon back, why, and what ends it; then the releases in force."""
    from hamon.cli.page import line, print_json, print_page

    answer = invocation.client.ask("status")
    if output == "json":
        print_json({"holds": answer["holds"], "releases": answer["releases"]})
        return
    lines = [*hold_lines(answer), *_release_lines(answer)]
    print_page(lines or [line("nothing holds")])


def hold_lines(answer: dict[str, Any]) -> Iterator[Any]:
    """Return two lines for each hold of a status: what, and what ends it."""
    from hamon.cli.page import ALARM, NOTE, line
    from hamon.cli.wording import hold_in_words

    for hold in answer["holds"]:
        words = hold_in_words(hold["kind"], hold["scope"])
        by = f" (by {hold['who']})" if hold["who"] not in {"", "hamon"} else ""
        style = ALARM if hold["needs_human"] else NOTE
        yield line(f"HOLD {hold['scope']}: {words.text}: {hold['reason']}{by}", style)
        if words.advice:
            yield line(f"     {words.advice}")


def _release_lines(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import NOTE, line, when

    for release in answer["releases"]:
        hosts = ", ".join(sorted(release["hosts"]))
        until = when(release["until"])
        yield line(
            f"RELEASED until {until} by {release['who']}: {hosts}: {release['reason']}", NOTE
        )
