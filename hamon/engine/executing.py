"""Record and act: make decisions durable, then carry out the actions that depend on them.

Rules (DESIGN §2 rule 4, §3):

1. Transitions and intents are durable under this term's epoch before any action starts.
2. An action starts within the lease of *sending* its intent, or not at all: it is decided again.
3. Results only say "look again": they go into the memory and wake the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby

import structlog

from hamon.engine.cloud_calls import CloudCalls
from hamon.engine.memory import Memory
from hamon.engine.ports import Cluster
from hamon.errors import (
    NodeExistsError,
    NodeMissingError,
    Outcome,
    StoreError,
    WriteConflictError,
)
from hamon.model.action import Action, CloudLook, Look, PowerLook, PowerOn, ReadyLook, Shoot
from hamon.model.change import Change, Decision, Intent
from hamon.model.incident import ShotOutcome
from hamon.model.names import Epoch, HostName
from hamon.model.view import ReadyReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import FenceDevice
from hamon.ports.probe import Probe, ProbeAnswer

_log = structlog.get_logger()

READY_TIMEOUT_S = 2.0
"""How long a guest that others wait for may take to answer."""

Devices = Mapping[HostName, Mapping[str, FenceDevice]]
"""The fence devices by host and name."""


class Executor:
    """Carries out decisions of one controller.

    Args:
        memory: where power readings and shots are noted.
        devices: the fence devices.
        clock: time.
        wake: makes the loop come round.
        lease_s: the L of DESIGN rule 4.
        look_timeout_s: longest wait for one power reading.
        on_change: told of each change that is durable, for metrics.
        probe: asks guests that others wait for.
        cloud: the calls to Nova, None: there is no Nova.
    """

    def __init__(  # noqa: PLR0913 - what it acts on, and who is told
        self,
        memory: Memory,
        devices: Devices,
        clock: Clock,
        wake: Callable[[], None],
        *,
        lease_s: float,
        look_timeout_s: float,
        on_change: Callable[[Change], None],
        probe: Probe,
        cloud: CloudCalls | None = None,
    ) -> None:
        self._memory = memory
        self._devices = devices
        self._clock = clock
        self._wake = wake
        self._lease_s = lease_s
        self._look_timeout_s = look_timeout_s
        self._on_change = on_change
        self._probe = probe
        self._cloud = cloud
        self._looking: set[tuple[HostName, str]] = set()
        self._asking: set[ReadyLook] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_doubt: dict[tuple[str, str], Change] = {}

    async def carry_out(self, decision: Decision, cluster: Cluster, epoch: Epoch) -> int:
        """Look, record, act. Returns how many changes became durable.

        Raises:
            DeposedError: the epoch moved on; nothing more of this decision is done.
        """
        self.look(decision.looks)
        by_subject = sorted(decision.transitions, key=lambda change: change.subject)
        batches = [
            self._record_in_turn(tuple(changes), cluster, epoch)
            for _, changes in groupby(by_subject, key=lambda change: change.subject)
        ]
        written = await _sum(batches)
        intents = [self._record_and_act(intent, cluster, epoch) for intent in decision.intents]
        return written + await _sum(intents)

    def look(self, looks: Iterable[Look]) -> None:
        """Begin what is to be read; what is being read already is not asked twice."""
        for look in looks:
            self._start_look(look)

    async def _record_in_turn(
        self, changes: Iterable[Change], cluster: Cluster, epoch: Epoch
    ) -> int:
        return sum([await self._record(change, cluster, epoch) for change in changes])

    async def _record(self, change: Change, cluster: Cluster, epoch: Epoch) -> bool:
        """Commit one change; say whether it is durable. A lost race is looked at, not retried."""
        try:
            await cluster.commit(change, epoch)
        except (WriteConflictError, NodeExistsError, NodeMissingError) as error:
            _log.info("change_conflicted", change=change.reason.code, why=error.why)
            return False
        except StoreError as error:
            _log.warning("change_outcome_unknown", change=change.reason.code, why=error.why)
            if error.outcome is Outcome.UNKNOWN:
                self._in_doubt[change.subject, change.reason.code] = change
            return False
        self._in_doubt.pop((change.subject, change.reason.code), None)
        self._tell(change)
        return True

    def tell_doubtful(self, cluster: Cluster) -> None:
        """Log the changes whose outcome was unknown and which the picture now shows to be made.

        What follows from them is decided from the picture as ever; only the log would lack them.
        """
        for key, change in tuple(self._in_doubt.items()):
            is_made = cluster.shows(change)
            if is_made is None:
                continue
            del self._in_doubt[key]
            if is_made:
                self._tell(change)

    def _tell(self, change: Change) -> None:
        _log.info(change.reason.code, subject=change.reason.subject, **change.reason.facts)
        self._on_change(change)

    async def _record_and_act(self, intent: Intent, cluster: Cluster, epoch: Epoch) -> bool:
        sent_s = self._clock.now_s()
        if not await self._record(intent.change, cluster, epoch):
            self._note_never_given(intent)
            return False
        self._start(intent.action, start_by_s=sent_s + self._lease_s)
        return True

    def _note_never_given(self, intent: Intent) -> None:
        """Note of a shot that may stand in the journal that nobody has given it, nor will."""
        change, action = intent.change, intent.action
        is_in_doubt = self._in_doubt.get((change.subject, change.reason.code)) is change
        if is_in_doubt and isinstance(action, Shoot):
            self._memory.shot_ended(action, ShotOutcome.LATE, self._clock.now_s())

    def _start(self, action: Action, *, start_by_s: float) -> None:
        if isinstance(action, Shoot):
            self._start_shot(action, start_by_s=start_by_s)
        elif isinstance(action, PowerOn):
            self._start_power_on(action, start_by_s=start_by_s)
        else:
            assert self._cloud is not None, "there is a cloud"
            self._cloud.start_action(action, start_by_s=start_by_s)

    def _start_shot(self, shoot: Shoot, *, start_by_s: float) -> None:
        device = self._devices.get(shoot.host, {}).get(shoot.device)
        self._memory.shot_started(shoot)
        if device is None:
            # A kind that nobody shoots with, as a watchdog: surely not done.
            _log.error("fence_device_missing", host=shoot.host, device=shoot.device)
            self._memory.shot_ended(shoot, ShotOutcome.NOT_DONE, self._clock.now_s())
            self._wake()
            return
        self._spawn(self._shoot(shoot, device, start_by_s))

    async def _shoot(self, shoot: Shoot, device: FenceDevice, start_by_s: float) -> None:
        outcome = ShotOutcome.UNKNOWN
        try:
            result = await device.cut_power(start_by_s, shoot.deadline_s)
            outcome = result.outcome
            _log.info(
                "fence_shot_ended",
                host=shoot.host,
                device=shoot.device,
                outcome=outcome,
                detail=result.detail,
            )
        finally:
            self._memory.shot_ended(shoot, outcome, self._clock.now_s())
            self._wake()

    def _start_power_on(self, order: PowerOn, *, start_by_s: float) -> None:
        device = self._devices.get(order.host, {}).get(order.device)
        if device is not None:
            self._memory.power_on_started(order.host, order.device)
            self._spawn(self._power_on(order, device, start_by_s))

    async def _power_on(self, order: PowerOn, device: FenceDevice, start_by_s: float) -> None:
        outcome = ShotOutcome.UNKNOWN
        try:
            result = await device.power_on(start_by_s, order.deadline_s)
            outcome = result.outcome
            _log.info(
                "power_on_ended",
                host=order.host,
                device=order.device,
                outcome=outcome,
                detail=result.detail,
            )
        finally:
            self._memory.power_on_ended(order.host, order.device, outcome, self._clock.now_s())
            self._wake()

    def _start_look(self, look: Look) -> None:
        if isinstance(look, CloudLook):
            assert self._cloud is not None, "there is a cloud"
            self._cloud.start_look(look)
        elif isinstance(look, ReadyLook):
            self._start_ready_look(look)
        else:
            self._start_power_look(look)

    def _start_ready_look(self, look: ReadyLook) -> None:
        if look not in self._asking:
            self._asking.add(look)
            self._spawn(self._ask(look))

    async def _ask(self, look: ReadyLook) -> None:
        asked_s = self._clock.now_s()
        try:
            told = await self._probe.knock(look.address, look.port, READY_TIMEOUT_S)
            answers = told.answer in {ProbeAnswer.CONNECTED, ProbeAnswer.ECHO}
            detail = "" if answers else f"{told.answer}: {told.detail}"
            reading = ReadyReading(answers=answers, asked_s=asked_s, detail=detail)
            self._memory.saw_ready(look.guest, reading)
        finally:
            self._asking.discard(look)
            self._wake()

    def _start_power_look(self, look: PowerLook) -> None:
        key = (look.host, look.device)
        device = self._devices.get(look.host, {}).get(look.device)
        if device is None or key in self._looking:
            return
        self._looking.add(key)
        self._spawn(self._look(look, device))

    async def _look(self, look: PowerLook, device: FenceDevice) -> None:
        try:
            reading = await device.read(self._look_timeout_s)
            self._memory.saw_power(look.host, reading)
        finally:
            self._looking.discard((look.host, look.device))
            self._wake()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("action_failed", exc_info=task.exception())

    async def close(self) -> None:
        """Stop waiting for looks and shots; a shot's child goes on to its own deadline."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._cloud is not None:
            await self._cloud.close()


async def _sum(work: Sequence[Awaitable[int]]) -> int:
    """Wait for all of ``work``, then raise the first error, or return the sum."""
    results = await asyncio.gather(*work, return_exceptions=True)
    total = 0
    for result in results:
        if isinstance(result, BaseException):
            raise result
        total += int(result)
    return total
