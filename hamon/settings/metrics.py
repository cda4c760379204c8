"""Where metrics are served; apart, because the agents have no room for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where metrics are served; ``address`` is empty when they are not.

    ``certificate_file``, ``key_file``: None: without encryption. ``username``: "": to everybody;
    ``password_file``: read it with ``hamon.settings.secrets.Password``.
    """

    address: str
    port: int
    certificate_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
