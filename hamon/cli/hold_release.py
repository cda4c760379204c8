"""``hamon hold release``."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from hamon.cli.asking import ask_in_words
from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation, yes_option
from hamon.cli.request import send
from hamon.model.control import RELEASE_MAX_S, RequestKind

_DURATION = re.compile(r"([0-9]{1,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST = timedelta(seconds=RELEASE_MAX_S)


@click.command("release")
@click.option("--hosts", default="", help="Names, with commas between them.")
@click.option("--label", default="", help="A label, as rack=a1: its hosts that are lost.")
@click.option("--reason", required=True, help="How you know that they are lost; it is audited.")
@click.option("--for", "duration", required=True, help="How long it counts: 90s, 30m, 2h.")
@yes_option
@asks_daemon
@pass_invocation
def command(
    invocation: Invocation, hosts: str, label: str, reason: str, duration: str, *, yes: bool
) -> None:
    """Let hosts of a real loss pass a storm's hold: a rack is dark, not its switch.

    Each still needs a verdict and a proof, and only a few are fenced at a time. It counts for the
    boots that are shown: a host that comes back is not released any more. Hosts that live are
    refused.
    """
    if bool(hosts) == bool(label):
        raise click.UsageError("say which hosts: --hosts or --label")
    from hamon.cli.page import print_page
    from hamon.cli.status import host_table

    until = _until(duration)
    client = invocation.client
    known = client.ask("hosts")["hosts"]
    chosen = _named(known, hosts) if hosts else _labelled(known, label)
    print_page([host_table(chosen)])
    question = (
        f"{len(chosen)} hosts are lost for good, and their guests shall run elsewhere: release them"
        f" for {duration}?"
    )
    ask_in_words(invocation, question, yes=yes)
    boots = {host["host"]: host["boot_id"] for host in chosen}
    answer = send(client, RequestKind.RELEASE, boots=json.dumps(boots), reason=reason, until=until)
    click.echo(f"{answer['answer']}; watch it with `hamon status --watch`")


def _named(known: list[dict[str, Any]], hosts: str) -> list[dict[str, Any]]:
    """Return the hosts that were named.

    Raises:
        Failure: one is not enrolled, or never registered.
    """
    by_name = {host["host"]: host for host in known}
    chosen = []
    for name in filter(None, (part.strip() for part in hosts.split(","))):
        if name not in by_name:
            raise Failure(f"host {name} is not enrolled", "`hamon host list` shows the hosts")
        if not by_name[name]["boot_id"]:
            raise Failure(f"host {name} has never registered: there is no boot to release")
        chosen.append(by_name[name])
    return chosen


def _labelled(known: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """Return the hosts with a label that are lost now.

    Raises:
        Failure: there is none.
    """
    key, equals, value = label.partition("=")
    if not equals:
        raise click.UsageError(f"--label: {label!r} is no label such as rack=a1")
    labelled = [host for host in known if host["labels"].get(key) == value]
    lost = [host for host in labelled if not host["session"] and host["boot_id"]]
    if not labelled:
        raise Failure(f"no host has the label {label}", "`hamon host show HOST` shows its labels")
    if not lost:
        raise Failure(f"none of the {len(labelled)} hosts with the label {label} is lost")
    return lost


def _until(duration: str) -> str:
    parts = _DURATION.fullmatch(duration)
    span = timedelta(seconds=int(parts[1]) * _SECONDS[parts[2]]) if parts else timedelta()
    if not timedelta() < span <= LONGEST:
        raise click.UsageError(f"--for: {duration!r} is no time such as 30m, at most 24h")
    return (datetime.now(UTC) + span).isoformat(timespec="milliseconds").replace("+00:00", "Z")
