"""Port to a folder on shared storage in which hosts leave their heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hamon.model.beat import Beat
from hamon.model.names import HostName


class BeatFolder(Protocol):
    """One such folder, as this controller sees it."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    async def read(
        self, hosts: tuple[HostName, ...], timeout_s: float
    ) -> Mapping[HostName, Beat] | None:
        """Read the heartbeats of these hosts, each anew from the storage, not from a cache.

        Idempotent. What is returned was read after the call began, never before: its caller may
        take the time of the call for a lower bound. One call at a time.

        Args:
            hosts: whose.
            timeout_s: how long to wait, in seconds.

        Returns:
            The heartbeats that could be read. A host is left out whose file is missing, is no
            heartbeat, or bears another host's name. None: the folder could not be read in time, or
            at all; that says nothing about any host, and the read may still hang somewhere.
        """
        ...
