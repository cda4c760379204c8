"""The policy as an operator knows it: the keys of hamon.toml and what they are set to, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from hamon.model.chronicle import cut
from hamon.model.policy import HostPolicy, Policy

VALUE_MAX = 120
"""Characters of one value."""

_ELSEWHERE = {"detection.session_timeout_s": "zookeeper.session_timeout_s"}
"""Written once, in another table."""

_UNTOLD = frozenset({"recovery.before_gate"})
"""A command line of the operator's own: it may hold anything, and no rule rests on it."""


def values_of(policy: Policy, own: HostPolicy | None = None) -> Mapping[str, str]:
    """Return every value in force for a host, by its key in hamon.toml.

    Args:
        policy: of the cluster.
        own: what the host or its group chose instead; None: of no host in particular.
    """
    detection = policy.detection if own is None else policy.detection.of(own)
    found = {
        "cluster.backend": policy.backend,
        "cluster.mode": policy.mode,
        **_table("detection", detection),
        **_table("holds", policy.holds),
        **_table("fencing", policy.fencing),
        **_table("evacuation", policy.evacuation),
        **_table("recovery", policy.recovery),
    }
    return {
        _ELSEWHERE.get(key, key): cut(_text(value), VALUE_MAX)
        for key, value in found.items()
        if key not in _UNTOLD
    }


def chosen_by(own: HostPolicy) -> frozenset[str]:
    """Name the keys that a host or its group chose for itself, in hosts.d."""
    return frozenset(
        f"detection.{field.name}" for field in fields(own) if getattr(own, field.name) is not None
    )


def _table(name: str, table: object) -> dict[str, object]:
    assert hasattr(table, "__dataclass_fields__"), "tables of the policy are dataclasses"
    return {f"{name}.{key}": getattr(table, key) for key in table.__dataclass_fields__}


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
