"""Who leads: contenders in a row, and an epoch that every write of a leader carries.

Being first in the row only entitles to try. Office is the *epoch*: the data version that the own
write to ``epoch`` gave it. A deposed leader's writes fail on it, however late they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from uuid import uuid4

from hamon.coordination.access import Identities, access_for
from hamon.coordination.codec import OfficeHolder, encode
from hamon.coordination.paths import PlaceKind, child
from hamon.errors import (
    NodeMissingError,
    SessionLostError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)
from hamon.model.names import ControllerId, Epoch
from hamon.ports.clock import Clock
from hamon.ports.store import CheckVersion, DeleteNode, SessionState, SetData, Store

_RELIST_AFTER_S = 10.0
"""A watch is a hint: the row is read again at least this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """One term.

    ``epoch`` guards its writes. ``sent_s``, ``acknowledged_s``: when the write that began it was
    sent and acknowledged, on the clock. ``lost`` is set when the term is over; nothing may be begun
    after that, and writes fail anyway.
    """

    epoch: Epoch
    sent_s: float
    acknowledged_s: float
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Election:
    """Stands for office with one store's session; one at a time.

    Args:
        store: a session of a controller; its end ends the office.
        controller: who stands.
        identities: of the controllers.
        clock: for stamps, and for how long a suspended session still counts.
    """

    def __init__(
        self, store: Store, controller: ControllerId, identities: Identities, clock: Clock
    ) -> None:
        self._store = store
        self._clock = clock
        self._access = access_for(child(PlaceKind.ELECTION, f"{'0' * 32}-n_{0:010d}"), identities)
        self._data = encode(PlaceKind.EPOCH, OfficeHolder(controller=controller))
        self._nonce = uuid4().hex
        self._contender = ""
        self._office: Office | None = None
        self._suspensions = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        store.on_state(self._state_changed)

    async def wait_for_office(self) -> Office:
        """Stand for office until it is won; waits out every trouble with ZooKeeper.

        Returns:
            The office, with an epoch higher than every earlier one.

        Raises:
            AccessDeniedError: this identity may not stand.
        """
        while True:
            self._wake.clear()
            try:
                office = await self._try()
            except (StoreUnavailableError, SessionLostError, NodeMissingError, WriteConflictError):
                # Also an unknown outcome: whatever was written, the next try reads it first, and
                # takes an epoch of its own.
                office = None
            # The session may have gone while the answer travelled: then this term never began.
            if office is not None and self._store.state is SessionState.CONNECTED:
                self._office = office
                self._run(self._verify(office))
                return office
            await self._wait()

    async def resign(self) -> None:
        """Leave office and the row. Idempotent; never raises.

        Where ZooKeeper does not answer, the end of the session takes the contender away.
        """
        self._leave_office()
        contender, self._contender = self._contender, ""
        if contender:
            try:
                await self._store.commit([DeleteNode(path=contender, version=0)])
            except StoreError:
                return

    async def _try(self) -> Office | None:
        # Without a session this tells which kind of trouble it is: one that passes, or a store that
        # was refused and never comes back.
        names = await self._row()
        own = await self._own(names)
        if own is None:
            await self._stand()
            self._wake.set()
            return None
        self._contender = child(PlaceKind.ELECTION, own)
        place = names.index(own)
        if place > 0:
            ahead = child(PlaceKind.ELECTION, names[place - 1])
            if not await self._store.exists(ahead, self._hint):
                self._wake.set()
            return None
        return await self._take_office()

    async def _row(self) -> list[str]:
        """The contenders, first come first."""
        return sorted(
            await self._store.children(PlaceKind.ELECTION),
            key=lambda name: int(name.rpartition("_")[2]),
        )

    async def _own(self, names: list[str]) -> str | None:
        """The own contender, if it belongs to the present session."""
        for name in names:
            if name.startswith(self._nonce):
                node = await self._store.get(child(PlaceKind.ELECTION, name))
                if node.owner == self._store.session_id:
                    return name
        return None

    async def _stand(self) -> None:
        # Kept over an unknown outcome: the name tells whether it was made after all.
        prefix = child(PlaceKind.ELECTION, f"{self._nonce}-n_")
        await self._store.create_sequential(prefix, self._data, self._access, is_ephemeral=True)

    async def _take_office(self) -> Office:
        version = (await self._store.get(PlaceKind.EPOCH)).version
        sent_s = self._clock.now_s()
        await self._store.commit(
            [
                CheckVersion(path=self._contender, version=0),
                SetData(path=PlaceKind.EPOCH, data=self._data, version=version),
            ]
        )
        return Office(epoch=Epoch(version + 1), sent_s=sent_s, acknowledged_s=self._clock.now_s())

    async def _verify(self, office: Office) -> None:
        """End the term when the contender or the epoch is no longer its own; watch both."""
        try:
            contender = await self._store.get(self._contender, self._own_changed)
            epoch = await self._store.get(PlaceKind.EPOCH, self._own_changed)
        except NodeMissingError:
            is_own = False
        except StoreError:
            # Not answered: the state of the session decides.
            return
        else:
            is_own = contender.owner == self._store.session_id and epoch.version == office.epoch
        if not is_own and office is self._office:
            self._leave_office()

    def _own_changed(self, _path: str) -> None:
        if self._office is not None:
            self._run(self._verify(self._office))

    def _hint(self, _path: str) -> None:
        self._wake.set()

    def _state_changed(self, state: SessionState) -> None:
        self._wake.set()
        office = self._office
        if state is SessionState.LOST:
            self._nonce = uuid4().hex
            self._leave_office()
        elif office is not None and state is SessionState.SUSPENDED:
            self._suspensions += 1
            self._run(self._doubt(office, self._suspensions))
        elif office is not None and state is SessionState.CONNECTED:
            self._run(self._verify(office))

    async def _doubt(self, office: Office, suspension: int) -> None:
        """Behave as if the session were lost when it has been away for its time-out.

        A client that is cut off is never told that its session has expired.
        """
        await self._clock.sleep(self._store.session_timeout_s)
        is_away = self._store.state is not SessionState.CONNECTED
        if office is self._office and is_away and suspension == self._suspensions:
            self._leave_office()

    def _leave_office(self) -> None:
        office, self._office = self._office, None
        if office is not None:
            office.lost.set()

    async def _wait(self) -> None:
        """Wait for a hint, but not for ever."""
        woken = asyncio.ensure_future(self._wake.wait())
        slept = asyncio.ensure_future(self._clock.sleep(_RELIST_AFTER_S))
        try:
            await asyncio.wait((woken, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()

    def _run(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
