"""Clouds to think about: services, servers and migration records as Nova would list them now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from hamon.evacuator.cloud.rows import OPEN
from hamon.model.cloud import (
    EVACUATION,
    CallState,
    CloudCall,
    CloudMigration,
    CloudView,
    ComputeService,
    Image,
    Server,
)
from hamon.model.guest import GuestRecord, PowerState
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import Epoch, HostName
from hamon.model.proof import FenceProof, ProofMethod
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    EPOCH,
    GUEST_VERSION,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_view,
    an_incident,
    at,
)

ROW = 41
"""The number of the record of Nova's that our request made."""


def a_server(number: int = 1, *, host: str = HOST, **others: Any) -> Server:  # noqa: ANN401
    """Guest ``number`` as Nova has it: active, on a host."""
    others.setdefault("vm_state", "active")
    return Server(guest=a_guest(number), name=f"guest-{number}", host=host, node=host, **others)


def a_row(
    number: int = 1,
    status: str = "accepted",
    *,
    row: int = ROW,
    to: str = "",
    **others: Any,  # noqa: ANN401
) -> CloudMigration:
    """An evacuation of guest ``number`` away from the first host, as Nova records it."""
    others.setdefault("kind", EVACUATION)
    others.setdefault("source", HOST)
    return CloudMigration(
        number=row, guest=a_guest(number), status=status, destination=to, **others
    )


def a_service(host: str, *, is_down: bool = False, **others: Any) -> ComputeService:  # noqa: ANN401
    """A nova-compute, up and enabled unless it is forced down."""
    if is_down:
        others = {"is_enabled": False, "disabled_reason": f"hamon: {INCIDENT}"} | others
    return ComputeService(
        id=f"service-{host}", host=host, is_up=not is_down, is_forced_down=is_down, **others
    )


def a_call(
    state: CallState,
    *,
    age_s: float = 1.0,
    attempt: int = 1,
    **others: Any,  # noqa: ANN401
) -> CloudCall:
    """The last request for a guest."""
    return CloudCall(state=state, at_s=NOW_S - age_s, attempt=attempt, **others)


def a_cloud(
    servers: Iterable[Server] = (),
    rows: Iterable[CloudMigration] = (),
    *,
    age_s: float = 0.5,
    **others: Any,  # noqa: ANN401 - any field of the view
) -> CloudView:
    """A cloud in which the first host is shut out, and all was read ``age_s`` ago."""
    listed = tuple(servers)
    by_guest: dict[Any, tuple[CloudMigration, ...]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        by_guest[row.guest] = (*by_guest.get(row.guest, ()), row)
    read_s = NOW_S - age_s
    view = CloudView(
        services={
            HOST: a_service(HOST, is_down=True),
            SPARE: a_service(SPARE),
            THIRD: a_service(THIRD),
        },
        services_s=read_s,
        conducting_since_s=0.0,
        servers={server.guest: server for server in listed},
        listed_s={HOST: read_s},
        migrations=by_guest,
        traced_s={HOST: read_s},
        ended_s={
            (row.guest, row.number): read_s
            for of_guest in by_guest.values()
            for row in of_guest
            if row.status not in OPEN
        },
        hard_affinity=frozenset(),
        groups_s=read_s,
        images={server.image: Image(id=server.image) for server in listed if server.image},
        images_s={server.image: read_s for server in listed if server.image},
        aggregates=(),
        aggregates_s=read_s,
        window=8,
    )
    return replace(view, **others)


def a_dead_host(state: HostState = HostState.EVACUATING, **others: Any) -> HostView:  # noqa: ANN401
    """The first host, proven dead."""
    return a_host(HOST, state, **others)


def a_spare(name: HostName = SPARE, **others: Any) -> HostView:  # noqa: ANN401 - see a_host
    """A host that lives and takes guests."""
    return a_host(name, **others)


def recorded(number: int = 1, *, wanted: PowerState = PowerState.RUNNING) -> Any:  # noqa: ANN401
    """The record that names guest ``number``'s open migration."""
    record = GuestRecord(
        name=f"guest-{number}", owner=HOST, generation=0, wanted=wanted, migration=INCIDENT
    )
    return at(GUEST_VERSION + number * 100, record)


def a_cloud_view(
    cloud: CloudView,
    *hosts: HostView,
    migrations: Iterable[Any] = (),
    **others: Any,  # noqa: ANN401 - any field of the view
) -> ClusterView:
    """A view of one dead host (unless given), a spare one, and an open incident."""
    held = tuple(migrations)
    open_ = [m.record.value for m in held if m.record.value.status in _OPEN]
    guests = {m.guest: recorded(UUID(m.guest).int, wanted=m.wanted) for m in open_}
    view = a_view(
        *(hosts or (a_dead_host(), a_spare())),
        incidents=[an_incident(*held)],
        guests=guests,
    )
    return replace(view, cloud=cloud, **others)


_OPEN = frozenset(
    {MigrationStatus.WAITING, MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING}
)


def a_proof(epoch: Epoch = EPOCH) -> FenceProof:
    """A fresh proof of the first host's death."""
    return FenceProof(
        host=HOST,
        boot_id=BOOT,
        epoch=epoch,
        method=ProofMethod.POWER,
        observed_s=NOW_S,
        detail="off",
    )
