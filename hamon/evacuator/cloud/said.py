"""What was said of a server in Nova and glance, and the policy that follows (docs/guests.md). Pure.

Rules:

1. The more exact wins: server, then flavor, image, and the aggregates of the source host.
2. Aggregates that disagree about a key have said nothing of it, and that is told.
3. An image or a list of aggregates that cannot be read delays nobody for long, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from hamon.evacuator.choices import Place, is_read, joined_policy, meaning
from hamon.model.cloud import Aggregate, CloudView, Server
from hamon.model.guest_policy import GuestPolicy
from hamon.model.policy import EvacuationPolicy, GuestsPolicy

READ_WITHIN_S = 3.0
"""So long after the list of a host's guests nobody waits for what is said of images."""


def policy_of(
    cloud: CloudView, server: Server, source: str, policy: EvacuationPolicy
) -> GuestPolicy:
    """Return what holds for a server.

    Args:
        cloud: what was read.
        server: the guest.
        source: service host of the host that died: its aggregates count.
        policy: of the cluster.
    """
    image = cloud.images.get(server.image)
    aggregates, refused = _joined([one for one in cloud.aggregates or () if source in one.hosts])
    places = [
        Place(name="server metadata", said=server.metadata, tags=server.tags),
        Place(name="flavor", said=server.extra_specs),
    ]
    if image is not None:
        places.append(Place(name="image", said=image.properties, tags=image.tags))
    places.append(aggregates)
    return joined_policy(places, policy, (*refused, *_unread(cloud, server)))


def is_awaited(cloud: CloudView, server: Server, source: str, now_s: float) -> bool:
    """Say whether something that may be said of a server is being read, and is worth waiting for.

    safety: what is not read in time holds nobody up. An opt-out that it would have shown is a wish
    of people: the host is proven dead, and a guest that was moved against it is moved back with
    nothing lost, while one that is left for it stays down until somebody looks.
    """
    is_tried = not server.image or server.image in cloud.images_s
    if is_tried and cloud.aggregates is not None:
        return False
    return now_s < cloud.listed_s.get(source, now_s) + READ_WITHIN_S


def may_be_tagged(cloud: CloudView, server: Server, policy: EvacuationPolicy) -> bool:
    """Say whether what could not be read might mark a guest evacuable, where that is needed."""
    return policy.guests is GuestsPolicy.TAGGED and bool(_unread(cloud, server))


def _unread(cloud: CloudView, server: Server) -> tuple[str, ...]:
    unread = []
    if server.image and server.image not in cloud.images:
        unread.append(f"image {server.image}: its properties could not be read")
    if cloud.aggregates is None:
        unread.append("the host's aggregates could not be read")
    return tuple(unread)


def _joined(aggregates: Sequence[Aggregate]) -> tuple[Place, list[str]]:
    """Join what a host's aggregates say; what they disagree about is left out.

    Keys that hamon does not read may differ as they like.
    """
    said: dict[str, str] = {}
    by: dict[str, str] = {}
    refused: list[str] = []
    disputed: set[str] = set()
    for aggregate in aggregates:
        for key, value in sorted(aggregate.metadata.items()):
            lower = key.strip().lower()
            before = said.setdefault(lower, value)
            if meaning(lower, before) == meaning(lower, value):
                by.setdefault(lower, aggregate.name)
            elif lower not in disputed and is_read(lower):
                disputed.add(lower)
                refused.append(
                    f"aggregates {by[lower]} and {aggregate.name} disagree about {lower}"
                )
    kept = {key: value for key, value in said.items() if key not in disputed}
    return Place(name="aggregate", said=kept), refused
