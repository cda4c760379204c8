"""What the command line is told of one host: its line, what was seen of it, and its guests.

Pictures of a view, as in :mod:`hamon.engine.answers`; each is plain and ready for JSON. ``now_s``
is this controller's monotonic second: ages are counted from it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hamon.decide.admission import is_shut_out
from hamon.detector.agentless import nova_word
from hamon.engine.stories import opted_out_told
from hamon.evacuator.choices import policy_of_entry
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import DomainState
from hamon.model.names import GuestId
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, HostView


def host_line(view: ClusterView, host: HostView, now_s: float) -> dict[str, Any]:
    """Return one host on one line."""
    record = host.record.value
    domains = host.domains.domains if host.domains is not None else {}
    states = Counter(domains.values())
    return {
        "host": host.name,
        "state": record.state if record is not None else "never seen",
        "since": record.since if record is not None else "",
        "reason": record.reason if record is not None else "",
        "boot_id": host.boot_id,
        "labels": dict(host.spec.labels),
        "agentless": host.spec.agentless,
        "nova": _nova(view, host, now_s),
        "session": host.heartbeat is not None,
        "incident": record.incident if record is not None else None,
        "running": states[DomainState.RUNNING],
        "protected": sum(1 for entry in host.inventory.values() if entry.is_protected),
        "reserved": _reserved(view, host),
        "maintenance": host.name in view.control.value.maintenance,
    }


def named_guests(view: ClusterView, host: HostView) -> list[GuestId]:
    """Return the guests that are named one by one in the incident that a command would join.

    None: all move, or there is no such incident.
    """
    if not is_shut_out(view, host):
        return []
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    return list(incident.record.value.only) if incident is not None else []


def guest_lines(
    view: ClusterView, host: HostView, policy: EvacuationPolicy
) -> list[dict[str, Any]]:
    """Return the guests that libvirt has on a host, by name."""
    guests = []
    for guest, entry in sorted(host.inventory.items(), key=lambda item: item[1].name):
        owned = view.guests.get(guest)
        known = policy_of_entry(entry, policy)
        grant = host.grants.get(guest)
        state = host.domains.domains.get(guest) if host.domains is not None else None
        guests.append(
            {
                "guest": guest,
                "name": entry.name,
                "wanted": entry.wanted,
                "domain": state,
                "protected": entry.is_protected and not known.is_opted_out,
                "not_movable": [*entry.not_movable, *opted_out_told(known)],
                "policy": policy_answer(known),
                "owner": owned.value.owner if owned is not None else None,
                "generation": owned.value.generation if owned is not None else None,
                "migration": owned.value.migration if owned is not None else None,
                "grant": grant.value.state if grant is not None else None,
                "ram_mib": entry.ram_mib,
                "vcpus": entry.vcpus,
            }
        )
    return guests


def policy_answer(policy: GuestPolicy) -> dict[str, Any]:
    """Return what was said of a guest, as it holds."""
    return {
        "priority": policy.priority,
        "restart": policy.restart,
        "ready": policy.ready,
        "refused": list(policy.refused),
    }


def evidence_lines(host: HostView, now_s: float) -> list[dict[str, Any]]:
    """Return what every witness says of a host, the loss of its session first."""
    lost = (
        []
        if host.session_lost_s is None or host.spec.agentless
        else [
            {
                "source": "session",
                "subject": "zookeeper",
                "vote": "lost",
                "age_s": round(now_s - host.session_lost_s, 2),
            }
        ]
    )
    return lost + [
        {
            "source": vote.source,
            "subject": vote.subject,
            "vote": vote.vote,
            "age_s": round(now_s - vote.observed_s, 2),
            "for_s": round(now_s - vote.changed_s, 2),
            "boot_id": vote.boot_id,
            "detail": vote.detail,
        }
        for vote in host.evidence
    ]


def power_lines(host: HostView, now_s: float) -> list[dict[str, Any]]:
    """Return the power readings of a host, newest last."""
    return [
        {
            "device": reading.device,
            "power": reading.power,
            "age_s": round(now_s - reading.observed_s, 2),
            "detail": reading.detail,
        }
        for reading in host.readings
    ]


def _reserved(view: ClusterView, host: HostView) -> str:
    """Say whether a reserved host is kept free or in use; "": it is none."""
    if not host.spec.reserved:
        return ""
    use = view.control.value.reserved_in_use.get(host.name)
    return "kept free" if use is None else f"in use for {use.incident} since {use.since}"


def _nova(view: ClusterView, host: HostView, now_s: float) -> dict[str, Any] | None:
    """Return what Nova says of the compute service of a host without an agent."""
    if not host.spec.agentless:
        return None
    word = nova_word(view, host, now_s)
    return {"word": word.word, "why": word.why, "beat_at": word.beat_at}
