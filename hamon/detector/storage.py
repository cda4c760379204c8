"""Watch hosts' heartbeats on shared storage, and tell who moves there and who stands still.

Rules:

1. Only what changes between two scans of this very watcher is a sign of life. Times of other
   machines and of the storage are not looked at. The first sight of a file says nothing.
2. A beat that was first seen by one scan was written after the scan before it was *asked for*; this
   is the only time that is certain, and so the time of the vote (``observed_s``). The time at which
   it was seen would be too late by as long as nobody looked: a host that died a minute ago and is
   looked at now would seem to live after its power was read Off.
3. A sequence that grew within one boot is a beat. Another boot, or a sequence that went back, is
   what a storage shows that was restored or failed over, too: it counts as a first sight, and its
   next beat as a sign of life.
4. A file that stands still is silence only as far as somebody else's beat was seen to move on the
   same storage: ``observed_s`` of a silence is the time of that other beat, by rule 2, and never
   the mere fact that a scan returned something. Where nobody else beats there is no silence: it
   could not be told from a storage that shows old content.
5. A file that is missing, is no heartbeat or bears another name, and a scan that failed or does not
   return, are no votes. The last vote stands and ages.

Suspects are read twice a period, so that what is said of a living one is at most two and a half
periods old. A few others are read once a period, for rule 4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hamon.model.beat import Beat
from hamon.model.names import HostName
from hamon.model.proof import Evidence, Source, Vote
from hamon.ports.beats import BeatFolder
from hamon.ports.clock import Clock

_CONTROLS = 3
"""So many hosts that are not suspected are read as well: one may be just dying."""

_STILL_PERIODS = 1.5
"""A file that stands still for less is only between two beats."""

_UNMOVED_PERIODS = 3.0
"""A storage on which nothing moved for so long is not sound; a control host is exchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchingPace:
    """How to watch.

    ``period_s``: how often hosts beat. ``late_after_s``: silence of this length is lateness.
    ``timeout_s``: a scan that takes longer is no vote.
    """

    period_s: float = 1.0
    late_after_s: float = 2.0
    timeout_s: float = 3.0


