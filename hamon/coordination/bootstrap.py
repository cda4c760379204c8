"""Making and unmaking what ZooKeeper holds of a cluster and of its hosts.

Every znode is created with its final access rules: there is no moment at which somebody else could
have written to it. All of this may be repeated; only what is missing is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hamon.coordination.access import Identities, access_for, identities_of
from hamon.coordination.codec import Format, decode, encode
from hamon.coordination.paths import SHARDS, Place, PlaceKind, child, parse, path_of, to_path
from hamon.errors import (
    DeposedError,
    NodeExistsError,
    NodeMissingError,
    RequestRefusedError,
    UnreadableNodeError,
    WriteConflictError,
)
from hamon.model.change import guest_of
from hamon.model.control import Control, StormRecord
from hamon.model.guest import OPEN_GRANTS, Grant, GuestRecord
from hamon.model.host import HostGuard, HostSpec, Right
from hamon.model.incident import OPEN_MIGRATIONS, IncidentRecord, MigrationRecord
from hamon.model.names import Epoch, HostName
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    SetData,
    Store,
    StoreOperation,
)

_CLUSTER = (
    PlaceKind.FORMAT,
    PlaceKind.EPOCH,
    PlaceKind.CONTROL,
    PlaceKind.STORMS,
    PlaceKind.ELECTION,
    PlaceKind.CONTROLLERS,
    PlaceKind.HOSTS,
    PlaceKind.GUESTS,
    PlaceKind.INCIDENTS,
    PlaceKind.REQUESTS,
)
_LATER = (PlaceKind.STORMS,)
"""Of these, what a cluster lacks that an earlier hamon has made."""

_HOST = (
    PlaceKind.HOST,
    PlaceKind.GUARD,
    PlaceKind.MODE,
    PlaceKind.RECORD,
    PlaceKind.SELF,
    PlaceKind.ALIVE,
    PlaceKind.DOMAINS,
    PlaceKind.CAPACITY,
    PlaceKind.CHECKS,
    PlaceKind.INVENTORY,
    PlaceKind.GRANTS,
)


async def bootstrap(store: Store, chroot: str, identities: Identities) -> None:
    """Make a cluster's chroot and everything in it that does not belong to a host.

    Idempotent. The first time, all of it comes into being in one transaction.

    Args:
        store: a session as the controllers' identity that sees the whole ensemble.
        chroot: absolute path, "/" when the cluster has the ensemble to itself.
        identities: of the controllers.

    Raises:
        RequestRefusedError: something that is not hamon's, or of a newer hamon, is there already.
        StoreError: ZooKeeper refused or did not answer; repeat it.
    """
    prefix = chroot.rstrip("/")
    root = access_for("/", identities)
    for path in _ancestors(prefix):
        await _create_missing(store, [CreateNode(path=path, data=b"", access=root)])
    if await store.exists(chroot):
        await _refuse_foreign(store, chroot)
    wanted = [CreateNode(path=chroot, data=b"", access=root)] if prefix else []
    shards = [to_path(Place(kind=PlaceKind.SHARD, shard=shard)) for shard in SHARDS]
    for path in [*_CLUSTER, *shards]:
        access = access_for(path, identities)
        wanted.append(CreateNode(path=prefix + path, data=_first_data(path), access=access))
    await _create_missing(store, wanted)


async def enrol(
    store: Store, specs: Iterable[HostSpec], controllers: str, epoch: Epoch | None = None
) -> tuple[HostName, ...]:
    """Make every directory and znode of the hosts; what is there already is left as it is.

    Idempotent. A host is there whole or not at all. What the cluster itself lacks, because it was
    made by an earlier hamon, is made as well.

    Args:
        store: a session of a controller below the cluster's chroot.
        specs: the hosts, each with its identity, or agentless.
        controllers: the identity of the controllers.
        epoch: of the leader that does it; None: there is no leader, by hand.

    Returns:
        The hosts of which something was missing.

    Raises:
        DeposedError: this controller does not lead any more.
        ValueError: a host has no identity.
        StoreError: ZooKeeper refused or did not answer; repeat it.
    """
    made: list[HostName] = []
    later = [
        CreateNode(
            path=path,
            data=_first_data(path),
            access=access_for(path, Identities(controllers=controllers)),
        )
        for path in _LATER
        if not await store.exists(path)
    ]
    await _commit(store, later, epoch)
    enrolled = frozenset(await store.children(PlaceKind.HOSTS))
    for spec in specs:
        identities = identities_of(controllers, [spec])
        home = to_path(Place(kind=PlaceKind.HOST, host=spec.name))
        there = {home} if spec.name in enrolled else set()
        if there:
            there |= {child(home, name) for name in await store.children(home)}
        wanted = [
            CreateNode(path=path, data=_first_data(path), access=access_for(path, identities))
            for path in (to_path(Place(kind=kind, host=spec.name)) for kind in _HOST)
            if path not in there
        ]
        if wanted:
            await _commit(store, wanted, epoch)
            made.append(spec.name)
    return tuple(made)


async def remove_host(store: Store, host: HostName, epoch: Epoch | None = None) -> None:
    """Remove everything of a host that serves no more, its incidents with it.

    Those go because their names are made from a version that starts anew when the host is enrolled
    again. One that is not closed may go when nothing of it is left to do but to wait for the host:
    a machine that was scrapped never comes back. Idempotent.

    Args:
        store: a session of a controller below the cluster's chroot.
        host: the host.
        epoch: of the leader that does it; None: there is no leader, by hand.

    Raises:
        RequestRefusedError: it lives, may run guests, or guests of it are still to move.
        DeposedError: this controller does not lead any more.
        WriteConflictError: something changed meanwhile; look again.
        StoreError: ZooKeeper refused or did not answer; repeat it.
    """
    home = to_path(Place(kind=PlaceKind.HOST, host=host))
    if not await store.exists(home):
        return
    nodes = await _subtree(store, home)
    for node in nodes:
        _refuse_if_used(host, node)
    incidents = [
        await _subtree(store, child(PlaceKind.INCIDENTS, name))
        for name in await store.children(PlaceKind.INCIDENTS)
        if name.rpartition("-")[0] == host
    ]
    for incident in incidents:
        _refuse_if_open(host, incident)
    retired = await _retired(store, host, nodes)
    for incident in incidents:
        await _commit(store, _deletions(incident), epoch)
    await _commit(store, [*retired, *_deletions(nodes)], epoch)


async def _retired(store: Store, host: HostName, nodes: Sequence[Node]) -> list[StoreOperation]:
    """Retire the guests that are the host's still: they could not move, and are gone with it."""
    writes: list[StoreOperation] = []
    for node in nodes:
        place = parse(node.path)
        assert place is not None
        if place.kind is not PlaceKind.INVENTORY_ENTRY or place.guest is None:
            continue
        path = path_of(guest_of(place.guest))
        try:
            found = await store.get(path)
        except NodeMissingError:
            continue
        record = _value(found)
        if isinstance(record, GuestRecord) and record.owner == host:
            data = encode(path, replace(record, owner=None, migration=None))
            writes.append(SetData(path=path, data=data, version=found.version))
    return writes


