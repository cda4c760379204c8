"""Starting guests again where they are, after their host rebooted (nova.md 5.1). Pure.

Nova leaves them off, and after some minutes takes that for its owner's will. It calls them active
until then, and refuses to start what it calls active; a hard reboot is its way to bring such a
guest up.
"""

from __future__ import annotations

from hamon.evacuator.cloud.places import lists_running
from hamon.evacuator.cloud.tasks import forget_task, last_reset, may_reset
from hamon.evacuator.copies import Copy, copies
from hamon.evacuator.moves import Moves, joined
from hamon.model.action import CloudLook, CloudLookKind, SetPower
from hamon.model.change import CONTROL, Change, Check, Intent, guard_of
from hamon.model.cloud import CallState, CloudView, Server
from hamon.model.guest import PowerState
from hamon.model.host import HostState
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView

AGAIN_S = 60.0
"""A guest that does not come up is started again after this long."""

GIVE_UP_S = 300.0
"""After so long in the same state a host no longer waits for guests that Nova has in ERROR."""

_NAMES_SHOWN = 8


def start_in_place(view: ClusterView, host: HostView, now_s: float) -> Moves | None:
    """Start the guests of a rebooted host that ran before; None: all that are to run do.

    Args:
        view: the world; with a cloud.
        host: registered in a new boot.
        now_s: monotonic seconds.
    """
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    waits = _not_yet(cloud, host)
    if waits is not None:
        return waits
    off = [
        server
        for guest, server in sorted(cloud.servers.items())
        if server.host == host.service_host
        # Its list was read in this boot: who is not on it any more is not to run here.
        and guest not in cloud.unlisted
        and lists_running(host, guest) is not True
        and (server.vm_state == "active" or _failed_lately(cloud, host, server, now_s))
    ]
    if not off:
        return None
    # safety: a live migration whose source died once it had switched over, or a rebuild that Nova
    # gave up too early: Nova gives the guest to this host, and started here it would run twice.
    elsewhere = copies(view, {server.guest: host.name for server in off})
    parts: list[Moves] = []
    for server in off:
        call = cloud.calls.get(server.guest)
        is_asked = call is not None and (
            call.state is CallState.RUNNING or now_s < call.at_s + AGAIN_S
        )
        if server.guest in elsewhere:
            parts.append(Moves(reasons=(_runs_elsewhere(host, server, elsewhere[server.guest]),)))
        elif server.task_state:
            parts.append(_forget_left_over(view, cloud, host, server, now_s))
        elif not is_asked:
            parts.append(Moves(intents=(_start(view, host, server),)))
    names = ",".join(server.name for server in off[:_NAMES_SHOWN])
    waits = Moves(reasons=(reason("restart_waits_for_guests", host.name, guests=names),))
    return joined([*parts, waits])


def _runs_elsewhere(host: HostView, server: Server, copy: Copy) -> Reason:
    facts = {"name": server.name, "host": copy.host, "nova": host.name, "where": copy.told}
    return reason("guest_runs_elsewhere", server.guest, **facts)


def _forget_left_over(
    view: ClusterView, cloud: CloudView, host: HostView, server: Server, now_s: float
) -> Moves:
    """Have Nova forget a rebuild of a guest at which nobody works; another task is waited for.

    safety: only on a host that returns from an incident of hamon's. There the guest's evacuation
    was given up: no request is on its way, or the destination that had it died or booted since.
    Nova's record of it was completed by the start of nova-compute here, and the guest still belongs
    to this host. On one that nobody convicted, somebody else may be evacuating it at this moment.
    """
    record = host.record.value
    is_returning = record is not None and record.state is HostState.RETURNING
    if not is_returning or not server.task_state.startswith("rebuild"):
        return Moves()
    if may_reset(cloud, server.guest, now_s):
        is_error = server.vm_state == "error"
        return Moves(intents=(forget_task(view, host, server, is_error=is_error),))
    reset = last_reset(cloud, server.guest)
    if (
        reset is not None
        and reset.state is CallState.DONE
        and cloud.listed_s[host.service_host] < reset.at_s
    ):
        look = CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=host.service_host)
        return Moves(looks=(look,))
    return Moves()


def _failed_lately(cloud: CloudView, host: HostView, server: Server, now_s: float) -> bool:
    """Say whether a guest is in ERROR because it was to be started here, and libvirt was not well.

    Only for a while: a guest that never comes up again must not keep its host from serving.
    """
    is_ours = server.guest in cloud.calls
    return server.vm_state == "error" and is_ours and now_s < host.state_since_s + GIVE_UP_S


def _not_yet(cloud: CloudView, host: HostView) -> Moves | None:
    """Say what must be known before any guest is started; None: all is."""
    service = cloud.services.get(host.service_host)
    if service is None or not service.is_up:
        return Moves(reasons=(reason("return_waits_for_service_up", host.name),))
    beat_s = cloud.beats_s.get(host.service_host)
    if beat_s is None or host.registered_s is None or beat_s < host.registered_s:
        # Nova calls a service up for a minute after it died. A reboot asked for meanwhile would be
        # carried out twice when nova-compute starts: from the guest's state, and from its queue.
        return Moves(reasons=(reason("return_waits_for_nova_compute", host.name),))
    own_boot = host.self_.value.boot_id if host.self_.value is not None else None
    if host.domains is None or host.domains.boot_id != own_boot or not host.domains.is_healthy:
        return Moves(reasons=(reason("return_waits_for_libvirt", host.name),))
    listed_s = cloud.listed_s.get(host.service_host)
    if listed_s is None or listed_s < host.registered_s:
        look = CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=host.service_host)
        why = reason("waits_for_cloud", host.name, what="its guests")
        return Moves(looks=(look,), reasons=(why,))
    return None


def _start(view: ClusterView, host: HostView, server: Server) -> Intent:
    change = Change(
        subject=server.guest,
        reason=reason("guest_started_in_place", server.guest, name=server.name, host=host.name),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
    action = SetPower(guest=server.guest, wanted=PowerState.RUNNING, in_place=True)
    return Intent(change=change, action=action)
