"""Knocking: what is remembered of each plane, when it changes, and how often one knocks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hamon.detector.knocking import Knocker, KnockingPace
from hamon.model.host import PlaneAddress
from hamon.model.names import BootId, HostName, host_name
from hamon.model.proof import Source, Vote
from hamon.model.view import KERNEL_ONLY
from hamon.ports.probe import ProbeAnswer, ProbeResult
from hamon.sim.network import SimulatedNetwork, SimulatedProbe

BOOT = BootId("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
NEXT_BOOT = BootId("7d444840-9dc0-41d1-b245-5ffdce74fad2")
PACE = KnockingPace(period_s=1.0, late_after_s=2.0, timeout_s=0.5)
HOST = host_name("host-1")
PLANES = ("management", "storage")


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        """See ``ports.Clock``."""
        return self._now_s

    def wall(self) -> str:
        """See ``ports.Clock``."""
        return ""

    async def sleep(self, duration_s: float) -> None:
        """See ``ports.Clock``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_s = self._now_s + max(0.0, duration_s)
        heapq.heappush(self._sleepers, (due_s, next(self._order), future))
        await future

    async def advance(self, duration_s: float) -> None:
        """Let time pass, waking each sleeper at its second."""
        until_s = self._now_s + duration_s
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until_s:
            self._now_s, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now_s = until_s


async def settle() -> None:
    """Let every task run until it waits for the clock."""
    for _ in range(10):
        await asyncio.sleep(0)


@dataclass
class Host:
    """What answers at a host's addresses."""

    result: ProbeResult

    def answer(self) -> ProbeResult:
        """See ``hamon.sim.network.Endpoint``."""
        return self.result


def echo(host: HostName, boot_id: BootId = BOOT) -> ProbeResult:
    """A living agent's answer."""
    return ProbeResult(answer=ProbeAnswer.ECHO, host=host, boot_id=boot_id)


