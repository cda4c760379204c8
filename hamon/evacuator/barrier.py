"""Waiting for guests that others need: their class is a barrier for later ones (DESIGN §8). Pure.

Rules:

1. A guest with a check holds back the classes after its own until it is ready, or its time is over.
2. It is ready when it answers at the port and address it names, asked after it had arrived; or when
   the agent inside it is connected to the libvirt of the host where it arrived and runs.
3. Whose domain there has no channel for an agent can never be ready that way, and ends the waiting.
4. Nobody waits for ever: what has not arrived within its time-out, or is not ready within that time
   after it arrived, is waited for no more. A new leader counts anew: longer, never shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from hamon.evacuator.migration import step, write
from hamon.evacuator.moves import Moves
from hamon.model.action import ReadyLook
from hamon.model.change import Change
from hamon.model.guest import PowerState
from hamon.model.guest_policy import ReadyCheck
from hamon.model.host import DomainState, GuestAgent
from hamon.model.incident import OPEN_MIGRATIONS, MigrationRecord, MigrationStatus
from hamon.model.names import GuestId
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView

LOOK_PERIOD_S = 2.0
"""How often a guest that others wait for is asked."""

READY, TIMED_OUT, NEVER = "ready", "ready_timed_out", "ready_never"
"""Stamps that end the waiting for a guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """Whom the later classes wait for.

    ``priority``: the first class with somebody who is waited for, None: there is none. ``on``: who
    that is, by name. ``until_s``: when waiting for them ends at the latest.
    """

    priority: int | None = None
    on: tuple[str, ...] = ()
    until_s: float = 0.0

    def holds_back(self, record: MigrationRecord) -> bool:
        """Say whether a guest must wait for others that are not ready."""
        return self.priority is not None and record.policy.priority > self.priority

    def told(self, record: MigrationRecord, now_s: float) -> Reason:
        """Say whom a guest waits for, and how long at most."""
        return reason(
            "guest_waits_for_ready",
            record.guest,
            name=record.name,
            on=",".join(self.on),
            left_s=f"{max(self.until_s - now_s, 0.0):.0f}",
        )


def barrier_of(view: ClusterView, incident: IncidentView, now_s: float) -> Barrier:
    """Return whom the classes of an incident's guests wait for now."""
    waited_for = [
        (migration.record.value, until_s)
        for migration, until_s in _awaited(view, incident)
        if now_s < until_s
    ]
    if not waited_for:
        return Barrier()
    first = min(record.policy.priority for record, _ in waited_for)
    there = [(r.name, until_s) for r, until_s in waited_for if r.policy.priority == first]
    return Barrier(
        priority=first,
        on=tuple(sorted(name for name, _ in there)),
        until_s=max(until_s for _, until_s in there),
    )