class StorageWatch:
    """Keeps the latest vote of each storage on every host (implements ``engine.ports.Witness``).

    Args:
        folders: the storages.
        hosts: who beats there; hosts without an agent do not.
        clock: the only time there is.
        observer: this controller, named in the evidence.
        pace: how often.
        on_change: called with the host when a vote or its boot changed, or a silence became late;
            on the event loop, must not block.
    """

    def __init__(
        self,
        folders: Iterable[BeatFolder],
        hosts: Iterable[HostName],
        clock: Clock,
        *,
        observer: str,
        pace: WatchingPace,
        on_change: Callable[[HostName], None],
    ) -> None:
        known = tuple(hosts)
        self._watches = tuple(
            _FolderWatch(folder, known, clock, observer, pace, on_change) for folder in folders
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch. Idempotent; on the event loop."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(watch.run(), name=f"watch {watch.name}")
                for watch in self._watches
            ]

    async def close(self) -> None:
        """Watch no more. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """Read the heartbeats of these suspects all the time; new ones now. Idempotent."""
        for watch in self._watches:
            watch.hasten(hosts)

    def evidence(self, host: HostName) -> tuple[Evidence, ...]:
        """Return the latest vote of each storage on a host; its age is the reader's.

        ``changed_s`` of a silence is when the first scan was asked for that found the file
        unchanged: from then on nothing came.
        """
        found = (watch.votes.get(host) for watch in self._watches)
        return tuple(vote for vote in found if vote is not None)


@dataclass(slots=True)
class _Trail:
    """What was seen of one host's file. Times are those at which scans were asked for.

    ``seen_s``: the latest scan that showed ``beat``. ``still_since_s``: the first one that did.
    ``unchanged_s``: the first one that showed it again. ``moved_s``: rule 2's time of the last
    beat.
    """

    beat: Beat
    seen_s: float
    still_since_s: float
    unchanged_s: float | None = None
    moved_s: float | None = None


class _FolderWatch:
    """Watches one storage."""

    def __init__(
        self,
        folder: BeatFolder,
        hosts: tuple[HostName, ...],
        clock: Clock,
        observer: str,
        pace: WatchingPace,
        on_change: Callable[[HostName], None],
    ) -> None:
        self.name = folder.name
        self.votes: dict[HostName, Evidence] = {}
        self._folder = folder
        self._hosts = frozenset(hosts)
        self._clock = clock
        self._observer = observer
        self._pace = pace
        self._on_change = on_change
        self._woken = asyncio.Event()
        self._trails: dict[HostName, _Trail] = {}
        self._suspects: frozenset[HostName] = frozenset()
        self._queue = deque(sorted(hosts))
        self._controls: dict[HostName, float] = {}
        self._sound_since_s: float | None = None

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """See :meth:`StorageWatch.hasten`."""
        suspects = hosts & self._hosts
        if suspects - self._suspects:
            self._woken.set()
        self._suspects = suspects

    async def run(self) -> None:
        """Scan until cancelled."""
        while True:
            self._woken.clear()
            asked_s = self._clock.now_s()
            hosts = self._choose(asked_s)
            if hosts:
                self._take(asked_s, hosts, await self._folder.read(hosts, self._pace.timeout_s))
            pause_s = self._pace.period_s * (0.5 if self._suspects else 1.0)
            await self._sleep(asked_s + pause_s - self._clock.now_s())

    async def _sleep(self, duration_s: float) -> None:
        """Sleep, or until there is a new suspect."""
        ends = [
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self._clock.sleep(duration_s)),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    # -- whom to read -----------------------------------------------------------------------------

    def _choose(self, now_s: float) -> tuple[HostName, ...]:
        """Choose all suspects, and a few others that beat, in turn."""
        limit_s = now_s - _UNMOVED_PERIODS * self._pace.period_s
        for host, joined_s in tuple(self._controls.items()):
            has_stopped = joined_s < limit_s and not self._has_moved(host, limit_s)
            if host in self._suspects or has_stopped:
                del self._controls[host]
        for _ in range(len(self._queue)):
            if len(self._controls) >= _CONTROLS:
                break
            host = self._queue[0]
            self._queue.rotate(-1)
            if host not in self._suspects:
                self._controls.setdefault(host, now_s)
        return (*sorted(self._suspects), *sorted(self._controls))

    def _has_moved(self, host: HostName, since_s: float) -> bool:
        trail = self._trails.get(host)
        return trail is not None and trail.moved_s is not None and trail.moved_s >= since_s

    # -- what they say ----------------------------------------------------------------------------

    def _take(
        self, asked_s: float, hosts: tuple[HostName, ...], beats: Mapping[HostName, Beat] | None
    ) -> None:
        """Take in one scan."""
        if beats is None:
            # Whatever stood still meanwhile: nobody could see it move.
            self._sound_since_s = None
            return
        if self._sound_since_s is None:
            self._sound_since_s = asked_s
        for host in hosts:
            self._follow(host, beats.get(host), asked_s)
        moved = (trail.moved_s for trail in self._trails.values() if trail.moved_s is not None)
        newest_s = max(moved, default=None)
        limit_s = asked_s - _UNMOVED_PERIODS * self._pace.period_s
        if newest_s is None or newest_s < limit_s:
            self._sound_since_s = asked_s
            return
        for host in hosts:
            if host in self._trails:
                # Its own last beat is never newer than its silence: this is somebody else's.
                self._judge_silence(host, self._trails[host], newest_s)

    def _follow(self, host: HostName, beat: Beat | None, asked_s: float) -> None:
        """Compare one file with what it held before."""
        trail = self._trails.get(host)
        if beat is None:
            self._trails.pop(host, None)
            self._drop_silence(host)
        elif trail is None or not _may_follow(trail.beat, beat):
            self._trails[host] = _Trail(beat=beat, seen_s=asked_s, still_since_s=asked_s)
            self._drop_silence(host)
        elif beat.sequence > trail.beat.sequence:
            moved_s = trail.seen_s
            self._trails[host] = _Trail(
                beat=beat, seen_s=asked_s, still_since_s=asked_s, moved_s=moved_s
            )
            self._vote(host, Vote.ALIVE_STRONG, beat, observed_s=moved_s, changed_s=moved_s)
        else:
            trail.seen_s = asked_s
            if trail.unchanged_s is None:
                trail.unchanged_s = asked_s

    def _judge_silence(self, host: HostName, trail: _Trail, others_s: float) -> None:
        """Vote SILENT as far as rule 4 allows.

        Args:
            host: whose file it is.
            trail: what was seen of it.
            others_s: when somebody else's beat moved last.
        """
        if trail.unchanged_s is None or self._sound_since_s is None:
            return
        still_since_s = max(trail.still_since_s, self._sound_since_s)
        changed_s = max(trail.unchanged_s, self._sound_since_s)
        is_long = others_s - still_since_s >= _STILL_PERIODS * self._pace.period_s
        if is_long and others_s >= changed_s:
            self._vote(host, Vote.SILENT, trail.beat, observed_s=others_s, changed_s=changed_s)

    def _vote(
        self, host: HostName, vote: Vote, beat: Beat, *, observed_s: float, changed_s: float
    ) -> None:
        before = self.votes.get(host)
        boot_id = beat.boot_id if vote is Vote.ALIVE_STRONG else None
        is_same = before is not None and (before.vote, before.boot_id) == (vote, boot_id)
        if is_same and vote is Vote.ALIVE_STRONG:
            assert before is not None
            changed_s = before.changed_s
        echoed_s = observed_s if boot_id is not None else before.echoed_s if before else None
        echoed_boot = boot_id or (before.echoed_boot if before else None)
        self.votes[host] = Evidence(
            source=Source.STORAGE,
            subject=self.name,
            vote=vote,
            observed_s=observed_s,
            changed_s=changed_s,
            observer=self._observer,
            boot_id=boot_id,
            detail=f"beat {beat.sequence}",
            echoed_s=echoed_s,
            echoed_boot=echoed_boot,
        )
        late_s = changed_s + self._pace.late_after_s
        became_late = (
            is_same
            and before is not None
            and vote is Vote.SILENT
            and before.observed_s < late_s <= observed_s
        )
        if not is_same or became_late:
            self._on_change(host)

    def _drop_silence(self, host: HostName) -> None:
        """Forget a silence that is over, though what ended it is no sign of life yet."""
        before = self.votes.get(host)
        if before is not None and before.vote is Vote.SILENT:
            del self.votes[host]
            self._on_change(host)


def _may_follow(before: Beat, beat: Beat) -> bool:
    """Say whether a heartbeat can be the one after another, or is it still (rule 3)."""
    return beat.boot_id == before.boot_id and beat.sequence >= before.sequence
