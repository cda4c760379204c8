"""Draws the transition tables: ``python -m hamon.model.diagrams > docs/states.md``.

A test holds the page to the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from hamon.model.guest import GRANT_TRANSITIONS, OPEN_GRANTS
from hamon.model.host import HOST_TRANSITIONS, SHUT_OUT_STATES
from hamon.model.incident import MIGRATION_TRANSITIONS, OPEN_MIGRATIONS

S = TypeVar("S", bound=StrEnum)

_HEAD = """\
# States

Drawn from the transition tables in `hamon/model` by `python -m hamon.model.diagrams`; a test
compares. What is not drawn is refused.
"""


def rendered() -> str:
    """Return the whole page."""
    return "\n".join(
        (
            _HEAD,
            _section(
                "Hosts",
                "Thick: shut out, the host may neither register its old boot nor start guests.",
                HOST_TRANSITIONS,
                SHUT_OUT_STATES,
            ),
            _section(
                "Grants",
                "The right to run one guest on one host. Thick: open; at most one of a guest is.",
                GRANT_TRANSITIONS,
                OPEN_GRANTS,
            ),
            _section(
                "Migrations",
                "The evacuation of one guest. Thick: open; at most one of a guest is.",
                MIGRATION_TRANSITIONS,
                OPEN_MIGRATIONS,
            ),
        )
    )


def _section(title: str, says: str, table: Mapping[S, frozenset[S]], thick: frozenset[S]) -> str:
    lines = [f"## {title}", "", says, "", "```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state}" as {_name(state)}' for state in table]
    lines += [
        f"    {_name(old)} --> {_name(new)}"
        for old, followers in table.items()
        for new in table
        if new in followers
    ]
    lines += ["    classDef thick stroke-width:3px"]
    lines += [f"    class {_name(state)} thick" for state in table if state in thick]
    return "\n".join([*lines, "```", ""])


def _name(state: StrEnum) -> str:
    """Return a name that mermaid takes: without hyphen, and none of its own lower-case words."""
    return state.value.upper().replace("-", "_")


if __name__ == "__main__":
    sys.stdout.write(rendered())
