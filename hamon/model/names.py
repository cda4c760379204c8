"""Names and identities, kept apart by type so that one cannot be passed for another.

A name from outside is validated here before it may reach a path, a command line or a URI.
"""

from __future__ import annotations

import re
from typing import NewType
from uuid import UUID

HostName = NewType("HostName", str)
ControllerId = NewType("ControllerId", str)
GuestId = NewType("GuestId", str)
"""A guest's libvirt UUID in lower-case canonical form."""
BootId = NewType("BootId", str)
"""The kernel's ``/proc/sys/kernel/random/boot_id``: one life of a host."""
IncidentId = NewType("IncidentId", str)
PlaneName = NewType("PlaneName", str)
Epoch = NewType("Epoch", int)
"""Data version of the ``epoch`` znode: the fencing token of the leader."""

CLUSTER = "cluster"
"""Scope of a hold, and subject of a reason, that concern everything: no host's name."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


def is_name(text: str) -> bool:
    """Say whether ``text`` may name a host, controller, cluster or plane.

    Lower-case letters, digits, dots and hyphens, 1 to 63 characters, alphanumeric at both ends,
    no two dots in a row: safe in a ZooKeeper path, a command line and a URI.
    """
    return _NAME.fullmatch(text) is not None and ".." not in text


def host_name(text: str) -> HostName:
    """Turn ``text`` into a host name.

    Raises:
        ValueError: it is not a valid name.
    """
    if not is_name(text):
        msg = f"{text!r} is not a host name (lower-case letters, digits, '.' and '-', at most 63)"
        raise ValueError(msg)
    if text == CLUSTER:
        raise ValueError(f"{text!r} cannot be a host's name: it stands for the whole cluster")
    return HostName(text)


def guest_id(text: str) -> GuestId:
    """Turn a UUID in any spelling into a guest id.

    Raises:
        ValueError: it is not a UUID.
    """
    return GuestId(str(UUID(text)))


def incident_id(host: HostName, guard_version: int) -> IncidentId:
    """Name the incident that a conviction opens.

    The version of a host's guard znode only ever grows, so host and version after the conviction
    are unique without a counter of their own.
    """
    return IncidentId(f"{host}-{guard_version}")
