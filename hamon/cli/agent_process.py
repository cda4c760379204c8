"""Becoming an agent process: this one ends, so that the lean one carries nothing of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def become(module: str, config: Path) -> NoReturn:
    """Replace this process by ``python -m module``; pid, sockets and environment stay."""
    os.execv(sys.executable, [sys.executable, "-m", module, "--config", str(config)])  # noqa: S606
