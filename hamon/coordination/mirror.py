"""A warm copy of what ZooKeeper holds, for a controller: quick to change, honest about its gaps.

A watch is only a hint to read again; everything is read anew from time to time as well, and after
every return of the session. A decision still rests on a commit with the exact versions seen here.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace

from hamon.coordination.codec import NodeValue, decode
from hamon.coordination.paths import DIRECTORIES, PlaceKind, child, parent, parse
from hamon.errors import AccessDeniedError, NodeMissingError, StoreError, UnreadableNodeError
from hamon.model.host import Heartbeat
from hamon.ports.clock import Clock
from hamon.ports.store import Node, SessionState, Store

_ROOTS = (
    PlaceKind.CONTROL,
    PlaceKind.STORMS,
    PlaceKind.EPOCH,
    PlaceKind.CONTROLLERS,
    PlaceKind.HOSTS,
    PlaceKind.GUESTS,
    PlaceKind.INCIDENTS,
    PlaceKind.REQUESTS,
)

_BEAT = PlaceKind.HEARTBEAT.rpartition("}")[2]

READS_MAX = 32
"""Reads under way at once: enough to fill the line, too few to crowd out a commit."""

RECONCILE_S = (30.0, 60.0)
"""Between two full readings, at random, so that controllers do not read all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A znode as last read.

    ``value``: None when it was made empty, or when it cannot be read: then ``unreadable`` says why.
    """

    node: Node
    value: NodeValue | None
    unreadable: str | None


class Mirror:
    """Keeps the copy while it runs.

    Args:
        store: a session of a controller below the cluster's chroot.
        clock: for stamps and for the pause between full readings.
        dirty: called with the paths that changed, soon after; with none when only
            :attr:`whole_since_s` changed.
        pause_s: gives the time until the next full reading.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        dirty: Callable[[frozenset[str]], None],
        pause_s: Callable[[], float] = lambda: random.uniform(*RECONCILE_S),  # noqa: S311
    ) -> None:
        self._store = store
        self._clock = clock
        self._dirty = dirty
        self._pause_s = pause_s
        self._values: dict[str, Mirrored] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._unreadable: set[str] = set()
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._reading: set[str] = set()
        self._again: set[str] = set()
        self._watched: set[str] = set()
        self._changed: set[str] = set()
        self._is_telling = False
        self._is_running = False
        self._whole_since_s: float | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        store.on_state(self._state_changed)

    @property
    def whole_since_s(self) -> float | None:
        """Since when the copy has been whole without a gap; None: it is not.

        Starts anew at each return of the session.
        """
        return self._whole_since_s

    def get(self, path: str) -> Mirrored | None:
        """Give the znode as last read; None when there is none."""
        return self._values.get(path)

    def children(self, path: str) -> tuple[str, ...]:
        """Give the names below a directory, sorted; empty when there is no such directory."""
        return self._lists.get(path, ())

    def unreadable(self) -> tuple[str, ...]:
        """Give the paths of all znodes that cannot be read, sorted."""
        return tuple(sorted(self._unreadable))

    def start(self) -> None:
        """Begin to read. The store may still be without a session."""
        self._is_running = True
        self._run(self._reconcile())
        if self._store.state is SessionState.CONNECTED:
            self._read_all()

    async def refresh(self, paths: Iterable[str]) -> bool:
        """Read these znodes now, and return when the copy shows them: after an own commit.

        Idempotent.

        Returns:
            Whether all were answered; else the copy stays as it is, and soon is not whole: the
            store gives up a connection that does not answer.
        """
        wanted: set[str] = set()
        for path in paths:
            wanted.add(path)
            while path not in self._values and path not in self._lists and path != "/":
                # New: the list that names it is read as well.
                path = parent(path)  # noqa: PLW2901 - climbs
                wanted.add(path)
        wanted.discard("/")
        # In a fixed order: the same story gives the same sequence of calls.
        return all(await asyncio.gather(*(self._read(path) for path in sorted(wanted))))

    async def stop(self) -> None:
        """Stop reading, and wait until it has stopped. Idempotent."""
        self._is_running = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what to read ---------------------------------------------------------------------------

    def _state_changed(self, state: SessionState) -> None:
        # The session's watches went with the connection.
        self._watched.clear()
        self._set_whole(None)
        if state is SessionState.CONNECTED:
            self._read_all()

    def _read_all(self) -> None:
        for path in (*_ROOTS, *self._lists, *self._values):
            self._want(path)
        self._pump()

    async def _reconcile(self) -> None:
        while True:
            await self._clock.sleep(self._pause_s())
            if self._store.state is SessionState.CONNECTED:
                self._read_all()

    def _hint(self, path: str) -> None:
        self._watched.discard(path)
        self._want(path, is_urgent=True)
        self._pump()

    def _want(self, path: str, *, is_urgent: bool = False) -> None:
        if path in self._reading:
            self._again.add(path)
        elif is_urgent:
            # May be queued further back as well: it is then skipped there.
            self._queued.add(path)
            self._queue.appendleft(path)
        elif path not in self._queued:
            self._queued.add(path)
            self._queue.append(path)

    def _pump(self) -> None:
        if not self._is_running or self._store.state is not SessionState.CONNECTED:
            # All of it is asked for again when the session is back.
            self._queue.clear()
            self._queued.clear()
            return
        while self._queue and len(self._reading) < READS_MAX:
            path = self._queue.popleft()
            if path in self._queued:
                self._queued.discard(path)
                self._reading.add(path)
                self._run(self._read(path))
        if not self._queued and not self._reading and self._whole_since_s is None:
            self._set_whole(self._clock.now_s())

    # -- reading --------------------------------------------------------------------------------

    async def _read(self, path: str) -> bool:
        """Read one znode; say whether there was an answer."""
        # A second watch on the same znode would fire as well, and they would pile up.
        watch = None if path in self._watched or _is_beat(path) else self._hint
        is_directory = _is_directory(path)
        is_answered = True
        try:
            if is_directory:
                self._take_list(path, await self._store.children(path, watch))
            else:
                self._take_node(path, await self._store.get(path, watch))
            # A hint that overtook the answer was this watch's: it has fired already.
            if path not in self._again and not _is_beat(path):
                self._watched.add(path)
        except NodeMissingError:
            self._watched.discard(path)
            self._drop(path)
        except AccessDeniedError:
            self._take_denied(path)
        except StoreError:
            # The session's next state asks for everything again.
            is_answered = False
        finally:
            self._reading.discard(path)
        if path in self._again:
            self._again.discard(path)
            self._want(path, is_urgent=True)
        self._pump()
        return is_answered

    def _take_list(self, path: str, names: tuple[str, ...]) -> None:
        old = self._lists.get(path)
        self._lists[path] = names
        if names != old:
            self._tell(path)
        for name in sorted(set(old or ()) - set(names)):
            self._drop(child(path, name))
        for name in names:
            below = child(path, name)
            is_known = below in self._values or below in self._lists
            if (not is_known or _is_beat(below)) and parse(below) is not None:
                self._want(below, is_urgent=True)

    def _take_node(self, path: str, node: Node) -> None:
        old = self._values.get(path)
        if old is not None and _identity(old.node) == _identity(node):
            return
        value: NodeValue | None = None
        unreadable: str | None = None
        try:
            value = decode(path, node.data)
        except UnreadableNodeError as error:
            unreadable = error.why
        self._keep(path, node, value, unreadable)

    def _take_denied(self, path: str) -> None:
        old = self._values.get(path)
        if old is None or old.node.version >= 0:
            # A version that no commit accepts.
            unknown = Node(path=path, data=b"", version=-1, created_zxid=0)
            self._keep(path, unknown, None, "access denied")

    def _keep(self, path: str, node: Node, value: NodeValue | None, unreadable: str | None) -> None:
        old = self._values.get(path)
        self._values[path] = new = Mirrored(node=node, value=value, unreadable=unreadable)
        if old is not None and _is_another_beat(old, new):
            return
        if unreadable is None:
            self._unreadable.discard(path)
        else:
            self._unreadable.add(path)
        self._tell(path)

    def _drop(self, path: str) -> None:
        """Forget a znode and everything below it."""
        for name in self._lists.pop(path, ()):
            self._drop(child(path, name))
        self._unreadable.discard(path)
        if self._values.pop(path, None) is not None or _is_directory(path):
            self._tell(path)

    # -- telling --------------------------------------------------------------------------------

    def _tell(self, path: str) -> None:
        self._changed.add(path)
        self._tell_soon()

    def _set_whole(self, since_s: float | None) -> None:
        if since_s != self._whole_since_s:
            self._whole_since_s = since_s
            self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_soon(self._tell_now)

    def _tell_now(self) -> None:
        self._is_telling = False
        changed, self._changed = frozenset(self._changed), set()
        self._dirty(changed)

    def _run(self, coroutine: Coroutine[object, object, object]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_directory(path: str) -> bool:
    place = parse(path)
    return place is not None and place.kind in DIRECTORIES


def _is_beat(path: str) -> bool:
    """Say whether a znode may change every few seconds without anything to tell.

    Of a heartbeat it counts whose it is, and that it is there. So it is not watched itself: a watch
    on its directory fires when it comes and goes, also when one session's follows another's, and
    then it is read again. A thousand guarded hosts would else wake the leader hundreds of times a
    second.
    """
    return path.endswith(_BEAT)


def _is_another_beat(old: Mirrored, new: Mirrored) -> bool:
    """Say whether a heartbeat read again is the same one, but for its count."""
    return (
        isinstance(old.value, Heartbeat)
        and isinstance(new.value, Heartbeat)
        and replace(old.value, count=0) == replace(new.value, count=0)
        and (old.node.created_zxid, old.node.owner) == (new.node.created_zxid, new.node.owner)
    )


def _identity(node: Node) -> tuple[int, int, int]:
    """What changes with any change: a name alone may be another znode by now."""
    return (node.created_zxid, node.version, node.owner)
