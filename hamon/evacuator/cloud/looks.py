"""What has to be read of Nova before something may be concluded about a host's guests. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection

from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import CloudView
from hamon.model.names import GuestId

AGGREGATES_PERIOD_S = 300.0
IMAGES_AT_ONCE = 8
IMAGE_AGAIN_S = 30.0


def stale_lists(
    cloud: CloudView, source: str, guests: Collection[GuestId], since_s: float, *, is_first: bool
) -> tuple[CloudLook, ...]:
    """Return the looks that make what is known of some of a host's guests newer than a moment.

    A list of what changed is short; it says nothing before all has been read once. Which servers
    changed is asked before what became of them: mostly it is none of these guests (ADR 0010). Not
    so before the first batch (``is_first``), that nobody should wait for longer than for one list.
    """
    looks = []
    servers_s = cloud.servers_fresh_s(source)
    if servers_s is None:
        looks.append(CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=source))
    elif servers_s < since_s:
        is_told = cloud.touched_s is not None and cloud.touched_s >= since_s
        if not is_told and not is_first:
            looks.append(CloudLook(kind=CloudLookKind.SERVERS_TOUCHED))
        elif not is_told or not cloud.touched.isdisjoint(guests):
            looks.append(CloudLook(kind=CloudLookKind.SERVERS_CHANGED))
    migrations_s = cloud.migrations_fresh_s(source)
    if migrations_s is None:
        looks.append(CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=source))
    elif migrations_s < since_s:
        looks.append(CloudLook(kind=CloudLookKind.MIGRATIONS_CHANGED))
    return tuple(looks)


def whole_lists(cloud: CloudView, source: str, since_s: float) -> tuple[CloudLook, ...]:
    """Return the looks that read all of a host's servers and migrations after a moment.

    A record that nobody has touched since it was made is in no list of what changed (nova.md 6.2).
    """
    looks = []
    if cloud.listed_s.get(source, -1.0) < since_s:
        looks.append(CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=source))
    if cloud.traced_s.get(source, -1.0) < since_s:
        looks.append(CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=source))
    return tuple(looks)


def whereabouts(cloud: CloudView, guest: GuestId, source: str) -> CloudLook:
    """Return the look that tells where a guest is that a list of its host no longer has."""
    listed_s = cloud.listed_s.get(source)
    if cloud.changed_s is None or (listed_s is not None and cloud.changed_s < listed_s):
        return CloudLook(kind=CloudLookKind.SERVERS_CHANGED)
    return CloudLook(kind=CloudLookKind.SERVER, guest=guest)


def choices_due(cloud: CloudView, sources: Collection[str], now_s: float) -> list[CloudLook]:
    """Return what is to be read of images and aggregates, for what may be said there of guests.

    Each image once in an incident; one that could not be read is asked for again after a while.

    Args:
        cloud: what was read.
        sources: service hosts whose guests are being moved, or soon will be.
        now_s: monotonic seconds.
    """
    if not sources:
        return []
    due = []
    if cloud.aggregates_s is None or now_s >= cloud.aggregates_s + AGGREGATES_PERIOD_S:
        due.append(CloudLook(kind=CloudLookKind.AGGREGATES))
    wanted = {
        server.image
        for guest, server in cloud.servers.items()
        if server.image and server.host in sources and guest not in cloud.unlisted
    }
    unread = [
        CloudLook(kind=CloudLookKind.IMAGE, image=image)
        for image in sorted(wanted - cloud.images.keys())
        if now_s >= cloud.images_s.get(image, -math.inf) + IMAGE_AGAIN_S
    ]
    return [*due, *unread[:IMAGES_AT_ONCE]]
