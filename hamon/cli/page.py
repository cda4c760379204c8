"""What is printed: lines and tables, made with rich, readable at 80 columns.

Names and reasons come from compute hosts and other people: markup and control characters in them
are shown, never obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hamon.cli.failure import printable
from hamon.model.host import HostState

KEPT_WHOLE = 24
"""Characters up to which a cell is never folded: names are to be copied from here."""

CALM, NOTE, ALARM = "green", "yellow", "bold red"

_ALARM_STATES = frozenset(
    {HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING}
)


def console() -> Console:
    """Return a console that prints text as it is."""
    return Console(highlight=False, markup=False, emoji=False)


def print_page(parts: Iterable[RenderableType]) -> None:
    """Print lines and tables on standard output."""
    console().print(Group(*parts))


def print_json(answer: Mapping[str, Any]) -> None:
    """Print exactly what the daemon answered."""
    click.echo(json.dumps(answer, indent=2))


def line(text: str, style: str = "") -> Text:
    """Return one line."""
    return Text(printable(text), style=style)


def heading(text: str) -> Text:
    """Return the first line of a section."""
    return Text(printable(text), style="bold")


def item(mark: str, text: str, style: str = "", *, indent: int = 0) -> RenderableType:
    """Return a paragraph behind a mark; where it is folded the mark stays alone on its left."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(printable(mark), style=style), line(text, style))
    return Padding(grid, (0, 0, 0, indent), expand=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; a cell that is a :class:`Text` keeps its style, None is an empty cell."""
    made = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    cells = [[_cell(value) for value in row] for row in rows]
    for number, column in enumerate(columns):
        # Where room is short what is long gives way, and nothing is cut off.
        widest = max((len(row[number]) for row in cells), default=0)
        is_kept = widest <= KEPT_WHOLE and column != columns[-1]
        made.add_column(column, overflow="fold", no_wrap=is_kept)
    for row in cells:
        made.add_row(*row)
    return made


def state(name: str) -> Text:
    """Return a host's state in the colour of how bad it is; the word says it without colour too."""
    return Text(printable(name), style=(ALARM, NOTE, CALM)[calmness(name)])


def calmness(name: str) -> int:
    """Return 0 for a host's state that is bad, 1 for one to look at, 2 for UP: to sort by."""
    if name in _ALARM_STATES:
        return 0
    return 2 if name == HostState.UP else 1


def when(stamp: str) -> str:
    """Return a wall-clock time to the second, without the year."""
    return stamp[5:19].replace("T", " ")


def age(seconds: float) -> str:
    """Return how long ago something was."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text("" if value is None else printable(str(value)))
