"""Where a guest of Nova's may be: hosts by their service's name, and what agents list. Pure."""

from __future__ import annotations

from hamon.model.cloud import CloudView
from hamon.model.guest import PowerState
from hamon.model.host import DomainState, HostState
from hamon.model.names import BootId, GuestId, HostName
from hamon.model.view import ClusterView, HostView

PROVEN = frozenset({HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED})
"""States of a host whose last boot was proven dead and has not come back."""

_ON = frozenset({DomainState.RUNNING, DomainState.PAUSED})


def host_of(view: ClusterView, service_host: str) -> HostView | None:
    """Return the enrolled host of a nova-compute; None: hamon does not know it."""
    for host in view.hosts.values():
        if host.service_host == service_host:
            return host
    return None


def is_cell_down(cloud: CloudView, service_host: str) -> bool:
    """Say whether Nova does not reach the cell of a host: then lists leave out what is there."""
    service = cloud.services.get(service_host)
    return service is not None and service.is_up is None


def name_of(view: ClusterView, service_host: str) -> HostName:
    """Return hamon's name of a nova-compute's host; Nova's where it is not enrolled."""
    host = host_of(view, service_host)
    return host.name if host is not None else HostName(service_host)


def is_proven_dead(host: HostView) -> bool:
    """Say whether the host's last boot was proven dead and none came back."""
    record = host.record.value
    return record is not None and record.state in PROVEN


def lists_running(host: HostView, guest: GuestId) -> bool | None:
    """Say whether the host's agent sees the guest's domain on; None: nobody can tell now."""
    domains = host.domains
    if (
        host.heartbeat is None
        or host.self_.value is None
        or domains is None
        or not domains.is_healthy
        or domains.boot_id != host.self_.value.boot_id
    ):
        return None
    return domains.domains.get(guest) in _ON


def boot_of(host: HostView | None) -> BootId | None:
    """Return the boot in which a host is here now; None: it is not, or hamon does not know it."""
    if host is None or host.heartbeat is None or host.self_.value is None:
        return None
    own = host.self_.value.boot_id
    return own if host.heartbeat.boot_id == own else None


def has_say(host: HostView) -> bool:
    """Say whether the host's agent has ever listed domains in the boot that registered last.

    A compute without the guests process never does; nothing is ever heard from it.
    """
    return (
        host.self_.value is not None
        and host.domains is not None
        and host.domains.boot_id == host.self_.value.boot_id
    )


def is_seen(host: HostView | None, guest: GuestId, wanted: PowerState) -> bool | None:
    """Say whether the destination's agent sees the guest as wanted; None: it has no say.

    An agent that never listed a domain in this boot (a compute without the guests process) has no
    say; one that lists, and does not list this, has: then it is waited for. What is left of an
    agent that a host once had says nothing.
    """
    if host is None or host.spec.agentless or not has_say(host):
        return None
    running = lists_running(host, guest)
    if running is None:
        return False
    return running if wanted is PowerState.RUNNING else not running
