"""Writes down what is decided, and why nothing is, into the incident it is about. Pure.

Rules:

1. Every change about a host with an open incident becomes a moment of that incident, within the
   same transaction: what is told is what was committed. A round writes an incident at most once.
2. What stands in the way is written when it is another thing than before: with the next change, or
   alone once the record has been as it is for ``ALONE_AFTER_S``.
3. Before a conviction there is no incident: what was thought of the host comes from the leader's
   memory, and what was seen of it from the evidence itself.
4. Nothing is ever decided by what is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hamon.decide.holds import against_action
from hamon.decide.thought import Thought
from hamon.model.change import (
    Change,
    Check,
    Create,
    Decision,
    NodeKey,
    Operation,
    Update,
    incident_of,
)
from hamon.model.chronicle import DROPPED, extended, fitting, moment
from hamon.model.control import Hold
from hamon.model.host import Right
from hamon.model.incident import IncidentRecord, Moment, Shot, ShotOutcome
from hamon.model.names import HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.policy_values import values_of
from hamon.model.proof import PowerReading
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView

CONVICTED = "host_convicted"

ALONE_AFTER_S = 5.0
"""A record is not written more often than this only to say what stands in the way."""

HISTORY_S = 900.0
"""How far back the story of an incident begins, at most."""

LOOK_PAUSE_S = 30.0
"""A device is read again and again while its host is in trouble. After so long a pause it is
another trouble: what was read in the one before is no sign of this one."""

HELD = frozenset({"fencing_held", "evacuation_held"})
"""Codes of what a hold keeps from being done: that it ended is told whatever comes next."""

ORDERED = "fence_shot"
"""Code of the change that journals a shot."""

EVIDENCE_MAX = 16
LINE_MAX = 200
"""Bytes of a line of evidence, of a hold that was passed, or of what a device said."""


def chronicled(
    view: ClusterView, thought: Thought, policy: Policy, in_force: tuple[Hold, ...], now_s: float
) -> Thought:
    """Return the thought with every change of it noted in the incident that it is about.

    Args:
        view: the world.
        thought: a whole round's, in which no znode is written twice.
        policy: its values go into an incident that opens.
        in_force: every hold.
        now_s: monotonic seconds.
    """
    book = _Book(view, thought, policy, in_force, now_s)
    changes = tuple(book.noted(change) for change in thought.changes)
    intents = tuple(replace(intent, change=book.noted(intent.change)) for intent in thought.intents)
    return replace(thought, changes=(*changes, *book.alone()), intents=intents)


def told_of_live_hosts(
    view: ClusterView, decision: Decision
) -> Mapping[HostName, tuple[Reason, ...]]:
    """Return what a round thought of each host that may live and is not simply well.

    It is what the leader remembers, because there is no incident to write it into.
    """
    told: dict[HostName, tuple[Reason, ...]] = {}
    changed = (change.reason for change in decision.transitions)
    for each in (*changed, *decision.reasons):
        host = view.hosts.get(HostName(each.subject))
        is_known = host is not None and host.record.value is not None
        if host is not None and is_known and host.guard.value.right is Right.LIVE:
            told[host.name] = (*told.get(host.name, ()), each)
    return told


class _Book:
    """One round's notes."""

    def __init__(
        self,
        view: ClusterView,
        thought: Thought,
        policy: Policy,
        in_force: tuple[Hold, ...],
        now_s: float,
    ) -> None:
        self._view = view
        self._policy = policy
        self._in_force = in_force
        self._now_s = now_s
        all_changes = (*thought.changes, *(intent.change for intent in thought.intents))
        self._written = {
            operation.key
            for change in all_changes
            for operation in change.operations
            if not isinstance(operation, Check)
        }
        self._told: dict[str, list[Reason]] = {}
        for each in thought.reasons:
            self._told.setdefault(each.subject, []).append(each)

    def noted(self, change: Change) -> Change:
        """Return the change with itself as a moment of the incident it is about, if there is one.

        A change that writes no incident gets a write of the host's open one, unless another change
        of the round has it: then the log alone tells.
        """
        operations = tuple(self._rewritten(operation, change) for operation in change.operations)
        if operations != change.operations:
            return replace(change, operations=operations)
        open_one = self._open_incident(change.subject)
        if open_one is None or incident_of(_name(open_one)) in self._written:
            return change
        self._written.add(incident_of(_name(open_one)))
        record = self._continued(open_one.record.value, change.reason)
        return replace(change, operations=(*operations, _update(open_one, record)))

    def alone(self) -> Iterable[Change]:
        """Return changes that only write down what stands in the way now."""
        for _, incident in sorted(self._view.incidents.items()):
            record = incident.record.value
            if record.closed or self._now_s - incident.written_s < ALONE_AFTER_S:
                continue
            if incident_of(record.incident) in self._written or not self._is_told_here(incident):
                continue
            waits = self._waits(record.host)
            if tuple(sorted(waits)) == record.waits:
                continue
            new = [_moment_of(self._view.wall, waits[code]) for code in sorted(waits)]
            known = {*record.waits, *(each.code for each in record.timeline[-1:])}
            new = [each for each in new if each.code not in known]
            over = [code for code in record.waits if code not in waits]
            new = [*self._over(record, over), *new]
            if not new:
                continue
            noted = _with(record, new, waits)
            why = reason("incident_noted", record.host, incident=record.incident)
            yield Change(subject=record.host, reason=why, operations=(_update(incident, noted),))

    def _is_told_here(self, incident: IncidentView) -> bool:
        """Say whether what is thought of a host belongs to this incident, and is thought here."""
        name = incident.record.value.host
        if self._view.own.only_host not in {None, name}:
            return False
        host = self._view.hosts.get(name)
        record = host.record.value if host is not None else None
        return record is None or record.incident == incident.record.value.incident

    def _open_incident(self, subject: str) -> IncidentView | None:
        host = self._view.hosts.get(HostName(subject))
        record = host.record.value if host is not None else None
        found = self._view.incidents.get(record.incident) if record and record.incident else None
        return found if found is not None and not found.record.value.closed else None

    def _rewritten(self, operation: Operation, change: Change) -> Operation:
        match operation:
            case Create(value=IncidentRecord() as opened):
                return replace(operation, value=self._opened(opened, change.reason))
            case Update(value=IncidentRecord() as record):
                return replace(operation, value=self._continued(record, change.reason))
            case _:
                return operation

    def _opened(self, record: IncidentRecord, why: Reason) -> IncidentRecord:
        """Begin the story: what was seen and thought before, and the conviction."""
        view = self._view
        host = view.hosts[record.host]
        own = view.controllers.get(view.own.controller)
        now = (*self._told.get(host.name, ()), why)
        thought = _since_last_conviction(host.history)
        before = sorted((*_seen(view, host, self._now_s), *thought), key=lambda m: m.at)
        return replace(
            record,
            evidence=tuple(fitting(line, LINE_MAX) for line in record.evidence[:EVIDENCE_MAX]),
            overridden=tuple(fitting(line, LINE_MAX) for line in record.overridden),
            timeline=extended((), (*before, *(_moment_of(view.wall, each) for each in now))),
            policy=values_of(self._policy, host.spec.policy),
            policy_hash=own.policy_hash if own is not None else "",
        )

    def _continued(self, record: IncidentRecord, why: Reason) -> IncidentRecord:
        """Go on with the story: shots that ended, the change, what is newly in the way."""
        waits = self._waits(record.host)
        if why.code in waits:
            # Said twice in the round, each time with facts of its own.
            why = replace(why, facts={**waits[why.code].facts, **why.facts})
        newly = [waits[code] for code in sorted(waits) if code not in {*record.waits, why.code}]
        timeline = record.timeline
        for ended in self._ended_shots(record):
            timeline = _with_end(timeline, ended)
        moments = [
            *self._over(record, self._released(record)),
            *(_moment_of(self._view.wall, each) for each in (why, *newly)),
        ]
        shots = tuple(replace(s, detail=fitting(s.detail, LINE_MAX)) for s in record.shots)
        return _with(replace(record, timeline=timeline, shots=shots), moments, waits)

    def _released(self, record: IncidentRecord) -> list[str]:
        """Name the holds that were written to stand in the way, where none does any more.

        Of other things a change that goes on says enough.
        """
        host = self._view.hosts.get(record.host)
        if host is None or against_action(self._in_force, host):
            return []
        return [code for code in record.waits if code in HELD]

    def _over(self, record: IncidentRecord, codes: Sequence[str]) -> list[Moment]:
        if not codes:
            return []
        ended = reason("no_longer", record.host, codes=",".join(codes))
        return [_moment_of(self._view.wall, ended)]

    def _waits(self, host: HostName) -> dict[str, Reason]:
        """Return what stands in the way of a host's incident, by code."""
        return {each.code: each for each in reversed(self._told.get(host, ()))}

    def _ended_shots(self, record: IncidentRecord) -> list[Moment]:
        """Tell of shots whose outcome is written down now."""
        known = self._view.incidents.get(record.incident)
        host = self._view.hosts.get(record.host)
        if known is None or host is None:
            return []
        pending = {
            _identity(shot)
            for shot in known.record.value.shots
            if shot.outcome is ShotOutcome.PENDING
        }
        return [
            _moment_of(
                self._end_of(host.shot_of(shot.device).settled_s),
                reason(
                    "fence_shot_ended",
                    record.host,
                    device=shot.device,
                    outcome=shot.outcome,
                    detail=shot.detail,
                ),
            )
            for shot in record.shots
            if shot.outcome is not ShotOutcome.PENDING and _identity(shot) in pending
        ]

    def _end_of(self, ended_s: float | None) -> str:
        """Return when an order ended, as a record is stamped; now, where this leader gave none."""
        return self._view.wall if ended_s is None else _before(self._view, self._now_s - ended_s)


