"""ZooKeeper as the engine sees it: a picture to read, changes to commit, reports and requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from hamon.coordination.access import access_for, identities_of
from hamon.coordination.bootstrap import enrol
from hamon.coordination.codec import encode
from hamon.coordination.journal import Journal
from hamon.coordination.mirror import Mirror
from hamon.coordination.paths import (
    REQUEST_PREFIX,
    Place,
    PlaceKind,
    parse,
    path_of,
    to_path,
)
from hamon.coordination.picture import Picture
from hamon.errors import (
    DeposedError,
    NodeExistsError,
    NodeMissingError,
    Outcome,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)
from hamon.model.change import Change, Check, Create, Delete, Operation, Update
from hamon.model.control import Request
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId, Epoch, HostName
from hamon.model.stored import StoredCluster
from hamon.model.view import ControllerView
from hamon.ports.clock import Clock
from hamon.ports.store import CheckVersion, CreateNode, DeleteNode, SetData, Store, StoreOperation


class _Shown(Enum):
    """What the picture shows of one operation."""

    MADE = auto()
    NOT_YET = auto()
    OVERTAKEN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reported:
    """The report as this controller wrote it last, and in which session."""

    session_id: int
    version: int
    data: bytes


class ZooKeeperCluster:
    """One controller's hold on the cluster's chroot (implements ``engine.ports.Cluster``).

    Args:
        store: a session with the controllers' identity.
        clock: time.
        controller: whose.
        specs: the hosts as configured: their identities are what access rules are made of.
        controllers: the controllers' identity.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        controller: ControllerId,
        specs: tuple[HostSpec, ...],
        controllers: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._controllers = controllers
        self._identities = identities_of(controllers, specs)
        self._report_path = to_path(Place(kind=PlaceKind.CONTROLLER, controller=controller))
        self._reported: _Reported | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._mirror = Mirror(store, clock, self._changed)
        self._picture = Picture(self._mirror)
        self._journal: tuple[Epoch, Journal] | None = None

    def start(self) -> None:
        """Begin to mirror."""
        self._mirror.start()

    async def stop(self) -> None:
        """Mirror no more."""
        await self._mirror.stop()

    @property
    def whole_since_s(self) -> float | None:
        """Since when the picture has been whole; None: it is not."""
        return self._mirror.whole_since_s

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the picture changed."""
        self._callbacks.append(callback)

    def picture(self) -> StoredCluster | None:
        """Return the decoded picture, None while it is not whole."""
        return self._picture.take()

    def _changed(self, paths: frozenset[str]) -> None:
        for path in paths:
            self._picture.changed(path)
        for callback in self._callbacks:
            callback()

    async def enrol(self, hosts: tuple[HostSpec, ...], epoch: Epoch) -> tuple[HostName, ...]:
        """Make what is missing of the hosts. See ``engine.ports.Cluster``."""
        made = await enrol(self._store, hosts, self._controllers, epoch)
        # Nothing that is decided checks its version, and one that was only just made had no watch.
        if not await self._mirror.refresh([PlaceKind.STORMS]):
            why = "no answer: what an earlier leader wrote of storms is not known"
            raise StoreUnavailableError("store", "get", PlaceKind.STORMS, Outcome.NOT_DONE, why)
        return made

    async def commit(self, change: Change, epoch: Epoch) -> None:
        """Commit one change; the picture shows it on return. See ``engine.ports.Cluster``."""
        if self._journal is None or self._journal[0] != epoch:
            self._journal = (epoch, Journal(self._store, epoch, self._identities, self._clock))
        written = [path_of(op.key) for op in change.operations if not isinstance(op, Check)]
        try:
            await self._journal[1].commit(change)
        finally:
            # Also after a conflict: it says that the picture was behind.
            await self._mirror.refresh(written)

    def shows(self, change: Change) -> bool | None:
        """Say whether the picture shows the change. See ``engine.ports.Cluster``."""
        # Of one transaction all was written or nothing: one operation that can tell is enough.
        shown = [self._shows(operation) for operation in change.operations]
        if _Shown.MADE in shown:
            return True
        return None if _Shown.NOT_YET in shown else False

    def _shows(self, operation: Operation) -> _Shown:
        found = self._mirror.get(path_of(operation.key))
        match operation:
            case Update(version=version, value=value):
                if found is None or found.node.version > version + 1:
                    return _Shown.OVERTAKEN
                if found.node.version <= version:
                    return _Shown.NOT_YET
                return _Shown.MADE if found.value == value else _Shown.OVERTAKEN
            case Create(value=value):
                if found is None:
                    return _Shown.NOT_YET
                return _Shown.MADE if found.value == value else _Shown.OVERTAKEN
            case Delete(version=version) if found is not None and found.node.version == version:
                return _Shown.NOT_YET
            case Delete() | Check():
                return _Shown.OVERTAKEN
            case _:
                assert_never(operation)

    async def report(self, view: ControllerView, epoch: Epoch | None) -> None:
        """Write this controller's report. See ``engine.ports.Cluster``."""
        data = encode(self._report_path, view)
        guard: list[StoreOperation] = []
        if epoch is not None:
            guard.append(CheckVersion(path=PlaceKind.EPOCH, version=epoch))
        before, self._reported = self._reported, None
        if before is None or before.session_id != self._store.session_id:
            version, write = await self._first_report(data)
        elif before.data != data:
            version = before.version + 1
            write = [SetData(path=self._report_path, data=data, version=before.version)]
        else:
            # Checks alone are committed by the quorum like any write, and wake nobody who watches.
            version = before.version
            write = [CheckVersion(path=self._report_path, version=version)]
        session_id = self._store.session_id
        try:
            await self._store.commit([*guard, *write])
        except (WriteConflictError, NodeExistsError, NodeMissingError) as error:
            if error.target == PlaceKind.EPOCH:
                raise DeposedError(f"epoch {epoch} is over: {error.why}") from error
            raise
        self._reported = _Reported(session_id=session_id, version=version, data=data)

    async def _first_report(self, data: bytes) -> tuple[int, list[StoreOperation]]:
        """Return the version of the znode once written, and how to write it in this session."""
        path = self._report_path
        access = access_for(path, self._identities)
        create = CreateNode(path=path, data=data, access=access, is_ephemeral=True)
        try:
            node = await self._store.get(path)
        except NodeMissingError:
            return 0, [create]
        if node.owner == self._store.session_id:
            return node.version + 1, [SetData(path=path, data=data, version=node.version)]
        # Left by this controller's former session: it must die with the present one.
        return 0, [DeleteNode(path=path, version=node.version), create]

    async def ask(self, request: Request) -> str:
        """Write a request for the leader. See ``engine.ports.Cluster``."""
        sample = f"{REQUEST_PREFIX}{0:010d}"
        path = await self._store.create_sequential(
            REQUEST_PREFIX,
            encode(sample, request),
            access_for(sample, self._identities),
            is_ephemeral=True,
        )
        place = parse(path)
        assert place is not None, path
        assert place.sequence is not None, path
        return place.sequence

    async def withdraw(self, sequence: str) -> None:
        """Remove a request. See ``engine.ports.Cluster``."""
        path = to_path(Place(kind=PlaceKind.REQUEST, sequence=sequence))
        try:
            node = await self._store.get(path)
            await self._store.commit([DeleteNode(path=path, version=node.version)])
        except StoreError:
            # It dies with the session, and the leader forgets it after its time.
            return
