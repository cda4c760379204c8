"""Whether a request that Nova has taken, and no destination has claimed, may be carried out yet.

A conductor chooses a destination and sends it the request in a message. RabbitMQ keeps that for a
nova-compute that does not run or hangs; one that works may wait for its libvirt before it claims.
Whenever it goes on it rebuilds the guest: a second request beside it would start the guest twice
(nova.md 2.1, 3.4; seen on the lab). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.places import has_say, host_of, is_proven_dead, lists_running
from hamon.model.change import Operation
from hamon.model.cloud import CloudMigration, CloudView, ComputeService, Progress
from hamon.model.incident import MigrationRecord
from hamon.model.names import HostName
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView

CHOSEN_WITHIN_S = 300.0
"""Nova chooses no compute whose last heartbeat is older than its ``service_down_time``, which is a
minute unless somebody made it longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that stayed ``accepted`` for long, and how far Nova is with it.

    ``row``: the oldest accepted record that it may be carried out by. ``since_s``: when this
    controller knew of it. ``patience_s``: how long whoever goes on may take until that shows.
    """

    record: MigrationRecord
    source: str
    row: CloudMigration
    progress: Progress
    since_s: float
    patience_s: float


def held(view: ClusterView, cloud: CloudView, request: Request, now_s: float) -> Reason | None:
    """Say who may carry a request out yet; None: nobody, it is lost.

    safety: asked for again is a guest only when no conductor passed the request on (the one that
    took it died with it, or gave it up), or when the compute that had it is dead by proof, has
    booted since, or has ended its work and does not run the guest.
    """
    progress = request.progress
    if not progress.is_passed_on:
        return None
    if progress.taken_by:
        return _held_by(view, request)
    # Nobody has taken it up, so it waits for one that is silent.
    chosen = [
        service
        for host, service in sorted(cloud.services.items())
        if host != request.source
        and not _was_silent_before(service.beat_at, request.row.created_at)
    ]
    silent = [one.host for one in chosen if _may_go_on(cloud, one, request, now_s)]
    if silent:
        return _queued(request, ",".join(silent))
    # safety: forced down is somebody's word that it is dead: hamon's, by a proof, and then the
    # guest is denied there; or an operator's.
    if any(service.is_forced_down for service in chosen):
        return None
    return _queued(request, "an unknown host")


def _queued(request: Request, hosts: str) -> Reason:
    record, number = request.record, request.row.number
    return reason("evacuation_queued", record.guest, name=record.name, number=number, host=hosts)


def _held_by(view: ClusterView, request: Request) -> Reason | None:
    record, place = request.record, request.progress.taken_by
    destination = host_of(view, place)
    if destination is not None and is_proven_dead(destination):
        return None
    if request.progress.is_over:
        if destination is None:
            return None
        running = lists_running(destination, record.guest)
        if running:
            return reason("guest_runs_unknown_to_nova", record.guest, name=record.name, host=place)
        if running is None and has_say(destination):
            return reason("failed_rebuild_not_seen", record.guest, name=record.name, host=place)
        return None
    registered_s = destination.registered_s if destination is not None else None
    if registered_s is not None and registered_s > request.since_s:
        # What it had in hand died with its former boot.
        return None
    number = request.row.number
    return reason("evacuation_taken", record.guest, name=record.name, number=number, host=place)


def _may_go_on(cloud: CloudView, service: ComputeService, request: Request, now_s: float) -> bool:
    """Say whether a compute is silent, or was a moment ago, and may take up what waits for it."""
    silent_s = cloud.silent_s.get(service.host)
    if silent_s is None or service.is_forced_down:
        return False
    return not service.is_up or now_s < silent_s + request.patience_s


def _was_silent_before(beat_at: str, created_at: str) -> bool:
    """Say whether a compute was silent for so long that Nova cannot have chosen it."""
    if not beat_at:
        return True
    if not created_at:
        return False
    return (_moment(created_at) - _moment(beat_at)).total_seconds() > CHOSEN_WITHIN_S


def _moment(stamp: str) -> datetime:
    at = datetime.fromisoformat(stamp)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def deny_to_the_dead(view: ClusterView, record: MigrationRecord) -> tuple[Operation, ...]:
    """Return what denies a guest to every dead host in whose queue its rebuild may wait."""
    return tuple(
        operation
        for name, host in sorted(view.hosts.items())
        if name != record.source_compute and is_proven_dead(host)
        for operation in deny(host, record.guest, HostName(record.source_compute))
    )
