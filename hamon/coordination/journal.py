"""The leader's only way to write: one change, one transaction, guarded by the epoch."""

from __future__ import annotations

from typing import assert_never

from hamon.coordination.access import Identities, access_for
from hamon.coordination.codec import NodeValue, encode
from hamon.coordination.paths import PlaceKind, parent, path_of
from hamon.errors import DeposedError, NodeExistsError, NodeMissingError, WriteConflictError
from hamon.model.change import Change, Check, Create, Delete, NodeKind, Operation, Update
from hamon.model.names import Epoch
from hamon.ports.clock import Clock
from hamon.ports.store import CheckVersion, CreateNode, DeleteNode, SetData, Store, StoreOperation


class Journal:
    """Commits changes for one term of office.

    Once a commit failed on the epoch, every later one fails without being sent.
    """

    def __init__(self, store: Store, epoch: Epoch, identities: Identities, clock: Clock) -> None:
        self._store = store
        self._epoch = epoch
        self._identities = identities
        self._clock = clock
        self._is_deposed = False

    async def commit(self, change: Change) -> float:
        """Make one change durable, if this controller still leads.

        Not idempotent as such; its exact versions make a repetition harmless (it conflicts).

        Returns:
            When the transaction was sent, on the clock: the intent lease counts from then.

        Raises:
            DeposedError: another controller leads; nothing was done, step down.
            WriteConflictError: a version is not the one decided on, or a znode to create exists, or
                one to change is gone; nothing was done, read again.
            StoreUnavailableError: UNKNOWN, it may have been done.
            SessionLostError: nothing was done.
            StoreError: a value is too large, or access was denied; nothing was done.
        """
        if self._is_deposed:
            raise DeposedError(f"epoch {self._epoch} is over")
        operations: list[StoreOperation] = [CheckVersion(path=PlaceKind.EPOCH, version=self._epoch)]
        for operation in change.operations:
            operations += self._translated(operation)
        sent_s = self._clock.now_s()
        try:
            await self._store.commit(operations)
        except (WriteConflictError, NodeExistsError, NodeMissingError) as error:
            if error.target == PlaceKind.EPOCH:
                self._is_deposed = True
                raise DeposedError(f"epoch {self._epoch} is over: {error.why}") from error
            raise WriteConflictError(
                error.port, error.operation, error.target, error.outcome, error.why
            ) from error
        return sent_s

    def _translated(self, operation: Operation) -> list[StoreOperation]:
        match operation:
            case Check(key=key, version=version):
                return [CheckVersion(path=path_of(key), version=version)]
            case Update(key=key, version=version, value=value):
                path = path_of(key)
                return [SetData(path=path, data=encode(path, value), version=version)]
            case Delete(key=key, version=version):
                path = path_of(key)
                record = DeleteNode(path=path, version=version)
                if key.kind is not NodeKind.INCIDENT:
                    return [record]
                # Nobody writes into the folders: they have the version they were made with.
                home = parent(path)
                folders = (f"{home}/migrations", home)
                return [record, *(DeleteNode(path=folder, version=0) for folder in folders)]
            case Create(key=key, value=value):
                path = path_of(key)
                if key.kind is not NodeKind.INCIDENT:
                    return [self._create(path, value)]
                # The only parents that are not made beforehand.
                home = parent(path)
                return [
                    self._create(home, None),
                    self._create(path, value),
                    self._create(f"{home}/migrations", None),
                ]
            case _:
                assert_never(operation)

    def _create(self, path: str, value: NodeValue | None) -> CreateNode:
        return CreateNode(
            path=path,
            data=b"" if value is None else encode(path, value),
            access=access_for(path, self._identities),
        )
