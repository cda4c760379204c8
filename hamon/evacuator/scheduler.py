"""Placement of guests on hosts for the libvirt backend: filters, weighers, accounting. Pure.

Nova's shape: every filter must pass, the heaviest of the rest wins, and what one round has placed
counts at once for the next guest. Names of filters are what an operator reads when a guest found no
host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from hamon.evacuator.reserved import is_kept_free
from hamon.model.control import Hold, HoldKind
from hamon.model.guest import GrantState, InventoryEntry, PowerState
from hamon.model.host import HostState
from hamon.model.names import GuestId, HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, HostView

ARRIVING = frozenset({GrantState.OFFERED, GrantState.CLAIMED})
"""Grants whose guest is on its way to the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a host already carries, in this round's accounting."""

    ram_mib: int = 0
    vcpus: int = 0
    arriving: int = 0
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One guest looking for a host.

    ``excluded``: hosts that are out for this guest (the source, S15; those it was tried on).
    ``target``: the one destination an operator asked for. ``force``: skip the scheduler's filters
    for the target as Nova's ``force`` does; it must still be alive and not the source.
    """

    guest: GuestId
    entry: InventoryEntry
    excluded: Mapping[HostName, str]
    target: HostName | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a guest goes, or (``host`` None) why no host would take it: reason by host."""

    guest: GuestId
    host: HostName | None
    refused: Mapping[HostName, str] = field(default_factory=dict)

    @property
    def why_not(self) -> str:
        """The refusals in one line, for the operator."""
        return "; ".join(f"{host}: {why}" for host, why in sorted(self.refused.items()))

    @property
    def reserved(self) -> HostName | None:
        """The first reserved host that would do, where no other will; None: there is none.

        A guest that only waits for others to settle needs no reserved host.
        """
        if self.host is not None or IN_FLIGHT in self.refused.values():
            return None
        would_do = (host for host, why in sorted(self.refused.items()) if why == RESERVED)
        return next(would_do, None)


IN_FLIGHT = "in-flight limit"
"""Refusal of a host that may have room as soon as guests have settled there."""

RESERVED = "reserved"
"""Refusal of a host that would take the guest, but is kept free for worse."""

_NO_BAR_TO_PLACEMENT = frozenset({HoldKind.PROTECTED, HoldKind.RATE})
"""Holds of a host's fencing that say nothing against sending guests there."""


