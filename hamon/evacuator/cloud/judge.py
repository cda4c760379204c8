"""Judging beforehand whether Nova can and may evacuate a guest (nova.md 3.3, 8). Pure.

Rules:

1. What cannot move is known before the first request, and said with its reason.
2. What is only in the way for now is waited for; both ends of a live migration are looked at before
   its guest is taken for lost with the source.
3. The wanted power state is what its owner last asked for, not what was left when the host died.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.places import host_of, is_proven_dead, lists_running
from hamon.evacuator.cloud.said import may_be_tagged, policy_of
from hamon.model.cloud import CloudView, Server
from hamon.model.guest import PowerState
from hamon.model.host import DomainState
from hamon.model.incident import IncidentRecord
from hamon.model.policy import EvacuationPolicy, InstanceDisks, LocalDiskPolicy
from hamon.model.view import ClusterView, HostView

EVACUABLE = frozenset({"active", "stopped", "error"})
"""States of a server in which Nova takes the request."""

GONE = frozenset({"deleted", "soft-delete"})
_BEING_DELETED = frozenset({"deleting", "soft-deleting"})
_STOPPING = frozenset({"powering-off"})


class Call(StrEnum):
    """What is to become of a guest of a dead host."""

    MOVES = "moves"
    WAITS = "waits"
    STAYS = "stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The call, and why it is not MOVES: a short name for logs and metrics, and more in words."""

    call: Call
    why: str = ""


MOVES = Judgement(call=Call.MOVES)


def judge(
    view: ClusterView,
    incident: IncidentRecord,
    server: Server,
    policy: EvacuationPolicy,
    *,
    by_hand: bool = False,
) -> Judgement:
    """Say whether a guest can and may be evacuated now.

    Args:
        view: the world; with a cloud.
        incident: of its host.
        server: as Nova last told.
        policy: where disks are, and whether their loss is accepted; who is evacuated.
        by_hand: an operator asked for this very guest, also if it opted out.
    """
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    barred = _barred(cloud, incident, server, policy)
    if barred:
        return Judgement(call=Call.STAYS, why=barred)
    source = view.hosts[incident.host].service_host
    opted_out = policy_of(cloud, server, source, policy).opted_out
    if opted_out and not by_hand and server.guest not in incident.only:
        call = Call.WAITS if may_be_tagged(cloud, server, policy) else Call.STAYS
        return Judgement(call=call, why=f"opted out: {opted_out}")
    for row in rows.live_migrations(cloud, server.guest):
        other = row.destination if row.source == source else row.source
        waits = _live_migration_in_the_way(view, server, other)
        if waits:
            return Judgement(call=Call.WAITS, why=waits)
    return MOVES


def wanted_of(server: Server, host: HostView) -> PowerState:
    """Return the power state a guest is to have in the end.

    In ERROR Nova does not say whether it ran; then what its host's agent saw last decides.
    """
    if server.vm_state == "stopped":
        return PowerState.RUNNING if server.task_state == "powering-on" else PowerState.SHUTOFF
    if server.task_state in _STOPPING:
        return PowerState.SHUTOFF
    if server.vm_state == "error" and host.domains is not None:
        seen = host.domains.domains.get(server.guest)
        return PowerState.SHUTOFF if seen is DomainState.SHUTOFF else PowerState.RUNNING
    return PowerState.RUNNING


def _barred(
    cloud: CloudView, incident: IncidentRecord, server: Server, policy: EvacuationPolicy
) -> str:
    """Name what keeps the guest from ever being evacuated as it is; "": nothing."""
    if server.vm_state in GONE or server.task_state in _BEING_DELETED:
        return "being deleted: its owner can delete it again now that its host is forced down"
    if server.vm_state not in EVACUABLE:
        return f"vm_state {server.vm_state}: Nova evacuates only active, stopped and error"
    if any(spec.startswith("hw:tpm") for spec in server.extra_specs):
        return "vTPM: its state died with the host, and Nova refuses"
    if any(spec.startswith("resources:VGPU") for spec in server.extra_specs):
        return "vGPU: Nova cannot evacuate it"
    is_forced = incident.target is not None and incident.force
    if cloud.hard_affinity and server.guest in cloud.hard_affinity and not is_forced:
        return (
            "hard affinity: its group may only run on the dead host; delete the group, or --force"
        )
    if (
        server.image
        and policy.instance_disks is InstanceDisks.LOCAL
        and policy.local_disk is LocalDiskPolicy.STAY
    ):
        return "local disk: it died with the host (evacuation.instance_disks, local_disk)"
    return ""


def _live_migration_in_the_way(view: ClusterView, server: Server, other: str) -> str:
    """Say why a guest must wait that was migrating live when its host died; "": it need not.

    safety: a guest that had switched over already runs at the other end, while Nova still gives it
    to the source. Only an end that is heard, and does not run it, or is proven dead, lets it go on.
    """
    if not other:
        return ""
    end = host_of(view, other)
    if end is not None and is_proven_dead(end):
        return ""
    if end is None or end.spec.agentless:
        return f"live migration with {other}, which has no agent to say whether it runs there"
    running = lists_running(end, server.guest)
    if running is None:
        return f"live migration with {other}, whose guests are not known now"
    if running:
        return f"live migration had arrived: it runs on {other}, Nova does not know; look there"
    return ""