@dataclass
class World:
    """A knocker on a simulated network."""

    pace: KnockingPace = PACE
    clock: HandClock = field(default_factory=HandClock)
    changes: list[HostName] = field(default_factory=list)
    hosts: dict[HostName, Host] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = SimulatedNetwork(self.clock)
        self.knocks: list[tuple[float, str]] = []
        self.knocker = Knocker(
            self,
            self.clock,
            observer="controller-1",
            pace=self.pace,
            on_change=self.changes.append,
        )

    async def knock(self, address: str, port: int, timeout_s: float) -> ProbeResult:
        """Carry a probe, and write down when."""
        self.knocks.append((self.clock.now_s(), address))
        probe = SimulatedProbe(self.network, "controller-1")
        return await probe.knock(address, port, timeout_s)

    def add(self, number: int = 1) -> HostName:
        """Enrol a living host on both planes."""
        name = host_name(f"host-{number}")
        self.hosts[name] = Host(echo(name))
        addresses = tuple(
            PlaneAddress(plane=plane, address=f"192.0.{plane_number}.{number}", port=9730)
            for plane_number, plane in enumerate(PLANES)
        )
        for place in addresses:
            self.network.attach(place.plane, name, place.address, place.port, self.hosts[name])
        self.knocker.watch(name, addresses)
        return name

    def votes(self, host: HostName = HOST) -> dict[str, Vote]:
        """The host's votes by plane."""
        return {evidence.subject: evidence.vote for evidence in self.knocker.evidence(host)}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world with one living host that has been heard on both planes."""
    world = World()
    world.add()
    await world.clock.advance(3.0)
    world.changes.clear()
    yield world
    await world.knocker.close()


async def test_knocker__host_lives__votes_strong_on_every_plane(world: World) -> None:
    """An echo is a strong sign of life, with the boot that gave it."""
    evidence = world.knocker.evidence(HOST)

    assert dict.fromkeys(PLANES, Vote.ALIVE_STRONG) == world.votes()
    assert {(Source.ECHO, BOOT, "controller-1")} == {
        (one.source, one.boot_id, one.observer) for one in evidence
    }
    assert all(1000.0 < one.changed_s < one.observed_s for one in evidence)
    assert (PLANES, {}, []) == (world.knocker.reaches(), world.knocker.silent(), world.changes)


async def test_knocker__host_dies__is_silent_since_the_first_missed_knock(world: World) -> None:
    """A silence begins when the first knock without an answer was sent, on one clock."""
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.SILENT)
    died_s = world.clock.now_s()

    await world.clock.advance(1.7)

    evidence = world.knocker.evidence(HOST)
    assert dict.fromkeys(PLANES, Vote.SILENT) == world.votes()
    assert {Source.CONNECT} == {one.source for one in evidence}
    first = [
        next(s for s, a in world.knocks if s >= died_s and a == f"192.0.{n}.1") for n in (0, 1)
    ]
    assert first == [one.changed_s for one in evidence]
    assert {} == world.knocker.silent()


async def test_knocker__host_falls_silent__is_remembered_when_it_lived(world: World) -> None:
    """One packet lost says nothing of the echo before it; the echo of a later boot counts anew."""
    heard = {one.subject: one.observed_s for one in world.knocker.evidence(HOST)}
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.SILENT)
    await world.clock.advance(4.0)
    silent = world.knocker.evidence(HOST)
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.ECHO, host=HOST, boot_id=NEXT_BOOT)
    await world.clock.advance(2.0)

    assert {Vote.SILENT} == {one.vote for one in silent}
    assert {BOOT} == {one.echoed_boot for one in silent}
    assert all(heard[one.subject] <= (one.echoed_s or 0) <= one.changed_s for one in silent)
    assert {NEXT_BOOT} == {one.echoed_boot for one in world.knocker.evidence(HOST)}


async def test_knocker__host_dies__is_known_late_in_time(world: World) -> None:
    """A miss is knocked at again quickly, so that lateness shows as soon as it is true."""
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.SILENT)
    period_s, patience_s = PACE.period_s * 1.1, PACE.timeout_s

    await world.clock.advance(period_s + PACE.late_after_s + patience_s)

    assert dict.fromkeys(PLANES, (HOST,)) == world.knocker.silent()
    assert () == world.knocker.reaches()
    # One change for each plane when it went silent, and one when the silence became late.
    assert [HOST] * 4 == world.changes


async def test_knocker__calm__knocks_once_a_beat_on_each_plane_in_turn(world: World) -> None:
    """One connection a host a second is enough while all is well."""
    world.knocks.clear()

    await world.clock.advance(10.0)

    assert [5, 5] == [
        sum(address == f"192.0.{number}.1" for _, address in world.knocks) for number in (0, 1)
    ]
    gaps_s = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(world.knocks)]
    assert gaps_s == pytest.approx([PACE.period_s] * 9)


async def test_knocker__several_calm_hosts__are_knocked_at_in_one_wake_up(world: World) -> None:
    """Waking up costs more than a knock."""
    for number in range(2, 6):
        world.add(number)
    await world.clock.advance(3.0)
    world.knocks.clear()

    await world.clock.advance(4.0)

    moments = [at_s for at_s, _ in world.knocks]
    assert [5] * 4 == [moments.count(at_s) for at_s in sorted(set(moments))]


async def test_knocker__one_missed_knock__asks_on_every_plane_at_once(world: World) -> None:
    """A calm host is heard on one plane at a time; its silence is looked at on all of them."""
    await world.clock.advance(PACE.period_s / 2)
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.SILENT)
    world.knocks.clear()
    while Vote.SILENT not in world.votes().values():
        await world.clock.advance(0.1)
    missed_s = world.knocks[0][0] + PACE.timeout_s

    await world.clock.advance(0.1)

    asked = [address for at_s, address in world.knocks if at_s == pytest.approx(missed_s)]
    assert ["192.0.0.1", "192.0.1.1"] == sorted(asked)


async def test_knocker__long_period__is_still_known_late_in_time() -> None:
    """How soon a silence is known to be late does not depend on the period after its first miss."""
    pace = KnockingPace(period_s=30.0, late_after_s=2.0, timeout_s=0.5)
    world = World(pace=pace)
    world.add()
    await world.clock.advance(60.0)
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.SILENT)
    while not world.knocker.evidence(HOST) or Vote.SILENT not in world.votes().values():
        await world.clock.advance(0.1)

    await world.clock.advance(pace.late_after_s + pace.timeout_s)

    assert [HOST] == sorted({host for hosts in world.knocker.silent().values() for host in hosts})
    assert world.changes.count(HOST) >= 2
    await world.knocker.close()


async def test_knocker__one_plane_cut__only_that_plane_is_silent(world: World) -> None:
    """Planes are told apart."""
    world.network.cut("storage", HOST)

    await world.clock.advance(5.0)

    assert {"management": Vote.ALIVE_STRONG, "storage": Vote.SILENT} == world.votes()
    assert ("management",) == world.knocker.reaches()
    assert {"storage": (HOST,)} == world.knocker.silent()


async def test_knocker__host_comes_back__tells_at_once(world: World) -> None:
    """A late host that answers again is heard within a period."""
    world.network.cut("storage", HOST)
    await world.clock.advance(5.0)
    world.changes.clear()

    world.network.restore("storage", HOST)
    await world.clock.advance(PACE.period_s + PACE.timeout_s)

    assert dict.fromkeys(PLANES, Vote.ALIVE_STRONG) == world.votes()
    assert [HOST] == world.changes
    assert {} == world.knocker.silent()


async def test_knocker__another_boot_answers__is_a_change(world: World) -> None:
    """A host that rebooted between two knocks is another life with the same vote."""
    world.hosts[HOST].result = echo(HOST, NEXT_BOOT)

    await world.clock.advance(1.5)

    assert {NEXT_BOOT} == {one.boot_id for one in world.knocker.evidence(HOST)}
    assert [HOST, HOST] == world.changes


@pytest.mark.parametrize(
    "result",
    [
        ProbeResult(answer=ProbeAnswer.CONNECTED),
        ProbeResult(answer=ProbeAnswer.REFUSED),
        echo(host_name("host-2")),
    ],
)
async def test_knocker__kernel_or_stranger_answers__is_weak(
    world: World, result: ProbeResult
) -> None:
    """What is not this host's own echo shows life, but not whose or how well."""
    world.hosts[HOST].result = result

    await world.clock.advance(1.5)

    evidence = world.knocker.evidence(HOST)
    assert dict.fromkeys(PLANES, Vote.ALIVE_WEAK) == world.votes()
    assert {(Source.CONNECT, None)} == {(one.source, one.boot_id) for one in evidence}


