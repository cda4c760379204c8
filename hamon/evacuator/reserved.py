"""Reserved hosts: kept free of guests until there is no room elsewhere, then put to use. Pure.

Rules:

1. A reserved host is UP and watched like any other, and is no destination.
2. One is put to use at a time, and only while a guest that is proven to need it finds no room.
3. What was put to use stays in use until an operator gives it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hamon.evacuator.cloud.places import is_proven_dead
from hamon.model.change import CONTROL, Change, Update
from hamon.model.cloud import OURS, CallState, CloudView
from hamon.model.control import Hold, ReservedUse
from hamon.model.host import HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView, IncidentView

PAUSE_S = 5.0
"""A guest must have found no room so long after the last reserved host could take guests, before
another is put to use: it may have been refused while that was being enabled."""

_NO_ROOM = "no_valid_host"


def is_kept_free(view: ClusterView, host: HostView) -> bool:
    """Say whether a host is reserved and was not put to use."""
    return host.spec.reserved and host.name not in view.control.value.reserved_in_use


def put_to_use(view: ClusterView, host: HostView, incident: IncidentView) -> Change:
    """Build the transaction that makes a reserved host a destination like any other."""
    named = incident.record.value.incident
    control = view.control.value
    use = ReservedUse(incident=named, since=view.wall)
    in_use = {**control.reserved_in_use, host.name: use}
    write = Update(
        key=CONTROL,
        version=view.control.version,
        value=replace(control, reserved_in_use=in_use),
    )
    why = reason("reserved_host_used", host.name, incident=named)
    return Change(subject=host.name, reason=why, operations=(write,))


def cloud_host_to_use(
    view: ClusterView, incident: IncidentView, in_force: tuple[Hold, ...]
) -> Change | None:
    """Put the first reserved compute to use that could take guests of an incident; None: not now.

    Where guests go and what room they need is Nova's to say: that it found none, after every
    reserved compute in use could take guests, is all that is known.
    """
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    settled_s = _settled_s(view, cloud)
    if settled_s is None:
        return None
    if not any(
        _found_no_room(migration.record.value) and migration.since_s > settled_s
        for migration in incident.migrations.values()
    ):
        return None
    held = {hold.scope for hold in in_force}
    for _, host in sorted(view.hosts.items()):
        if is_kept_free(view, host) and host.name not in held and _may_serve(cloud, host):
            return put_to_use(view, host, incident)
    return None


def _found_no_room(record: MigrationRecord) -> bool:
    """Say whether a guest waits because Nova had no room for it anywhere."""
    is_waiting = record.status is MigrationStatus.WAITING and bool(record.reason)
    return is_waiting and _NO_ROOM in record.stamps and record.target is None


def _settled_s(view: ClusterView, cloud: CloudView) -> float | None:
    """Return from when on a lack of room counts; None: one in use is not enabled yet.

    A host in use that has died is in nobody's way.
    """
    in_use = [
        host
        for host in view.hosts.values()
        if host.spec.reserved and not is_kept_free(view, host) and not is_proven_dead(host)
    ]
    if not all(_is_enabled(cloud, host) for host in in_use):
        return None
    return max((at_s + PAUSE_S for at_s in _enabled_s(view, cloud, in_use)), default=0.0)


def _is_enabled(cloud: CloudView, host: HostView) -> bool:
    service = cloud.services.get(host.service_host)
    # Without a nova-compute, or disabled by an operator, there is nothing to wait for.
    return service is None or service.is_enabled or not service.disabled_reason.startswith(OURS)


def _enabled_s(view: ClusterView, cloud: CloudView, in_use: list[HostView]) -> Iterator[float]:
    """Return when each was last enabled; of what an earlier leader did nobody knows when."""
    for host in in_use:
        call = cloud.calls.get(host.service_host)
        is_known = call is not None and call.state is CallState.DONE
        yield call.at_s if call is not None and is_known else view.own.took_office_s


def _may_serve(cloud: CloudView, host: HostView) -> bool:
    record, service = host.record.value, cloud.services.get(host.service_host)
    return (
        record is not None
        and record.state is HostState.UP
        and service is not None
        and bool(service.is_up)
        and not service.is_enabled
        and service.disabled_reason.startswith(OURS)
    )
