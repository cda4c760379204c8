"""What the doctor found: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. WARNING: hamon works, and something is not as good as it could be."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. ``area``: what part of the installation it is about."""

    area: str
    level: Level
    what: str
    advice: str = ""


def good(area: str, what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(area=area, level=Level.OK, what=what)


def warning(area: str, what: str, advice: str = "") -> Finding:
    """Say that something could be better."""
    return Finding(area=area, level=Level.WARNING, what=what, advice=advice)


def fault(area: str, what: str, advice: str = "") -> Finding:
    """Say that something is wrong."""
    return Finding(area=area, level=Level.FAULT, what=what, advice=advice)
