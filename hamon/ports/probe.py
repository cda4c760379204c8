"""Knocking at a host. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hamon.model.names import BootId, HostName


class ProbeAnswer(StrEnum):
    """What a TCP connection to a host brought back."""

    ECHO = "echo"  # the heartbeat process answered with its boot id: strong
    CONNECTED = "connected"  # a kernel took the connection: weak
    REFUSED = "refused"  # a kernel refused it: weak
    SILENT = "silent"  # nothing came back in time
    FAILED = "failed"  # the probe itself could not be made (no route here, no descriptor): no vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One probe. ``host`` and ``boot_id`` only with ECHO: who answered, and in which life."""

    answer: ProbeAnswer
    host: HostName | None = None
    boot_id: BootId | None = None
    detail: str = ""


class Probe(Protocol):
    """Knocks at a host's agent."""

    async def knock(self, address: str, port: int, timeout_s: float) -> ProbeResult:
        """Connect, ask for the boot id, close. Harmless, idempotent; never raises PortError."""
        ...
