"""``hamon host list``."""

from __future__ import annotations

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("list")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, output: str) -> None:
    """One line for every enrolled host.

    RUN: guests that libvirt runs there; PROT: guests that would be moved.
    """
    from hamon.cli.page import line, print_json, print_page
    from hamon.cli.status import host_table

    answer = invocation.client.ask("hosts")
    if output == "json":
        print_json(answer)
    elif answer["hosts"]:
        print_page([host_table(answer["hosts"])])
    else:
        print_page([line("no host is enrolled: hosts.d names them, the leader enrols them")])