class Scheduler:
    """One round of placements over one view.

    Args:
        view: the world.
        policy: ratios and limits.
        in_force: holds; a host in maintenance takes no guests.
    """

    def __init__(
        self, view: ClusterView, policy: EvacuationPolicy, in_force: tuple[Hold, ...]
    ) -> None:
        self._hosts = view.hosts
        self._policy = policy
        self._held = {
            hold.scope: hold.kind for hold in in_force if hold.kind not in _NO_BAR_TO_PLACEMENT
        }
        self._kept_free = {name for name, host in view.hosts.items() if is_kept_free(view, host)}
        self._loads = {name: load_of(view, host) for name, host in view.hosts.items()}

    def place(self, wish: Wish) -> Placement:
        """Choose a host for one guest and count it there."""
        if wish.guest in self._held:
            held = dict.fromkeys(self._hosts, f"held ({self._held[wish.guest]})")
            return Placement(guest=wish.guest, host=None, refused=held)
        refused: dict[HostName, str] = {}
        fitting: list[HostName] = []
        names: Iterable[HostName] = sorted(self._hosts)
        if wish.target is not None:
            if wish.target not in self._hosts:
                refused[wish.target] = "ComputeHostNotFound"
            names = [name for name in names if name == wish.target]
        for name in names:
            why = self.refusal(wish, name)
            if why:
                refused[name] = why
            else:
                fitting.append(name)
        if not fitting:
            return Placement(guest=wish.guest, host=None, refused=refused)
        best = max(fitting, key=lambda name: (*self.weight(name), name))
        self.count(best, wish.entry)
        return Placement(guest=wish.guest, host=best, refused=refused)

    def refusal(self, wish: Wish, name: HostName) -> str:
        """Name the first filter that refuses; empty: none does."""
        if name in wish.excluded:
            return wish.excluded[name]
        host = self._hosts[name]
        record = host.record.value
        if record is None or record.state is not HostState.UP or host.heartbeat is None:
            return f"not up ({record.state if record else 'never seen'})"
        if host.self_.value is not None and host.self_.value.leaving is not None:
            return "leaving"
        if name in self._held:
            return f"held ({self._held[name]})"
        if host.capacity is None or host.domains is None or not host.domains.is_healthy:
            return "libvirt not healthy"
        if host.self_.value is None or host.domains.boot_id != host.self_.value.boot_id:
            return "libvirt not seen in this boot"
        if self._loads[name].arriving >= self._policy.in_flight_per_destination_max:
            return IN_FLIGHT
        if wish.force:
            return ""
        why = self._misfit(wish.entry, host)
        # Last, so that it tells which reserved hosts would do; an operator may name one.
        if not why and wish.target is None and name in self._kept_free:
            return RESERVED
        return why

    def _misfit(self, entry: InventoryEntry, host: HostView) -> str:
        capacity = host.capacity
        assert capacity is not None
        load = self._loads[host.name]
        ram_free = free_ram_mib(host, load, self._policy)
        if entry.ram_mib > ram_free:
            return f"RAM: {entry.ram_mib} MiB wanted, {ram_free} free"
        vcpus_free = int(capacity.vcpus * self._policy.cpu_allocation_ratio) - load.vcpus
        if entry.vcpus > vcpus_free:
            return f"vCPU: {entry.vcpus} wanted, {vcpus_free} free"
        if entry.architecture != capacity.architecture:
            return f"architecture {capacity.architecture}"
        if entry.cpu_model and entry.cpu_model not in capacity.cpu_models:
            return f"CPU model {entry.cpu_model} not usable"
        for kind, wanted, present in (
            ("network", entry.networks, capacity.networks),
            ("storage pool", entry.pools, capacity.pools),
        ):
            missing = sorted(set(wanted) - set(present))
            if missing:
                return f"{kind} {missing[0]} not active"
        for disk in entry.disks:
            if not _lies_under(disk, capacity.pool_paths):
                return f"disk {disk} not reachable"
        if entry.anti_affinity and entry.anti_affinity in load.groups:
            return f"anti-affinity {entry.anti_affinity}"
        return ""

    def weight(self, name: HostName) -> tuple[float, int]:
        """Prefer the most free RAM, then the fewest arrivals of this round (spread)."""
        load = self._loads[name]
        return (free_ram_mib(self._hosts[name], load, self._policy), -load.arriving)

    def count(self, name: HostName, entry: InventoryEntry) -> None:
        """Count a guest at a host, as if it were on its way there."""
        load = self._loads[name]
        self._loads[name] = replace(
            load,
            ram_mib=load.ram_mib + entry.ram_mib,
            vcpus=load.vcpus + entry.vcpus,
            arriving=load.arriving + 1,
            groups=load.groups | ({entry.anti_affinity} if entry.anti_affinity else frozenset()),
        )


def load_of(view: ClusterView, host: HostView) -> Load:
    """Add up what a host carries: its guests wanted running, and what was offered to it."""
    carried = {
        guest: entry
        for guest, entry in host.inventory.items()
        if entry.wanted is PowerState.RUNNING
    }
    arriving = 0
    for guest, grant in host.grants.items():
        if grant.value.state in ARRIVING:
            arriving += 1
            entry = entry_of(view, guest)
            if entry is not None:
                carried.setdefault(guest, entry)
    return Load(
        ram_mib=sum(entry.ram_mib for entry in carried.values()),
        vcpus=sum(entry.vcpus for entry in carried.values()),
        arriving=arriving,
        groups=frozenset(e.anti_affinity for e in carried.values() if e.anti_affinity),
    )


def entry_of(view: ClusterView, guest: GuestId) -> InventoryEntry | None:
    """Return the guest's inventory entry as its owner's host wrote it, None if there is none."""
    record = view.guests.get(guest)
    if record is None or record.value.owner is None:
        return None
    owner = view.hosts.get(record.value.owner)
    return owner.inventory.get(guest) if owner is not None else None


def free_ram_mib(host: HostView, load: Load, policy: EvacuationPolicy) -> int:
    """Return the RAM that guests may still take: capacity × ratio − reserve − load."""
    if host.capacity is None:
        return 0
    usable = int(host.capacity.ram_mib * policy.ram_allocation_ratio) - policy.reserved_ram_mib
    return usable - load.ram_mib


def _lies_under(path: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)
