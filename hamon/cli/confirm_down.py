"""``hamon confirm-down``."""

from __future__ import annotations

from typing import Any

import click

from hamon.cli.asking import ask_for_name
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation, yes_option
from hamon.cli.request import send
from hamon.model.control import RequestKind
from hamon.model.host import Right


@click.command("confirm-down")
@click.argument("host")
@click.option("--reason", required=True, help="How you know; it goes into the incident.")
@yes_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, reason: str, *, yes: bool) -> None:
    """Give your word that a host has no power.

    Its guests start elsewhere on nothing but this word. If the host runs after all, guests run
    twice and destroy their disks. The word counts for the boot that is shown, and for no other; of
    a host without an agent, which names none, until anything shows life.
    """
    from hamon.cli.host_show import evidence, host_header
    from hamon.cli.page import print_page

    client = invocation.client
    shown = client.ask("host", host=host)
    boot_id = _boot_in_question(shown)
    print_page([*host_header(shown), *evidence(shown)])
    boot = f"for boot {boot_id or 'never seen'}" if not shown["agentless"] else "as of now"
    ask_for_name(
        invocation,
        f"You give your word that {host} has no power and cannot get any by itself, {boot}.",
        host,
        yes=yes,
    )
    answer = send(client, RequestKind.CONFIRM_DOWN, host=host, boot_id=boot_id, reason=reason)
    click.echo(f"{answer['answer']}; watch it with `hamon status --watch`")


def _boot_in_question(shown: dict[str, Any]) -> str | None:
    """Return the boot that was shut out, else the one that registered last."""
    guard = shown["guard"]
    boot_id = guard["boot_id"] if guard["right"] == Right.SHUT_OUT else shown["boot_id"]
    return str(boot_id) if boot_id is not None else None
