"""A host's heartbeat on shared storage: one line in a file that is named after the host.

``docs/protocol.md`` has the format. The program that writes it (hamon/agent/storage_writer.py) runs
without the rest of hamon and has the format a second time; a contract test ties the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hamon.model.names import BootId, HostName, is_name

SIZE = 256
"""Bytes of the file: it is always written whole, in one piece."""

_LINE = re.compile(
    r"hamon-beat 1 (?P<host>\S{1,63}) (?P<boot>[0-9a-f-]{36}) (?P<sequence>\d{1,20})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What the file says. ``sequence`` grows with each beat, within one boot."""

    host: HostName
    boot_id: BootId
    sequence: int

    @classmethod
    def read(cls, text: str) -> Beat | None:
        """Read what stands in a file; None: that is no heartbeat."""
        match = _LINE.fullmatch(text.rstrip(" \n"))
        if match is None or not is_name(match["host"]):
            return None
        return cls(
            host=HostName(match["host"]),
            boot_id=BootId(match["boot"]),
            sequence=int(match["sequence"]),
        )

    def line(self) -> str:
        """Return what stands in the file."""
        said = f"hamon-beat 1 {self.host} {self.boot_id} {self.sequence}"
        return said.ljust(SIZE - 1) + "\n"