def _identity(shot: Shot) -> tuple[str, int, int, str]:
    return (shot.device, shot.attempt, shot.epoch, shot.at)


def _name(incident: IncidentView) -> IncidentId:
    return incident.record.value.incident


def _update(incident: IncidentView, record: IncidentRecord) -> Update:
    key: NodeKey = incident_of(record.incident)
    return Update(key=key, version=incident.record.version, value=record)


def _with(
    record: IncidentRecord, moments: Iterable[Moment], waits: Mapping[str, Reason]
) -> IncidentRecord:
    timeline = extended(record.timeline, moments)
    return replace(record, timeline=timeline, waits=tuple(sorted(waits)))


def _with_end(timeline: tuple[Moment, ...], ended: Moment) -> tuple[Moment, ...]:
    """Put the end of a shot where it belongs: it is written down only with what follows from it."""
    number = len(timeline)
    while number and timeline[number - 1].at > ended.at:
        if timeline[number - 1].code in {ORDERED, DROPPED}:
            break
        number -= 1
    return extended(timeline[:number], (ended, *timeline[number:]))


def _moment_of(at: str, why: Reason) -> Moment:
    return moment(at, why.code, why.facts)


def _seen(view: ClusterView, host: HostView, now_s: float) -> list[Moment]:
    """Turn the evidence into moments: since when each source has said what it says."""
    lost_s = host.session_lost_s
    seen = [] if lost_s is None else [(lost_s, reason("session_seen_gone", host.name))]
    seen += [
        (
            vote.changed_s,
            reason(
                "witness_says",
                host.name,
                source=vote.source,
                through=vote.subject,
                vote=vote.vote,
                observer=vote.observer,
            ),
        )
        for vote in host.evidence
    ]
    seen += [
        (
            reading.observed_s,
            reason(
                "power_reads",
                host.name,
                device=reading.device,
                power=reading.power,
                detail=reading.detail,
            ),
        )
        for reading in _new_readings(host.readings, now_s)
    ]
    return [
        _moment_of(_before(view, now_s - at_s), told)
        for at_s, told in seen
        if now_s - at_s <= HISTORY_S
    ]


def _new_readings(readings: Iterable[PowerReading], now_s: float) -> Iterable[PowerReading]:
    """Return, of the present look at each device, those that said another thing than before."""
    looks: dict[str, list[PowerReading]] = {}
    for reading in readings:
        look = looks.setdefault(reading.device, [])
        if look and reading.observed_s - look[-1].observed_s > LOOK_PAUSE_S:
            look.clear()
        look.append(reading)
    for look in looks.values():
        if now_s - look[-1].observed_s > LOOK_PAUSE_S:
            continue
        yield from (
            reading
            for number, reading in enumerate(look)
            if number == 0 or look[number - 1].power != reading.power
        )


def _since_last_conviction(history: Sequence[Moment]) -> Sequence[Moment]:
    """Leave out what led to an earlier incident of the host: it is told there."""
    convictions = [number for number, each in enumerate(history) if each.code == CONVICTED]
    return history[convictions[-1] + 1 :] if convictions else history


def _before(view: ClusterView, passed_s: float) -> str:
    """Return the wall-clock time of so long ago, as a record is stamped."""
    at = datetime.fromisoformat(view.wall) - timedelta(seconds=passed_s)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