def _refuse_if_used(host: HostName, node: Node) -> None:
    place = parse(node.path)
    assert place is not None
    if place.kind is PlaceKind.HEARTBEAT:
        raise RequestRefusedError(f"{host} is alive", "stop hamon-agent on it first")
    if place.kind is PlaceKind.GRANT:
        grant = _value(node)
        if not isinstance(grant, Grant) or grant.state in OPEN_GRANTS:
            why = f"{host} may run the guest {place.guest}"
            raise RequestRefusedError(why, f"move its guests away: hamon evacuate-host {host}")


def _refuse_if_open(host: HostName, incident: Sequence[Node]) -> None:
    """Refuse while guests of the incident are still to move, or nobody knows.

    safety: a host whose evacuation is over was proven dead, and every guest of it lives elsewhere
    or cannot. Should it be switched on after all, its agent finds no place to register and no
    grant, so its hook holds back every guest that was protected there, and the gate stays shut.
    """
    for node in incident:
        place = parse(node.path)
        assert place is not None
        if place.kind is PlaceKind.INCIDENT_RECORD and not _is_over(_value(node)):
            why = f"the incident {place.incident} of {host} is not over"
            raise RequestRefusedError(why, "wait until every guest that moves has moved")
        if place.kind is PlaceKind.MIGRATION and not _has_ended(_value(node)):
            why = f"the guest {place.guest} of {host} is still to move"
            raise RequestRefusedError(why, f"`hamon explain {host}` says what it waits for")


