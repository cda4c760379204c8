"""Reserved hosts: kept free of guests until there is no room elsewhere, then put to use. Pure.

Rules:

1. A reserved host is UP and watched like any other, and is no destination.
2. One is put to use at a time, and only while a guest that is proven to need it finds no room. The
   one before is waited for while it can still become room.
3. What was put to use stays in use until an operator gives it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hamon.model.change import CONTROL, Change, Update
from hamon.model.cloud import OURS, CallState, CloudView
from hamon.model.control import Hold, ReservedUse
from hamon.model.host import HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.reason import Reason, reason
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
    held = {hold.scope for hold in in_force}
    if _awaited(view, cloud, held):
        return None
    settled_s = _settled_s(view, cloud)
    if not any(
        _found_no_room(migration.record.value) and migration.since_s > settled_s
        for migration in incident.migrations.values()
    ):
        return None
    for _, host in sorted(view.hosts.items()):
        if is_kept_free(view, host) and host.name not in held and _may_serve(cloud, host):
            return put_to_use(view, host, incident)
    return None


def _found_no_room(record: MigrationRecord) -> bool:
    """Say whether a guest waits because Nova had no room for it anywhere."""
    is_waiting = record.status is MigrationStatus.WAITING and bool(record.reason)
    return is_waiting and _NO_ROOM in record.stamps and record.target is None


def told_awaited(
    view: ClusterView, incident: IncidentView, in_force: tuple[Hold, ...]
) -> tuple[Reason, ...]:
    """Say which reserved computes in use are waited for before another is put to use."""
    cloud = view.cloud
    value = incident.record.value
    if cloud is None or not any(
        _found_no_room(migration.record.value) for migration in incident.migrations.values()
    ):
        return ()
    awaited = _awaited(view, cloud, {hold.scope for hold in in_force})
    return tuple(reason("reserved_host_awaited", value.host, host=host.name) for host in awaited)


def _awaited(view: ClusterView, cloud: CloudView, held: set[str]) -> tuple[HostView, ...]:
    """Return the reserved computes in use that are not enabled yet, and will be in a moment.

    One that is ill, held, or disabled by an operator is room for nobody: it would be waited for
    without end, and the guests with it.
    """
    return tuple(
        host
        for _, host in sorted(view.hosts.items())
        if _is_in_use(view, host) and host.name not in held and _may_serve(cloud, host)
    )


def _is_in_use(view: ClusterView, host: HostView) -> bool:
    return host.spec.reserved and not is_kept_free(view, host)


def _settled_s(view: ClusterView, cloud: CloudView) -> float:
    """Return from when on a lack of room counts: every one in use could take guests by then."""
    return max((at_s + PAUSE_S for at_s in _enabled_s(view, cloud)), default=0.0)


def _enabled_s(view: ClusterView, cloud: CloudView) -> Iterator[float]:
    """Return when each was last enabled; of what an earlier leader did nobody knows when."""
    for host in view.hosts.values():
        service = cloud.services.get(host.service_host)
        if not _is_in_use(view, host) or service is None or not service.is_enabled:
            continue
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
