"""A nova cloud around the incidents: what of Nova to read now, who to shut out, who to let serve.

Pure. Rules:

1. Reading is on demand: one list of services when nothing is wrong; while guests move, one list of
   migrations for all of them, and one of servers when that shows something new.
2. A host that is proven dead is forced down and disabled, with the incident as the reason, in one
   request; one that an operator had disabled keeps his reason and stays disabled.
3. Only a service that hamon disabled is enabled again, and only on a host that is UP and is not
   kept free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from hamon.decide.holds import against_action, against_moving
from hamon.decide.protection import waits_for_services
from hamon.decide.thought import Thought, unchanged
from hamon.evacuator.barrier import barrier_of
from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.denials import lift_denials, may_be_lifted, told_denials
from hamon.evacuator.cloud.flow import is_listed
from hamon.evacuator.cloud.looks import choices_due
from hamon.evacuator.cloud.places import is_proven_dead
from hamon.evacuator.cloud.send import not_shut_out
from hamon.evacuator.cloud.tasks import forget_rebuild
from hamon.evacuator.moves import Moves, joined
from hamon.evacuator.reserved import is_kept_free
from hamon.model.action import (
    CloudLook,
    CloudLookKind,
    DisableService,
    EnableService,
    ShutOutService,
)
from hamon.model.change import (
    Intent,
)
from hamon.model.cloud import OURS, CallState, CloudView, ComputeService
from hamon.model.control import Hold
from hamon.model.host import SHUT_OUT_STATES, HostState
from hamon.model.incident import IN_FLIGHT_MIGRATIONS, OPEN_MIGRATIONS, MigrationStatus
from hamon.model.policy import Policy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView

SERVICES_PERIOD_S = 10.0
SERVICES_SOON_S = 1.0
SERVICES_AT_ONCE_S = 0.2
"""When a conviction waits for the list; hosts that fall silent within so long share one."""

_SERVICES_POLLS = 6
"""With hundreds of guests under way services are listed once in so many polls: no decision about a
guest waits for that list, or asks for it."""

GROUPS_PERIOD_S = 300.0
TOKEN_PERIOD_S = 1200.0
"""A token is renewed at conviction, and while guests move: it is used until the last rebuild."""

RELIST_PERIOD_S = 120.0
"""Lists of what changed may miss what a clock that is far off wrote: then all is read anew."""

CALL_AGAIN_S = 2.0
WATCH_PERIOD_S = 2.0
_POLL_MIN_S, _POLL_EACH_S, _POLL_MAX_S = 0.5, 0.05, 10.0

READING_SHARE = 5
"""While guests move, the same list is not asked for more often than this many times what it takes
Nova: the rest of Nova's time is for the guests."""

SLOWEST_S = 10.0
"""But at least this often."""

LATE_ORDERS_PERIOD_S = 20.0
"""While a host that is back may still obey orders of before, how often its guests are looked at."""

UNKNOWN_AT_ONCE = 3
"""So many of its former guests are asked about at once."""

WHILE_SENDING_S = 20.0
"""While guests wait to be sent, how often what became of the others is read: a list of servers
costs Nova about as much as an evacuation, and whoever arrived runs, known or not."""

_EMPTIED = frozenset({HostState.FENCING, HostState.FENCED, HostState.EVACUATING})
"""States of a host whose guests are being moved, or soon will be."""

_K = CloudLookKind


def think_cloud(
    view: ClusterView, policy: Policy, in_force: tuple[Hold, ...], now_s: float
) -> Thought:
    """Think about Nova itself: reading it, and its compute services."""
    cloud = view.cloud
    if cloud is None:
        return Thought()
    looks, wake_at_s = _looks(view, cloud, policy, against_moving(in_force), now_s)
    emptied = {host.service_host for host in view.hosts.values() if _state(host) in _EMPTIED}
    if cloud.services_s is not None:
        looks = (*looks, *choices_due(cloud, emptied, now_s))
    left = _left_by_late_orders(view, cloud, in_force, now_s)
    intents = [
        intent
        for _, host in sorted(view.hosts.items())
        if not against_action(in_force, host)
        for intent in _services(view, cloud, host, now_s)
    ]
    changes = [
        change
        for _, host in sorted(view.hosts.items())
        if host.grants
        for change in lift_denials(view, host, cloud, policy.recovery, now_s)
    ]
    refused = (told_denials(host) for _, host in sorted(view.hosts.items()) if may_be_lifted(host))
    return Thought(
        changes=tuple(changes),
        intents=(*intents, *left.intents),
        looks=tuple(dict.fromkeys((*looks, *left.looks))),
        reasons=(*_unknown_services(view, cloud), *refused),
        wake_at_s=wake_at_s,
    )


