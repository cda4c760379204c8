"""Observing: which hosts are looked at closely, and how long what Nova told is kept."""

from collections.abc import AsyncIterator, Mapping

import pytest

from hamon.coordination.access import Identities, access_for
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.codec import encode
from hamon.decide.storms import storm_holds
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.memory import Memory
from hamon.engine.observing import Observer
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.change import Decision
from hamon.model.control import HoldKind
from hamon.model.host import (
    GuestAgent,
    Heartbeat,
    HostChecks,
    HostDomains,
    HostGuestAgents,
    HostRecord,
    HostState,
)
from hamon.model.names import Epoch, HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.proof import Evidence
from hamon.model.reason import reason
from hamon.ports.store import CreateNode, DeleteNode, SetData
from tests.builders import BOOT, HOST, ME, a_guest, an_incident, an_own
from tests.cloud_builders import a_server
from tests.unit.engine_world import CONTROLLERS, SPEC, World

HEARTBEAT = f"/hosts/{HOST}/alive/hb"
ATTENDANCE = f"/hosts/{HOST}/alive/guests"
AGENTS = f"/hosts/{HOST}/alive/agents"
BEAT = Heartbeat(boot_id=BOOT)
CHECKS = f"/hosts/{HOST}/checks"
DOMAINS = f"/hosts/{HOST}/domains"
RECORD = f"/hosts/{HOST}/record"


class Probes:
    """Remembers which hosts are to be looked at closely; hears nothing."""

    def __init__(self) -> None:
        self.hastened: frozenset[HostName] = frozenset()

    def hasten(self, hosts: frozenset[HostName]) -> None:
        """See ``engine.ports.Probes``."""
        self.hastened = hosts

    def evidence(self, _: HostName) -> tuple[Evidence, ...]:
        """See ``engine.ports.Probes``."""
        return ()

    def reaches(self) -> tuple[str, ...]:
        """See ``engine.ports.Probes``."""
        return ()

    def heard(self) -> Mapping[str, tuple[HostName, ...]]:
        """See ``engine.ports.Probes``."""
        return {}

    def silent(self) -> Mapping[str, tuple[HostName, ...]]:
        """See ``engine.ports.Probes``."""
        return {}


class Watcher:
    """A controller that only looks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.probes = Probes()
        self.cluster = ZooKeeperCluster(world.hand, world.clock, ME, (SPEC,), CONTROLLERS)
        self.observer = Observer(self.cluster, self.probes, Memory(), world.clock, (SPEC,))

    async def look(self) -> frozenset[HostName]:
        """Have it look; return the hosts that it looks at closely."""
        await self.world.clock.advance(0.1)
        assert self.observer.view(an_own()) is not None
        return self.probes.hastened

    async def beat(self, path: str = HEARTBEAT, value: Heartbeat | HostGuestAgents = BEAT) -> None:
        """Give the host a session: its heartbeat's, or its guests process's."""
        access = access_for(
            path,
            Identities(controllers=CONTROLLERS, hosts={HOST: SPEC.zookeeper_identity}),
        )
        create = CreateNode(path=path, data=encode(path, value), access=access, is_ephemeral=True)
        await self.world.hand.commit([create])

    async def lose(self) -> None:
        """End the host's session."""
        await self.world.hand.commit([DeleteNode(path=HEARTBEAT, version=0)])

    async def write_state(self, state: HostState, version: int) -> None:
        """Write where the host stands."""
        record = HostRecord(state=state, epoch=Epoch(1), since="T0")
        write = SetData(path=RECORD, data=encode(RECORD, record), version=version)
        await self.world.hand.commit([write])


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    """A controller that looks at one enrolled host."""
    world = World()
    await world.prepare()
    watcher = Watcher(world)
    watcher.cluster.start()
    yield watcher
    await watcher.cluster.stop()
    await world.close()


async def test_host_without_session__is_looked_at_closely(watcher: Watcher) -> None:
    """What the probes say of a host is needed as soon as its session is gone."""
    assert {HOST} == await watcher.look()
    await watcher.beat()
    assert frozenset() == await watcher.look()
    await watcher.lose()
    assert {HOST} == await watcher.look()


async def test_thought__of_a_leaders_round__is_in_the_views_that_follow(watcher: Watcher) -> None:
    """A conviction is told with what was thought before; of a host never seen nothing is."""
    decision = Decision(reasons=(reason("heartbeat_late", HOST),))
    await watcher.look()
    for is_known in (False, True):
        if is_known:
            await watcher.write_state(HostState.SUSPECT, 0)
            await watcher.look()
        view = watcher.observer.view(an_own())
        assert view is not None
        watcher.observer.remember(view, decision)
        seen = watcher.observer.view(an_own())
        assert seen is not None
        assert ["heartbeat_late"] * is_known == [m.code for m in seen.hosts[HOST].history]


