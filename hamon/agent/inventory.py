"""What this host publishes of its guests: domains, capacity, inventory with wanted power states."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing, Listing
from hamon.agent.znodes import OwnEphemeral, OwnZnode
from hamon.backends.libvirt.definition import DefinitionError, to_entry
from hamon.coordination.access import access_for
from hamon.coordination.codec import decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import StoreError, UnreadableNodeError
from hamon.model.change import Versioned
from hamon.model.guest import InventoryEntry, NotMovable, PowerState
from hamon.model.host import DomainState, Heartbeat, HostDomains, HostGuestAgents
from hamon.model.names import GuestId
from hamon.ports.hypervisor import Domain
from hamon.ports.store import CreateNode, DeleteNode, SetData

STOP_SETTLES_AFTER_S = 3.0
"""A guest must stay stopped for this long before its wanted state follows: a host that goes down
takes its guests first, and they are wanted elsewhere."""

LOST_AFTER_S = 3.0
"""A definition must be missing for this long before it is called lost: libvirt's event that tells
of an undefine may come a little after the listing that shows it."""

CAPACITY_PERIOD_S = 15.0


class Publisher:
    """Keeps ``domains``, ``capacity`` and ``inventory`` as libvirt has it. Writes only changes."""

    def __init__(self, context: AgentContext, listing: DomainListing) -> None:
        self._context = context
        self._listing = listing
        self._store = context.store
        self._clock = context.clock
        self._log = context.log
        host, store = context.host, context.store
        self._domains = OwnZnode(store, to_path(Place(kind=PlaceKind.DOMAINS, host=host)))
        self._attendance = self._ephemeral(PlaceKind.ATTENDANCE)
        self._agents = self._ephemeral(PlaceKind.GUEST_AGENTS)
        self._capacity = OwnZnode(store, to_path(Place(kind=PlaceKind.CAPACITY, host=host)))
        self._capacity_due_s = 0.0
        self._entries: dict[GuestId, Versioned[InventoryEntry]] | None = None
        self._undefined: set[GuestId] = set()
        self._missing_since_s: dict[GuestId, float] = {}
        self._domains_lock = asyncio.Lock()
        self._inventory_lock = asyncio.Lock()
        self._unread: set[tuple[GuestId, str]] = set()
        self._granted: dict[GuestId, PowerState] = {}
        self._to_entry = lru_cache(maxsize=512)(to_entry)

    def wanted(self, guest: GuestId) -> PowerState | None:
        """Tell the wanted power state as published; None: not known."""
        entry = (self._entries or {}).get(guest)
        return None if entry is None else entry.value.wanted

    def entries(self) -> Mapping[GuestId, InventoryEntry] | None:
        """Tell what is published; None before it could be read."""
        if self._entries is None:
            return None
        return {guest: entry.value for guest, entry in self._entries.items()}

    async def load(self) -> None:
        """Read what is published, once. Errors are those of Store."""
        async with self._inventory_lock:
            await self._load()

    async def _load(self) -> None:
        if self._entries is not None:
            return
        entries: dict[GuestId, Versioned[InventoryEntry]] = {}
        directory = to_path(Place(kind=PlaceKind.INVENTORY, host=self._context.host))
        for name in await self._store.children(directory):
            path = self._entry_path(GuestId(name))
            node = await self._store.get(path)
            try:
                value = decode(path, node.data)
            except UnreadableNodeError as error:
                self._log.error("inventory_entry_unreadable", guest=name, why=error.why)
                continue
            if isinstance(value, InventoryEntry):
                entries[GuestId(name)] = Versioned(value=value, version=node.version)
        self._entries = entries

    async def publish_domains(self) -> None:
        """Write what libvirt has, and whether it answers. Errors are those of Store."""
        async with self._domains_lock:
            # The heartbeat is another process's: what this one published is of now while it lives.
            await self._attendance.put(Heartbeat(boot_id=self._context.boot_id))
            listing = self._listing.current
            # First, so that nobody reads of a guest that runs here, beside what its agent was in
            # an earlier stay.
            await self._publish_agents(listing)
            states = {guest: domain.state for guest, domain in sorted(listing.domains.items())}
            value = HostDomains(
                boot_id=self._context.boot_id,
                is_healthy=listing.is_healthy,
                domains=states,
                lost=self._lost(listing),
                is_attended=True,
            )
            await self._domains.put(value)

    async def _publish_agents(self, listing: Listing) -> None:
        """Write what is known of the agents in guests; nothing before there is one."""
        agents = {
            guest: domain.agent
            for guest, domain in sorted(listing.domains.items())
            if domain.agent is not None
        }
        if agents or self._agents.is_there:
            value = HostGuestAgents(boot_id=self._context.boot_id, agents=agents)
            await self._agents.put(value)

    def _ephemeral(self, kind: PlaceKind) -> OwnEphemeral:
        path = to_path(Place(kind=kind, host=self._context.host))
        return OwnEphemeral(self._context.store, path, self._context.identities)

    def _lost(self, listing: Listing) -> tuple[GuestId, ...]:
        """Name the guests whose definitions are gone without anybody having undefined them."""
        now_s = self._clock.now_s()
        if listing.is_healthy and self._entries is not None:
            missing = [
                guest
                for guest, entry in self._entries.items()
                if _is_definition_gone(listing.domains.get(guest), entry.value)
                and guest not in self._undefined
                and not self._was_given_up(guest)
            ]
            self._missing_since_s = {
                guest: self._missing_since_s.get(guest, now_s) for guest in missing
            }
        return tuple(
            sorted(
                guest
                for guest, since_s in self._missing_since_s.items()
                if now_s - since_s >= LOST_AFTER_S
            )
        )

    def _was_given_up(self, guest: GuestId) -> bool:
        """Say whether an operator undefined the guest, or said that it is to be forgotten."""
        return self._listing.was_undefined(guest) or guest in self._context.files.forgotten()

    async def publish_capacity(self) -> None:
        """Write what the host offers, now and then. Errors are those of Store and Hypervisor."""
        now_s = self._clock.now_s()
        if now_s < self._capacity_due_s or not self._listing.current.is_healthy:
            return
        capacity = await self._context.hypervisor.capacity(self._context.boot_id)
        present = await self._context.readable_paths(self._context.shared.paths)
        paths = tuple(sorted({*capacity.pool_paths, *present}))
        await self._capacity.put(replace(capacity, pool_paths=paths))
        self._capacity_due_s = now_s + CAPACITY_PERIOD_S

    def set_wanted(self, guest: GuestId, wanted: PowerState) -> None:
        """Take over the wanted power state that came with an offer; published with the domain."""
        self._granted[guest] = wanted

    def give_up(self, guest: GuestId) -> None:
        """Have the entry of a guest removed that lives elsewhere and is not defined here."""
        self._undefined.add(guest)

    async def publish_inventory(self, *, may_follow: bool) -> None:
        """Write an entry for each domain; remove those seen undefined while libvirt was healthy.

        Errors are those of Store.

        Args:
            may_follow: whether operators' starts and stops count just now: not while leaving, and
                not once shut out.
        """
        async with self._inventory_lock:
            await self._load()
            await self._publish_inventory(may_follow=may_follow)

    async def _publish_inventory(self, *, may_follow: bool) -> None:
        listing = self._listing.current
        if not listing.is_healthy:
            return
        for _, domain in sorted(listing.domains.items()):
            await self._publish_entry(domain, may_follow=may_follow)
        self._undefined |= self._to_forget(listing)
        # safety: an entry is all that another host could rebuild the guest from. A libvirtd that
        # came back without its configuration lists nothing and tells of no UNDEFINE either.
        self._undefined |= self._listing.take_undefined()
        for guest in sorted(self._undefined):
            # By the newest listing: the one above may be from before it was undefined.
            if guest not in self._listing.current.domains:
                await self._remove_entry(guest)
        self._undefined.clear()

    def _to_forget(self, listing: Listing) -> frozenset[GuestId]:
        """Take an operator's word for the guests that libvirt does not list; refuse it for others.

        A running guest is not removed: its entry has just become that of a transient one.
        """
        asked = self._context.files.forgotten()
        for guest in sorted(asked & listing.domains.keys()):
            if listing.domains[guest].is_persistent:
                self._log.warning("forget_refused", guest=guest, why="libvirt has its definition")
            self._context.files.answer_forgotten(guest)
        return asked - listing.domains.keys()

    async def _publish_entry(self, domain: Domain, *, may_follow: bool) -> None:
        assert self._entries is not None
        published = self._entries.get(domain.guest)
        if (
            published is not None
            and _is_definition_gone(domain, published.value)
            and not self._was_given_up(domain.guest)
        ):
            # safety: libvirtd that came back without its configuration says so of every guest that
            # runs. The entry stays as it was: the guest is looked after, and can be rebuilt
            # elsewhere.
            return
        before = None if published is None else published.value.wanted
        wanted = self._wanted(domain, before, may_follow=may_follow)
        try:
            entry = self._to_entry(domain_without_state(domain), wanted, self._context.shared)
        except DefinitionError as error:
            if (domain.guest, domain.definition) not in self._unread:
                self._unread.add((domain.guest, domain.definition))
                self._log.error("definition_unreadable", guest=domain.guest, why=str(error))
            return
        if published is not None and published.value == entry:
            self._granted.pop(domain.guest, None)
            return
        path = self._entry_path(domain.guest)
        data = encode(path, entry)
        try:
            if published is None:
                access = access_for(path, self._context.identities)
                await self._store.commit([CreateNode(path=path, data=data, access=access)])
                version = 0
            else:
                write = SetData(path=path, data=data, version=published.version)
                await self._store.commit([write])
                version = published.version + 1
        except StoreError:
            # Unknown outcome, or a former process of this host wrote late: read everything again.
            self._entries = None
            raise
        self._entries[domain.guest] = Versioned(value=entry, version=version)
        self._granted.pop(domain.guest, None)
        self._log.info(
            "inventory_published",
            guest=domain.guest,
            name=domain.name,
            wanted=wanted,
            not_movable=list(entry.not_movable),
        )

    def _wanted(
        self,
        domain: Domain,
        before: PowerState | None,
        *,
        may_follow: bool,
    ) -> PowerState:
        """Work out the wanted power state; only operators and guests themselves change it.

        A QEMU that crashed, a host that rebooted and a listing that begins anew leave it alone: it
        follows what is seen running, and stops that libvirt told of.
        """
        is_running = domain.state in {DomainState.RUNNING, DomainState.PAUSED}
        if (granted := self._granted.get(domain.guest)) is not None:
            return granted
        if before is None:
            return PowerState.RUNNING if is_running else PowerState.SHUTOFF
        if not may_follow:
            return before
        if is_running:
            return PowerState.RUNNING
        stopped_s = self._listing.stopped_since_s(domain.guest)
        if stopped_s is not None and self._clock.now_s() - stopped_s >= STOP_SETTLES_AFTER_S:
            return PowerState.SHUTOFF
        return before

    async def _remove_entry(self, guest: GuestId) -> None:
        assert self._entries is not None
        published = self._entries.get(guest)
        if published is None:
            self._context.files.answer_forgotten(guest)
            return
        path = self._entry_path(guest)
        try:
            await self._store.commit([DeleteNode(path=path, version=published.version)])
        except StoreError:
            self._entries = None
            raise
        del self._entries[guest]
        self._context.files.answer_forgotten(guest)
        self._log.info("inventory_removed", guest=guest, name=published.value.name)

    def _entry_path(self, guest: GuestId) -> str:
        return to_path(Place(kind=PlaceKind.INVENTORY_ENTRY, host=self._context.host, guest=guest))


def domain_without_state(domain: Domain) -> Domain:
    """Drop what an entry does not depend on, so that the same definition is read only once."""
    return replace(domain, state=DomainState.UNKNOWN, agent=None)


def _is_definition_gone(domain: Domain | None, published: InventoryEntry) -> bool:
    """Say whether libvirt has no definition of a guest any more that was published with one."""
    return domain is None or (
        not domain.is_persistent and NotMovable.TRANSIENT not in published.not_movable
    )
