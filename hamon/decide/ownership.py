"""Who owns a guest while its host is well: adoption, following operators, retirement. Pure.

Rules (docs/protocol.md 12 and 13):

1. A protected guest that nobody owns belongs to the live host whose libvirt defines it; an
   inventory entry alone, whose definition libvirt lost, makes no owner.
2. While hosts are UP, ownership follows what operators do: a guest seen running on one host
   and not on its owner's, both listings healthy and of the present boot, belongs to the former.
3. Running on two hosts is an alert and a hold; nothing is done about it.
4. A guest is retired when its owner's libvirt, healthy, neither lists it nor keeps its definition.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.thought import Thought
from hamon.model.change import (
    Change,
    Check,
    Create,
    Operation,
    Update,
    Versioned,
    grant_of,
    guard_of,
    guest_of,
    self_of,
)
from hamon.model.guest import (
    OPEN_GRANTS,
    Grant,
    GrantState,
    GuestRecord,
    InventoryEntry,
)
from hamon.model.host import DomainState, HostState, Right
from hamon.model.names import GuestId
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

SETTLED = frozenset({HostState.UP, HostState.DEGRADED, HostState.RESTARTED, HostState.QUARANTINED})
"""States in which what a host's libvirt says of its guests is taken for its operators' will."""


def think_ownership(view: ClusterView, host: HostView) -> Thought:
    """Think about the guests that a live host's libvirt defines, or no longer does."""
    record = host.record.value
    if record is None or record.state not in SETTLED or not is_listing_sound(host):
        return Thought()
    assert host.domains is not None
    changes: list[Change] = []
    reasons: list[Reason] = []
    for guest, entry in sorted(host.inventory.items()):
        if not entry.is_protected:
            continue
        owned = view.guests.get(guest)
        if owned is None or owned.value.owner is None:
            if guest not in host.domains.domains:
                continue
            changes.append(_adopt(host, guest, entry, owned))
        elif owned.value.owner == host.name:
            change = _renew_offer(host, guest, entry, owned)
            changes += [change] if change is not None else []
        elif owned.value.migration is None:
            change, why = _follow(view, host, guest, entry, owned)
            changes += [change] if change is not None else []
            reasons += [why] if why is not None else []
    return Thought(changes=tuple(changes), reasons=tuple(reasons))


def think_retirement(view: ClusterView) -> Thought:
    """Think about guests whose owner no longer defines them, or no longer wants them protected."""
    changes: list[Change] = []
    for guest, owned in sorted(view.guests.items()):
        owner = owned.value.owner
        if owner is None or owned.value.migration is not None:
            continue
        host = view.hosts.get(owner)
        if host is None or host.record.value is None:
            continue
        if host.record.value.state not in SETTLED or not is_listing_sound(host):
            continue
        entry = host.inventory.get(guest)
        is_listed = host.domains is not None and guest in host.domains.domains
        if (entry is None and not is_listed) or (entry is not None and not entry.is_protected):
            changes.append(_retire(host, guest, owned))
    return Thought(changes=tuple(changes))


def is_listing_sound(host: HostView) -> bool:
    """Say whether the host's listing of domains is healthy and of its present, living boot."""
    return (
        host.heartbeat is not None
        and host.self_.value is not None
        and host.guard.value.right is Right.LIVE
        and host.domains is not None
        and host.domains.is_healthy
        and host.domains.boot_id == host.self_.value.boot_id
    )


def _grant_write(host: HostView, guest: GuestId, grant: Grant) -> Operation:
    existing = host.grants.get(guest)
    key = grant_of(host.name, guest)
    if existing is None:
        return Create(key=key, value=grant)
    return Update(key=key, version=existing.version, value=grant)


def _new_grant(host: HostView, entry: InventoryEntry, generation: int) -> Grant:
    """Offer a guest to the host that already defines it: no definition travels."""
    assert host.self_.value is not None
    return Grant(
        state=GrantState.OFFERED,
        generation=generation,
        wanted=entry.wanted,
        boot_id=host.self_.value.boot_id,
    )


