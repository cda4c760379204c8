"""Reasons: why something is done, and why nothing is. Codes are data; wording is the reader's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason.

    ``code``: constant ``snake_case`` name, also the log event and the key of ``explain``'s wording.
    ``subject``: the host, guest or incident it is about, "cluster" for all. ``facts``: numbers and
    names that carried it; values are text so that they go into logs unchanged.
    """

    code: str
    subject: str
    facts: Mapping[str, str] = field(default_factory=dict)


def reason(code: str, subject: str, **facts: object) -> Reason:
    """Build a reason; facts are turned into text, floats with two decimals."""
    return Reason(
        code=code,
        subject=subject,
        facts={
            key: f"{value:.2f}" if isinstance(value, float) else str(value)
            for key, value in facts.items()
        },
    )
