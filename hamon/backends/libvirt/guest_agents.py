"""What is known of the agents in running guests, so that live XML is read once for each run.

libvirt tells when an agent comes or goes; what its XML says then is read anew, not what the event
said: events that were missed, or that crossed a reading, then leave nothing wrong behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hamon.model.host import GuestAgent
from hamon.model.names import GuestId


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAgent:
    """An agent as read. ``run``: libvirt's id of the domain, another one at each start."""

    run: int
    agent: GuestAgent


class KnownAgents:
    """What was read and nothing was told of since. For the thread of the loop alone."""

    def __init__(self) -> None:
        self._known: dict[GuestId, SeenAgent] = {}
        self._turn = 0

    @property
    def turn(self) -> int:
        """How much was told; a reading that spans something told may be older than it."""
        return self._turn

    def known(self) -> Mapping[GuestId, SeenAgent]:
        """Return what need not be read, as it is now."""
        return dict(self._known)

    def told_of(self, guest: GuestId) -> None:
        """Note that a guest's agent came or went."""
        self._turn += 1
        self._known.pop(guest, None)

    def forget(self) -> None:
        """Note that events may have been missed."""
        self._turn += 1
        self._known.clear()

    def keep(self, found: Mapping[GuestId, SeenAgent], turn: int) -> None:
        """Keep a reading of every guest that runs.

        Args:
            found: what it found, with what it had not to read.
            turn: the turn when it began.
        """
        is_sure = turn == self._turn
        self._known = {
            guest: seen
            for guest, seen in found.items()
            if is_sure or self._known.get(guest) == seen
        }
