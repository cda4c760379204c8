"""Shared storage in a simulated cluster: a host that lost its network is seen to live there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hamon.model.host import HostChecks
from hamon.model.names import HostName
from hamon.model.proof import Source, Vote
from hamon.model.view import HostView
from hamon.sim.faults import do, heal
from hamon.sim.guest_plan import GuestPlan
from hamon.sim.loop import run_virtual
from hamon.sim.plan import Plan
from hamon.sim.world import World

HOST = HostName("compute-1")
PLAN = Plan(
    controllers=("controller-1",),
    guests=(GuestPlan(name="g1", host=HOST),),
    storage=("nfs1",),
    has_checks=True,
)


def play(story: Callable[[World], Awaitable[None]]) -> None:
    """Play a story in a world with a shared storage; the invariants hold at every step."""

    async def run() -> None:
        world = World(PLAN)
        with world.events.capture():
            try:
                await world.begin()
                # No conviction: what is looked at is what the controller sees.
                do(world, "request", "disarm")
                await story(world)
            finally:
                await world.end()

    run_virtual(run)


def seen(world: World) -> HostView:
    """What the controller saw of the host in its last round."""
    (controller,) = world.controllers.values()
    assert controller.last is not None
    assert controller.last.view is not None
    return controller.last.view.hosts[HOST]


def storage_vote(world: World) -> Vote | None:
    """What the storage says of the host now; None: nothing that is young enough."""
    for vote in seen(world).evidence:
        is_fresh = world.clock.now_s() - vote.observed_s <= world.policy.detection.fresh_s
        if vote.source is Source.STORAGE and is_fresh:
            return vote.vote
    return None


def cut_off(world: World) -> None:
    """Take every plane of the host away."""
    for plane in ("management", "storage"):
        do(world, "plane", plane, HOST, "cut")


def test_host__cut_off_from_every_plane__is_seen_alive_on_storage() -> None:
    """The partition that everything else takes for a death."""

    async def story(world: World) -> None:
        cut_off(world)
        await world.sleep(12.0)

        host = seen(world)
        assert host.heartbeat is None
        assert Vote.ALIVE_STRONG is storage_vote(world)
        assert {host.boot_id} == {v.boot_id for v in host.evidence if v.source is Source.STORAGE}

    play(story)


def test_host__loses_power__is_silent_on_storage() -> None:
    """A death is no more than what it was: the storage agrees."""

    async def story(world: World) -> None:
        do(world, "power", HOST, "off")
        await world.sleep(9.0)

        assert Vote.SILENT is storage_vote(world)

    play(story)


def test_host__heartbeat_process_dies__beats_on() -> None:
    """The storage is a witness of its own."""

    async def story(world: World) -> None:
        do(world, "heartbeat", HOST, "kill")
        await world.sleep(12.0)

        assert Vote.ALIVE_STRONG is storage_vote(world)

    play(story)


def test_host__userland_hangs__is_silent_on_storage() -> None:
    """A kernel that answers pings writes no heartbeat; it does once it goes on."""

    async def story(world: World) -> None:
        do(world, "userland", HOST, "hang")
        await world.sleep(12.0)
        assert Vote.SILENT is storage_vote(world)

        do(world, "userland", HOST, "resume")
        # A suspect again, so that it is looked at.
        do(world, "heartbeat", HOST, "kill")
        await world.sleep(12.0)
        assert Vote.ALIVE_STRONG is storage_vote(world)

    play(story)


def test_storage__hangs_for_all__says_nothing() -> None:
    """No vote, of the living and of the dead."""

    async def story(world: World) -> None:
        do(world, "storage", "nfs1", "all", "hang")
        await world.sleep(5.0)
        do(world, "power", HOST, "off")
        await world.sleep(12.0)

        assert storage_vote(world) is None

    play(story)


def test_storage__hangs_for_the_controller__says_nothing() -> None:
    """What only this controller cannot read is no silence of the host."""

    async def story(world: World) -> None:
        do(world, "storage", "nfs1", "controller-1", "cut")
        await world.sleep(5.0)
        do(world, "power", HOST, "off")
        await world.sleep(12.0)

        assert storage_vote(world) is None

    play(story)


def test_host__storage_write_and_link_fail__are_told_and_taken_back() -> None:
    """Management lives: the host itself says what it lost."""

    async def story(world: World) -> None:
        do(world, "storage", "nfs1", HOST, "cut")
        do(world, "link", HOST, "tenant", "down")
        await world.sleep(6.0)

        boot_id = seen(world).boot_id
        assert boot_id is not None
        expected = {"link:tenant": "it has no carrier", "storage:nfs1": "Input/output error"}
        assert HostChecks(boot_id=boot_id, failed=expected) == seen(world).checks

        heal(world)
        await world.sleep(6.0)
        assert HostChecks(boot_id=boot_id) == seen(world).checks

    play(story)


def test_host__its_storage_hangs__is_told() -> None:
    """A write that does not return is a fault like one that fails, only later."""

    async def story(world: World) -> None:
        do(world, "storage", "nfs1", "all", "hang")
        await world.sleep(12.0)

        checks = seen(world).checks
        assert checks is not None
        assert ["storage:nfs1"] == list(checks.failed)

    play(story)
