"""Copies of guests that other hosts run, or may run: what runs there is not started again. Pure.

Rules:

1. What a host's agent lists as on, in the boot that registered last, runs there or may.
2. That stays so when its libvirt or its session is gone since: nobody can know. It ends when its
   agent lists the guest as off or not at all, when that boot is proven dead, or with a later boot.
3. Only a human can tell which copy counts. Nothing is done about any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hamon.evacuator.cloud.places import is_proven_dead, lists_running
from hamon.model.control import Hold
from hamon.model.guest import OPEN_GRANTS
from hamon.model.host import DomainState, HostDomains, HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import GuestId, HostName
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

MAY_RUN = frozenset({DomainState.RUNNING, DomainState.PAUSED, DomainState.UNKNOWN})
"""States in which a QEMU process of the guest may exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A guest on another host than the one it is taken from, or is to be started on.

    ``is_seen``: its agent lists it now; False: it did when it was last heard.
    """

    host: HostName
    is_seen: bool

    @property
    def told(self) -> str:
        """Where it runs, in words."""
        if self.is_seen:
            return f"it runs on {self.host}"
        return f"it may run on {self.host}, which listed it last and does not say now"


def copies(view: ClusterView, homes: Mapping[GuestId, HostName]) -> Mapping[GuestId, Copy]:
    """Return the guests that run, or may run, on another host than their own.

    Args:
        view: the world.
        homes: the guests in question, and the host that each belongs to: its listing is left out.
    """
    found: dict[GuestId, Copy] = {}
    if not homes:
        return found
    for name, host in sorted(view.hosts.items()):
        listing = _last_listing(host)
        if listing is None:
            continue
        for guest in homes.keys() & listing.domains.keys():
            if name == homes[guest] or listing.domains[guest] not in MAY_RUN:
                continue
            copy = Copy(host=name, is_seen=bool(lists_running(host, guest)))
            if guest not in found or (copy.is_seen and not found[guest].is_seen):
                found[guest] = copy
    return found


def copies_to_come(view: ClusterView) -> Mapping[GuestId, tuple[HostName, Copy]]:
    """Return the guests that would be started next, and run or may run already; with their homes.

    Those that wait to be moved from a dead host, and in the libvirt backend those that a host
    starts when it has returned. Not those on their way: what runs at the destination is what they
    were sent there for.
    """
    homes = {
        guest: migration.record.value.source_compute
        for incident in view.incidents.values()
        if not incident.record.value.closed
        for guest, migration in incident.migrations.items()
        if migration.record.value.status is MigrationStatus.WAITING
    }
    for host in view.hosts.values():
        record = host.record.value
        if record is not None and record.state is HostState.RETURNING:
            homes |= dict.fromkeys(granted_to(host), host.name)
    return {guest: (homes[guest], copy) for guest, copy in copies(view, homes).items()}


def granted_to(host: HostView) -> tuple[GuestId, ...]:
    """Return the guests that a host may start by itself as soon as it may live (protocol 9)."""
    return tuple(
        guest for guest, grant in sorted(host.grants.items()) if grant.value.state in OPEN_GRANTS
    )


def kept_back(record: MigrationRecord, hold: Hold) -> Reason:
    """Say that a guest is not moved, because it runs or may run elsewhere."""
    return reason("guest_kept_for_copy", record.guest, name=record.name, why=hold.reason)


def _last_listing(host: HostView) -> HostDomains | None:
    """Return what the host's agent listed last in a boot that may live; None: nothing counts.

    What is left of an agent that a host once had says nothing.
    """
    listing, seen = host.domains, host.self_.value
    if host.spec.agentless or listing is None or seen is None or listing.boot_id != seen.boot_id:
        return None
    # safety: the proof is of the boot in the guard; what ran in it is gone, or writes nothing.
    if is_proven_dead(host) and listing.boot_id == host.guard.value.boot_id:
        return None
    return listing
