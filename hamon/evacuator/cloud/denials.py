"""Denials: guests that a returned host must not start, because they live elsewhere now. Pure.

A denial is a revoked grant of a host that never had one otherwise (docs/protocol.md). Its agent
ends a copy that runs, answers with ``released`` when none does, and its libvirt hook refuses to
start one for as long as the znode is there.
"""

from __future__ import annotations

from dataclasses import replace

from hamon.model.change import (
    Change,
    Create,
    Delete,
    Operation,
    Update,
    grant_of,
)
from hamon.model.cloud import CloudView
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import HostState, Right
from hamon.model.names import GuestId, HostName
from hamon.model.policy import ReturnPolicy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

GENERATION = 1
"""Of every denial: there is one owner, Nova, and nothing is ever claimed."""

_ARRIVING = frozenset(
    {"accepted", "pre-migrating", "queued", "preparing", "running", "post-migrating", "migrating"}
)
"""States of a migration that may bring a guest to its destination yet."""


def deny(host: HostView, guest: GuestId, moved_to: HostName) -> tuple[Operation, ...]:
    """Return the write that denies a guest to a host from now on.

    A host without an agent has nobody who would obey it, or answer that no copy runs.
    """
    if host.spec.agentless:
        return ()
    key = grant_of(host.name, guest)
    known = host.grants.get(guest)
    if known is None:
        denial = Grant(
            state=GrantState.REVOKED,
            generation=GENERATION,
            wanted=PowerState.SHUTOFF,
            moved_to=moved_to,
        )
        return (Create(key=key, value=denial),)
    again = replace(known.value, state=GrantState.REVOKED, moved_to=moved_to)
    return (Update(key=key, version=known.version, value=again),)


def lift_denials(
    view: ClusterView, host: HostView, cloud: CloudView, policy: ReturnPolicy, now_s: float
) -> tuple[Change, ...]:
    """Return what gives a host back the guests it may start again.

    That is: a guest that comes here now or lives here again by Nova's word, at once; every other
    when the host has been up for the length of the stale watch and its agent has answered.
    """
    record = host.record.value
    watch_is_over = (
        record is not None
        and record.state is HostState.UP
        and now_s >= host.state_since_s + policy.stale_watch_s
    )
    # safety: a host that is shut out is given nothing back, whatever Nova still sends to it.
    is_live = host.guard.value.right is Right.LIVE
    changes = []
    for guest, grant in sorted(host.grants.items()):
        comes = is_live and _comes_here(view, cloud, host.service_host, guest)
        # safety: not before its agent answered: an order to power the guest off may be under way,
        # which would hit the copy that comes.
        if grant.value.state is GrantState.RELEASED and (comes or watch_is_over):
            why = "comes_here" if comes else "watch_over"
            told = reason("denial_lifted", guest, host=host.name, why=why)
            delete = Delete(key=grant_of(host.name, guest), version=grant.version)
            changes.append(Change(subject=guest, reason=told, operations=(delete,)))
    return tuple(changes)


def may_be_lifted(host: HostView) -> bool:
    """Say whether the host serves, and has denials: guests of them may be sent back to it."""
    return bool(host.grants) and host.guard.value.right is Right.LIVE


def told_denials(host: HostView) -> Reason:
    """Say that a host which serves still refuses to start some guests."""
    return reason("guests_refused", host.name, guests=len(host.grants))


def _comes_here(view: ClusterView, cloud: CloudView, service_host: str, guest: GuestId) -> bool:
    server = cloud.servers.get(guest)
    if server is None:
        return False
    if server.host == service_host:
        return not server.task_state
    # safety: of a rebuild here that died half-way Nova keeps an open record for ever. It is known
    # by its number, which was given up, or the guest is no longer where it says it came from.
    given_up = max(
        (
            migration.record.value.newest
            for incident in view.incidents.values()
            if (migration := incident.migrations.get(guest)) is not None
            and not incident.record.value.closed
        ),
        default=0,
    )
    return any(
        row.destination == service_host
        and row.status in _ARRIVING
        and row.source == server.host
        and row.number > given_up
        for row in cloud.migrations.get(guest, ())
    )
