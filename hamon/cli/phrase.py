"""A sentence for a code, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence with ``{facts}`` and what can be done about it; empty: nothing has to be done."""

    text: str
    advice: str = ""
