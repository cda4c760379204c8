"""What ``evacuate-host`` and ``evacuate`` have in common: show, send, watch, and tell the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from hamon.cli import watching
from hamon.cli.client import Client
from hamon.cli.failure import ExitCode
from hamon.cli.request import send
from hamon.cli.watching import Ended, Watched, progress_for, watch
from hamon.decide.holds import is_passed_by_hand
from hamon.decide.naming import one_too_many
from hamon.errors import RequestRefusedError
from hamon.model.control import HoldKind, RequestKind
from hamon.model.incident import MigrationStatus
from hamon.model.names import CLUSTER

TIMEOUT_S = 600.0

_CONFIRMED = frozenset({MigrationStatus.DONE, MigrationStatus.COMPLETED})

_GOES_ON = "the evacuation goes on; `hamon status --watch` shows it"
_WHY_UNKNOWN: Mapping[Ended, str] = {
    Ended.TIMED_OUT: f"not over within the time-out: {_GOES_ON}",
    Ended.DAEMON_GONE: "the daemon does not answer any more, so the outcome is unknown: the"
    " evacuation goes on wherever a controller leads",
    Ended.INTERRUPTED: f"watching has stopped, nothing else: {_GOES_ON}",
}
STANDALONE_ENDS = (
    "this controller ends with the command: the incident stays recorded, and the next controller,"
    " or the same command again, goes on with it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An evacuation as asked for. ``expected``: guests that are to move, uuid to name."""

    kind: RequestKind
    host: str
    boot_id: str | None
    expected: Mapping[str, str]
    target: str | None = None
    guest: str | None = None
    force: bool = False
    password: str | None = field(default=None, repr=False)


def check_target(client: Client, host: str, target: str | None) -> None:
    """Refuse a destination that cannot be one before anything is asked of a person.

    Raises:
        RequestRefusedError: it is the source, or no host of this name is enrolled.
    """
    if target is None:
        return
    if target == host:
        raise RequestRefusedError("The target host can't be the same one.")
    client.ask("target", host=target)


def check_named(shown: Mapping[str, Any], guest: str) -> None:
    """Refuse one more guest than an incident takes before anything is asked of a person.

    Raises:
        RequestRefusedError: as many are named as may be.
    """
    refused = one_too_many(shown["host"], shown["incident"] or "", shown["only"], guest)
    if refused is not None:
        raise RequestRefusedError(*refused)