def watch_ready(view: ClusterView, incident: IncidentView, now_s: float) -> Moves:
    """Ask the guests that have arrived whether they are ready, and write down when they are."""
    changes: list[Change] = []
    looks: list[ReadyLook] = []
    reasons: list[Reason] = []
    wakes: list[float] = []
    for migration, until_s in _awaited(view, incident):
        record = migration.record.value
        if record.status in OPEN_MIGRATIONS:
            wakes.append(until_s)
            continue
        asks = record.policy.ready is ReadyCheck.TCP
        heard = _heard_of_it(view, migration) if asks else _heard_of_its_agent(view, record)
        if heard.is_ready:
            changes.append(_ended(view, migration, READY, "guest_ready"))
            continue
        if heard.is_hopeless:
            changes.append(_ended(view, migration, NEVER, "guest_never_ready"))
            continue
        if now_s >= until_s:
            changes.append(_ended(view, migration, TIMED_OUT, "guest_ready_timed_out"))
            continue
        wakes.append(until_s)
        if asks:
            due_s = now_s if heard.asked_s is None else heard.asked_s + LOOK_PERIOD_S
            if now_s >= due_s:
                looks.append(_look_at(record))
                due_s = now_s + LOOK_PERIOD_S
            wakes.append(due_s)
        left_s = f"{until_s - now_s:.0f}"
        reasons.append(
            reason("guest_not_ready", record.guest, name=record.name, left_s=left_s, why=heard.why)
        )
    return Moves(
        changes=tuple(changes),
        looks=tuple(looks),
        reasons=tuple(reasons),
        wake_at_s=min(wakes) if wakes else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What is heard of a guest that has arrived.

    ``is_hopeless``: it can never be ready by its check. ``asked_s``: when it was asked since it
    arrived, None: never, or nobody asks. ``why``: it is not ready yet, as far as is known.
    """

    is_ready: bool = False
    is_hopeless: bool = False
    asked_s: float | None = None
    why: str = ""


def _heard_of_it(view: ClusterView, migration: MigrationView) -> _Heard:
    """Tell what the guest answered when it was asked."""
    seen = view.ready.get(migration.record.value.guest)
    if seen is None:
        return _Heard()
    if seen.asked_s < migration.since_s:
        # An answer from before it arrived was somebody else's.
        return _Heard(why=seen.detail)
    return _Heard(is_ready=seen.answers, asked_s=seen.asked_s, why=seen.detail)


def _heard_of_its_agent(view: ClusterView, record: MigrationRecord) -> _Heard:
    """Tell what the host where the guest arrived says of the agent inside it.

    A listing of another boot, of a libvirt that does not answer, or of a guests process that is
    gone speaks of the past, perhaps of an earlier stay of the guest there.
    """
    host = view.hosts.get(record.dest_compute) if record.dest_compute is not None else None
    if host is None or not _lists_now(host):
        return _Heard(why=f"{record.dest_compute} does not list its guests now")
    assert host.domains is not None
    if host.domains.domains.get(record.guest) is not DomainState.RUNNING:
        return _Heard(why=f"it does not run on {host.name} now")
    match _agent_in(host, record.guest):
        case GuestAgent.CONNECTED:
            return _Heard(is_ready=True)
        case GuestAgent.NO_CHANNEL:
            return _Heard(is_hopeless=True)
        case GuestAgent.DISCONNECTED:
            return _Heard(why="its guest agent is not connected")
        case None:
            return _Heard(why=f"{host.name} does not tell of its guest agent")


def _lists_now(host: HostView) -> bool:
    """Say whether the host's listing is of its libvirt as it is now."""
    return (
        host.heartbeat is not None
        and host.self_.value is not None
        and host.domains is not None
        and host.domains.is_healthy
        and host.domains.boot_id == host.self_.value.boot_id
    )


def _agent_in(host: HostView, guest: GuestId) -> GuestAgent | None:
    """Return what is known of the agent in a guest that runs on the host; None: nothing."""
    assert host.domains is not None
    if host.agents is None or host.agents.boot_id != host.domains.boot_id:
        return None
    return host.agents.agents.get(guest)


def _look_at(record: MigrationRecord) -> ReadyLook:
    known = record.policy
    return ReadyLook(guest=record.guest, address=known.ready_address, port=known.ready_port)


def _awaited(view: ClusterView, incident: IncidentView) -> Iterator[tuple[MigrationView, float]]:
    """Yield the guests that others may have to wait for, and until when; the first class first.

    Each attempt to move a guest is written down, so how long it has not arrived counts from when
    its class could begin: when the host's guests could, or when the classes before it were ready.
    Of a host that is not configured, or cannot be read, nobody is moved: nobody waits.
    """
    host = view.hosts.get(incident.record.value.host)
    if host is None:
        return
    begins_s = host.state_since_s
    checked = [m for _, m in sorted(incident.migrations.items()) if _is_checked(m.record.value)]
    checked.sort(key=_class_of)
    for _, members in groupby(checked, key=_class_of):
        ends_s = [begins_s]
        for migration in members:
            record = migration.record.value
            if {READY, TIMED_OUT, NEVER} & record.stamps.keys():
                ends_s.append(migration.since_s)
                continue
            has_arrived = record.status is MigrationStatus.DONE
            from_s = migration.since_s if has_arrived else begins_s
            ends_s.append(from_s + record.policy.ready_timeout_s)
            yield migration, ends_s[-1]
        begins_s = max(ends_s)


def _is_checked(record: MigrationRecord) -> bool:
    """Say whether others may have to wait for a guest, or had to."""
    is_there = record.status is MigrationStatus.DONE or record.status in OPEN_MIGRATIONS
    has_check = record.policy.ready is not ReadyCheck.NONE
    return is_there and has_check and record.wanted is PowerState.RUNNING


def _class_of(migration: MigrationView) -> int:
    return migration.record.value.policy.priority


def _ended(view: ClusterView, migration: MigrationView, stamp: str, code: str) -> Change:
    record = migration.record.value
    ended = step(record, view, stamp, status=MigrationStatus.DONE, why=record.reason)
    return write(migration, ended, code, host=record.dest_compute or "")
