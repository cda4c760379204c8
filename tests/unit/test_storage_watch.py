"""Heartbeats on shared storage: what is a sign of life, what is silence, and from when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from hamon.detector.storage import StorageWatch, WatchingPace
from hamon.model.beat import Beat
from hamon.model.names import BootId, HostName, host_name
from hamon.model.proof import Evidence, Source, Vote
from hamon.ports.beats import BeatFolder
from hamon.sim.storage import SimulatedStorage
from tests.virtual_clock import VirtualClock

BOOT = BootId("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
NEXT_BOOT = BootId("7d444840-9dc0-41d1-b245-5ffdce74fad2")
HOST = host_name("host-1")
OTHERS = tuple(host_name(f"host-{number}") for number in range(2, 6))
MOUNT = "nfs1"
CONTROLLER = "controller-1"
SUSPECTED = frozenset({HOST})
PERIOD_S = 1.05


class World:
    """A storage, hosts that beat once a second at their own phases, and one watcher."""

    def __init__(self, others: tuple[HostName, ...] = OTHERS) -> None:
        self.clock = VirtualClock()
        self.begun_s = self.clock.now_s()
        self.storage = SimulatedStorage(self.clock, (MOUNT,))
        self.boots = dict.fromkeys((HOST, *others), BOOT)
        self.beating = set(self.boots)
        self.due_s = {
            host: self.begun_s + 0.13 + 0.2 * place for place, host in enumerate(sorted(self.boots))
        }
        self.last_s: dict[HostName, float] = {}
        self.sequences: dict[HostName, int] = dict.fromkeys(self.boots, 10)
        self.changes: list[HostName] = []
        self.watch = self.watching([self.storage.folder(MOUNT, CONTROLLER)])

    def watching(self, folders: list[BeatFolder]) -> StorageWatch:
        """Return a watch of all hosts."""
        return StorageWatch(
            folders,
            self.boots,
            self.clock,
            observer=CONTROLLER,
            pace=WatchingPace(),
            on_change=self.changes.append,
        )

    async def pass_s(self, duration_s: float) -> None:
        """Let time pass; each host beats in its own rhythm, a little less than once a second."""
        for _ in range(round(duration_s * 20)):
            await self.clock.advance(0.05)
            for host in sorted(self.beating):
                if self.clock.now_s() >= self.due_s[host]:
                    self.due_s[host] = self.clock.now_s() + PERIOD_S
                    self.beat(host)

    def beat(self, host: HostName) -> None:
        """Have a host beat now."""
        self.sequences[host] += 1
        beat = Beat(host=host, boot_id=self.boots[host], sequence=self.sequences[host])
        if self.storage.write(MOUNT, beat) == "":
            self.last_s[host] = self.clock.now_s()

    def vote(self, host: HostName = HOST) -> Evidence | None:
        """What is said of a host."""
        found = self.watch.evidence(host)
        return found[0] if found else None

    def fresh(self, vote: Vote, host: HostName = HOST) -> bool:
        """Whether this is said of a host, and young enough to count."""
        found = self.vote(host)
        return (
            found is not None
            and found.vote is vote
            and self.clock.now_s() - found.observed_s <= 3.0
        )


@asynccontextmanager
async def watching(world: World, *, suspected: bool = True) -> AsyncIterator[World]:
    """Watch for some seconds in which all is well."""
    world.watch.start()
    if suspected:
        world.watch.hasten(SUSPECTED)
    try:
        await world.pass_s(5.0)
        yield world
    finally:
        await world.watch.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world whose host is suspected, and watched for some seconds."""
    async with watching(World()) as ready:
        yield ready


async def test_evidence__beat_moves__is_strong_life_with_its_boot(world: World) -> None:
    """Between two scans the sequence grew: that boot was alive in between."""
    vote = world.vote()

    assert vote is not None
    assert (Source.STORAGE, MOUNT, Vote.ALIVE_STRONG) == (vote.source, vote.subject, vote.vote)
    assert (BOOT, CONTROLLER) == (vote.boot_id, vote.observer)


async def test_evidence__suspect_lives_on__is_fresh_all_the_time(world: World) -> None:
    """A living suspect is never without a vote that counts, whatever the phases."""
    world.changes.clear()
    for _ in range(150):
        await world.pass_s(0.1)
        assert world.fresh(Vote.ALIVE_STRONG)
        assert HOST not in world.changes


async def test_evidence__life__is_never_stamped_later_than_the_beat(world: World) -> None:
    """The vote claims what is certain: no time at which the host may have been dead."""
    for _ in range(50):
        await world.pass_s(0.1)
        vote = world.vote()
        assert vote is not None
        assert vote.observed_s <= world.last_s[HOST]