# -- reading --------------------------------------------------------------------------------------


def _looks(
    view: ClusterView, cloud: CloudView, policy: Policy, held: Mapping[str, Hold], now_s: float
) -> tuple[tuple[CloudLook, ...], float]:
    """Return what is to be read now, and when the next reading will be due."""
    due: list[CloudLook] = []
    wake_at_s = now_s + SERVICES_PERIOD_S

    def read(
        look: CloudLook, read_s: float | None, period_s: float, *, again_s: float = 0.0
    ) -> None:
        nonlocal wake_at_s
        at_s = now_s if read_s is None else read_s + period_s
        if at_s <= now_s:
            due.append(look)
            at_s = now_s + max(period_s, again_s)
        wake_at_s = min(wake_at_s, at_s)

    troubled = [host for _, host in sorted(view.hosts.items()) if _is_shut_out(host)]
    read(
        CloudLook(kind=_K.SERVICES),
        cloud.services_s,
        _services_period_s(view, cloud, policy, now_s),
        again_s=SERVICES_SOON_S,
    )
    if cloud.services_s is None:
        # Their heartbeats tell the time by Nova's clocks, from which on changes can be listed.
        return tuple(due), wake_at_s
    for host in troubled:
        name = host.service_host
        returns = _state(host) is HostState.RETURNING
        if is_proven_dead(host) or _state(host) is HostState.FENCING or returns:
            servers = CloudLook(kind=_K.SERVERS_OF, service_host=name)
            is_known = (of := _incident_of(view, host)) is None or is_listed(view, of)
            # With no guest on its way no changes are asked for: who starts in place is seen here.
            period_s = SERVICES_PERIOD_S if returns else RELIST_PERIOD_S
            read(servers, cloud.listed_s.get(name) if is_known else None, period_s)
            migrations = CloudLook(kind=_K.MIGRATIONS_OF, service_host=name)
            period_s = SERVICES_SOON_S if returns else RELIST_PERIOD_S
            read(migrations, cloud.traced_s.get(name), period_s)
    for host in view.hosts.values():
        if _state(host) is HostState.RESTARTED:
            servers = CloudLook(kind=_K.SERVERS_OF, service_host=host.service_host)
            read(servers, cloud.listed_s.get(host.service_host), WATCH_PERIOD_S)
    if troubled:
        read(CloudLook(kind=_K.TOKEN), cloud.token_s, TOKEN_PERIOD_S)
        read(CloudLook(kind=_K.GROUPS), cloud.groups_s, GROUPS_PERIOD_S)
    poll_s = _poll_s(view)
    if poll_s is not None and cloud.traced_s:
        sources = _sources(view)
        migrations = CloudLook(kind=_K.MIGRATIONS_CHANGED)
        fresh_s = (cloud.migrations_fresh_s(source) for source in sources)
        traced_s = _oldest(fresh_s, cloud.traced_changes_s)
        read(migrations, traced_s, _period_s(cloud, poll_s, _K.MIGRATIONS_CHANGED))
        if _has_news(view, cloud):
            # Of servers only when one counts: a list of them costs Nova more than a rebuild.
            servers = CloudLook(kind=_K.SERVERS_CHANGED)
            fresh_s = (cloud.servers_fresh_s(source) for source in sources)
            listed_s = _oldest(fresh_s, cloud.changed_s)
            least_s = WHILE_SENDING_S if _any_unsent(view, held, now_s) else poll_s
            read(servers, listed_s, _period_s(cloud, least_s, _K.SERVERS_CHANGED))
    denying = [host for _, host in sorted(view.hosts.items()) if may_be_lifted(host)]
    for host in denying:
        # Who leads since has read nothing of who may come there, or was moved away from there.
        name = host.service_host
        read(
            CloudLook(kind=_K.MIGRATIONS_OF, service_host=name), cloud.traced_s.get(name), math.inf
        )
        unknown = sorted(host.grants.keys() - cloud.servers.keys())
        due += [CloudLook(kind=_K.SERVER, guest=guest) for guest in unknown[:UNKNOWN_AT_ONCE]]
    if cloud.traced_s and denying:
        # A guest that is sent where it is still refused waits there for a few seconds only.
        read(CloudLook(kind=_K.MIGRATIONS_CHANGED), cloud.traced_changes_s, WATCH_PERIOD_S)
        read(CloudLook(kind=_K.SERVERS_CHANGED), cloud.changed_s, LATE_ORDERS_PERIOD_S)
    return tuple(dict.fromkeys(due)), wake_at_s


