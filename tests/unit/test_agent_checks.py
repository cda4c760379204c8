"""What a host checks of itself: told when it lasts, not at every slip, never untold by chance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hamon.agent.context import CheckSources
from hamon.agent.links import link_trouble
from hamon.coordination.codec import decode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.host import HostChecks
from hamon.model.policy import Backend
from hamon.ports.store import DeleteNode
from tests.unit.agent_world import BOOT, HOST, World

PERIOD_S = 2.0
CHECKS = to_path(Place(kind=PlaceKind.CHECKS, host=HOST))


@dataclass
class Surface:
    """What a host's storage and links say."""

    storage: dict[str, str | None] = field(default_factory=lambda: {"nfs1": ""})
    links: dict[str, str] = field(default_factory=lambda: {"bond0": ""})


@pytest.fixture
def surface() -> Surface:
    """All is well."""
    return Surface()


@pytest.fixture(params=list(Backend))
async def world(request: pytest.FixtureRequest, surface: Surface) -> AsyncIterator[World]:
    """A host of each backend that checks itself, and has done so for some time."""
    world = World(request.param)
    world.checks = CheckSources(
        period_s=PERIOD_S, storage=lambda: surface.storage, links=lambda: surface.links
    )
    await world.prepare()
    await world.start_agent()
    await world.pass_s(10.0)
    yield world
    await world.close()


async def published(world: World) -> tuple[HostChecks | None, int]:
    """Read what the leader can see, and how often it was written."""
    node = await world.leader.get(CHECKS)
    value = decode(CHECKS, node.data)
    assert value is None or isinstance(value, HostChecks)
    return value, node.version


async def failed(world: World) -> dict[str, str] | None:
    """Read which checks failed; None: nothing was ever written."""
    value, _ = await published(world)
    return dict(value.failed) if value is not None else None


async def test_checks__nothing_ever_failed__write_nothing(world: World) -> None:
    """Ten thousand healthy hosts that boot cost ZooKeeper nothing."""
    assert (None, 0) == await published(world)


async def test_check__fails_twice_in_a_row__is_published(world: World, surface: Surface) -> None:
    """Name and plain reason, of this boot."""
    surface.storage["nfs1"] = "Input/output error"
    surface.links["bond0"] = "it has no carrier"
    await world.pass_s(PERIOD_S)
    assert await failed(world) is None

    await world.pass_s(PERIOD_S)

    value, _ = await published(world)
    assert value is not None
    assert BOOT == value.boot_id
    assert {
        "link:bond0": "it has no carrier",
        "storage:nfs1": "Input/output error",
    } == dict(value.failed)


async def test_check__fails_now_and_then__is_not_published(world: World, surface: Surface) -> None:
    """One slip is no fault, however often."""
    for _ in range(5):
        surface.storage["nfs1"] = "slow"
        await world.pass_s(PERIOD_S)
        surface.storage["nfs1"] = ""
        await world.pass_s(PERIOD_S)

    assert (None, 0) == await published(world)


async def test_check__passes_twice_again__is_taken_back(world: World, surface: Surface) -> None:
    """And not at the first good moment of a sick storage."""
    surface.storage["nfs1"] = "gone"
    await world.pass_s(3 * PERIOD_S)
    surface.storage["nfs1"] = ""
    await world.pass_s(PERIOD_S)
    assert {"storage:nfs1": "gone"} == await failed(world)

    await world.pass_s(PERIOD_S)

    assert {} == await failed(world)
    assert ["check_failed", "check_passed"] == [
        name for name in world.log.names() if name.startswith("check_")
    ]


async def test_check__reason_changes_while_it_fails__is_not_written_again(
    world: World, surface: Surface
) -> None:
    """A number of seconds in a reason must not wake the leader every period."""
    for second in range(10):
        surface.storage["nfs1"] = f"nothing could be written for {second} s"
        await world.pass_s(PERIOD_S)

    _, version = await published(world)
    assert 1 == version


async def test_check__libvirt_hangs__is_published(world: World) -> None:
    """Its listing is what the host knows of it anyway."""
    world.hypervisor.pause_daemon()
    await world.pass_s(60.0)

    assert {"libvirt": "libvirt does not answer"} == await failed(world)

    world.hypervisor.resume_daemon()
    await world.pass_s(30.0)

    assert {} == await failed(world)


async def test_check__process_starts_anew__takes_nothing_back_before_it_knows(
    world: World, surface: Surface
) -> None:
    """What is not known yet after a restart is no recovery."""
    surface.storage["nfs1"] = "gone"
    await world.pass_s(3 * PERIOD_S)
    await world.stop_agent()
    surface.storage["nfs1"] = None
    await world.start_agent()
    await world.pass_s(5 * PERIOD_S)
    assert {"storage:nfs1": "gone"} == await failed(world)

    surface.storage["nfs1"] = ""
    await world.pass_s(3 * PERIOD_S)

    assert {} == await failed(world)


async def test_check__next_boot_is_well__says_so_of_its_boot(
    world: World, surface: Surface
) -> None:
    """What a former boot found is not left there for this one."""
    surface.storage["nfs1"] = "gone"
    await world.pass_s(3 * PERIOD_S)
    surface.storage["nfs1"] = ""
    await world.reboot()
    await world.pass_s(5 * PERIOD_S)

    value, _ = await published(world)
    assert value is not None
    assert (world.boot_id, {}) == (value.boot_id, dict(value.failed))


async def test_check__no_zookeeper_for_a_while__is_published_after(
    world: World, surface: Surface
) -> None:
    """Nothing is lost that could not be written at once."""
    world.store.cut()
    surface.storage["nfs1"] = "gone"
    await world.pass_s(20.0)
    assert await failed(world) is None

    world.store.heal()
    await world.pass_s(10.0)

    assert {"storage:nfs1": "gone"} == await failed(world)


async def test_check__cluster_of_an_older_hamon__does_no_harm(
    world: World, surface: Surface
) -> None:
    """Where nobody made the znode yet the agent works on."""
    node = await world.leader.get(CHECKS)
    await world.leader.commit([DeleteNode(path=CHECKS, version=node.version)])
    surface.storage["nfs1"] = "gone"
    await world.pass_s(20.0)

    assert await world.domains() is not None


# -- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "carrier", "expected"),
    [
        ("up", "1", ""),
        ("unknown", "1", ""),
        ("up", "0", "it has no carrier"),
        ("lowerlayerdown", "0", "it has no carrier"),
        ("dormant", "1", "it is dormant"),
        ("down", None, "it is switched off"),
        (None, None, "there is no such link"),
    ],
)
def test_link__as_the_kernel_shows_it__is_judged(
    tmp_path: Path, state: str | None, carrier: str | None, expected: str
) -> None:
    """Up and with a carrier, or not."""
    link = tmp_path / "bond0"
    if state is not None:
        link.mkdir()
        (link / "operstate").write_text(f"{state}\n")
        # The kernel refuses to read it of a link that is off, as a folder does.
        if carrier is None:
            (link / "carrier").mkdir()
        else:
            (link / "carrier").write_text(f"{carrier}\n")

    assert expected == link_trouble("bond0", tmp_path)


def test_link__loopback_of_this_machine__carries() -> None:
    """The real files."""
    assert "" == link_trouble("lo")
