"""Knock at every host on every plane, all the time, and remember what came back.

Rules:

1. A calm host, one that answered on every plane with one boot, is knocked at once a beat, on its
   planes in turn. All calm hosts are knocked at together: waking up costs more than a knock.
2. A beat comes every period and knocks at no more hosts than ``knocks_per_s_max`` allows; a larger
   fleet takes several beats.
3. A host that is not calm, or that something else made suspect, is knocked at on every plane at
   once: quickly until its silence is known to be late, then at the period. What is said of a
   suspect is fresh, however large the fleet is.
4. A knock that could not be made is no vote. The last vote stands and ages.
5. An echo by another host at the address is a weak sign of life: something is there, and it is not
   known what became of ours.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from hamon.model.host import PlaneAddress
from hamon.model.names import HostName
from hamon.model.proof import Evidence, Source, Vote
from hamon.model.view import KERNEL_ONLY
from hamon.ports.clock import Clock
from hamon.ports.probe import Probe, ProbeAnswer, ProbeResult

_QUICK_SHARE = 0.25
"""A silence is looked at this part of ``late_after_s`` apart until it is late."""

_HEARD_MAX = 200
"""Hosts named for one plane: far more than any brake lets be convicted at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockingPace:
    """How often to knock.

    ``period_s``: between two beats, and between two knocks at a suspect. ``late_after_s``: silence
    of this length is lateness. ``timeout_s``: of one knock, less than the second after which Linux
    repeats a SYN, so that each knock is one packet. ``knocks_per_s_max``: calm hosts that this
    controller knocks at in a second. ``in_flight_max``: knocks at the same time.
    """

    period_s: float = 1.0
    late_after_s: float = 2.0
    timeout_s: float = 0.5
    knocks_per_s_max: float = 500.0
    in_flight_max: int = 256


