"""Answers for the command line: plain, JSON-ready pictures of what the last round saw and thought.

They are made from a round's immutable view, so that asking never disturbs the loop. The shape of
each answer is what ``-f json`` prints; names are those of the model.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hamon.decide.holds import holds
from hamon.decide.outlook import outlook
from hamon.decide.rehearsal import rehearse
from hamon.decide.tick import decide
from hamon.engine.host_answers import (
    evidence_lines,
    guest_lines,
    host_line,
    named_guests,
    power_lines,
)
from hamon.engine.loop import Round
from hamon.engine.stories import (
    exported,
    incident_line,
    incident_lines,
    outlook_told,
    policy_of,
    whole_incident,
)
from hamon.errors import RequestRefusedError
from hamon.evacuator.choices import policy_of_entry
from hamon.evacuator.scheduler import entry_of
from hamon.model.control import HoldKind
from hamon.model.names import CLUSTER, GuestId, HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView, IncidentView

Answer = dict[str, Any]

_NO_THOUGHTS: Answer = {"reasons": [], "planned": []}


class Answers:
    """Answers questions about one round.

    Args:
        finished: the round.
        policy: what it was decided by.
        now_s: monotonic seconds.

    Raises:
        RequestRefusedError: this controller has no view yet (no ZooKeeper).
    """

    def __init__(self, finished: Round | None, policy: Policy, now_s: float) -> None:
        if finished is None or finished.view is None:
            raise RequestRefusedError(
                "this daemon has no whole view of ZooKeeper yet",
                "check that a majority of the ensemble answers (`hamon doctor --config-only` shows "
                "which servers are configured) and look into the daemon's log",
            )
        self._round = finished
        self._view: ClusterView = finished.view
        self._policy = policy
        self._now_s = now_s

    @property
    def view(self) -> ClusterView:
        """The view that the round was about."""
        return self._view

    def status(self) -> Answer:
        """Return the whole cluster on one page."""
        view = self._view
        return {
            "controller": view.own.controller,
            "is_leading": self._round.is_leading,
            "leader": self._leader(),
            "epoch": view.own.epoch if self._round.is_leading else None,
            "mode": self._policy.mode,
            "armed": view.control.value.is_armed,
            "controllers": [_plain(c) for _, c in sorted(view.controllers.items())],
            "holds": self._holds(),
            "releases": [_plain(release) for release in view.control.value.releases],
            "hosts": [host_line(view, host, self._now_s) for _, host in sorted(view.hosts.items())],
            "incidents": [
                incident_line(incident)
                for _, incident in sorted(view.incidents.items())
                if not incident.record.value.closed
            ],
        }

    def hosts(self) -> Answer:
        """Return one line for every enrolled host."""
        view = self._view
        return {
            "hosts": [host_line(view, host, self._now_s) for _, host in sorted(view.hosts.items())]
        }

    def host(self, name: str) -> Answer:
        """Return everything known of one host.

        Raises:
            RequestRefusedError: there is no such host.
        """
        host = self._find(name)
        seen = host.self_.value
        return {
            **host_line(self._view, host, self._now_s),
            "registered": _plain(seen) if seen is not None else None,
            "guard": _plain(host.guard.value),
            "planes": [_plain(plane) for plane in host.spec.planes],
            "fence": [{"name": d.name, "kind": d.kind, "level": d.level} for d in host.spec.fence],
            "capacity": _plain(host.capacity) if host.capacity is not None else None,
            "checks": _plain(host.checks) if host.checks is not None else None,
            "evidence": evidence_lines(host, self._now_s),
            "power": power_lines(host, self._now_s),
            "guests": guest_lines(self._view, host, self._policy.evacuation),
            "only": named_guests(self._view, host),
            **self._seen_by(),
            **self._thoughts(host),
        }

    def target(self, name: str) -> Answer:
        """Return the destination of this name: an enrolled host, or another compute of Nova's.

        Raises:
            RequestRefusedError: there is none.
        """
        cloud = self._view.cloud
        if HostName(name) in self._view.hosts or (cloud is not None and name in cloud.services):
            return {"host": name}
        raise RequestRefusedError(
            f"ComputeHostNotFound: host {name} is not enrolled",
            "`hamon host list` shows the hosts; the exact name is needed",
        )

    def explain(self, name: str) -> Answer:
        """Return why something is or is not done about a host, or the story of an incident.

        Raises:
            RequestRefusedError: there is neither of this name.
        """
        if HostName(name) not in self._view.hosts and IncidentId(name) in self._view.incidents:
            return self._explain_incident(self._view.incidents[IncidentId(name)])
        host = self._find(name)
        in_force = holds(self._view, self._policy, self._now_s)
        looked_ahead = outlook(self._view, host, self._policy, in_force, self._now_s)
        thoughts = self._thoughts(host)
        return {
            "about": "host",
            **host_line(self._view, host, self._now_s),
            "state_for_s": round(self._now_s - host.state_since_s, 2),
            **self._seen_by(),
            "evidence": evidence_lines(host, self._now_s),
            "power": power_lines(host, self._now_s),
            **outlook_told(looked_ahead),
            **thoughts,
            "would_evacuate": self._would_evacuate(host, thoughts["reasons"]),
            **policy_of(self._policy, host),
            "history": [_plain(moment) for moment in host.history],
            "incidents": [
                incident_line(incident)
                for _, incident in sorted(self._view.incidents.items())
                if incident.record.value.host == host.name
            ],
        }

    def _would_evacuate(self, host: HostView, reasons: list[Answer]) -> list[Answer] | None:
        """Return the guests that only shadow mode keeps from being evacuated, and where to.

        None: the host would not be fenced in active mode either. Of Nova's guests the view knows
        nothing before there is an incident: the desk asks for them.
        """
        held_by = {
            told["facts"]["by"]
            for told in reasons
            if told["code"] == "conviction_held" and told["subject"] == host.name
        }
        if held_by != {HoldKind.SHADOW}:
            return None
        if self._view.cloud is not None:
            return []
        rows = rehearse(self._view, self._policy, host.name, None, self._now_s)
        return [
            {"guest": row.guest, "name": row.name, "destination": row.destination, "why": row.why}
            for row in rows
        ]

    def _explain_incident(self, incident: IncidentView) -> Answer:
        """Return the story of an incident and, while it is open, what is in its way now."""
        record = incident.record.value
        host = self._view.hosts.get(record.host)
        now = _NO_THOUGHTS
        if not record.closed and host is not None:
            now = self._thoughts(host)
        elif not record.closed:
            told = reason("host_not_configured", record.host, incident=record.incident)
            now = {"reasons": [_reason(_key(told))], "planned": []}
        return {
            "about": "incident",
            "is_configured": host is not None,
            **whole_incident(self._view, incident, self._policy.evacuation),
            **self._seen_by(),
            **now,
            "policy_now": policy_of(self._policy, host)["policy"],
        }

    def _seen_by(self) -> Answer:
        return {
            "seen_by": self._view.own.controller,
            "is_leading": self._round.is_leading,
            "leader": self._leader(),
        }

    def _leader(self) -> str | None:
        """Name who leads as far as this controller knows; of itself it knows better."""
        own, leader = self._view.own.controller, self._view.leader
        if self._round.is_leading:
            return own
        return None if leader == own else leader

    def _thoughts(self, host: HostView) -> Answer:
        """Return what is thought about a host and its guests now: why, and what is being done."""
        decision = self._round.decision
        if not self._round.is_leading and self._view.cloud is not None:
            # A standby does not read Nova: what it would think is that nothing is known.
            told = reason("nova_read_by_leader_only", host.name)
            return {"reasons": [_reason(_key(told))], "planned": []}
        if not self._round.is_leading:
            # A standby does not decide, but thinking is pure: say what it would think.
            decision = decide(self._view, self._policy, self._now_s)
        # A rack's storm is told under its label.
        labels = (f"{label}={value}" for label, value in host.spec.labels.items())
        subjects = {str(host.name), CLUSTER, *labels, *map(str, self._guests_of(host))}
        reasons = [told for told in decision.reasons if told.subject in subjects]
        planned = [
            change.reason if self._round.is_leading else _if_it_led(change.reason)
            for change in (*decision.transitions, *(i.change for i in decision.intents))
            if change.reason.subject in subjects
        ]
        return {
            "reasons": [_reason(key) for key in dict.fromkeys(map(_key, reasons))],
            "planned": [_reason(key) for key in dict.fromkeys(map(_key, planned))],
        }

    def incident(self, name: str) -> Answer:
        """Return one incident with every guest's migration.

        Raises:
            RequestRefusedError: there is no such incident.
        """
        return whole_incident(self._view, self._incident(name), self._policy.evacuation)

    def incidents(self, *, with_closed: bool) -> Answer:
        """Return one line for every open incident, and for every closed one if asked."""
        return incident_lines(self._view, with_closed=with_closed)

    def export(self, name: str) -> Answer:
        """Return all that is kept of one incident, for other programs (docs/incidents.md).

        Raises:
            RequestRefusedError: there is no such incident.
        """
        return exported(self._view, self._incident(name), self._policy.evacuation)

    def _incident(self, name: str) -> IncidentView:
        incident = self._view.incidents.get(IncidentId(name))
        if incident is None:
            raise RequestRefusedError(
                f"there is no incident {name}", "`hamon incident list --all` shows those kept"
            )
        return incident

    def guest(self, name: str) -> Answer:
        """Return the guest of this uuid or (if only one has it) this name.

        Raises:
            RequestRefusedError: there is none, or several.
        """
        found = [
            (guest, record.value)
            for guest, record in sorted(self._view.guests.items())
            if name in {guest, record.value.name}
        ]
        if not found:
            raise RequestRefusedError(
                f"guest {name} is not known to hamon",
                "`hamon host show HOST` lists the guests of a host and why one is not protected",
            )
        if len(found) > 1:
            uuids = ", ".join(guest for guest, _ in found)
            raise RequestRefusedError(f"several guests are called {name}", f"use a uuid: {uuids}")
        guest, record = found[0]
        return {"guest": guest, **_plain(record), "opted_out": self._why_opted_out(guest)}

    def rehearsal(self, name: str, target: str | None) -> Answer:
        """Return where each guest of a host would go now, and what cannot move and why."""
        host = self._find(name)
        wanted = HostName(target) if target is not None else None
        rows = rehearse(self._view, self._policy, host.name, wanted, self._now_s)
        return {"host": host.name, "guests": [_plain(row) for row in rows]}

    def _find(self, name: str) -> HostView:
        host = self._view.hosts.get(HostName(name))
        if host is None:
            near = [other for other in sorted(self._view.hosts) if other.startswith(name[:3])]
            hint = f" (did you mean {', '.join(near[:5])}?)" if near and name else ""
            raise RequestRefusedError(
                f"host {name} is not enrolled{hint}",
                "`hamon host list` shows the hosts; the exact name is needed",
            )
        return host

    def _holds(self) -> list[Answer]:
        return [_plain(hold) for hold in holds(self._view, self._policy, self._now_s)]

    def _guests_of(self, host: HostView) -> set[GuestId]:
        owned = {g for g, record in self._view.guests.items() if record.value.owner == host.name}
        moving = {
            guest
            for incident in self._view.incidents.values()
            if incident.record.value.host == host.name and not incident.record.value.closed
            for guest in incident.migrations
        }
        return owned | set(host.inventory) | moving

    def _why_opted_out(self, guest: GuestId) -> str:
        entry = entry_of(self._view, guest)
        return policy_of_entry(entry, self._policy.evacuation).opted_out if entry else ""


def _if_it_led(told: Reason) -> Reason:
    """Return what a standby would do; a conviction that nobody wrote has opened no incident."""
    if told.code != "host_convicted":
        return told
    return reason("would_be_convicted", told.subject, by=told.facts["by"])


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON is dynamic
    return msgspec.to_builtins(value)


def _key(reason: Reason) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return (reason.code, reason.subject, tuple(reason.facts.items()))


def _reason(key: tuple[str, str, tuple[tuple[str, str], ...]]) -> Answer:
    code, subject, facts = key
    return {"code": code, "subject": subject, "facts": dict(facts)}
