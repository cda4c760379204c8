"""The guests process's own ephemeral: while it is there, what it published is of now.

The heartbeat is another process's, and says nothing of this one.
"""

from __future__ import annotations

from hamon.agent.context import AgentContext
from hamon.coordination.access import access_for
from hamon.coordination.codec import encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import NodeMissingError
from hamon.model.host import Heartbeat
from hamon.ports.store import CreateNode, DeleteNode, Node, StoreOperation


class Attendance:
    """Keeps ``alive/guests`` of this boot in ZooKeeper, by the session of this process.

    Args:
        context: the process's own.
    """

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._path = to_path(Place(kind=PlaceKind.ATTENDANCE, host=context.host))
        self._session = 0

    async def keep(self) -> None:
        """Make it if this session has none; idempotent. Errors are those of Store.

        One that a former process of this host left is taken away: there is one guests process.
        """
        session = self._context.store.session_id
        if session == self._session:
            return
        left = await self._left()
        if left is None or left.owner != session:
            await self._context.store.commit([*self._removal(left), self._creation()])
        self._session = session

    async def _left(self) -> Node | None:
        try:
            return await self._context.store.get(self._path)
        except NodeMissingError:
            return None

    def _removal(self, left: Node | None) -> list[StoreOperation]:
        return [] if left is None else [DeleteNode(path=self._path, version=left.version)]

    def _creation(self) -> StoreOperation:
        return CreateNode(
            path=self._path,
            data=encode(self._path, Heartbeat(boot_id=self._context.boot_id)),
            access=access_for(self._path, self._context.identities),
            is_ephemeral=True,
        )
