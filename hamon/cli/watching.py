"""Watching an incident until it is over. Looking changes nothing: stopping is always harmless."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

import click

from hamon.cli.client import Client
from hamon.cli.failure import DaemonUnreachableError, NoAnswerError, printable
from hamon.errors import RequestRefusedError
from hamon.model.host import HostState
from hamon.model.incident import OPEN_MIGRATIONS

PERIOD_S = 0.3
PATIENCE_S = 10.0
"""How long a daemon may be away: a restart is quicker than this."""

STANDALONE_PATIENCE_S = 2.0
"""The same for a controller that lives in this process: it does not come back."""


class Ended(Enum):
    """Why nobody watches any more."""

    OVER = auto()
    TIMED_OUT = auto()
    DAEMON_GONE = auto()
    INTERRUPTED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen last, None: nothing at all, and why watching ended."""

    ended: Ended
    incident: dict[str, Any] | None


class Progress(Protocol):
    """Where what is seen goes."""

    def show(self, incident: Mapping[str, Any]) -> None:
        """Show the incident as it is now."""
        ...

    def close(self) -> None:
        """Give the terminal back. Idempotent."""
        ...


def watch(
    client: Client,
    incident: str,
    expected: frozenset[str],
    progress: Progress,
    *,
    timeout_s: float,
    patience_s: float,
) -> Watched:
    """Follow an incident until it is over, the time is up, the daemon is gone, or Ctrl-C.

    Args:
        client: the daemon.
        incident: its id.
        expected: guests that are to move; it is not over before each of them has settled.
        progress: is shown every picture.
        timeout_s: seconds from now.
        patience_s: how long the daemon may be away.
    """
    seen: dict[str, Any] | None = None
    heard_s = time.monotonic()
    until_s = heard_s + timeout_s
    try:
        with closing(progress):
            while True:
                try:
                    seen = client.ask("incident", incident=incident)
                except (DaemonUnreachableError, NoAnswerError, RequestRefusedError):
                    # Restarting, or it has not read the incident yet.
                    if time.monotonic() - heard_s > patience_s:
                        return Watched(ended=Ended.DAEMON_GONE, incident=seen)
                else:
                    heard_s = time.monotonic()
                    progress.show(seen)
                    if is_over(seen, expected):
                        return Watched(ended=Ended.OVER, incident=seen)
                if time.monotonic() >= until_s:
                    return Watched(ended=Ended.TIMED_OUT, incident=seen)
                time.sleep(PERIOD_S)
    except KeyboardInterrupt:
        return Watched(ended=Ended.INTERRUPTED, incident=seen)


def is_over(incident: Mapping[str, Any], expected: frozenset[str]) -> bool:
    """Say whether nothing more will happen to the guests of an incident.

    An incident that was joined may read EVACUATED from before: each expected guest must have
    settled too.
    """
    if incident["closed"]:
        return True
    status = {migration["guest"]: migration["status"] for migration in incident["migrations"]}
    is_settled = all(guest in status and status[guest] not in OPEN_MIGRATIONS for guest in expected)
    return is_settled and incident["host_state"] == HostState.EVACUATED


class PlainProgress:
    """One line for each thing that changed, with seconds since the start; for logs and pipes."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._told: dict[str, str] = {}

    def show(self, incident: Mapping[str, Any]) -> None:
        """Tell what is new."""
        self._tell("host", host_phase(incident))
        for migration in incident["migrations"]:
            self._tell(migration["guest"], f"guest {migration['name']}: {phase_of(migration)}")

    def _tell(self, subject: str, text: str) -> None:
        if self._told.get(subject) != text:
            self._told[subject] = text
            passed_s = time.monotonic() - self._began_s
            click.echo(f"{passed_s:6.1f} s  {printable(text)}")

    def close(self) -> None:
        """Do nothing: lines stay."""


class LiveProgress:
    """A table on a terminal that is drawn anew; gone when watching ends."""

    def __init__(self) -> None:
        from rich.live import Live

        from hamon.cli.page import console

        self._live = Live(console=console(), auto_refresh=False, transient=True)
        self._live.start()

    def show(self, incident: Mapping[str, Any]) -> None:
        """Draw it."""
        from rich.console import Group

        from hamon.cli.page import line, table

        rows = ((m["name"], phase_of(m)) for m in incident["migrations"])
        parts = (
            line(f"{host_phase(incident)}; Ctrl-C stops watching only"),
            table(("GUEST", "EVACUATION"), rows),
        )
        self._live.update(Group(*parts), refresh=True)

    def close(self) -> None:
        """Give the terminal back. Idempotent."""
        self._live.stop()


def progress_for(*, is_terminal: bool) -> Progress:
    """Return what suits where it is shown."""
    return LiveProgress() if is_terminal else PlainProgress()


def host_phase(incident: Mapping[str, Any]) -> str:
    """Return how the host stands, and where to look when a person is needed."""
    hint = (
        f" (`hamon explain {incident['host']}` says what to do)"
        if incident["host_state"] == HostState.FENCE_FAILED
        else ""
    )
    return f"host {incident['host']}: {incident['host_state']}{hint}"


def phase_of(migration: Mapping[str, Any]) -> str:
    """Return a migration's status with its destination and why it waits."""
    where = f" on {migration['dest_compute']}" if migration["dest_compute"] else ""
    why = f" ({migration['reason']})" if migration["reason"] else ""
    return f"{migration['status']}{where}{why}"