def _adopt(
    host: HostView, guest: GuestId, entry: InventoryEntry, owned: Versioned[GuestRecord] | None
) -> Change:
    generation = 1 if owned is None else owned.value.generation + 1
    record = GuestRecord(
        name=entry.name, owner=host.name, generation=generation, wanted=entry.wanted
    )
    key = guest_of(guest)
    write: Operation = (
        Create(key=key, value=record)
        if owned is None
        else Update(key=key, version=owned.version, value=record)
    )
    return Change(
        subject=guest,
        reason=reason("guest_adopted", guest, name=entry.name, host=host.name),
        operations=(
            Check(key=guard_of(host.name), version=host.guard.version),
            Check(key=self_of(host.name), version=host.self_.version),
            write,
            _grant_write(host, guest, _new_grant(host, entry, generation)),
        ),
    )


def _renew_offer(
    host: HostView, guest: GuestId, entry: InventoryEntry, owned: Versioned[GuestRecord]
) -> Change | None:
    """Bind an offer to its owner's present boot when the one it was made for is over.

    safety: nobody claimed it, and the boot that could is over, because a later one registered.
    """
    assert host.self_.value is not None
    grant = host.grants.get(guest)
    if owned.value.migration is not None or grant is None:
        return None
    if grant.value.state is not GrantState.OFFERED:
        return None
    if grant.value.boot_id == host.self_.value.boot_id:
        return None
    renewed = _new_grant(host, entry, grant.value.generation)
    return Change(
        subject=guest,
        reason=reason("offer_renewed", guest, name=entry.name, host=host.name),
        operations=(
            Check(key=guard_of(host.name), version=host.guard.version),
            Check(key=self_of(host.name), version=host.self_.version),
            Update(key=grant_of(host.name, guest), version=grant.version, value=renewed),
        ),
    )


def _follow(
    view: ClusterView,
    host: HostView,
    guest: GuestId,
    entry: InventoryEntry,
    owned: Versioned[GuestRecord],
) -> tuple[Change | None, Reason | None]:
    """Let ownership follow a live migration, or call out two running copies."""
    assert host.domains is not None
    if host.domains.domains.get(guest) is not DomainState.RUNNING:
        return None, None
    assert owned.value.owner is not None
    former = view.hosts.get(owned.value.owner)
    if former is None or not is_listing_sound(former):
        return None, reason("ownership_unclear", guest, seen_on=host.name, owner=owned.value.owner)
    assert former.domains is not None
    there = former.domains.domains.get(guest)
    if there in {DomainState.RUNNING, DomainState.PAUSED}:
        if there is DomainState.RUNNING:
            return None, reason(
                "two_running_copies", guest, name=entry.name, hosts=f"{former.name},{host.name}"
            )
        return None, None
    generation = owned.value.generation + 1
    operations: list[Operation] = [
        Check(key=guard_of(host.name), version=host.guard.version),
        Check(key=guard_of(former.name), version=former.guard.version),
        Update(
            key=guest_of(guest),
            version=owned.version,
            value=replace(owned.value, owner=host.name, generation=generation),
        ),
        _grant_write(host, guest, _new_grant(host, entry, generation)),
    ]
    old = former.grants.get(guest)
    if old is not None and old.value.state in OPEN_GRANTS:
        # safety: the former owner's own healthy libvirt says that it does not run the guest, and
        # its agent withdraws the permit when it reads this release.
        released = replace(old.value, state=GrantState.RELEASED, reason="moved by an operator")
        key = grant_of(former.name, guest)
        operations.append(Update(key=key, version=old.version, value=released))
    why = reason("guest_followed", guest, name=entry.name, source=former.name, host=host.name)
    return Change(subject=guest, reason=why, operations=tuple(operations)), None


def _retire(host: HostView, guest: GuestId, owned: Versioned[GuestRecord]) -> Change:
    operations: list[Operation] = [
        Check(key=guard_of(host.name), version=host.guard.version),
        Update(key=guest_of(guest), version=owned.version, value=replace(owned.value, owner=None)),
    ]
    old = host.grants.get(guest)
    if old is not None and old.value.state in OPEN_GRANTS:
        released = replace(old.value, state=GrantState.RELEASED, reason="no longer protected here")
        operations.append(
            Update(key=grant_of(host.name, guest), version=old.version, value=released)
        )
    why = reason("guest_retired", guest, name=owned.value.name, host=host.name)
    return Change(subject=guest, reason=why, operations=tuple(operations))
