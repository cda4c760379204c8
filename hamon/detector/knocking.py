"""Knock at every host on every plane, all the time, and remember what came back.

Rules:

1. An answered host is knocked at again after the period; the period grows with the fleet, so that a
   controller sends at most ``knocks_per_s_max``.
2. A host that missed a knock is knocked at again quickly until it is known to be late, then at the
   configured period: what is said of a suspect must be fresh, however large the fleet is.
3. A knock that could not be made is no vote. The last vote stands and ages.
4. An echo by another host at the address is a weak sign of life: something is there, and it is not
   known what became of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import assert_never

from hamon.model.host import PlaneAddress
from hamon.model.names import HostName
from hamon.model.proof import Evidence, Source, Vote
from hamon.ports import Clock, Probe, ProbeAnswer, ProbeResult

_JITTER = 0.1
_QUICK_SHARE = 0.25
"""A silence is looked at this part of ``late_after_s`` apart until it is late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockingPace:
    """How often to knock.

    ``period_s``: between two knocks at one address while it answers and the fleet is small.
    ``late_after_s``: silence of this length is lateness. ``timeout_s``: of one knock, less than the
    second after which Linux repeats a SYN, so that each knock is one packet. ``knocks_per_s_max``:
    of this controller to all hosts that answer. ``in_flight_max``: knocks at the same time.
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
        random: source of the jitter that keeps knocks apart.
    """

    def __init__(
        self,
        probe: Probe,
        clock: Clock,
        *,
        observer: str,
        pace: KnockingPace,
        on_change: Callable[[HostName], None],
        random: Random,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._observer = observer
        self._pace = pace
        self._on_change = on_change
        self._random = random
        self._places = asyncio.Semaphore(pace.in_flight_max)
        self._tasks: dict[HostName, dict[PlaneAddress, asyncio.Task[None]]] = {}
        self._latest: dict[HostName, dict[str, Evidence]] = {}
        self._hastened: frozenset[HostName] = frozenset()

    # -- which hosts ------------------------------------------------------------------------------

    def watch(self, host: HostName, planes: tuple[PlaneAddress, ...]) -> None:
        """Knock at a host from now on, at these addresses only. Idempotent; on the event loop."""
        running = self._tasks.setdefault(host, {})
        for gone in running.keys() - set(planes):
            running.pop(gone).cancel()
            self._latest.get(host, {}).pop(gone.plane, None)
        for place in planes:
            if place not in running:
                # Spread, so that a start of many does not knock at all of them at once.
                first_s = self._random.random() * self._interval_s()
                running[place] = self._begin(host, place, first_s)

    def forget(self, host: HostName) -> None:
        """Knock at a host no more. Idempotent."""
        for task in self._tasks.pop(host, {}).values():
            task.cancel()
        self._latest.pop(host, None)

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """Knock at these hosts, and only these, at the configured period whatever the fleet's is.

        For hosts that something else made suspect: what probes say of them must be fresh. Those
        that are new are knocked at now. Idempotent.
        """
        for host in sorted(hosts - self._hastened):
            for place, task in self._tasks.get(host, {}).items():
                task.cancel()
                self._tasks[host][place] = self._begin(host, place, 0.0)
        self._hastened = hosts

    async def close(self) -> None:
        """Forget every host; return when no knock is under way. Idempotent."""
        tasks = [task for planes in self._tasks.values() for task in planes.values()]
        for host in list(self._tasks):
            self.forget(host)
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

    # -- knocking ---------------------------------------------------------------------------------

    def _begin(self, host: HostName, place: PlaneAddress, first_s: float) -> asyncio.Task[None]:
        return asyncio.create_task(
            self._knock_for_ever(host, place, first_s), name=f"knock {host} {place.plane}"
        )

    async def _knock_for_ever(self, host: HostName, place: PlaneAddress, first_s: float) -> None:
        await self._clock.sleep(first_s)
        while True:
            async with self._places:
                asked_s = self._clock.now_s()
                result = await self._probe.knock(place.address, place.port, self._pace.timeout_s)
            self._take(host, place, asked_s, result)
            due_s = asked_s + self._pause_s(host, place.plane, result)
            await self._clock.sleep(due_s - self._clock.now_s())

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
        self._latest.setdefault(host, {})[place.plane] = Evidence(
            source=source,
            subject=place.plane,
            vote=vote,
            observed_s=now_s,
            changed_s=changed_s,
            observer=self._observer,
            boot_id=boot_id,
            detail=detail,
        )
        late_s = changed_s + self._pace.late_after_s
        became_late = (
            vote is Vote.SILENT and before is not None and before.observed_s < late_s <= now_s
        )
        if not is_same or became_late:
            self._on_change(host)

    def _pause_s(self, host: HostName, plane: str, result: ProbeResult) -> float:
        """Return the time from the knock just made to the next one."""
        if result.answer is ProbeAnswer.ECHO and host not in self._hastened:
            return self._interval_s() * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        latest = self._latest.get(host, {}).get(plane)
        is_young_silence = (
            latest is not None
            and latest.vote is Vote.SILENT
            and latest.observed_s - latest.changed_s < self._pace.late_after_s
        )
        if is_young_silence:
            return min(self._pace.period_s, self._pace.late_after_s * _QUICK_SHARE)
        return self._pace.period_s

    def _interval_s(self) -> float:
        """Return the period for this size of fleet."""
        places = sum(len(planes) for planes in self._tasks.values())
        return max(self._pace.period_s, places / self._pace.knocks_per_s_max)

    def _is_current(self, host: HostName, evidence: Evidence, now_s: float) -> bool:
        """Say whether a vote is at most two knocks old; else they could not be made."""
        is_slow = evidence.vote is Vote.ALIVE_STRONG and host not in self._hastened
        interval_s = self._interval_s() if is_slow else self._pace.period_s
        oldest_s = 2 * interval_s * (1 + _JITTER) + self._pace.timeout_s
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
