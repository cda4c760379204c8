"""``hamon status``."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from hamon.cli.client import Client
from hamon.cli.failure import as_failure
from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation
from hamon.detector.agentless import Word
from hamon.errors import HamonError
from hamon.model.policy import Mode

WATCH_PERIOD_S = 1.0
HOSTS_MAX = 40
"""With more hosts than this only those that are not simply up are listed."""
WAITING_MAX = 20


@click.command("status")
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C.")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, output: str, *, watch: bool) -> None:
    """The whole cluster on one page: holds first.

    Then what moves, what waits and why, and every host.
    """
    client = invocation.client
    if watch:
        try:
            _watch(client, output)
        except KeyboardInterrupt:
            return
    from hamon.cli.page import print_json, print_page

    answer = client.ask("status")
    if output == "json":
        print_json(answer)
    else:
        print_page(_page(answer, _waiting(client, answer)))


def _watch(client: Client, output: str) -> None:
    """Show it for ever; without a terminal, and as JSON, only what is new."""
    from rich.console import Group
    from rich.live import Live

    from hamon.cli.page import console, line, print_page

    screen = console()
    if output == "json" or not screen.is_terminal:
        shown = None
        while True:
            answer = client.ask("status")
            if answer != shown and output == "json":
                click.echo(json.dumps(answer))
            elif answer != shown:
                print_page(_page(answer, _waiting(client, answer)))
            shown = answer
            time.sleep(WATCH_PERIOD_S)
    with Live(console=screen, auto_refresh=False) as live:
        while True:
            try:
                answer = client.ask("status")
                page = _page(answer, _waiting(client, answer))
            except HamonError as error:
                # A daemon that is restarted comes back; whoever watches is told meanwhile.
                page = iter([line(as_failure(error).message, "bold red")])
            live.update(Group(*page), refresh=True)
            time.sleep(WATCH_PERIOD_S)


def _waiting(client: Client, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for the guests that wait; the status alone only counts them."""
    return [
        migration
        for incident in answer["incidents"]
        if incident["migrations"].get("WAITING")
        for migration in client.ask("incident", incident=incident["incident"])["migrations"]
        if migration["status"] == "WAITING"
    ]


def _page(answer: dict[str, Any], waiting: list[dict[str, Any]]) -> Iterator[Any]:
    from hamon.cli.page import calmness, heading, line, table

    yield from _header(answer)
    if answer["incidents"]:
        yield heading("Incidents")
        yield table(
            ("HOST", "GUESTS", "WHY", "INCIDENT"),
            ((i["host"], _counted(i), _why(i), i["incident"]) for i in answer["incidents"]),
        )
    if waiting:
        yield heading(f"Waiting: {len(waiting)} guests")
        yield table(
            ("GUEST", "FROM", "WHY"),
            ((m["name"], m["source_compute"], m["reason"]) for m in waiting[:WAITING_MAX]),
        )
    states = Counter(host["state"] for host in answer["hosts"])
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield heading(f"Hosts: {counted}" if counted else "Hosts: none enrolled")
    hosts = sorted(answer["hosts"], key=lambda host: (calmness(host["state"]), host["host"]))
    if len(hosts) > HOSTS_MAX:
        hosts = [host for host in hosts if not _is_simply_up(host)]
        yield line("only those that are not simply UP; `hamon host list` shows all")
    if hosts:
        yield host_table(hosts)


def _header(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.hold_list import hold_lines
    from hamon.cli.page import ALARM, CALM, NOTE, line

    if answer["mode"] == Mode.SHADOW:
        yield line("SHADOW: decides and tells, and does nothing", NOTE)
    elif answer["armed"]:
        yield line("ARMED", CALM)
    else:
        yield line("DISARMED: nothing new is started", ALARM)
    yield from hold_lines(answer)
    leader = answer["leader"] or "no controller"
    role = (
        f"leads, epoch {answer['epoch']}" if answer["is_leading"] else f"stands by, {leader} leads"
    )
    names = ", ".join(controller["controller"] for controller in answer["controllers"])
    yield line(f"{answer['controller']} {role}; controllers: {names or 'none'}")


def _counted(incident: dict[str, Any]) -> str:
    counted = (f"{count} {status}" for status, count in incident["migrations"].items())
    return ", ".join(counted) or "none recorded"


def _why(incident: dict[str, Any]) -> str:
    why = str(incident["reason"]).replace("_", " ")
    return f"{why}, by {incident['who']}" if incident["who"] else why


def host_table(hosts: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - rich's table
    """Return one line for each host."""
    from hamon.cli.page import state, table, when

    return table(
        ("STATE", "HOST", "RUN", "PROT", "SINCE", "WHY"),
        (
            (
                state(host["state"]),
                host["host"],
                host["running"],
                host["protected"],
                when(host["since"]),
                _remark(host),
            )
            for host in hosts
        ),
    )


def _is_simply_up(host: dict[str, Any]) -> bool:
    if host["agentless"] and host["nova"]["word"] != Word.UP:
        return False
    return host["state"] == "UP" and not host["maintenance"] and not host["reserved"]


def _remark(host: dict[str, Any]) -> str:
    from hamon.cli.host_show import nova_in_words

    remarks = ["in maintenance"] if host["maintenance"] else []
    if host["reserved"]:
        remarks.append(f"reserved, {host['reserved']}")
    if host["agentless"]:
        remarks.append(f"no agent, {nova_in_words(host)}")
    if host["state"] != "UP" and host["reason"]:
        remarks.append(str(host["reason"]).replace("_", " "))
    return ", ".join(remarks)