async def test_host_not_up__is_looked_at_closely_though_it_has_a_session(watcher: Watcher) -> None:
    """A host on its way back may contradict the proof of its death."""
    await watcher.beat()
    await watcher.write_state(HostState.UP, 0)
    assert frozenset() == await watcher.look()
    await watcher.write_state(HostState.RETURNING, 1)
    assert {HOST} == await watcher.look()


@pytest.mark.parametrize(
    ("is_attended", "is_there", "is_healthy"),
    [(True, True, True), (True, False, False), (False, False, True)],
)
async def test_listing__of_a_guests_process_that_is_gone__is_of_the_past(
    watcher: Watcher, *, is_attended: bool, is_there: bool, is_healthy: bool
) -> None:
    """What a dead process listed stays in ZooKeeper; one of before this rule is still believed."""
    listed = HostDomains(boot_id=BOOT, is_healthy=True, is_attended=is_attended)
    await watcher.world.hand.commit(
        [SetData(path=DOMAINS, data=encode(DOMAINS, listed), version=0)]
    )
    if is_there:
        await watcher.beat(ATTENDANCE)
    await watcher.look()

    view = watcher.observer.view(an_own())

    assert view is not None
    seen = view.hosts[HOST].domains
    assert seen is not None
    assert is_healthy == seen.is_healthy


@pytest.mark.parametrize("is_there", [True, False])
async def test_checks__of_a_guests_process_that_is_gone__are_of_the_past(
    watcher: Watcher, *, is_there: bool
) -> None:
    """A policy may fence for them: what a dead process found is no evidence of what is (S3)."""
    ill = HostChecks(boot_id=BOOT, failed={"storage:nfs": "not written for 9 s"})
    await watcher.world.hand.commit([SetData(path=CHECKS, data=encode(CHECKS, ill), version=0)])
    await watcher.beat()
    if is_there:
        await watcher.beat(ATTENDANCE)
    await watcher.look()

    view = watcher.observer.view(an_own())

    assert view is not None
    assert (ill if is_there else None) == view.hosts[HOST].checks


async def test_agents__as_the_guests_process_tells__are_in_the_view(watcher: Watcher) -> None:
    """Waiting for a guest may rest on them."""
    told = HostGuestAgents(boot_id=BOOT, agents={a_guest(): GuestAgent.CONNECTED})
    await watcher.beat(AGENTS, told)
    await watcher.look()

    view = watcher.observer.view(an_own())

    assert view is not None
    assert told == view.hosts[HOST].agents


@pytest.mark.parametrize(("state", "is_kept"), [(HostState.RESTARTED, True), (HostState.UP, False)])
async def test_observe__guests_of_a_restarted_host__are_known_until_it_is_up(
    watcher: Watcher,
    state: HostState,
    is_kept: bool,  # noqa: FBT001 - a case
) -> None:
    """A list of then would be the first that is believed when it dies one day."""
    await watcher.write_state(state, 0)
    await watcher.look()
    picture = CloudPicture(Pace(window=8, limit=32))
    picture.saw_servers_of(HOST, [a_server()], 100.0)
    observer = Observer(
        watcher.cluster, watcher.probes, Memory(), watcher.world.clock, (SPEC,), picture
    )

    view = observer.view(an_own())

    assert view is not None
    assert view.cloud is not None
    assert is_kept is bool(view.cloud.listed_s)


async def test_first_look__is_told_as_it_was(watcher: Watcher) -> None:
    """What was so by then may be old; a later look does not make anything older."""
    await watcher.look()
    view = watcher.observer.view(an_own())
    assert view is not None
    first = view.first_look
    assert first is not None
    assert first.at_s == view.hosts[HOST].session_lost_s

    await watcher.look()

    later = watcher.observer.view(an_own())
    assert later is not None
    assert first == later.first_look


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [("2025-01-01T00:00:00.000Z", False), ("", True), ("2999-01-01T00:00:00.000Z", True)],
)
async def test_rate__new_controller_finds_ten_open_incidents__counts_those_not_said_to_be_old(
    watcher: Watcher, stamp: str, *, expected: bool
) -> None:
    """Ten machines wait for spare parts since last year, and a controller is restarted."""
    for number in range(10):
        host = HostName(f"dead-{number}")
        name = IncidentId(f"{host}-3")
        incident = an_incident(host=host, incident=name, stamps={"convicted": stamp}).record.value
        root = f"/incidents/{name}"
        path = f"{root}/record"
        access = access_for(path, Identities(controllers=CONTROLLERS))
        await watcher.world.hand.commit(
            [
                CreateNode(path=root, data=b"", access=access),
                CreateNode(path=f"{root}/migrations", data=b"", access=access),
                CreateNode(path=path, data=encode(path, incident), access=access),
            ]
        )
    await watcher.look()

    view = watcher.observer.view(an_own())

    assert view is not None
    assert 10 == len(view.incidents)
    found = storm_holds(view, Policy(), watcher.world.clock.now_s())
    assert expected == (HoldKind.RATE in {hold.kind for hold in found})
