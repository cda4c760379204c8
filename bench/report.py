"""Prints what was measured as tables, says what was reached, and keeps it as JSON."""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.footprint import (
    DAEMON_LIMIT_MIB,
    DAEMON_LIMIT_PERCENT,
    GUESTS_LIMIT_MIB,
    HEARTBEAT_LIMIT_MIB,
    IDLE_HOSTS,
    Footprint,
)
from bench.measured import TAKEOVER_LIMIT_S, Measured
from lab.hamon_files import SESSION_TIMEOUT_S

RESULTS = Path(__file__).resolve().parent / "results"

_COLUMNS: tuple[tuple[str, Callable[[Measured], float | None]], ...] = (
    ("session lost", lambda m: m.session_lost_s),
    ("convicted", lambda m: m.convicted_s),
    ("fenced", lambda m: m.fenced_s),
    ("fencing", lambda m: m.fencing_s),
    ("first rebuild", lambda m: m.first_rebuild_s),
    ("limit", lambda m: m.first_rebuild_limit_s),
    ("all rebuilt", lambda m: m.rebuilt_s),
    ("all writing", lambda m: m.all_writing_s),
    ("limit", lambda m: m.all_writing_limit_s),
    ("boot time", lambda m: m.boot_s),
)
HEADS = ("run", "victim", "load", *(head for head, _ in _COLUMNS), "verdict")


def row(measured: Measured) -> str:
    """One run as a row of the table."""
    cells = [str(measured.number), measured.victim, f"{measured.load:.1f}"]
    cells += [_number(get(measured)) for _, get in _COLUMNS]
    return _line([*cells, _verdict(measured)])


def print_heads() -> None:
    """Print the heads of the table of runs."""
    print(_line(list(HEADS)))
    print(_line(["-" * len(head) for head in HEADS]), flush=True)


def print_report(
    runs: Sequence[Measured],
    strays: Sequence[str],
    footprints: dict[str, Footprint],
    accelerator: str,
) -> bool:
    """Print all tables and the verdict; return whether everything was reached."""
    print(
        f"\nseconds since the cut; {os.cpu_count()} cores, guests on {accelerator}, "
        f"session time-out {SESSION_TIMEOUT_S:g} s; load: that of the machine before the cut\n"
    )
    print_heads()
    for measured in runs:
        print(row(measured))
    steady = [measured for measured in runs if measured.takeover is None]
    for name, pick in (("worst", max), ("median", statistics.median)):
        if steady:
            values = [[v for m in steady if (v := get(m)) is not None] for _, get in _COLUMNS]
            cells = [_number(pick(found)) if found else "" for found in values]
            print(_line([name, "", "", *cells, ""]))
    verdicts = [*_verdicts(runs, steady, strays), *_footprint_verdicts(footprints)]
    print()
    for is_reached, text in verdicts:
        print(f"{'reached' if is_reached else 'MISSED ':<8} {text}")
    return all(is_reached for is_reached, _ in verdicts)


def keep(runs: Sequence[Measured], strays: Sequence[str], footprints: dict[str, Footprint]) -> Path:
    """Write everything as JSON; return the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("demo-%Y%m%dT%H%M%S.json")
    found = {
        "runs": [asdict(measured) for measured in runs],
        "strays": list(strays),
        "footprints": {name: asdict(footprint) for name, footprint in footprints.items()},
    }
    file.write_text(json.dumps(found, indent=2) + "\n")
    return file


def _verdicts(
    runs: Sequence[Measured], steady: Sequence[Measured], strays: Sequence[str]
) -> list[tuple[bool, str]]:
    verdicts = []
    if steady:
        first = sum(m.is_first_rebuild_well for m in steady)
        text = "first guest being rebuilt within session time-out + 1.5 s + fencing + 1 s"
        verdicts.append((first == len(steady), f"{text}: {first} of {len(steady)} runs"))
        writing = sum(m.is_all_writing_well for m in steady)
        text = "all eight writing again within 4 s + boot time more"
        verdicts.append((writing == len(steady), f"{text}: {writing} of {len(steady)} runs"))
    for measured in runs:
        if measured.takeover is not None:
            takeover = measured.takeover
            text = f"leader {takeover.how} at {takeover.at}: taken over after "
            limit = f"{takeover.took_s:.2f} s, limit {TAKEOVER_LIMIT_S:g} s"
            verdicts.append((takeover.is_well, f"{text}{limit}"))
    faults = [f"run {m.number}: {fault}" for m in runs for fault in m.faults] + list(strays)
    text = "no disk written by two guests, none lost or started twice, no host fenced falsely"
    verdicts.append((not faults, f"{text}{': ' if faults else ''}{'; '.join(faults)}"))
    return verdicts


def _footprint_verdicts(footprints: dict[str, Footprint]) -> list[tuple[bool, str]]:
    verdicts = []
    for name, found in footprints.items():
        text = (
            f"{name}: heartbeat {found.heartbeat_mib:.1f} MiB (limit {HEARTBEAT_LIMIT_MIB:g}), "
            f"guests process {found.guests_mib:.1f} ({GUESTS_LIMIT_MIB:g}), "
            f"daemon {found.daemon_mib:.1f} ({DAEMON_LIMIT_MIB:g})"
        )
        if found.leader_percent is not None and found.standby_percent is not None:
            text += (
                f"; idle with {IDLE_HOSTS} hosts: leader {found.leader_percent:.2f} % of a core, "
                f"standby {found.standby_percent:.2f} % ({DAEMON_LIMIT_PERCENT:g})"
            )
        verdicts.append((found.is_well, text))
    return verdicts


def _verdict(measured: Measured) -> str:
    words = list(measured.faults)
    if measured.takeover is not None:
        takeover = measured.takeover
        words.append(f"leader {takeover.how} at {takeover.at}, taken over in {takeover.took_s:.2f}")
    elif not measured.is_first_rebuild_well or not measured.is_all_writing_well:
        words.append("late")
    return "; ".join(words) if words else "well"


def _line(cells: list[str]) -> str:
    padded = [cell.rjust(len(head)) for cell, head in zip(cells, HEADS, strict=True)]
    return f"| {' | '.join(padded)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
