"""On a real ensemble of three servers: deposed, racing and dead."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import (
    CONTROLLERS_USER,
    Identities,
    access_for,
    digest_of,
    host_user,
)
from hamon.coordination.bootstrap import bootstrap, enrol
from hamon.coordination.codec import decode, encode
from hamon.coordination.election import Election
from hamon.coordination.journal import Journal
from hamon.coordination.mirror import Mirror
from hamon.coordination.paths import path_of
from hamon.coordination.session import SessionCredentials, StoreSettings
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import NodeExistsError, WriteConflictError
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Update,
    guard_of,
    incident_of,
    self_of,
)
from hamon.model.control import Control
from hamon.model.host import Heartbeat, HostGuard, HostSelf, HostSpec, Right
from hamon.model.incident import IncidentRecord, Trigger
from hamon.model.names import BootId, ControllerId, HostName, incident_id
from hamon.model.reason import reason
from hamon.ports.store import CheckVersion, CreateNode, DeleteNode, SetData
from tests.contract.store_world import password_of, until
from tests.ensemble import Ensemble

pytestmark = pytest.mark.integration

SESSION_TIMEOUT_S = 4.0
WITHIN_S = 30.0
HOST = HostName("compute-1")
BEAT = f"/hosts/{HOST}/alive/hb"
IDENTITIES = Identities(
    controllers=digest_of(CONTROLLERS_USER, password_of(CONTROLLERS_USER)),
    hosts={HOST: digest_of(host_user(HOST), password_of(host_user(HOST)))},
)


class Cluster:
    """One chroot on the ensemble, with one host."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.chroot = f"/hamon/{uuid4().hex}"
        self._stores: list[ZooKeeperStore] = []

    async def make(self) -> None:
        """Bootstrap and enrol."""
        await bootstrap(await self.connect(chroot="/"), self.chroot, IDENTITIES)
        digest = IDENTITIES.hosts[HOST]
        spec = HostSpec(name=HOST, planes=(), fence=(), zookeeper_identity=digest)
        await enrol(await self.connect(), [spec], IDENTITIES.controllers)

    async def connect(
        self,
        user: str = CONTROLLERS_USER,
        chroot: str = "",
        resume: SessionCredentials | None = None,
    ) -> ZooKeeperStore:
        """Open a session; it is closed with the cluster."""
        settings = StoreSettings(
            servers=self.ensemble.addresses,
            chroot=chroot or self.chroot,
            session_timeout_s=SESSION_TIMEOUT_S,
            user=user,
            password=password_of(user),
            resume=resume,
        )
        store = ZooKeeperStore(settings)
        self._stores.append(store)
        await store.start(WITHIN_S)
        return store

    async def stop(self) -> None:
        """Close every session."""
        for store in self._stores:
            await store.close()


class Holder:
    """The process of ``office_holder.py``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, cluster: Cluster) -> Holder:
        """Start it; it reads its orders from a pipe."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.office_holder",
            ",".join(cluster.ensemble.addresses),
            cluster.chroot,
            str(SESSION_TIMEOUT_S),
            password_of(CONTROLLERS_USER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def line(self) -> str:
        """Read its next line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return (await self.process.stdout.readline()).decode().strip()

    def order(self) -> None:
        """Tell it to write; a stopped one finds the order when it goes on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"write\n")

    async def kill(self) -> None:
        """End it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@pytest.fixture(scope="module")
def ensemble() -> Iterator[Ensemble]:
    """Three servers with the timing of the lab."""
    ensemble = Ensemble(size=3, tick_ms=500)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.stop()


@pytest.fixture
async def cluster(ensemble: Ensemble) -> AsyncIterator[Cluster]:
    """A cluster of this test's own."""
    cluster = Cluster(ensemble)
    try:
        await cluster.make()
        yield cluster
    finally:
        await cluster.stop()


@pytest.mark.fault("F23")
async def test_leader__stopped_deposed_and_resumed__writes_nothing(cluster: Cluster) -> None:
    """A leader that slept through its successor's election cannot write, however sure it is."""
    holder = await Holder.start(cluster)
    try:
        epoch = int(await holder.line())
        holder.order()
        assert await holder.line() == "written"

        holder.process.send_signal(signal.SIGSTOP)
        store = await cluster.connect()
        election = Election(store, ControllerId("successor"), IDENTITIES, SystemClock())
        async with asyncio.timeout(WITHIN_S):
            office = await election.wait_for_office()
        before = await store.get("/control")
        holder.order()
        holder.process.send_signal(signal.SIGCONT)
        # The first order may meet the dying session; a later one meets the epoch.
        outcomes = [await holder.line()]
        while outcomes[-1] not in {"DeposedError", "written"}:
            holder.order()
            outcomes.append(await holder.line())

        assert epoch < office.epoch
        assert outcomes[-1] == "DeposedError"
        assert before == await store.get("/control")
        journal = Journal(store, office.epoch, IDENTITIES, SystemClock())
        update = Update(key=CONTROL, version=before.version, value=Control(who="successor"))
        await journal.commit(
            Change(subject="cluster", reason=reason("test", "cluster"), operations=(update,))
        )
    finally:
        await holder.kill()


async def test_leader__epoch_taken_while_it_runs__writes_nothing(cluster: Cluster) -> None:
    """A deposed leader with a live session cannot write either."""
    holder = await Holder.start(cluster)
    try:
        epoch = int(await holder.line())
        store = await cluster.connect()
        await store.commit([SetData(path="/epoch", data=b"", version=epoch)])

        holder.order()

        assert await holder.line() == "DeposedError"
        assert (await store.get("/control")).version == 0
    finally:
        await holder.kill()