def _oldest(fresh_s: Iterable[float | None], changed_s: float | None) -> float | None:
    """Return since when the oldest of some hosts' lists is known; of none, that of all changes."""
    return min((at_s for at_s in fresh_s if at_s is not None), default=changed_s)


def _state(host: HostView) -> HostState | None:
    record = host.record.value
    return record.state if record is not None else None


def _incident_of(view: ClusterView, host: HostView) -> IncidentView | None:
    record = host.record.value
    named = record.incident if record is not None else None
    return view.incidents.get(named) if named is not None else None


def _is_shut_out(host: HostView) -> bool:
    return _state(host) in SHUT_OUT_STATES


def _services_period_s(view: ClusterView, cloud: CloudView, policy: Policy, now_s: float) -> float:
    if any(waits_for_services(view, host, policy, now_s) for host in view.hosts.values()):
        return SERVICES_AT_ONCE_S
    if any(_needs_services(view, cloud, host) for host in view.hosts.values()):
        return SERVICES_SOON_S
    if any(host.spec.agentless for host in view.hosts.values()):
        # For those its word is evidence, and evidence must be fresh.
        return SERVICES_PERIOD_S
    return max(SERVICES_PERIOD_S, _SERVICES_POLLS * (_poll_s(view) or 0.0))


def _needs_services(view: ClusterView, cloud: CloudView, host: HostView) -> bool:
    """Say whether a decision about the host waits for what Nova says of its service."""
    if _state(host) in {HostState.RETURNING, HostState.RESTARTED}:
        return True
    if host.spec.agentless and _state(host) in {HostState.FENCED, HostState.EVACUATING}:
        # Its heartbeat in Nova would show that the proof was wrong.
        return True
    return cloud.services_s is None or str(host.name) in not_shut_out(view)


def _poll_s(view: ClusterView) -> float | None:
    """Return how often Nova is asked how the guests are getting on; None: none is on its way.

    The more guests, the more finish between two questions; a question costs the same for all.
    """
    open_ = [
        migration.record.value.status
        for incident in view.incidents.values()
        for migration in incident.migrations.values()
        if migration.record.value.status in OPEN_MIGRATIONS
    ]
    if all(status is MigrationStatus.WAITING for status in open_):
        return None
    return min(_POLL_MIN_S + _POLL_EACH_S * len(open_), _POLL_MAX_S)


def _sources(view: ClusterView) -> frozenset[str]:
    """Name the compute services that guests are on their way from."""
    return frozenset(
        host.service_host
        for incident in view.incidents.values()
        if (host := view.hosts.get(incident.record.value.host)) is not None
        and any(
            migration.record.value.status in IN_FLIGHT_MIGRATIONS
            for migration in incident.migrations.values()
        )
    )


def _period_s(cloud: CloudView, least_s: float, kind: CloudLookKind) -> float:
    """Return how often a list is read whose reading takes Nova as long as it did last."""
    return max(least_s, min(READING_SHARE * cloud.took_s.get(kind, 0.0), SLOWEST_S))


def _any_unsent(view: ClusterView, held: Mapping[str, Hold], now_s: float) -> bool:
    """Say whether guests wait that were never asked for: Nova will be read for them anyway.

    Not for those that wait for others to be ready: what becomes of these is what they wait for.
    Nor for those that are held back, and for guests of a host that is not configured any more, or
    cannot be read: nobody asks.
    """
    for incident in view.incidents.values():
        if incident.record.value.closed or incident.record.value.host not in view.hosts:
            continue
        barrier = barrier_of(view, incident, now_s)
        for migration in incident.migrations.values():
            record = migration.record.value
            is_unsent = record.status is MigrationStatus.WAITING and not record.reason
            if is_unsent and record.guest not in held and not barrier.holds_back(record):
                return True
    return False


