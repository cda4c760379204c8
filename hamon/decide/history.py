"""Which closed incidents are forgotten. Pure.

Rules:

1. The newest closed incidents are remembered, ``recovery.incidents_kept`` of them.
2. One that a host or a guest still names is kept, however old it is.
3. An incident goes with its last migrations, in one transaction; many go in several before.
"""

from __future__ import annotations

from hamon.decide.thought import Thought
from hamon.model.change import Change, Delete, Operation, incident_of, migration_of
from hamon.model.names import IncidentId
from hamon.model.policy import ReturnPolicy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, IncidentView

DELETED_MAX = 100
"""So many migrations are deleted in one transaction: ZooKeeper handles it while others wait."""


def think_history(view: ClusterView, recovery: ReturnPolicy) -> Thought:
    """Forget the oldest of more closed incidents than are to be remembered; one at a time.

    Args:
        view: the world.
        recovery: says how many are remembered.
    """
    closed = [each for each in view.incidents.values() if each.record.value.closed]
    surplus = len(closed) - recovery.incidents_kept
    if surplus <= 0:
        return Thought()
    named = _named(view)
    oldest = sorted(closed, key=_age)[:surplus]
    forgotten = [each for each in oldest if each.record.value.incident not in named]
    return Thought(changes=tuple(_forget(each) for each in forgotten[:1]))


def _age(incident: IncidentView) -> tuple[str, IncidentId]:
    """Give what sorts incidents from the oldest to the newest."""
    value = incident.record.value
    return (value.stamps.get("convicted", ""), value.incident)


def _named(view: ClusterView) -> frozenset[IncidentId]:
    """Name the incidents that something is still decided by."""
    by_hosts = (host.record.value.incident for host in view.hosts.values() if host.record.value)
    by_guests = (guest.value.migration for guest in view.guests.values())
    return frozenset(name for name in (*by_hosts, *by_guests) if name is not None)


def _forget(incident: IncidentView) -> Change:
    # safety: the journal of a closed incident decides nothing any more: its host serves in a later
    # boot, its migrations are terminal, and what refuses old guests there are grants of their own.
    value = incident.record.value
    migrations = sorted(incident.migrations.items())
    operations: list[Operation] = [
        Delete(key=migration_of(value.incident, guest), version=migration.record.version)
        for guest, migration in migrations[:DELETED_MAX]
    ]
    left = len(migrations) - len(operations)
    if not left:
        operations.append(Delete(key=incident_of(value.incident), version=incident.record.version))
    told = reason("incident_forgotten", value.host, incident=value.incident, left=left)
    return Change(subject=value.incident, reason=told, operations=tuple(operations))
