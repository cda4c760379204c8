"""``hamon incident show``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("show")
@click.argument("incident")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, incident: str, output: str) -> None:
    """Everything kept of one incident, open or closed.

    The evidence, the shots, the proof, and every guest. `hamon explain` tells it as a story.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("incident", incident=incident)
    if output == "json":
        print_json(answer)
    else:
        print_page(_page(answer))


def _page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import line
    from hamon.cli.story import guests, header, proof_and_shots, what_was_known

    yield from header(answer)
    yield from what_was_known(answer)
    yield from proof_and_shots(answer)
    yield from guests(answer)
    if answer["policy_hash"]:
        yield line(f"policy {answer['policy_hash'][:12]} was in force when it was opened", "dim")
    yield line(f"`hamon explain {answer['incident']}` tells its story", "dim")