def _has_news(view: ClusterView, cloud: CloudView) -> bool:
    """Say whether a migration that is followed has ended by Nova's word: then its server counts."""
    for incident in view.incidents.values():
        for guest, migration in incident.migrations.items():
            record = migration.record.value
            if record.status not in IN_FLIGHT_MIGRATIONS:
                continue
            source = view.hosts.get(record.source_compute)
            if source is None:
                continue
            found = rows.ours(cloud, record, source.service_host)
            if any(row.status not in rows.OPEN for row in found):
                return True
            if guest in cloud.calls and cloud.calls[guest].state is CallState.REFUSED:
                return True
    return False


def _left_by_late_orders(
    view: ClusterView, cloud: CloudView, in_force: tuple[Hold, ...], now_s: float
) -> Moves:
    """Mend what orders that waited for a host have left behind, now that it is back and obeyed."""
    late = sorted(
        {
            guest
            for host in view.hosts.values()
            if may_be_lifted(host) and not against_action(in_force, host)
            for guest in host.grants
        }
    )
    known = (cloud.servers[guest] for guest in late if guest in cloud.servers)
    return joined(forget_rebuild(view, cloud, server, now_s) for server in known)


# -- services -------------------------------------------------------------------------------------


def may_call(cloud: CloudView, subject: str, now_s: float) -> bool:
    """Say whether a request for a service or guest may be made (again): none is under way."""
    call = cloud.calls.get(subject)
    if call is None or call.state is CallState.DONE:
        return True
    return call.state is not CallState.RUNNING and now_s >= call.at_s + CALL_AGAIN_S


def _services(
    view: ClusterView, cloud: CloudView, host: HostView, now_s: float
) -> tuple[Intent, ...]:
    service = cloud.services.get(host.service_host)
    record = host.record.value
    if service is None or record is None or not service.id:
        return ()
    if not may_call(cloud, host.service_host, now_s):
        return ()
    incident = _incident_of(view, host)
    if is_proven_dead(host) and incident is not None and not service.is_forced_down:
        why = "" if not service.is_enabled else f"{OURS} {incident.record.value.incident}"
        return (_shut_out(view, host, incident, service.id, why),)
    is_ours = service.disabled_reason.startswith(OURS)
    is_serving = record.state is HostState.UP and not service.is_forced_down
    if is_serving and is_kept_free(view, host):
        return _keep_free(view, host, service)
    if is_serving and is_ours:
        change = unchanged(view, host, reason("service_enabled", host.name))
        action = EnableService(service_host=host.service_host, service_id=service.id)
        return (Intent(change=change, action=action),)
    if record.state is HostState.DEGRADED and service.is_enabled:
        change = unchanged(view, host, reason("service_disabled", host.name))
        disable = DisableService(
            service_host=host.service_host, service_id=service.id, reason=f"{OURS} degraded"
        )
        return (Intent(change=change, action=disable),)
    return ()


def _keep_free(view: ClusterView, host: HostView, service: ComputeService) -> tuple[Intent, ...]:
    if not service.is_enabled:
        return ()
    change = unchanged(view, host, reason("service_disabled", host.name))
    disable = DisableService(
        service_host=host.service_host, service_id=service.id, reason=f"{OURS} reserved"
    )
    return (Intent(change=change, action=disable),)


def _shut_out(
    view: ClusterView, host: HostView, incident: IncidentView, service_id: str, why: str
) -> Intent:
    told = reason("service_shut_out", host.name, incident=incident.record.value.incident)
    action = ShutOutService(service_host=host.service_host, service_id=service_id, reason=why)
    return Intent(change=unchanged(view, host, told), action=action)


def _unknown_services(view: ClusterView, cloud: CloudView) -> list[Reason]:
    """Name the computes that are down by Nova's word and that hamon cannot do anything about."""
    enrolled = {host.service_host for host in view.hosts.values()}
    return [
        reason("compute_without_agent_down", "cluster", service_host=name)
        for name, service in sorted(cloud.services.items())
        if name not in enrolled and service.is_up is False and not service.is_forced_down
    ]