class Knocker:
    """Keeps the latest vote of every host's planes.

    Args:
        probe: how to knock.
        clock: the only time there is.
        observer: this controller, named in the evidence.
        pace: how often.
        on_change: called with the host when a vote or the boot that gave it changed; on the event
            loop, must not block.
    """

    def __init__(
        self,
        probe: Probe,
        clock: Clock,
        *,
        observer: str,
        pace: KnockingPace,
        on_change: Callable[[HostName], None],
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._observer = observer
        self._pace = pace
        self._on_change = on_change
        self._places = asyncio.Semaphore(pace.in_flight_max)
        self._planes: dict[HostName, tuple[PlaneAddress, ...]] = {}
        self._latest: dict[HostName, dict[str, Evidence]] = {}
        self._hastened: frozenset[HostName] = frozenset()
        self._close_looks: dict[HostName, asyncio.Task[None]] = {}
        self._beating: asyncio.Task[None] | None = None
        self._turns: dict[HostName, int] = {}
        self._queue: list[HostName] = []

    # -- which hosts ------------------------------------------------------------------------------

    def watch(self, host: HostName, planes: tuple[PlaneAddress, ...]) -> None:
        """Knock at a host from now on, at these addresses only. Idempotent; on the event loop."""
        if self._planes.get(host) == planes:
            return
        latest = self._latest.get(host, {})
        for gone in set(self._planes.get(host, ())) - set(planes):
            latest.pop(gone.plane, None)
        if host not in self._planes:
            self._queue.append(host)
        self._planes[host] = planes
        self._look_closely_if_due(host)
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_for_ever(), name="knock")

    def forget(self, host: HostName) -> None:
        """Knock at a host no more. Idempotent."""
        if self._planes.pop(host, None) is not None:
            self._queue.remove(host)
        self._latest.pop(host, None)
        self._turns.pop(host, None)
        close_look = self._close_looks.pop(host, None)
        if close_look is not None:
            close_look.cancel()

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """Look closely at these hosts, and only these, also while they are calm.

        For hosts that something else made suspect. Those that are new are knocked at now.
        Idempotent.
        """
        new, self._hastened = hosts - self._hastened, hosts
        for host in sorted(new & self._planes.keys()):
            self._look_closely_if_due(host)

    async def close(self) -> None:
        """Forget every host; return when no knock is under way. Idempotent."""
        tasks = list(self._close_looks.values())
        for host in list(self._planes):
            self.forget(host)
        if self._beating is not None:
            self._beating.cancel()
            tasks.append(self._beating)
            self._beating = None
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what they say ----------------------------------------------------------------------------

    def evidence(self, host: HostName) -> tuple[Evidence, ...]:
        """Return the latest vote of each plane of a host, sorted by plane; its age is the reader's.

        ECHO is the source of echoes, CONNECT of everything weaker. ``changed_s`` of a silence is
        when the first knock without an answer was sent: from then on nothing came.
        """
        return tuple(evidence for _, evidence in sorted(self._latest.get(host, {}).items()))

    def reaches(self) -> tuple[str, ...]:
        """Return the planes on which at least one host answers now, sorted."""
        now_s = self._clock.now_s()
        return tuple(
            sorted(
                {
                    plane
                    for host, planes in self._latest.items()
                    for plane, evidence in planes.items()
                    if evidence.vote is not Vote.SILENT and self._is_current(host, evidence, now_s)
                }
            )
        )

    def silent(self) -> Mapping[str, tuple[HostName, ...]]:
        """Return, for each plane, the hosts silent on it for ``late_after_s`` and now, sorted.

        Only silence that was heard counts: from the first knock without an answer to the end of the
        last one, not to this moment.
        """
        now_s = self._clock.now_s()
        found: dict[str, list[HostName]] = {}
        for host, planes in sorted(self._latest.items()):
            for plane, evidence in planes.items():
                if (
                    evidence.vote is Vote.SILENT
                    and evidence.observed_s - evidence.changed_s >= self._pace.late_after_s
                    and self._is_current(host, evidence, now_s)
                ):
                    found.setdefault(plane, []).append(host)
        return {plane: tuple(hosts) for plane, hosts in sorted(found.items())}

    def heard(self) -> Mapping[str, tuple[HostName, ...]]:
        """Return, for each plane, the hastened hosts that answer on it now, sorted.

        Those of which only a kernel answers there are named below ``KERNEL_ONLY`` as well. For the
        other controllers: what one of them hears is life. Of very many only the first are named,
        because where so many are in trouble nobody is convicted.
        """
        now_s = self._clock.now_s()
        found: dict[str, list[HostName]] = {}
        for host in sorted(self._hastened):
            for plane, evidence in self._latest.get(host, {}).items():
                is_heard = evidence.vote is not Vote.SILENT
                if is_heard and self._is_current(host, evidence, now_s):
                    found.setdefault(plane, []).append(host)
                    if evidence.vote is not Vote.ALIVE_STRONG:
                        found.setdefault(KERNEL_ONLY + plane, []).append(host)
        return {plane: tuple(hosts[:_HEARD_MAX]) for plane, hosts in sorted(found.items())}

    # -- knocking ---------------------------------------------------------------------------------

    async def _beat_for_ever(self) -> None:
        while True:
            due_s = self._clock.now_s() + self._pace.period_s
            await asyncio.gather(*(self._knock_in_turn(host) for host in self._next_calm()))
            await self._clock.sleep(due_s - self._clock.now_s())

    def _next_calm(self) -> list[HostName]:
        """Choose the calm hosts of one beat: those that waited longest."""
        calm = [host for host in self._queue if host not in self._close_looks]
        chosen = calm[: self._per_beat()]
        served = set(chosen)
        self._queue = [host for host in self._queue if host not in served] + chosen
        return chosen

    async def _knock_in_turn(self, host: HostName) -> None:
        """Knock on every other plane, on the others at the next beat."""
        planes = self._planes.get(host)
        if planes is None:
            return
        self._turns[host] = turn = 1 - self._turns.get(host, 1)
        await asyncio.gather(*(self._knock(host, place) for place in planes[turn::2] or planes))
        self._look_closely_if_due(host)

    def _look_closely_if_due(self, host: HostName) -> None:
        is_due = host in self._planes and not self._is_calm(host)
        if is_due and host not in self._close_looks:
            self._close_looks[host] = asyncio.create_task(
                self._look_closely(host), name=f"knock {host}"
            )

    async def _look_closely(self, host: HostName) -> None:
        """Knock on every plane until the host is calm."""
        while True:
            asked_s = self._clock.now_s()
            await asyncio.gather(*(self._knock(host, place) for place in self._planes[host]))
            if self._is_calm(host):
                del self._close_looks[host]
                return
            await self._clock.sleep(asked_s + self._pause_s(host) - self._clock.now_s())

    async def _knock(self, host: HostName, place: PlaneAddress) -> None:
        async with self._places:
            asked_s = self._clock.now_s()
            result = await self._probe.knock(place.address, place.port, self._pace.timeout_s)
        if place in self._planes.get(host, ()):
            self._take(host, place, asked_s, result)

    def _take(
        self, host: HostName, place: PlaneAddress, asked_s: float, result: ProbeResult
    ) -> None:
        """Remember what a knock brought; tell of a change, and of a silence that became late."""
        now_s = self._clock.now_s()
        source, vote, detail = _vote(host, place, result)
        if vote is None:
            return
        boot_id = result.boot_id if vote is Vote.ALIVE_STRONG else None
        before = self._latest.get(host, {}).get(place.plane)
        is_same = before is not None and (before.vote, before.boot_id) == (vote, boot_id)
        changed_s = asked_s if vote is Vote.SILENT else now_s
        if before is not None and is_same:
            changed_s = before.changed_s
        echoed_s = now_s if boot_id is not None else before.echoed_s if before else None
        echoed_boot = boot_id or (before.echoed_boot if before else None)
        self._latest.setdefault(host, {})[place.plane] = Evidence(
            source=source,
            subject=place.plane,
            vote=vote,
            observed_s=now_s,
            changed_s=changed_s,
            observer=self._observer,
            boot_id=boot_id,
            detail=detail,
            echoed_s=echoed_s,
            echoed_boot=echoed_boot,
        )
        late_s = changed_s + self._pace.late_after_s
        became_late = (
            vote is Vote.SILENT and before is not None and before.observed_s < late_s <= now_s
        )
        if not is_same or became_late:
            self._on_change(host)

    def _is_calm(self, host: HostName) -> bool:
        """Say whether every plane told of one and the same boot, and nobody suspects the host."""
        latest = self._latest.get(host, {}).values()
        return (
            host not in self._hastened
            and len(latest) == len(self._planes[host])
            and all(one.vote is Vote.ALIVE_STRONG for one in latest)
            and len({one.boot_id for one in latest}) <= 1
        )

    def _pause_s(self, host: HostName) -> float:
        """Return the time from one close look to the next."""
        has_young_silence = any(
            one.vote is Vote.SILENT and one.observed_s - one.changed_s < self._pace.late_after_s
            for one in self._latest.get(host, {}).values()
        )
        if has_young_silence:
            return min(self._pace.period_s, self._pace.late_after_s * _QUICK_SHARE)
        return self._pace.period_s

    def _per_beat(self) -> int:
        return max(1, int(self._pace.knocks_per_s_max * self._pace.period_s))

    def _is_current(self, host: HostName, evidence: Evidence, now_s: float) -> bool:
        """Say whether a vote is at most two knocks old; else they could not be made."""
        interval_s = self._pace.period_s
        if host not in self._close_looks:
            beats = math.ceil(len(self._planes) / self._per_beat())
            interval_s *= 2 * beats
        oldest_s = 2 * interval_s + self._pace.timeout_s
        return now_s - evidence.observed_s <= oldest_s


def _vote(
    host: HostName, place: PlaneAddress, result: ProbeResult
) -> tuple[Source, Vote | None, str]:
    """Translate a probe's answer; no vote when the knock could not be made."""
    match result.answer:
        case ProbeAnswer.ECHO if result.host == host:
            return Source.ECHO, Vote.ALIVE_STRONG, result.detail
        case ProbeAnswer.ECHO:
            return Source.CONNECT, Vote.ALIVE_WEAK, f"{result.host} answers at {place.address}"
        case ProbeAnswer.CONNECTED | ProbeAnswer.REFUSED:
            return Source.CONNECT, Vote.ALIVE_WEAK, result.detail
        case ProbeAnswer.SILENT:
            return Source.CONNECT, Vote.SILENT, result.detail
        case ProbeAnswer.FAILED:
            return Source.CONNECT, None, result.detail
        case _:
            assert_never(result.answer)