def expected_of(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return the guests of a host that an evacuation is to move."""
    return {
        guest["guest"]: guest["name"]
        for guest in shown["guests"]
        if guest["protected"] and guest["owner"] in {None, shown["host"]}
    }


def preview(client: Client, shown: Mapping[str, Any]) -> Iterator[Any]:
    """Say how the host stands, and which holds would be passed over or stand in the way."""
    from hamon.cli.host_show import host_header
    from hamon.cli.page import ALARM, NOTE, line

    yield from host_header(dict(shown))
    if shown["session"]:
        yield line("its agent is registered: a host that lives is not evacuated, but refused", NOTE)
    labels = {f"{label}={value}" for label, value in shown["labels"].items()}
    scopes = {CLUSTER, shown["host"], *labels}
    for hold in client.ask("status")["holds"]:
        is_passed = is_passed_by_hand(HoldKind(hold["kind"]))
        if hold["scope"] not in scopes or is_passed is None:
            continue
        text = f"({hold['kind']}) {hold['reason']}"
        if is_passed:
            yield line(f"HOLD passed over, and written into the incident: {text}", NOTE)
        else:
            yield line(f"HOLD that nobody passes over: {text}", ALARM)


def rehearsal_table(rehearsal: Mapping[str, Any]) -> Any:  # noqa: ANN401 - rich's table
    """Return where every guest could go, and what cannot move and why."""
    from hamon.cli.page import table

    return table(
        ("GUEST", "RAM MiB", "CPUS", "WOULD GO TO", "WHY NOT"),
        (
            (row["name"], row["ram_mib"], row["vcpus"], row["destination"], row["why"])
            for row in rehearsal["guests"]
        ),
    )


def how_long(rehearsal: Mapping[str, Any]) -> Iterator[Any]:
    """Say how long the rehearsed evacuation may take; nothing where nobody measures that."""
    from hamon.cli.page import line

    if "seconds" not in rehearsal:
        return
    seconds = rehearsal["seconds"]
    if seconds is None:
        yield line("how long it will take was not measured yet: no evacuation has been seen here")
    else:
        yield line(f"from the conviction on it will take about {seconds / 60:.1f} min,")
        yield line("by what a guest took in the last incidents here")


def carry_out(
    client: Client, wanted: Wanted, *, no_wait: bool, timeout_s: float, on_stop: str = ""
) -> ExitCode:
    """Send the request, watch what becomes of it and tell it.

    Args:
        client: the daemon.
        wanted: what is asked for.
        no_wait: end as soon as the leader has accepted.
        timeout_s: seconds to watch for.
        on_stop: said, instead of that the evacuation goes on, when watching ends before it;
            only a controller in this very process has to say something else.
    """
    answer = send(
        client,
        wanted.kind,
        host=wanted.host,
        guest=wanted.guest,
        target=wanted.target,
        boot_id=wanted.boot_id,
        force=wanted.force or None,
        password=wanted.password,
    )
    try:
        return _follow(
            client, wanted, answer, no_wait=no_wait, timeout_s=timeout_s, on_stop=on_stop
        )
    except KeyboardInterrupt:
        # Outside of watching proper; the request has been accepted all the same.
        click.echo(on_stop or _WHY_UNKNOWN[Ended.INTERRUPTED], err=True)
        return ExitCode.UNKNOWN


def _follow(
    client: Client,
    wanted: Wanted,
    answer: Mapping[str, Any],
    *,
    no_wait: bool,
    timeout_s: float,
    on_stop: str,
) -> ExitCode:
    """Watch what becomes of an accepted request, and tell it."""
    click.echo(answer["answer"])
    if no_wait:
        click.echo(f"not waiting: {_GOES_ON}")
        return ExitCode.OK
    progress = progress_for(is_terminal=sys.stdout.isatty())
    watched = watch(
        client,
        answer["incident"],
        frozenset(wanted.expected),
        progress,
        timeout_s=timeout_s,
        patience_s=watching.STANDALONE_PATIENCE_S if on_stop else watching.PATIENCE_S,
    )
    return _tell(wanted, watched, on_stop)


def _tell(wanted: Wanted, watched: Watched, on_stop: str) -> ExitCode:
    """Print what became of every guest; return how the command ends."""
    from hamon.cli.page import print_page, table

    seen = watched.incident or {"migrations": [], "not_movable": []}
    migrations = {
        migration["guest"]: migration
        for migration in seen["migrations"]
        if wanted.guest in {None, migration["guest"]}
    }
    rows = [_row(migration) for migration in migrations.values()]
    is_over = watched.ended is Ended.OVER
    rows += [
        (name, "not moved" if is_over else "?", "", "no migration is recorded")
        for guest, name in wanted.expected.items()
        if guest not in migrations
    ]
    rows += [
        (left["name"], "stays", "", "not movable: " + ", ".join(left["why"]))
        for left in seen["not_movable"]
        if wanted.guest in {None, left["guest"]}
    ]
    if rows:
        print_page([table(("GUEST", "STATUS", "HOST", "WHY"), rows)])
    if not is_over:
        click.echo(on_stop or _WHY_UNKNOWN[watched.ended], err=True)
        return ExitCode.UNKNOWN
    confirmed = {g for g, m in migrations.items() if m["status"] in _CONFIRMED}
    moved, all_ = len(confirmed & set(wanted.expected)), len(wanted.expected)
    click.echo(f"{moved} of {all_} guests that should move are confirmed")
    return ExitCode.OK if moved == all_ else ExitCode.REFUSED


def _row(migration: Mapping[str, Any]) -> tuple[str, str, str, str]:
    is_away = migration["status"] != MigrationStatus.STAYS
    where = migration["dest_compute"] if is_away else migration["source_compute"]
    return (migration["name"], migration["status"], where or "", migration["reason"])