async def test_leader__killed__is_followed_after_its_session(cluster: Cluster) -> None:
    """The session of a killed leader ends by itself, and the next contender takes office."""
    holder = await Holder.start(cluster)
    try:
        epoch = int(await holder.line())
        store = await cluster.connect()
        await holder.kill()

        async with asyncio.timeout(WITHIN_S):
            office = await Election(
                store, ControllerId("successor"), IDENTITIES, SystemClock()
            ).wait_for_office()

        assert epoch < office.epoch
    finally:
        await holder.kill()


async def test_registration_against_conviction__raced__exactly_one_commits(
    cluster: Cluster,
) -> None:
    """A host is never both registered and convicted on what was known before (protocol 1, 2)."""
    leader = await cluster.connect()
    host = await cluster.connect(host_user(HOST))
    office = await Election(leader, ControllerId("c1"), IDENTITIES, SystemClock()).wait_for_office()
    journal = Journal(leader, office.epoch, IDENTITIES, SystemClock())
    winners: list[str] = []
    for round_number in range(200):
        guard = await leader.get(path_of(guard_of(HOST)))
        itself = await leader.get(path_of(self_of(HOST)))
        sides = (register(host, guard.version, itself.version), None)
        register_first = round_number % 2 == 0
        conviction = convict(journal, guard.version, itself.version)
        racers = (sides[0], conviction) if register_first else (conviction, sides[0])
        results = await asyncio.gather(*racers)
        registered, convicted = results if register_first else reversed(results)

        assert registered != convicted, f"round {round_number}: {registered=} {convicted=}"
        assert await leader.exists(BEAT) == registered
        right = decode(guard.path, (await leader.get(guard.path)).data)
        assert isinstance(right, HostGuard)
        assert (right.right is Right.SHUT_OUT) == convicted
        winners.append("host" if registered else "leader")
        await settle(leader, host, is_registered=registered)

    assert set(winners) == {"host", "leader"}


async def register(host: ZooKeeperStore, guard_version: int, self_version: int) -> bool:
    """Register as the heartbeat process does; tell whether it was done."""
    boot_id = BootId(str(uuid4()))
    self_path, guard_path = path_of(self_of(HOST)), path_of(guard_of(HOST))
    try:
        await host.commit(
            [
                CheckVersion(path=guard_path, version=guard_version),
                SetData(
                    path=self_path,
                    data=encode(self_path, HostSelf(boot_id=boot_id, product_uuid="")),
                    version=self_version,
                ),
                CreateNode(
                    path=BEAT,
                    data=encode(BEAT, Heartbeat(boot_id=boot_id)),
                    access=access_for(BEAT, IDENTITIES),
                    is_ephemeral=True,
                ),
            ]
        )
    except (WriteConflictError, NodeExistsError):
        return False
    return True


async def convict(journal: Journal, guard_version: int, self_version: int) -> bool:
    """Convict as the leader does; tell whether it was done."""
    incident = incident_id(HOST, guard_version + 1)
    record = IncidentRecord(
        incident=incident, host=HOST, boot_id=None, trigger=Trigger.DETECTOR, reason="silent"
    )
    guard = HostGuard(right=Right.SHUT_OUT, incident=incident)
    change = Change(
        subject=HOST,
        reason=reason("convicted", HOST),
        operations=(
            Check(key=CONTROL, version=0),
            Check(key=self_of(HOST), version=self_version),
            Update(key=guard_of(HOST), version=guard_version, value=guard),
            Create(key=incident_of(incident), value=record),
        ),
    )
    try:
        await journal.commit(change)
    except WriteConflictError:
        return False
    return True


async def settle(leader: ZooKeeperStore, host: ZooKeeperStore, *, is_registered: bool) -> None:
    """Make the host live and unregistered again for the next round."""
    if is_registered:
        await host.commit([DeleteNode(path=BEAT, version=0)])
    else:
        path = path_of(guard_of(HOST))
        version = (await leader.get(path)).version
        live = encode(path, HostGuard(right=Right.LIVE))
        await leader.commit([SetData(path=path, data=live, version=version)])


async def test_mirror__host_killed_on_the_ensemble__is_told(cluster: Cluster) -> None:
    """A heartbeat whose owner died disappears from the picture when its session ends."""
    controller = await cluster.connect()
    host = await cluster.connect(host_user(HOST))
    told: set[str] = set()
    mirror = Mirror(controller, SystemClock(), told.update)
    mirror.start()
    await until(lambda: mirror.whole_since_s is not None)
    assert await register(host, 0, 0)
    await until(lambda: mirror.get(BEAT) is not None)
    told.clear()

    await host.detach()

    await until(lambda: BEAT in told)
    assert mirror.get(BEAT) is None
    await mirror.stop()


@pytest.mark.fault("F14")
async def test_ensemble__leader_of_zookeeper_killed__loses_no_session(cluster: Cluster) -> None:
    """Clients move to another server within their session and go on."""
    store = await cluster.connect()
    session_id = store.session_id
    server = next(each for each in cluster.ensemble.servers if each.mode() == "leader")

    server.stop()
    try:
        # Until the others have elected a leader, a read tells nothing.
        await until(lambda: any(each.mode() == "leader" for each in cluster.ensemble.servers))
        await until(lambda: store.state.value == "connected")
        await store.exists("/")
        assert session_id == store.session_id
    finally:
        server.start()
        await until(server.mode)
