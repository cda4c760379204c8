"""What was said of a guest, in several places, joined to one policy (docs/guests.md). Pure.

Rules:

1. The more exact place wins, key by key.
2. A value that makes no sense counts as not said, is never guessed at, and is told.
3. What cannot be read takes nothing away from what can.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hamon.model.guest import InventoryEntry, PowerState
from hamon.model.guest_policy import (
    EVACUATE,
    PRIORITY,
    PRIORITY_DEFAULT,
    READY,
    READY_ADDRESS,
    READY_TIMEOUT,
    READY_TIMEOUT_S,
    RESTART,
    GuestPolicy,
    ReadyCheck,
    Restart,
)
from hamon.model.incident import OPEN_MIGRATIONS, MigrationStatus
from hamon.model.policy import EvacuationPolicy, GuestsPolicy
from hamon.model.reason import Reason, reason
from hamon.model.view import IncidentView

HA_ENABLED, EVACUABLE = "ha_enabled", "evacuable"
"""Masakari's key, and instanceha's key or tag; the case of letters does not matter in any key."""

PRIORITY_MAX = 999_999
TIMEOUT_MAX_S = 3600.0
_SHOWN_MAX = 60
_PORT_MAX = 65535
_YES, _NO = frozenset({"true", "yes", "1", "on"}), frozenset({"false", "no", "0", "off"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place where something may be said of a guest.

    ``name``: in words. ``said``: by key. ``tags``: words without a value, as of Nova and glance.
    """

    name: str
    said: Mapping[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()


def joined_policy(
    places: Sequence[Place], policy: EvacuationPolicy, unread: Sequence[str] = ()
) -> GuestPolicy:
    """Join what was said of a guest.

    Args:
        places: the most exact first.
        policy: whether guests of whom nothing is said are evacuated; where, and for how long at
            most, guests may be waited for.
        unread: places that could not be read, in words; they are told.
    """
    refused = list(unread)
    # Keys are compared in lower case: Masakari's own has capitals, and people mix them.
    lower = [
        Place(
            name=place.name,
            said={key.strip().lower(): value for key, value in sorted(place.said.items())},
            tags=frozenset(tag.strip().lower() for tag in place.tags),
        )
        for place in places
    ]

    def first(key: str, read: Callable[[str], T], default: T) -> T:
        for place in lower:
            if key not in place.said:
                continue
            try:
                return read(place.said[key].strip().lower())
            except ValueError as error:
                shown = place.said[key][:_SHOWN_MAX]
                refused.append(f"{place.name} {key}={shown!r}: {error}")
        return default

    priority = first(PRIORITY, _priority, PRIORITY_DEFAULT)
    restart = first(RESTART, _restart, Restart.IF_RAN)
    ready, port = first(READY, _ready, (ReadyCheck.NONE, 0))
    timeout_s = first(READY_TIMEOUT, _timeout_s, READY_TIMEOUT_S)
    address = first(READY_ADDRESS, _address, "")
    opted_out = _opted_out(lower, policy.guests, refused)
    unfit = _unfit_address(address, policy) if ready is ReadyCheck.TCP else ""
    if unfit:
        refused.append(f"{READY}=tcp:{port}: {unfit}")
        ready, port = ReadyCheck.NONE, 0
    return GuestPolicy(
        priority=priority,
        restart=restart,
        opted_out=opted_out,
        ready=ready,
        ready_address=address if ready is ReadyCheck.TCP else "",
        ready_port=port,
        ready_timeout_s=min(timeout_s, policy.ready_wait_max_s),
        refused=tuple(refused),
    )


def policy_of_entry(entry: InventoryEntry, policy: EvacuationPolicy) -> GuestPolicy:
    """Return what holds for a guest that a host's libvirt defines."""
    return joined_policy((Place(name="domain metadata", said=entry.choices),), policy)


def wanted_after(policy: GuestPolicy, before: PowerState) -> PowerState:
    """Return the power state a guest is to end in.

    Args:
        policy: the guest's.
        before: what was wanted before its host died.
    """
    match policy.restart:
        case Restart.ALWAYS:
            return PowerState.RUNNING
        case Restart.NEVER:
            return PowerState.SHUTOFF
        case Restart.IF_RAN:
            return before


def _opted_out(places: Sequence[Place], guests: GuestsPolicy, refused: list[str]) -> str:
    """Say by what a guest is not evacuated; "": it is.

    safety: a word that makes no sense opts nobody out. The guest's host is proven dead, so moving
    it harms no data; leaving it would cost its owner all the time until somebody looks.
    """
    for place in places:
        for key in _evacuate_keys(place):
            value = place.said[key]
            if value.strip().lower() in _YES:
                return ""
            if value.strip().lower() in _NO:
                if EVACUABLE in place.tags and key != EVACUATE:
                    refused.append(f"{place.name} tag {EVACUABLE}: {key} says otherwise, and wins")
                return f"{place.name} {key}={value[:_SHOWN_MAX]}"
            why = "write true or false"
            refused.append(f"{place.name} {key}={value[:_SHOWN_MAX]!r}: {why}")
        if EVACUABLE in place.tags:
            return ""
    if guests is GuestsPolicy.TAGGED:
        return 'not marked evacuable (evacuation.guests = "tagged")'
    return ""


def _evacuate_keys(place: Place) -> list[str]:
    """Name the keys of a place that say whether to evacuate, the most exact first."""
    known = (EVACUATE, HA_ENABLED, EVACUABLE)
    others = sorted(key for key in place.said if key not in known and _says_whether(key))
    return [key for key in (*known, *others) if key in place.said]


def _says_whether(key: str) -> bool:
    """Say whether a key is about being evacuated at all."""
    # instanceha takes composite keys of flavors too: trait:evacuable.
    return key in {EVACUATE, HA_ENABLED, EVACUABLE} or key.endswith(f":{EVACUABLE}")


def meaning(key: str, value: str) -> object:
    """Return what is understood by a value, to be compared; what makes no sense is its text.

    Args:
        key: in lower case.
        value: as it was written.
    """
    text = value.strip().lower()
    if _says_whether(key):
        return text in _YES if text in _YES | _NO else text
    try:
        return _READERS[key](text) if key in _READERS else value
    except ValueError:
        return text


def is_read(key: str) -> bool:
    """Say whether a key, in lower case, is hamon's or one that it reads."""
    return key.startswith("hamon:") or _says_whether(key)


def _priority(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(PRIORITY_MAX)):
        raise ValueError(f"write a whole number from 0 to {PRIORITY_MAX}")
    return int(text)


def _restart(text: str) -> Restart:
    try:
        return Restart(text)
    except ValueError:
        raise ValueError(f"write {', '.join(Restart)}") from None


def _ready(text: str) -> tuple[ReadyCheck, int]:
    if text == ReadyCheck.NONE:
        return ReadyCheck.NONE, 0
    if text == ReadyCheck.GUEST_AGENT:
        return ReadyCheck.GUEST_AGENT, 0
    kind, colon, port = text.partition(":")
    is_number = port.isascii() and port.isdecimal() and len(port) <= len(str(_PORT_MAX))
    if kind == ReadyCheck.TCP and colon and is_number and 1 <= int(port) <= _PORT_MAX:
        return ReadyCheck.TCP, int(port)
    raise ValueError("write none, guest_agent or tcp:PORT")


def _timeout_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= TIMEOUT_MAX_S:
        raise ValueError(f"write seconds, more than 0 and at most {TIMEOUT_MAX_S:g}")
    return seconds


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("write an IP address") from None
    return str(address)


_READERS: Mapping[str, Callable[[str], object]] = {
    PRIORITY: _priority,
    RESTART: _restart,
    READY: _ready,
    READY_TIMEOUT: _timeout_s,
    READY_ADDRESS: _address,
}


def _unfit_address(address: str, policy: EvacuationPolicy) -> str:
    """Say why the leader does not probe an address; "": it does.

    safety: tenants write their servers' metadata. Without the operator's list any of them could
    have a controller connect to whatever it reaches.
    """
    if not address:
        return f"without {READY_ADDRESS} nobody knows where to probe"
    found = ipaddress.ip_address(address)
    networks = map(ipaddress.ip_network, policy.ready_networks)
    if any(found in network for network in networks):
        return ""
    return f"{address} is in none of evacuation.ready_networks"


def told_choices(incident: IncidentView) -> tuple[Reason, ...]:
    """Say of each guest on its way what does not count, and who was recorded as opted out."""
    told = []
    for guest, migration in sorted(incident.migrations.items()):
        record = migration.record.value
        refused, by = record.policy.refused, record.policy.opted_out
        if record.status in OPEN_MIGRATIONS and refused:
            what = "; ".join(refused)
            told.append(reason("guest_choice_refused", guest, name=record.name, what=what))
        if record.status is MigrationStatus.FAILED and by and not record.by_hand:
            told.append(reason("guest_opted_out", guest, name=record.name, by=by))
    return tuple(told)
