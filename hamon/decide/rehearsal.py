"""A rehearsal of an evacuation: every guest, where it could go now, and what cannot move and why.

Pure; the same filters, weighers and accounting as the real thing, without proof or writing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.decide.holds import holds
from hamon.evacuator.choices import policy_of_entry
from hamon.evacuator.scheduler import Scheduler, Wish
from hamon.model.guest import PowerState
from hamon.model.names import GuestId, HostName
from hamon.model.policy import Policy
from hamon.model.view import ClusterView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One guest of the host.

    ``destination`` None: it would not move now. ``why``: why not, or what is special about it.
    """

    guest: GuestId
    name: str
    wanted: PowerState
    ram_mib: int
    vcpus: int
    destination: HostName | None
    why: str = ""


def rehearse(
    view: ClusterView,
    policy: Policy,
    host: HostName,
    target: HostName | None,
    now_s: float,
) -> tuple[Rehearsed, ...]:
    """Say where each guest of a host would go if the host were dead now.

    Args:
        view: the world.
        policy: the numbers and choices.
        host: the host to be evacuated; it is left out as a destination.
        target: the one destination an operator wants, None: the scheduler's choice.
        now_s: monotonic seconds.
    """
    scheduler = Scheduler(view, policy.evacuation, holds(view, policy, now_s))
    source = view.hosts[host]
    rehearsed = []
    known = {
        guest: policy_of_entry(entry, policy.evacuation)
        for guest, entry in source.inventory.items()
    }
    order = sorted(
        source.inventory.items(),
        key=lambda item: (known[item[0]].priority, -item[1].ram_mib, item[0]),
    )
    for guest, entry in order:
        owned = view.guests.get(guest)
        destination, why = None, ""
        if not entry.is_protected:
            why = "not movable: " + ", ".join(entry.not_movable)
        elif owned is None:
            why = "not adopted yet"
        elif owned.value.owner != host:
            why = f"owned by {owned.value.owner}"
        elif known[guest].is_opted_out:
            why = f"opted out: {known[guest].opted_out}"
        else:
            wish = Wish(guest=guest, entry=entry, excluded={host: "source host"}, target=target)
            placement = scheduler.place(wish)
            destination = placement.host or placement.reserved
            if destination is None:
                why = f"NoValidHost: {placement.why_not}"
            elif placement.host is None:
                why = "a reserved host, which would be put to use"
        rehearsed.append(
            Rehearsed(
                guest=guest,
                name=entry.name,
                wanted=entry.wanted,
                ram_mib=entry.ram_mib,
                vcpus=entry.vcpus,
                destination=destination,
                why=why,
            )
        )
    return tuple(rehearsed)