async def test_evidence__first_sight__is_no_sign_of_life() -> None:
    """A file may have been left by a host that is long dead."""
    world = World()
    world.beat(HOST)
    world.beating.discard(HOST)

    async with watching(world):
        vote = world.vote()

    assert vote is not None
    assert Vote.SILENT is vote.vote


async def test_evidence__long_unwatched_host_moved__is_old_life() -> None:
    """What moved while nobody looked may have moved a minute ago: it is not life now."""
    world = World()
    async with watching(world):
        world.watch.hasten(frozenset())
        # Nobody reads it as a control either: there are enough others.
        await world.pass_s(8.0)
        world.watch.hasten(frozenset({OTHERS[0]}))
        before = world.vote()
        await world.pass_s(60.0)
        world.beating.discard(HOST)
        died_s = world.clock.now_s()
        world.watch.hasten(SUSPECTED)
        await world.pass_s(0.1)

        vote = world.vote()

    assert before is not None
    assert vote is not None
    assert vote.observed_s <= world.last_s[HOST] <= died_s


async def test_evidence__host_stops__is_silent_from_the_first_scan_without_change(
    world: World,
) -> None:
    """Silence begins when it was first looked for in vain, and is known soon."""
    world.beating.discard(HOST)
    last_s = world.last_s[HOST]
    await world.pass_s(4.0)

    vote = world.vote()

    assert vote is not None
    assert world.fresh(Vote.SILENT)
    assert last_s < vote.changed_s <= last_s + 1.2
    assert vote.observed_s - vote.changed_s >= 1.5
    assert vote.boot_id is None


async def test_evidence__silence__goes_no_further_than_others_were_seen(world: World) -> None:
    """Silence is credited to the last beat of somebody else, not to the present."""
    world.beating.discard(HOST)
    await world.pass_s(4.0)

    vote = world.vote()

    assert vote is not None
    assert vote.observed_s <= max(world.last_s[other] for other in OTHERS)


async def test_evidence__storage_shows_old_content_to_all__is_no_silence(world: World) -> None:
    """If nobody moves the storage is ill, not every host."""
    world.beating.clear()

    for _ in range(150):
        await world.pass_s(0.1)
        assert not world.fresh(Vote.SILENT) or _length_s(world) < 2.0


def _length_s(world: World) -> float:
    vote = world.vote()
    assert vote is not None
    return vote.observed_s - vote.changed_s


async def test_evidence__storage_moves_again__silence_is_counted_anew(world: World) -> None:
    """The time in which nobody could be seen moving is not held against one host."""
    world.beating.clear()
    await world.pass_s(20.0)
    world.beating.update(OTHERS)
    again_s = world.clock.now_s()
    await world.pass_s(4.0)

    vote = world.vote()

    assert vote is not None
    assert Vote.SILENT is vote.vote
    assert again_s - 0.6 <= vote.changed_s


async def test_evidence__only_host_there__is_never_silent() -> None:
    """Without anybody else a dead host and a dead storage look the same."""
    async with watching(World(others=())) as world:
        assert world.fresh(Vote.ALIVE_STRONG)
        world.beating.clear()
        await world.pass_s(20.0)

        vote = world.vote()

    assert vote is not None
    assert Vote.ALIVE_STRONG is vote.vote
    assert not world.fresh(Vote.ALIVE_STRONG)


@pytest.mark.parametrize("how", ["hang", "cut"])
async def test_evidence__storage_hangs__is_no_vote(world: World, how: str) -> None:
    """A scan that does not return says nothing; what was said before ages."""
    world.beating.discard(HOST)
    if how == "hang":
        world.storage.hang(MOUNT, hangs=True)
    else:
        world.storage.cut(MOUNT, CONTROLLER, is_cut=True)
    await world.pass_s(10.0)

    vote = world.vote()

    assert vote is not None
    assert Vote.ALIVE_STRONG is vote.vote
    assert world.clock.now_s() - vote.observed_s >= 10.0


@pytest.mark.parametrize("hangs_s", [1.0, 10.0])
async def test_evidence__storage_back_after_a_hang__silence_is_counted_anew(
    world: World, hangs_s: float
) -> None:
    """A host's write may hang as long as the controller's read did."""
    world.beating.discard(HOST)
    await world.pass_s(1.2)
    world.storage.hang(MOUNT, hangs=True)
    await world.pass_s(hangs_s)
    world.storage.hang(MOUNT, hangs=False)
    back_s = world.clock.now_s()
    await world.pass_s(8.0)

    vote = world.vote()

    assert vote is not None
    assert Vote.SILENT is vote.vote
    assert back_s <= vote.changed_s


