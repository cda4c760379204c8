"""A guest: who owns it, what it needs, and the right to run it.

The right to run a guest is a *grant*: at most one grant of a guest is open (offered, claimed or
running) at any time, on one host, in one boot of that host, with one generation. A guest moves by
closing the source's grant and offering the next generation to the destination in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.names import BootId, GuestId, HostName, IncidentId


class PowerState(StrEnum):
    """The power state an operator or user wants a guest to have."""

    RUNNING = "running"
    SHUTOFF = "shutoff"


class NotMovable(StrEnum):
    """Why a guest cannot be rebuilt on another host, or is not to be."""

    TRANSIENT = "transient"
    OPTED_OUT = "opted_out"
    LOCAL_DISK = "local_disk"
    HOST_DEVICE = "host_device"
    SECRET = "secret"  # noqa: S105 - a reason, not a password
    NVRAM = "nvram"
    TPM_STATE = "tpm_state"
    MANAGED_SAVE = "managed_save"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """One guest as its host's libvirt defines it (znode ``inventory/<uuid>``).

    ``definition`` is the inactive domain XML without secrets. A guest is *protected* when
    ``not_movable`` is empty: only protected guests get grants and permits. ``disks`` are the
    paths of its disks; ``anti_affinity`` names a group no two members of which share a host.
    ``choices``: what its metadata says of its evacuation, by key, as it stands there.
    """

    guest: GuestId
    name: str
    definition: str
    wanted: PowerState
    ram_mib: int
    vcpus: int
    architecture: str
    cpu_model: str = ""
    networks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    anti_affinity: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    not_movable: tuple[NotMovable, ...] = ()

    @property
    def is_protected(self) -> bool:
        """Whether hamon moves this guest and guards its starts."""
        return not self.not_movable


class GrantState(StrEnum):
    """Life of a grant; ``running`` means settled as wanted: it runs, or is defined and off."""

    OFFERED = "offered"
    CLAIMED = "claimed"
    RUNNING = "running"
    RELEASED = "released"
    REVOKED = "revoked"


OPEN_GRANTS = frozenset({GrantState.OFFERED, GrantState.CLAIMED, GrantState.RUNNING})
"""Grants under which a guest may run. At most one grant of a guest is open."""

_G = GrantState

GRANT_TRANSITIONS: Mapping[GrantState, frozenset[GrantState]] = {
    _G.OFFERED: frozenset({_G.OFFERED, _G.CLAIMED, _G.RELEASED, _G.REVOKED}),
    _G.CLAIMED: frozenset({_G.CLAIMED, _G.RUNNING, _G.RELEASED, _G.REVOKED}),
    _G.RUNNING: frozenset({_G.CLAIMED, _G.RUNNING, _G.RELEASED, _G.REVOKED}),
    _G.RELEASED: frozenset({_G.OFFERED, _G.REVOKED}),
    _G.REVOKED: frozenset({_G.RELEASED, _G.OFFERED, _G.REVOKED}),
}
"""Lawful steps of one grant znode. REVOKED is written only with a proof of the claiming boot's
death (or for a grant that no boot holds). After a reboot of the host OFFERED is OFFERED again, and
RUNNING is CLAIMED again; REVOKED is written again when ``moved_to`` is known.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The right to run one guest on one host (znode ``hosts/<host>/grants/<uuid>``).

    The leader creates and offers; the host's agent claims, settles and releases. Never deleted
    while the host is enrolled, because its version is compared (no ABA). In a nova cloud the only
    grants are denials (docs/protocol.md 14 to 17).

    ``boot_id``: the boot that claimed it. ``definition`` travels with the offer and stays until the
    grant is settled. ``moved_to`` on a REVOKED grant: the migration away from here is closed, the
    guest lives there, and the local copy is stale; None: the migration is still open, leave it.
    ``reason`` says why an agent released it.
    """

    state: GrantState
    generation: int
    wanted: PowerState
    boot_id: BootId | None = None
    incident: IncidentId | None = None
    definition: str = ""
    moved_to: HostName | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRecord:
    """The owner and the one open migration of a guest (znode ``guests/<2 hex>/<uuid>``).

    ``owner`` is the source until a migration is done, as Nova's ``instance.host``; None: retired,
    its definition was removed by an operator. ``generation`` only grows. ``migration`` names the
    incident that moves it now.
    """

    name: str
    owner: HostName | None
    generation: int
    wanted: PowerState
    migration: IncidentId | None = None
