"""Guests that a person names one by one: how many of them one incident takes. Pure.

Each is kept in the incident's record, which is written again at every step and has a hundred others
beside it; with so many its worst stays below 32 KiB (docs/incidents.md).
"""

from __future__ import annotations

from collections.abc import Collection

NAMED_MAX = 64
"""Guests in an incident's ``only``."""


def one_too_many(
    host: str, incident: str, only: Collection[str], guest: str
) -> tuple[str, str] | None:
    """Say why one more guest cannot be named, and what to do instead; None: it can be.

    Args:
        host: whose guests they are.
        incident: the open incident of the host.
        only: who is named in it; empty: all are moved, and naming one adds nothing.
        guest: who is to be named as well.
    """
    if guest in only or len(only) < NAMED_MAX:
        return None
    msg = f"incident {incident} of host {host} names {len(only)} guests one by one already"
    advice = f"`hamon evacuate-host {host}` moves all others; what must stay opts out before it"
    return f"{msg}, and takes no more than {NAMED_MAX}", f"{advice} (docs/guests.md)"