async def test_evidence__scan_failed_once__silence_is_counted_anew() -> None:
    """Also a storage that failed only for a moment may have kept the host from beating."""
    world = World()

    class Failing:
        name = MOUNT
        fails = False

        async def read(
            self, hosts: tuple[HostName, ...], timeout_s: float
        ) -> Mapping[HostName, Beat] | None:
            inner = world.storage.folder(MOUNT, CONTROLLER)
            return None if self.fails else await inner.read(hosts, timeout_s)

    folder = Failing()
    world.watch = world.watching([folder])
    async with watching(world):
        world.beating.discard(HOST)
        await world.pass_s(2.0)
        folder.fails = True
        await world.pass_s(0.5)
        folder.fails = False
        back_s = world.clock.now_s()
        await world.pass_s(4.0)

        vote = world.vote()

    assert vote is not None
    assert Vote.SILENT is vote.vote
    assert back_s <= vote.changed_s


@pytest.mark.parametrize("text", [None, "rubbish"])
async def test_evidence__file_gone_or_garbled__is_no_silence(
    world: World, text: str | None
) -> None:
    """What cannot be read says nothing, and ends a silence."""
    world.beating.discard(HOST)
    await world.pass_s(4.0)
    assert world.fresh(Vote.SILENT)
    world.storage.put(MOUNT, HOST, text)
    await world.pass_s(0.6)

    assert world.vote() is None


async def test_evidence__sequence_goes_back__is_no_life(world: World) -> None:
    """A storage that failed over to an older copy shows a change that no host made."""
    world.beating.discard(HOST)
    await world.pass_s(4.0)
    older = Beat(host=HOST, boot_id=BOOT, sequence=3)
    world.storage.put(MOUNT, HOST, older.line())
    await world.pass_s(4.0)

    vote = world.vote()

    assert vote is not None
    assert Vote.SILENT is vote.vote

    world.sequences[HOST] = 3
    world.beating.add(HOST)
    await world.pass_s(2.0)

    assert world.fresh(Vote.ALIVE_STRONG)


async def test_evidence__another_boot__counts_from_its_second_beat(world: World) -> None:
    """A new boot ends the silence of the old one at once, and lives as soon as it beats on."""
    world.beating.discard(HOST)
    await world.pass_s(4.0)
    world.boots[HOST] = NEXT_BOOT
    world.beat(HOST)
    await world.pass_s(0.6)
    assert world.vote() is None

    world.beat(HOST)
    await world.pass_s(0.6)

    vote = world.vote()
    assert vote is not None
    assert (Vote.ALIVE_STRONG, NEXT_BOOT) == (vote.vote, vote.boot_id)


async def test_on_change__votes__wake_once_for_each_change(world: World) -> None:
    """A moving beat wakes nobody; silence does, when it begins and when it is late."""
    await world.pass_s(5.0)
    world.changes.clear()
    await world.pass_s(5.0)
    assert HOST not in world.changes

    world.beating.discard(HOST)
    await world.pass_s(8.0)

    assert 1 <= world.changes.count(HOST) <= 2


class Counting:
    """A folder that shows nothing, and notes who is looked for."""

    name = MOUNT

    def __init__(self) -> None:
        self.asked: list[tuple[HostName, ...]] = []

    async def read(self, hosts: tuple[HostName, ...], timeout_s: float) -> dict[HostName, Beat]:
        """See ``ports.BeatFolder``."""
        self.asked.append(hosts)
        return {}


@asynccontextmanager
async def counting() -> AsyncIterator[tuple[VirtualClock, Counting, StorageWatch]]:
    """Watch a large fleet."""
    clock, folder = VirtualClock(), Counting()
    watch = StorageWatch(
        [folder],
        [host_name(f"many-{number}") for number in range(500)],
        clock,
        observer=CONTROLLER,
        pace=WatchingPace(),
        on_change=lambda _host: None,
    )
    watch.start()
    await clock.advance(30.2)
    try:
        yield clock, folder, watch
    finally:
        await watch.close()


async def test_hasten__new_suspect__is_read_at_once() -> None:
    """The baseline is taken when the suspicion begins, not a second later."""
    async with counting() as (clock, folder, watch):
        last = host_name("many-499")
        scans = len(folder.asked)
        watch.hasten(frozenset({last}))
        await clock.advance(0.01)

        assert [True] == [last in asked for asked in folder.asked[scans:]]


async def test_hasten__host_without_agent__is_not_looked_for() -> None:
    """Who never beats has no file."""
    async with counting() as (clock, folder, watch):
        watch.hasten(frozenset({HOST}))
        await clock.advance(2.0)

        assert all(HOST not in asked for asked in folder.asked)


async def test_scan__nobody_suspected__reads_few_in_turn() -> None:
    """In quiet times a large fleet costs no more than a small one."""
    async with counting() as (_, folder, _watch):
        assert len(folder.asked) <= 32
        assert max(map(len, folder.asked)) <= 3
        assert len(set(folder.asked)) > 5