async def test_knocker__suspects_answer__those_with_a_kernel_only_are_told_apart(
    world: World,
) -> None:
    """The other controllers are to know whether more than a kernel is heard."""
    world.knocker.hasten(frozenset({HOST}))
    await world.clock.advance(1.5)
    assert dict.fromkeys(PLANES, (HOST,)) == world.knocker.heard()

    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.REFUSED)
    await world.clock.advance(1.5)

    kernels = (KERNEL_ONLY + plane for plane in PLANES)
    assert dict.fromkeys((*PLANES, *kernels), (HOST,)) == world.knocker.heard()


async def test_knocker__probe_cannot_be_made__last_vote_ages(world: World) -> None:
    """Trouble of this machine is no vote: nothing new is said, and old words grow old."""
    before = world.knocker.evidence(HOST)
    world.hosts[HOST].result = ProbeResult(answer=ProbeAnswer.FAILED)

    await world.clock.advance(10.0)

    after = world.knocker.evidence(HOST)
    assert [one.vote for one in before] == [one.vote for one in after]
    assert all(world.clock.now_s() - one.observed_s > 8.0 for one in after)
    assert ((), {}, []) == (world.knocker.reaches(), world.knocker.silent(), world.changes)


async def test_knocker__host_forgotten__is_not_knocked_at(world: World) -> None:
    """A removed host is left alone, and nothing is said of it."""
    world.knocker.forget(HOST)
    world.knocks.clear()

    await world.clock.advance(5.0)

    assert ([], ()) == (world.knocks, world.knocker.evidence(HOST))


async def test_knocker__plane_dropped_at_run_time__says_nothing_of_it(world: World) -> None:
    """A changed enrolment counts at once."""
    (management, _) = (
        PlaneAddress(plane=plane, address=f"192.0.{number}.1", port=9730)
        for number, plane in enumerate(PLANES)
    )

    world.knocker.watch(HOST, (management,))
    await world.clock.advance(2.0)

    assert {"management": Vote.ALIVE_STRONG} == world.votes()


async def test_knocker__large_fleet__keeps_below_its_rate() -> None:
    """The period grows with the fleet; a controller sends so much and no more."""
    world = World(pace=KnockingPace(knocks_per_s_max=10.0))
    for number in range(1, 31):
        world.add(number)
    await world.clock.advance(12.0)
    world.knocks.clear()

    await world.clock.advance(60.0)

    assert 60.0 * 10.0 == pytest.approx(len(world.knocks), rel=0.05)
    assert PLANES == world.knocker.reaches()
    await world.knocker.close()


async def test_knocker__suspect_of_a_large_fleet__is_heard_every_period() -> None:
    """What is said of a suspect is fresh, however large the fleet is, and only of a suspect."""
    world = World(pace=KnockingPace(knocks_per_s_max=2.0))
    for number in range(1, 11):
        world.add(number)
    await world.clock.advance(20.0)

    world.knocks.clear()
    for _ in range(100):
        # Said again at each look: that must not start anything over.
        world.knocker.hasten(frozenset({HOST}))
        await world.clock.advance(0.1)
        ages_s = [world.clock.now_s() - one.observed_s for one in world.knocker.evidence(HOST)]
        assert len(PLANES) == len(ages_s)
        assert max(ages_s) <= 1.1
    assert [10, 10] == [
        sum(address == f"192.0.{number}.1" for _, address in world.knocks) for number in (0, 1)
    ]

    world.knocker.hasten(frozenset())
    await world.clock.advance(2.0)
    world.knocks.clear()
    await world.clock.advance(20.0)
    assert sum(address.endswith(".1") for _, address in world.knocks) <= 5
    await world.knocker.close()


async def test_knocker__everything_silent__keeps_its_places() -> None:
    """A whole site without power does not open more connections than allowed."""
    world = World(pace=KnockingPace(in_flight_max=4))
    for number in range(1, 11):
        world.hosts[world.add(number)].result = ProbeResult(answer=ProbeAnswer.SILENT)

    await world.clock.advance(20.0)

    starts = [at_s for at_s, _ in world.knocks]
    busiest = max(sum(s <= other < s + PACE.timeout_s for other in starts) for s in starts)
    assert busiest <= 4
    await world.knocker.close()
