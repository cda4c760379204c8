"""What Nova says: compute services, servers and migrations, folded to what hamon needs.

States are Nova's own words as strings, because a newer Nova may have words that are not known here:
they are shown and never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.action import CloudLookKind
from hamon.model.names import GuestId

COMPUTE, CONDUCTOR = "nova-compute", "nova-conductor"
OURS = "hamon:"
"""How the reason of a service begins that hamon disabled."""
EVACUATION = "evacuation"
LIVE_MIGRATION = "live-migration"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeService:
    """One of Nova's services: a nova-compute, a nova-conductor or a nova-scheduler.

    ``host``: its service host name, which may differ from the hypervisor's. ``is_up``: Nova's own
    verdict, None: its cell is down and nobody knows. ``disabled_reason``: "" if there is none.
    ``beat_at``: when it last wrote its heartbeat, in Nova's clock; also told while it is forced
    down. Nova stamps the same when anybody changes its flags.
    """

    id: str
    host: str
    is_up: bool | None
    is_forced_down: bool = False
    is_enabled: bool = True
    disabled_reason: str = ""
    beat_at: str = ""
    binary: str = COMPUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server, Nova's word for a guest.

    ``host`` is the service host that Nova gives it to ("": none), ``node`` the hypervisor there.
    ``vm_state`` and ``task_state`` are Nova's words, ``task_state`` "" when nothing is under way.
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
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is said of an image, by properties and by tags; not what is in it."""

    id: str
    properties: Mapping[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A group of compute hosts, by their service host names, and what is said of it."""

    name: str
    hosts: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)


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
class Progress:
    """How far Nova is with the newest request to evacuate a guest, by its own notes.

    ``is_passed_on``: a conductor chose a destination and sent it the request, which is that
    compute's from then on. ``taken_by``: the service host whose nova-compute took it up, "": none.
    ``is_over``: that one has ended its work at it, however. ``is_newest``: nobody has asked Nova
    to do anything else with the guest since.
    """

    is_passed_on: bool = False
    taken_by: str = ""
    is_over: bool = False
    is_newest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """Servers that shall run together, or apart.

    ``policy``: ``affinity``, ``anti-affinity`` or one of them with ``soft-`` before it.
    """

    id: str
    name: str
    policy: str
    members: frozenset[GuestId] = frozenset()


class CallState(StrEnum):
    """What this controller knows of the last request it made for a guest or a service."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCall:
    """The last request for one guest or service; ``at_s``: when it began or ended.

    ``attempt``: of an evacuation. ``is_conflict``, ``is_missing``: Nova refused with 409, with 404.
    """

    state: CallState
    at_s: float
    attempt: int = 0
    request_id: str = ""
    is_conflict: bool = False
    is_missing: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudView:
    """What this controller has read of Nova, and when it *asked*: what came after, it may lack.

    ``beats_s``: by service host, a moment after which a heartbeat of it came; none was seen to
    come of those that are not in it.
    ``silent_s``: by compute that was listed as down, and that nobody had forced down: when last.
    ``conducting_since_s``: since when each list of services showed a conductor that is up.
    ``servers``: those of hosts that were listed (``listed_s``, by service host), kept up to date by
    lists of what changed (``changed_s``); ``touched``: those that changed since the last of these,
    told by uuid only (``touched_s``); ``unlisted``: those that a later list of their host no
    longer has, so that nobody knows yet where they are. ``migrations``: by guest, oldest first, of
    hosts in ``traced_s`` and of all that changed since (``traced_changes_s``). ``ended_s``: by
    guest and number, when a list that first showed a migration as not open any more had come.
    ``unlisted_rows``: those, by guest and number, that a later list of their host no longer has:
    Nova deletes a server's records with it, and no list can show them any more. ``hard_affinity``:
    members of server groups that may only run where the others are; None: not read yet.
    ``images``: by id; ``images_s``: when each was last asked for, also those that could not be
    read. ``aggregates``: all; None: not read yet.
    ``progress``: of guests of which it was asked, and when (``progress_s``).
    ``token_s``: when the token was renewed. ``calls``: by guest or service host. ``passwords``:
    guests whose new password this controller was given. ``window``: how many evacuations may be in
    flight now. ``took_s``: how long each kind of reading took when it was last done.
    """

    services: Mapping[str, ComputeService] = field(default_factory=dict)
    services_s: float | None = None
    beats_s: Mapping[str, float] = field(default_factory=dict)
    silent_s: Mapping[str, float] = field(default_factory=dict)
    conducting_since_s: float | None = None
    servers: Mapping[GuestId, Server] = field(default_factory=dict)
    listed_s: Mapping[str, float] = field(default_factory=dict)
    changed_s: float | None = None
    touched: frozenset[GuestId] = frozenset()
    touched_s: float | None = None
    unlisted: frozenset[GuestId] = frozenset()
    migrations: Mapping[GuestId, tuple[CloudMigration, ...]] = field(default_factory=dict)
    unlisted_rows: frozenset[tuple[GuestId, int]] = frozenset()
    traced_s: Mapping[str, float] = field(default_factory=dict)
    traced_changes_s: float | None = None
    ended_s: Mapping[tuple[GuestId, int], float] = field(default_factory=dict)
    progress: Mapping[GuestId, Progress] = field(default_factory=dict)
    progress_s: Mapping[GuestId, float] = field(default_factory=dict)
    hard_affinity: frozenset[GuestId] | None = None
    groups_s: float | None = None
    images: Mapping[str, Image] = field(default_factory=dict)
    images_s: Mapping[str, float] = field(default_factory=dict)
    aggregates: tuple[Aggregate, ...] | None = None
    aggregates_s: float | None = None
    token_s: float | None = None
    calls: Mapping[str, CloudCall] = field(default_factory=dict)
    passwords: frozenset[GuestId] = frozenset()
    window: int = 1
    took_s: Mapping[CloudLookKind, float] = field(default_factory=dict)

    def servers_fresh_s(self, service_host: str) -> float | None:
        """Return when the servers of a host were last asked for; None: never listed."""
        return _later(self.listed_s.get(service_host), self.changed_s)

    def migrations_fresh_s(self, service_host: str) -> float | None:
        """Return when the migrations of a host were last asked for; None: never listed."""
        return _later(self.traced_s.get(service_host), self.traced_changes_s)


def _later(listed_s: float | None, changed_s: float | None) -> float | None:
    if listed_s is None:
        return None
    return listed_s if changed_s is None else max(listed_s, changed_s)
