"""Guests that are not asked for, because another host may run them: what Nova says of them. Pure.

The copy may be the evacuation itself: an order of an earlier attempt that was carried out after
all, or somebody else's. Then it is followed, or the migration is closed, as for those that are
asked for. Nova is read for that much less often than for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from hamon.evacuator.cloud.close import close_moved
from hamon.evacuator.cloud.judge import GONE
from hamon.evacuator.cloud.looks import stale_lists, whereabouts
from hamon.evacuator.cloud.request import adopt
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook
from hamon.model.change import Change
from hamon.model.control import Hold
from hamon.model.incident import MigrationStatus
from hamon.model.view import ClusterView, IncidentView

READ_PERIOD_S = 10.0


def follow_kept(
    view: ClusterView, incident: IncidentView, held: Mapping[str, Hold], now_s: float
) -> Moves:
    """Follow or close the migrations of guests that are kept back and that somebody has moved.

    Args:
        view: the world; with a cloud.
        incident: whose guests; of a host in the view.
        held: what keeps guests from being moved, by guest.
        now_s: monotonic seconds.
    """
    cloud = view.cloud
    assert cloud is not None, "there is a cloud"
    source = view.hosts[incident.record.value.host].service_host
    kept = [
        migration
        for guest, migration in sorted(incident.migrations.items())
        if guest in held and migration.record.value.status is MigrationStatus.WAITING
    ]
    if not kept:
        return Moves()
    guests = [migration.record.value.guest for migration in kept]
    looks: list[CloudLook] = []
    looks += stale_lists(cloud, source, guests, now_s - READ_PERIOD_S, is_first=False)
    changes: list[Change] = []
    for migration in kept:
        server = cloud.servers.get(migration.record.value.guest)
        if server is None or server.guest in cloud.unlisted:
            looks.append(whereabouts(cloud, migration.record.value.guest, source))
            continue
        if server.vm_state in GONE or server.host != source:
            changes.append(close_moved(view, migration, server))
            continue
        adopted = adopt(view, cloud, migration, server)
        if adopted is not None:
            changes.append(adopted)
    return Moves(changes=tuple(changes), looks=tuple(dict.fromkeys(looks)))
