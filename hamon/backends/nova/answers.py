"""Answers of Nova and glance turned into hamon's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hamon.model.cloud import Aggregate, CloudMigration, Image, Progress, ServerGroup
from hamon.model.names import guest_id

_CONDUCTED, _REBUILT = "rebuild_server", "compute_rebuild_instance"


def progress_of(events: Iterable[Mapping[str, Any]]) -> Progress:
    """Read how far an evacuation is from the events of its action."""
    conducted = [event for event in events if event["event"] == _CONDUCTED]
    rebuilt = [event for event in events if event["event"] == _REBUILT]
    return Progress(
        is_passed_on=any(event["result"] == "Success" for event in conducted) or bool(rebuilt),
        taken_by=rebuilt[-1]["host"] if rebuilt else "",
        is_over=bool(rebuilt) and all(event["finish_time"] for event in rebuilt),
    )


def group_of(found: Mapping[str, Any]) -> ServerGroup:
    """Read a server group."""
    return ServerGroup(
        id=found["id"],
        name=found["name"],
        policy=found["policy"],
        members=frozenset(map(guest_id, found["members"])),
    )


def aggregate_of(found: Mapping[str, Any]) -> Aggregate:
    """Read a host aggregate."""
    return Aggregate(
        name=found["name"], hosts=frozenset(found["hosts"]), metadata=dict(found["metadata"])
    )


def image_of(found: Mapping[str, Any]) -> Image:
    """Read what glance says of an image."""
    # glance has an image's own properties beside its other fields; all that are told are texts.
    properties = {key: value for key, value in found.items() if isinstance(value, str)}
    return Image(id=found["id"], properties=properties, tags=frozenset(found["tags"]))


def migration_of(found: Mapping[str, Any]) -> CloudMigration:
    """Read a row of os-migrations."""
    return CloudMigration(
        number=int(found["id"]),
        guest=guest_id(found["instance_uuid"]),
        kind=found["migration_type"],
        status=found["status"],
        source=found["source_compute"] or "",
        destination=found["dest_compute"] or "",
        created_at=found["created_at"] or "",
        updated_at=found["updated_at"] or "",
    )