def _is_over(record: object) -> bool:
    if not isinstance(record, IncidentRecord):
        return False
    return record.closed or (record.proof is not None and "evacuated" in record.stamps)


def _has_ended(migration: object) -> bool:
    return isinstance(migration, MigrationRecord) and migration.status not in OPEN_MIGRATIONS


def _value(node: Node) -> object:
    """The znode's value, None when it cannot be read: that never counts as settled."""
    try:
        return decode(node.path, node.data)
    except UnreadableNodeError:
        return None


async def _refuse_foreign(store: Store, chroot: str) -> None:
    path = child(chroot, "format")
    try:
        data = (await store.get(path)).data
    except NodeMissingError:
        if names := await store.children(chroot):
            why = f"{chroot} holds something that is not hamon's: {', '.join(names[:5])}"
            raise RequestRefusedError(why, "choose another chroot") from None
        return
    try:
        decode(PlaceKind.FORMAT, data)
    except UnreadableNodeError as error:
        why = f"{path}: {error.why}"
        raise RequestRefusedError(why, "use the hamon that made it, or a newer one") from error


def _first_data(path: str) -> bytes:
    """What a znode holds when it is made; most are empty: never written by their owner."""
    place = parse(path)
    match place.kind if place is not None else None:
        case PlaceKind.FORMAT:
            return encode(path, Format())
        case PlaceKind.CONTROL:
            return encode(path, Control())
        case PlaceKind.STORMS:
            return encode(path, StormRecord())
        case PlaceKind.GUARD:
            return encode(path, HostGuard(right=Right.LIVE))
        case _:
            return b""


def _ancestors(path: str) -> list[str]:
    """The paths above ``path``, from the top, without the root."""
    above: list[str] = []
    while (path := path.rpartition("/")[0]) != "":
        above.insert(0, path)
    return above


async def _create_missing(store: Store, wanted: Sequence[CreateNode]) -> None:
    missing = [operation for operation in wanted if not await store.exists(operation.path)]
    try:
        await _commit(store, missing, None)
    except NodeExistsError:
        # Somebody else is at it too: look again.
        await _create_missing(store, missing)


async def _subtree(store: Store, path: str) -> list[Node]:
    """Everything at and below a path, children before their parents."""
    nodes: list[Node] = []
    for name in await store.children(path):
        nodes += await _subtree(store, child(path, name))
    return [*nodes, await store.get(path)]


def _deletions(nodes: Sequence[Node]) -> list[StoreOperation]:
    return [DeleteNode(path=node.path, version=node.version) for node in nodes]


async def _commit(store: Store, operations: Sequence[StoreOperation], epoch: Epoch | None) -> None:
    if not operations:
        return
    guard = [] if epoch is None else [CheckVersion(path=PlaceKind.EPOCH, version=epoch)]
    try:
        await store.commit([*guard, *operations])
    except WriteConflictError as error:
        if error.target == PlaceKind.EPOCH:
            raise DeposedError(error.why) from error
        raise
