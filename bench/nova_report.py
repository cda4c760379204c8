"""Prints the runs under Nova as tables with medians and verdicts, and keeps them as JSON."""

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import nova_verdicts
from bench.nova_measured import Growth, Run, Verdict, medians
from bench.report import RESULTS

_COLUMNS: tuple[tuple[str, Callable[[Run], float | None]], ...] = (
    ("proof", lambda run: run.proof_s),
    ("first evacuate", lambda run: run.first_s),
    ("last active", lambda run: run.active_s),
    ("from proof", lambda run: run.from_proof_s),
    ("last back", lambda run: run.back_s),
    ("confirmed", lambda run: run.confirmed_s),
    ("requests", lambda run: run.calls.all),
    ("a guest", lambda run: run.calls_a_guest),
    ("logins", lambda run: run.calls.logins),
)
_NAME_WIDTH = 14
HEADS = ("round", "contender".ljust(_NAME_WIDTH), "load", *(head for head, _ in _COLUMNS), "")


@dataclass(slots=True, kw_only=True)
class Results:
    """What there is so far, also after an interruption: runs by the form of the lab.

    Attributes:
        real: guests that QEMU runs.
        fake: guests of Nova's fake driver.
        many: very many of those on one host; hamon only.
        journal: how what hamon keeps grew by those.
        oblivion: how it grew by all the runs with real guests, when all of them were over.
    """

    real: list[Run] = field(default_factory=list)
    fake: list[Run] = field(default_factory=list)
    many: list[Run] = field(default_factory=list)
    journal: Growth | None = None
    oblivion: Growth | None = None

    @property
    def parts(self) -> dict[str, list[Run]]:
        """The runs by what their guests are, in words."""
        named = {
            "real guests": self.real,
            "fake-driver guests": self.fake,
            "on one host": self.many,
        }
        return {f"{runs[0].guests} {what}": runs for what, runs in named.items() if runs}


def print_heads() -> None:
    """Print the heads of the table of runs."""
    print(_line(HEADS))
    print(_line(["-" * len(head) for head in HEADS]), flush=True)


def row(run: Run) -> str:
    """One run as a row of the table."""
    cells = [str(run.number), run.contender.ljust(_NAME_WIDTH), f"{run.load:.1f}"]
    return _line([*cells, *(_number(of(run)) for _, of in _COLUMNS), "; ".join(run.faults)])


def print_report(results: Results) -> bool:
    """Print all tables and verdicts; return whether everything was reached."""
    for what, runs in results.parts.items():
        print(f"\n{what}: seconds since the power cut; {os.cpu_count()} cores\n")
        print_heads()
        for run in runs:
            print(row(run))
        for line in _median_rows(runs):
            print(line)
    print()
    found = verdicts(results)
    for verdict in found:
        print(f"{'reached' if verdict.is_reached else 'MISSED ':<8} {verdict.text}")
    return bool(found) and all(verdict.is_reached for verdict in found)


def verdicts(results: Results) -> list[Verdict]:
    """What was to be reached, of all that was measured."""
    return [
        *nova_verdicts.of_speed(results.real, "real guests"),
        *nova_verdicts.of_speed(results.fake, "fake-driver guests"),
        *nova_verdicts.of_start(results.real),
        *nova_verdicts.of_calls(results.many),
        *nova_verdicts.of_faults([*results.real, *results.fake, *results.many]),
        *nova_verdicts.of_journal(results.journal),
        *nova_verdicts.of_oblivion(results.oblivion),
    ]


def keep(results: Results) -> Path:
    """Write everything as JSON; return the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("nova-%Y%m%dT%H%M%S.json")
    found = asdict(results) | {"verdicts": [asdict(verdict) for verdict in verdicts(results)]}
    file.write_text(json.dumps(found, indent=2) + "\n")
    return file


def _median_rows(runs: Sequence[Run]) -> Iterable[str]:
    found = [medians(runs, of) for _, of in _COLUMNS]
    for name in dict.fromkeys(run.contender for run in runs):
        cells = [
            "median",
            name.ljust(_NAME_WIDTH),
            "",
            *(_number(column[name]) for column in found),
        ]
        yield _line([*cells, ""])


def _line(cells: Sequence[str]) -> str:
    padded = [cell.rjust(len(head)) for cell, head in zip(cells, HEADS, strict=True)]
    return f"| {' | '.join(padded)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
