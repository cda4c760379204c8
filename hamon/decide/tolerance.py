"""How many more hosts may fail: a what-if over the scheduler. Pure.

Who carries the most fails first: nothing that comes one at a time is worse. A whole rack at once is
another question, and a brake's (``storms``).
"""

from __future__ import annotations

import heapq
from dataclasses import replace

from hamon.evacuator.choices import policy_of_entry
from hamon.evacuator.scheduler import Scheduler, Wish, load_of
from hamon.model.control import Hold
from hamon.model.guest import InventoryEntry
from hamon.model.host import HostState
from hamon.model.names import GuestId, HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, HostView

FAILURES_MAX = 100
"""More are not looked at."""

_NO_LIMIT = 1_000_000
"""Of guests that settle at the same time: they have time until the next host fails."""


def tolerable_failures(
    view: ClusterView, policy: EvacuationPolicy, in_force: tuple[Hold, ...]
) -> int:
    """Count the hosts that could fail, one after the other, with a place for every guest of theirs.

    Reserved hosts are put to use for it. Guests that do not move (not movable, opted out) do not
    count. Of a cloud Nova alone knows.

    Args:
        view: the world.
        policy: ratios and limits.
        in_force: every hold; a host that is held takes no guests.

    Returns:
        0 to :data:`FAILURES_MAX`; fewer than there are hosts.
    """
    scheduler = Scheduler(
        _with_reserves(view), replace(policy, in_flight_per_destination_max=_NO_LIMIT), in_force
    )
    alive = {name: host for name, host in view.hosts.items() if _is_up(host)}
    ram_mib = {name: load_of(view, host).ram_mib for name, host in alive.items()}
    order = sorted(alive, key=lambda name: (-ram_mib[name], name))
    placed: dict[HostName, dict[GuestId, InventoryEntry]] = {name: {} for name in alive}
    dead: dict[HostName, str] = {}
    # The best host first; each is there once, under what it carries now.
    heap = [_key(scheduler, name) for name in alive]
    heapq.heapify(heap)
    # The last one can give its guests to nobody.
    for lost in order[: min(FAILURES_MAX, len(order) - 1)]:
        dead[lost] = "failed"
        guests = {**dict(_moving(alive[lost], policy)), **placed[lost]}
        for guest, entry in sorted(guests.items(), key=_largest_first):
            wish = Wish(guest=guest, entry=entry, excluded=dead)
            place = _place(scheduler, heap, wish)
            if place is None:
                return len(dead) - 1
            placed[place][guest] = entry
    return len(dead)


def _place(
    scheduler: Scheduler, heap: list[tuple[float, int, HostName]], wish: Wish
) -> HostName | None:
    """Place a guest on the best host that takes it; the dead ones met on the way go."""
    passed: list[tuple[float, int, HostName]] = []
    place: HostName | None = None
    while heap and place is None:
        key = heapq.heappop(heap)
        if key[-1] in wish.excluded:
            continue
        if scheduler.refusal(wish, key[-1]):
            passed.append(key)
        else:
            place = key[-1]
            scheduler.count(place, wish.entry)
            passed.append(_key(scheduler, place))
    for key in passed:
        heapq.heappush(heap, key)
    return place


def _key(scheduler: Scheduler, name: HostName) -> tuple[float, int, HostName]:
    ram_mib, arriving = scheduler.weight(name)
    return (-ram_mib, -arriving, name)


def _largest_first(item: tuple[GuestId, InventoryEntry]) -> tuple[int, GuestId]:
    guest, entry = item
    return (-entry.ram_mib, guest)


def _moving(host: HostView, policy: EvacuationPolicy) -> list[tuple[GuestId, InventoryEntry]]:
    return [
        (guest, entry)
        for guest, entry in host.inventory.items()
        if entry.is_protected and not policy_of_entry(entry, policy).is_opted_out
    ]


def _is_up(host: HostView) -> bool:
    record = host.record.value
    return record is not None and record.state is HostState.UP


def _with_reserves(view: ClusterView) -> ClusterView:
    hosts = {
        name: replace(host, spec=replace(host.spec, reserved=False)) if host.spec.reserved else host
        for name, host in view.hosts.items()
    }
    return replace(view, hosts=hosts)
