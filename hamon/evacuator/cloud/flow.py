"""One round for one incident's guests in a nova cloud: record, follow, send. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.kept import follow_kept
from hamon.evacuator.cloud.places import is_cell_down
from hamon.evacuator.cloud.record import record_guests, servers_of
from hamon.evacuator.cloud.send import send_waiting
from hamon.evacuator.moves import Moves, joined
from hamon.model.cloud import CloudView
from hamon.model.control import Hold
from hamon.model.incident import IN_FLIGHT_MIGRATIONS, OPEN_MIGRATIONS
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import FenceProof
from hamon.model.reason import reason
from hamon.model.view import ClusterView, IncidentView


def move_guests(
    view: ClusterView,
    incident: IncidentView,
    proof: FenceProof | None,
    policy: EvacuationPolicy,
    *,
    held: Mapping[str, Hold],
    in_flight: int,
    now_s: float,
) -> Moves:
    """Record the guests of a host that is proven dead, and send those whose turn it is.

    Args:
        view: the world; with a cloud.
        incident: of the host.
        proof: fresh proof of its death; None: nothing may be sent.
        policy: limits and back-off.
        held: what keeps guests from being moved, by guest.
        in_flight: evacuations under way now over all incidents; those that Nova is through with
            do not count any more.
        now_s: monotonic seconds.
    """
    host = view.hosts[incident.record.value.host]
    assert view.cloud is not None, "there is a cloud"
    if not is_listed(view, incident):
        return Moves(reasons=(reason("waits_for_cloud", host.name, what="its guests"),))
    if is_cell_down(view.cloud, host.service_host):
        return Moves(reasons=(reason("waits_for_cell", host.name),))
    recorded = record_guests(view, incident, policy, now_s)
    busy = in_flight - _arrived(view, view.cloud)
    sent = send_waiting(view, incident, proof, policy, held=held, in_flight=busy, now_s=now_s)
    kept = follow_kept(view, incident, held, now_s) if proof is not None else Moves()
    return joined((recorded, sent, kept))


def is_finished(view: ClusterView, incident: IncidentView) -> bool | None:
    """Say whether every guest has a migration, and none is open; None: Nova was not read yet."""
    if any(m.record.value.status in OPEN_MIGRATIONS for m in incident.migrations.values()):
        return False
    if view.cloud is None or not is_listed(view, incident):
        return None
    cloud, source = view.cloud, view.hosts[incident.record.value.host].service_host
    if is_cell_down(cloud, source):
        return None
    listed_s = cloud.listed_s[source]
    if not incident.migrations and (cloud.services_s is None or cloud.services_s < listed_s):
        # Nobody is left out only if the cell was reached, which a later list of services tells.
        return None
    servers = servers_of(view, incident.record.value)
    return all(server.guest in incident.migrations for server in servers)


def is_listed(view: ClusterView, incident: IncidentView) -> bool:
    """Say whether the guests of a host were listed since its death was suspected for good.

    A list may be left from its last incident: it lacks the guests that came since.
    """
    if view.cloud is None:
        return False
    listed_s = view.cloud.listed_s.get(view.hosts[incident.record.value.host].service_host)
    return listed_s is not None and listed_s >= incident.since_s


def _arrived(view: ClusterView, cloud: CloudView) -> int:
    """Count the evacuations that Nova is through with and that are not confirmed yet."""
    return sum(
        1
        for incident in view.incidents.values()
        for migration in incident.migrations.values()
        if (record := migration.record.value).status in IN_FLIGHT_MIGRATIONS
        and (source := view.hosts.get(record.source_compute)) is not None
        and rows.has_arrived(cloud, record, source.service_host)
    )
