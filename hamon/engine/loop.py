"""The loop: observe, decide, record, act; one leader decides, standbys keep their view warm.

Rules (DESIGN §3):

1. The loop is level-triggered: changes, requests and finished actions only make it come sooner.
2. Only the holder of the office decides. The first sign that the epoch moved on ends the term.
3. A loop that does not come round ends the process (``deadman``); a late one never convicts. It is
   late as well when this process was stopped within a round, but not while ZooKeeper is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from hamon.decide.standing import blind_to, standby_looks
from hamon.decide.tick import decide
from hamon.engine.executing import Executor
from hamon.engine.health import OwnHealth
from hamon.engine.observing import Observer
from hamon.engine.ports import Cluster, Election, Highest, Term
from hamon.engine.reporting import Reporter
from hamon.errors import DeposedError, StoreError
from hamon.model.change import Decision
from hamon.model.control import HoldKind
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId, Epoch, HostName
from hamon.model.policy import Policy
from hamon.model.reason import Reason
from hamon.model.view import ClusterView, OwnView
from hamon.ports.clock import Clock

_log = structlog.get_logger()

PERIOD_MAX_S = 0.5
"""The loop comes round at least this often; evidence ages even when nothing happens."""

STAND_BACK_S = 60.0
"""Who yielded does not stand for office for so long: its successor has time to look about."""

PERIOD_MIN_S = 0.01
"""And at most this often, so that a burst of changes becomes one round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One finished round, for metrics, the command line and tests.

    ``lag_s``: how much later than due it began.
    """

    view: ClusterView | None
    decision: Decision
    is_leading: bool
    lag_s: float
    started_s: float
    ended_s: float
    written: int


class Engine:
    """One controller's engine.

    Args:
        cluster, election: ZooKeeper.
        observer, executor, reporter, health: the rooms around the core.
        clock: time.
        policy: the numbers and choices.
        specs: the hosts as configured, enrolled when taking office.
        controller: this controller.
        only_host: a stand-alone controller acts on this host only, None: on all.
        wake: set to make the loop come round sooner.
        highest: what this machine has seen; a lower one is a restored ensemble.
        on_round: told of each finished round.
    """

    def __init__(  # noqa: PLR0913 - the composition root wires the rooms here, once
        self,
        *,
        cluster: Cluster,
        election: Election,
        observer: Observer,
        executor: Executor,
        reporter: Reporter,
        health: OwnHealth,
        clock: Clock,
        policy: Policy,
        specs: tuple[HostSpec, ...],
        controller: ControllerId,
        wake: asyncio.Event,
        highest: Highest,
        on_round: Callable[[Round], None],
        only_host: HostName | None = None,
    ) -> None:
        self._cluster = cluster
        self._election = election
        self._observer = observer
        self._executor = executor
        self._reporter = reporter
        self._health = health
        self._clock = clock
        self._policy = policy
        self._specs = specs
        self._controller = controller
        self._wake = wake
        self._highest = highest
        self._on_round = on_round
        self._only_host = only_host
        self._term: Term | None = None
        self._took_office_s = 0.0
        self._first_round: tuple[Epoch, float] | None = None
        self._is_rolled_back = False
        self._tick_due_s = 0.0
        self._lag_s = 0.0
        self._storms_s: dict[str, float] = {}
        self._blind_since_s: dict[str, float] = {}
        self._stands_again_s = 0.0
        self.last: Round | None = None

    @property
    def epoch(self) -> Epoch | None:
        """The epoch of the present term, None while standing by."""
        return self._term.epoch if self._term is not None else None

    async def run(self) -> None:
        """Stand by, lead when elected, for ever; cancel to stop."""
        self._cluster.on_change(self._wake.set)
        async with asyncio.TaskGroup() as rooms:
            rooms.create_task(self._hold_office())
            rooms.create_task(self._report())
            rooms.create_task(self._come_round())

    async def close(self) -> None:
        """Step back from office and stop waiting for actions; their children carry on."""
        self._term = None
        await self._executor.close()
        await self._election.resign()

    # -- office -----------------------------------------------------------------------------------

    async def _hold_office(self) -> None:
        while True:
            await self._clock.sleep(max(0.0, self._stands_again_s - self._clock.now_s()))
            term = await self._election.wait_for_office()
            try:
                enrolled = await self._cluster.enrol(self._specs, term.epoch)
            except (StoreError, DeposedError) as error:
                _log.warning("office_not_taken", why=str(error))
                await self._election.resign()
                continue
            self._is_rolled_back = not self._highest.observe_epoch(term.epoch)
            if self._is_rolled_back:
                _log.error("epoch_rolled_back", epoch=term.epoch)
            for host in enrolled:
                _log.info("host_enrolled", host=host)
            self._took_office_s = term.acknowledged_s
            self._term = term
            _log.info("office_taken", epoch=term.epoch)
            self._wake.set()
            await term.lost.wait()
            if self._term is term:
                self._end_term("session_or_contender_lost")

    def _end_term(self, why: str) -> None:
        if self._term is None:
            return
        _log.warning("office_lost", epoch=self._term.epoch, why=why)
        self._term = None
        self._wake.set()

    async def _report(self) -> None:
        while True:
            try:
                await self._reporter.run(lambda: self.epoch)
            except DeposedError:
                await self._depose()

    async def _depose(self) -> None:
        self._end_term("deposed")
        await self._election.resign()

    # -- rounds -----------------------------------------------------------------------------------

    async def _come_round(self) -> None:
        wake_at_s = self._clock.now_s()
        while True:
            started_s = self._clock.now_s()
            self._lag_s = self._health.came_round(min(wake_at_s, started_s))
            try:
                finished = await self._round(started_s)
            except DeposedError:
                await self._depose()
                continue
            self.last = finished
            self._on_round(finished)
            # Whatever woke the loop may be worth a report; and one wake-up costs less than two.
            self._reporter.look()
            wake_at_s = await self._rest(finished)

    async def _round(self, started_s: float) -> Round:
        self._wake.clear()
        term = self._term
        view = self._observer.view(self._own())
        decision = Decision()
        written = 0
        if view is not None:
            self._executor.tell_doubtful(self._cluster)
        if view is not None and term is not None:
            self._first_round = (term.epoch, view.own.decides_since_s)
            self._look_for_rollback(view)
            decision = decide(view, self._policy, self._clock.now_s())
            if self._health.came_round(started_s) > self._policy.holds.tick_lag_max_s:
                # Decided on what was seen before this process was stopped: look again.
                return self._finished(started_s, view, Decision(), written=0)
            self._remember_storms(decision)
            if decision.yields is not None:
                await self._stand_back(decision.yields)
                return self._finished(started_s, view, decision, written=0)
            self._observer.remember(view, decision)
            written = await self._carry_out(decision, term.epoch)
        if view is not None:
            self._remember_blindness(view)
            if term is None:
                self._executor.look(standby_looks(view, self._clock.now_s()))
        return self._finished(started_s, view, decision, written=written)

    async def _carry_out(self, decision: Decision, epoch: Epoch) -> int:
        """Carry out a decision, and notice when this process is stopped meanwhile.

        The time that it takes does not tell: ZooKeeper may need seconds to answer.
        """
        self._tick_due_s = self._clock.now_s() + PERIOD_MAX_S
        ticking = asyncio.create_task(self._tick())
        try:
            return await self._executor.carry_out(decision, self._cluster, epoch)
        finally:
            ticking.cancel()
            self._health.came_round(self._tick_due_s)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._tick_due_s - self._clock.now_s())
            self._health.came_round(self._tick_due_s)
            self._tick_due_s = self._clock.now_s() + PERIOD_MAX_S

    def _finished(
        self, started_s: float, view: ClusterView | None, decision: Decision, *, written: int
    ) -> Round:
        return Round(
            view=view,
            decision=decision,
            is_leading=self._term is not None,
            lag_s=self._lag_s,
            started_s=started_s,
            ended_s=self._clock.now_s(),
            written=written,
        )

    async def _stand_back(self, why: Reason) -> None:
        """Leave office to a controller that sees more, and let it have it for a while."""
        _log.warning(why.code, **why.facts)
        self._stands_again_s = self._clock.now_s() + STAND_BACK_S
        self._end_term("yielded")
        await self._election.resign()

    def _remember_blindness(self, view: ClusterView) -> None:
        now_s = self._clock.now_s()
        self._blind_since_s = {
            system: self._blind_since_s.get(system, now_s) for system in blind_to(view)
        }

    def _look_for_rollback(self, view: ClusterView) -> None:
        """Notice guests whose generations are lower than this machine has seen before."""
        highest = max((record.value.generation for record in view.guests.values()), default=0)
        if highest and not self._highest.observe_generation(highest) and not self._is_rolled_back:
            _log.error("generation_rolled_back", highest=highest)
            self._is_rolled_back = True

    def _remember_storms(self, decision: Decision) -> None:
        """Note where there is a storm now; a hold with an end is only its cool-down."""
        now_s = self._clock.now_s()
        self._storms_s |= {
            hold.scope: now_s
            for hold in decision.holds
            if hold.kind is HoldKind.STORM and hold.until_s is None
        }

    def _own(self) -> OwnView:
        whole_since_s = self._cluster.whole_since_s
        return OwnView(
            controller=self._controller,
            epoch=self.epoch if self.epoch is not None else Epoch(0),
            took_office_s=self._took_office_s,
            decides_since_s=self._decides_since_s(),
            watching_since_s=whole_since_s if whole_since_s is not None else self._clock.now_s(),
            lagged_s=self._health.lagged_s,
            is_session_proven=self._health.is_session_proven,
            session_proven_s=self._health.session_proven_s,
            is_rolled_back=self._is_rolled_back,
            blind_since_s=self._blind_since_s,
            storms_s=dict(self._storms_s),
            only_host=self._only_host,
        )

    def _decides_since_s(self) -> float:
        """Return when this term's first round was; it may be this one."""
        if self._first_round is not None and self._first_round[0] == self.epoch:
            return self._first_round[1]
        return self._clock.now_s()

    async def _rest(self, finished: Round) -> float:
        """Sleep until something changed or it is time; return when the loop is due."""
        due_s = finished.ended_s + PERIOD_MAX_S
        if finished.decision.wake_at_s is not None:
            due_s = min(due_s, max(finished.decision.wake_at_s, finished.ended_s + PERIOD_MIN_S))
        pause_s = PERIOD_MIN_S if finished.written else due_s - self._clock.now_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(pause_s, PERIOD_MIN_S)):
                await self._wake.wait()
        await self._clock.sleep(PERIOD_MIN_S)
        return due_s
