"""What Nova says: compute services, servers and migrations, folded to what hamon needs.

States are Nova's own words as strings, because a newer Nova may have words that are not known here:
they are shown and never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hamon.model.names import GuestId


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeService:
    """One nova-compute.

    ``host``: its service host name, which may differ from the hypervisor's. ``is_up``: Nova's own
    verdict, None: its cell is down and nobody knows. ``disabled_reason``: "" if there is none.
    ``beat_at``: when it last wrote its heartbeat, in Nova's clock; also told while it is forced
    down.
    """

    id: str
    host: str
    is_up: bool | None
    is_forced_down: bool = False
    is_enabled: bool = True
    disabled_reason: str = ""
    beat_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server, Nova's word for a guest.

    ``host`` is the service host that Nova gives it to, ``node`` the hypervisor there. ``vm_state``
    and ``task_state`` are Nova's words, ``task_state`` "" when nothing is under way.
    ``fault``: Nova's message while it is in ERROR. ``updated_at``: when anything of it last
    changed, in Nova's clock. ``image``: the id of what it was booted from, "": it boots from a
    volume. ``vcpus``, ``ram_mib``, ``disk_gib`` (the root disk) and ``extra_specs`` are those of
    its flavor when it was made; ``extra_specs`` is empty too when Nova's policy hides them.
    """

    guest: GuestId
    name: str
    host: str
    node: str
    vm_state: str
    task_state: str = ""
    is_locked: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    updated_at: str = ""
    image: str = ""
    vcpus: int = 0
    ram_mib: int = 0
    disk_gib: int = 0
    extra_specs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudMigration:
    """One row of Nova's migrations, of whatever kind.

    ``number`` grows with each row. ``kind``: ``evacuation``, ``live-migration``, ``migration``,
    ``resize``. ``destination``: "" until a destination has claimed it. ``updated_at``: "" while
    nothing has changed since ``created_at``.
    """

    number: int
    guest: GuestId
    kind: str
    status: str
    source: str
    destination: str = ""
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """Servers that shall run together, or apart.

    ``policy``: ``affinity``, ``anti-affinity`` or one of them with ``soft-`` before it.
    """

    id: str
    name: str
    policy: str
    members: frozenset[GuestId] = frozenset()
