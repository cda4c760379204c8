"""What is told of incidents, open and closed, and of what would come next for a host.

Plain, JSON-ready parts of the answers; the shape of the export is documented in docs/incidents.md.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from hamon.decide.outlook import Outlook
from hamon.evacuator.choices import policy_of_entry
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import LIVE_STATES, HostState
from hamon.model.incident import OPEN_MIGRATIONS
from hamon.model.policy import EvacuationPolicy, Policy
from hamon.model.policy_values import chosen_by, values_of
from hamon.model.reason import Reason
from hamon.model.view import ClusterView, HostView, IncidentView

EXPORT_SCHEMA = 1
"""Grows when a field of an export changes its meaning or goes; not when one is added."""

_APART = ("timeline", "policy", "policy_hash")
"""Parts of a record that stand beside it in an export."""


def incident_line(incident: IncidentView) -> dict[str, Any]:
    """Return what a list tells of an incident."""
    record = incident.record.value
    counts = Counter(m.record.value.status for m in incident.migrations.values())
    return {
        "incident": record.incident,
        "host": record.host,
        "trigger": record.trigger,
        "reason": record.reason,
        "who": record.who,
        "proof": record.proof.method if record.proof is not None else None,
        "closed": record.closed,
        "stamps": dict(record.stamps),
        "open": sum(counts[status] for status in OPEN_MIGRATIONS),
        "migrations": {str(status): count for status, count in sorted(counts.items())},
    }


def incident_lines(view: ClusterView, *, with_closed: bool) -> dict[str, Any]:
    """Return the open incidents and, if asked, the closed ones, the newest first."""
    lines = [incident_line(incident) for incident in view.incidents.values()]
    newest = sorted(lines, key=lambda line: line["stamps"].get("convicted", ""), reverse=True)
    is_open = [line for line in newest if not line["closed"]]
    closed = [line for line in newest if line["closed"]]
    return {"incidents": is_open + (closed if with_closed else []), "closed": len(closed)}


def whole_incident(
    view: ClusterView, incident: IncidentView, policy: EvacuationPolicy
) -> dict[str, Any]:
    """Return one incident with every guest's migration."""
    record = incident.record.value
    host = view.hosts.get(record.host)
    state = host.record.value.state if host is not None and host.record.value else None
    is_over = record.closed or state is HostState.EVACUATED or state in LIVE_STATES
    migrations = sorted(incident.migrations.values(), key=lambda m: m.record.value.name)
    return {
        **_plain(record),
        "host_state": state,
        "is_over": is_over,
        "migrations": [_plain(migration.record.value) for migration in migrations],
        "not_movable": [] if record.closed else _not_movable(host, incident, policy),
    }


def exported(view: ClusterView, incident: IncidentView, policy: EvacuationPolicy) -> dict[str, Any]:
    """Return all that is kept of an incident as one document for other programs."""
    whole = whole_incident(view, incident, policy)
    migrations, not_movable = whole.pop("migrations"), whole.pop("not_movable")
    state = whole.pop("host_state")
    whole.pop("is_over")
    own = view.controllers.get(view.own.controller)
    return {
        "export": EXPORT_SCHEMA,
        "exported_at": view.wall,
        "exported_by": view.own.controller,
        "hamon": own.version if own is not None else "",
        **{name: whole.pop(name) for name in _APART},
        "incident": whole,
        "migrations": migrations,
        "not_movable": not_movable,
        "host_state": state,
    }


def policy_of(policy: Policy, host: HostView | None) -> dict[str, Any]:
    """Return the policy's values in force for a host, and which of them are its own choices."""
    if host is None:
        return {"policy": dict(values_of(policy)), "own_choices": []}
    own = host.spec.policy
    return {"policy": dict(values_of(policy, own)), "own_choices": sorted(chosen_by(own))}


def outlook_told(outlook: Outlook) -> dict[str, Any]:
    """Return the verdict of now, and what the next step would need."""
    verdict = outlook.verdict
    return {
        "verdict": None
        if verdict is None
        else {
            "call": verdict.call,
            **reason_told(verdict.reason),
            "evidence": list(verdict.evidence),
        },
        "next": outlook.step,
        "needs": [
            {**reason_told(need.reason), "met": need.is_met, "witness": need.is_witness}
            for need in outlook.needs
        ],
    }


def reason_told(told: Reason) -> dict[str, Any]:
    """Return a reason as it is answered."""
    return {"code": told.code, "subject": told.subject, "facts": dict(told.facts)}


def opted_out_told(policy: GuestPolicy) -> tuple[str, ...]:
    """Say who wants a guest left alone, nothing if nobody does."""
    return (f"opted out: {policy.opted_out}",) if policy.is_opted_out else ()


def _not_movable(
    host: HostView | None, incident: IncidentView, policy: EvacuationPolicy
) -> list[dict[str, Any]]:
    only = incident.record.value.only
    if host is None:
        return []
    left = []
    for guest, entry in sorted(host.inventory.items()):
        known = policy_of_entry(entry, policy)
        is_named = guest in only or guest in incident.migrations
        why = [*entry.not_movable, *(() if is_named else opted_out_told(known))]
        if why and (not only or guest in only):
            left.append({"guest": guest, "name": entry.name, "why": why})
    return left


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON is dynamic
    return msgspec.to_builtins(value)
