"""What is to become of one guest when its host dies: how soon, whether at all, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PRIORITY, RESTART, EVACUATE = "hamon:priority", "hamon:restart", "hamon:evacuate"
READY, READY_ADDRESS = "hamon:wait_for_ready", "hamon:ready_address"
READY_TIMEOUT = "hamon:ready_timeout_s"
KEYS = (PRIORITY, RESTART, EVACUATE, READY, READY_ADDRESS, READY_TIMEOUT)
"""What may be said of a guest, under these names in Nova."""

PRIORITY_DEFAULT = 100
READY_TIMEOUT_S = 300.0


class Restart(StrEnum):
    """The power state in which a guest ends after its evacuation.

    IF_RAN: as was wanted before its host died. ALWAYS: running, whatever it was. NEVER: rebuilt,
    and left off.
    """

    ALWAYS = "always"
    IF_RAN = "if_ran"
    NEVER = "never"


class ReadyCheck(StrEnum):
    """What tells that a guest which was moved is ready for those that come after it.

    TCP: it takes a connection. GUEST_AGENT: the agent inside it is connected to its host's libvirt.
    """

    NONE = "none"
    TCP = "tcp"
    GUEST_AGENT = "guest_agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPolicy:
    """What holds for one guest, joined from all that was said of it.

    ``priority``: its class, lower goes first. ``opted_out``: by what it is not evacuated, in words,
    "": it is. ``ready``: what its class is a barrier for, with the port and address of a TCP probe;
    ``ready_timeout_s``: so long it may take to arrive, and so long then to be ready. ``refused``:
    what was said of it and made no sense, or could not be read, in words.
    """

    priority: int = PRIORITY_DEFAULT
    restart: Restart = Restart.IF_RAN
    opted_out: str = ""
    ready: ReadyCheck = ReadyCheck.NONE
    ready_address: str = ""
    ready_port: int = 0
    ready_timeout_s: float = READY_TIMEOUT_S
    refused: tuple[str, ...] = ()

    @property
    def is_opted_out(self) -> bool:
        """Whether hamon never evacuates it by itself."""
        return bool(self.opted_out)
