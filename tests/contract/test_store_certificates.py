"""Who is who by certificates, on a real server: TLS, names, rotation, and a stolen identity."""

import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from hamon.coordination.access import (
    CONTROLLERS_USER,
    Identities,
    host_user,
    subject_identity,
    verify_access,
)
from hamon.coordination.bootstrap import bootstrap, enrol
from hamon.coordination.codec import encode
from hamon.coordination.paths import path_of
from hamon.coordination.session import StoreSettings, TlsFiles
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import AccessDeniedError, ConfigError, StoreUnavailableError
from hamon.model.change import grant_of
from hamon.model.host import HostSpec
from hamon.ports.store import (
    AccessRule,
    CreateNode,
    Permission,
    SessionState,
    StoreOperation,
)
from lab.authority import Authority
from tests.contract.cluster import (
    GRANT,
    GUEST,
    HEARTBEAT,
    HOST,
    LEADERS_OWN,
    OF_ANOTHER,
    OTHER,
    create,
    named,
    register,
)
from tests.contract.store_world import REAL_TIMEOUT_S, WITHIN_S, until
from tests.ensemble import Server

pytestmark = [pytest.mark.contract, pytest.mark.integration]

REFUSED_WITHIN_S = 2.0

HOSTS = {host: subject_identity(f"CN={host_user(host)}") for host in (HOST, OTHER)}
IDENTITIES = Identities(controllers=subject_identity(f"CN={CONTROLLERS_USER}"), hosts=HOSTS)
SPECS = [HostSpec(name=h, planes=(), fence=(), zookeeper_identity=i) for h, i in HOSTS.items()]


class World:
    """A server, and a chroot of this test's own."""

    def __init__(self, server: Server, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self.chroot = f"/test-{uuid4().hex}/cluster"
        self._stores: list[ZooKeeperStore] = []

    def files(self, user: str) -> TlsFiles:
        """Issue a certificate for a user."""
        certificate, key = self.authority.issue(user)
        return TlsFiles(
            ca_file=self.authority.certificate, certificate_file=certificate, key_file=key
        )

    def store(self, tls: TlsFiles | None, chroot: str | None = None) -> ZooKeeperStore:
        """Build a session."""
        store = ZooKeeperStore(
            StoreSettings(
                servers=(self.server.secure_address,),
                chroot=self.chroot if chroot is None else chroot,
                session_timeout_s=REAL_TIMEOUT_S,
                tls=tls,
            )
        )
        self._stores.append(store)
        return store

    async def connect(self, user: str, chroot: str | None = None) -> ZooKeeperStore:
        """Open a session as a user."""
        store = self.store(self.files(user), chroot)
        await store.start(WITHIN_S)
        return store

    async def stop(self) -> None:
        """Close every session."""
        for store in self._stores:
            await store.close()


@pytest.fixture
async def world(zookeeper_server: Server, authority: Authority) -> AsyncIterator[World]:
    """A server, and a chroot that is not there yet."""
    world = World(zookeeper_server, authority)
    yield world
    await world.stop()


@pytest.fixture
async def leader(world: World) -> ZooKeeperStore:
    """A controller's session in a cluster with two hosts, one of which has a grant."""
    await bootstrap(await world.connect(CONTROLLERS_USER, "/"), world.chroot, IDENTITIES)
    store = await world.connect(CONTROLLERS_USER)
    await enrol(store, SPECS, IDENTITIES.controllers)
    path = path_of(grant_of(HOST, GUEST))
    await store.commit([create(path, encode(path, GRANT), identities=IDENTITIES)])
    return store


# -- who may do what ------------------------------------------------------------------------------


async def test_host__by_its_certificate__does_its_part(
    world: World, leader: ZooKeeperStore
) -> None:
    """The rules that are made name the certificates, and nobody else."""
    host = await world.connect(host_user(HOST))

    await register(host, HOST, IDENTITIES)

    assert await host.children(f"/hosts/{HOST}/grants") == (GUEST,)
    assert (await leader.get(HEARTBEAT)).owner == host.session_id
    assert await verify_access(leader, IDENTITIES) == ()


@pytest.mark.fault("F52")
@pytest.mark.parametrize("operation", LEADERS_OWN, ids=named)
@pytest.mark.usefixtures("leader")
async def test_stolen_certificate__used_for_what_is_the_leader_s__is_denied(
    world: World, operation: StoreOperation
) -> None:
    """Whoever broke into a host can neither raise its rights nor speak as a controller."""
    thief = await world.connect(host_user(HOST))

    with pytest.raises(AccessDeniedError):
        await thief.commit([operation])


@pytest.mark.fault("F52")
@pytest.mark.parametrize("operation", OF_ANOTHER, ids=named)
@pytest.mark.usefixtures("leader")
async def test_stolen_certificate__used_against_another_host__is_denied(
    world: World, operation: StoreOperation
) -> None:
    """Another host is neither declared dead nor alive, and its grants stay its own."""
    host = await world.connect(host_user(HOST))
    await register(host, HOST, IDENTITIES)
    is_of_host = operation.path.startswith(f"/hosts/{HOST}/")
    thief = await world.connect(host_user(OTHER)) if is_of_host else host

    with pytest.raises(AccessDeniedError):
        await thief.commit([operation])


@pytest.mark.usefixtures("leader")
async def test_stranger__with_a_certificate_that_nobody_named__is_denied(world: World) -> None:
    """That the authority signed it gives no rights."""
    stranger = await world.connect("stranger", "/")

    with pytest.raises(AccessDeniedError):
        await stranger.children(f"{world.chroot}/hosts")


# -- connecting -----------------------------------------------------------------------------------


def without_certificate(files: TlsFiles, _: Path) -> TlsFiles:
    """Show none."""
    return replace(files, certificate_file=None, key_file=None)


def of_another_authority(files: TlsFiles, folder: Path) -> TlsFiles:
    """Show one that another authority signed."""
    certificate, key = Authority(folder).issue("controllers")
    return replace(files, certificate_file=certificate, key_file=key)


def trusting_another(files: TlsFiles, folder: Path) -> TlsFiles:
    """Trust another authority than the one that signed the server's."""
    return replace(files, ca_file=Authority(folder).certificate)


@pytest.mark.parametrize(
    "change",
    [without_certificate, of_another_authority, trusting_another],
    ids=lambda c: c.__name__,
)
async def test_connect__with_what_the_other_side_does_not_trust__is_refused(
    world: World, tmp_path: Path, change: Callable[[TlsFiles, Path], TlsFiles]
) -> None:
    """Neither side talks to a stranger."""
    store = world.store(change(world.files("controllers"), tmp_path), "/")

    with pytest.raises(StoreUnavailableError):
        await store.start(REFUSED_WITHIN_S)


async def test_connect__to_a_server_with_another_name__is_refused(world: World) -> None:
    """A certificate of the right authority is not enough: it must be this server's."""
    port = world.server.secure_address.rpartition(":")[2]
    files = world.files("controllers")
    store = ZooKeeperStore(
        StoreSettings(
            servers=(f"localhost:{port}",),
            chroot="/",
            session_timeout_s=REAL_TIMEOUT_S,
            tls=files,
        )
    )

    with pytest.raises(StoreUnavailableError):
        await store.start(REFUSED_WITHIN_S)


@pytest.mark.parametrize("name", ["ca_file", "certificate_file", "key_file"])
@pytest.mark.parametrize("content", [None, "rubbish"])
async def test_connect__with_files_that_cannot_be_used__says_which(
    world: World, tmp_path: Path, name: str, content: str | None
) -> None:
    """At once, and not as a server that does not answer."""
    broken = tmp_path / "broken.pem"
    if content is not None:
        broken.write_text(content)
    files = world.files("controllers")
    match name:
        case "ca_file":
            files = replace(files, ca_file=broken)
        case "certificate_file":
            files = replace(files, certificate_file=broken)
        case _:
            files = replace(files, key_file=broken)

    with pytest.raises(ConfigError, match=r"zookeeper\."):
        world.store(files, "/")


# -- rotation -------------------------------------------------------------------------------------


@pytest.mark.fault("F54")
async def test_certificate__rotated__counts_from_the_next_connection_on(world: World) -> None:
    """The session goes on; the server sees the new certificate, which here is another user's."""
    store = await world.connect("before", "/")
    session = store.session_id
    states: list[SessionState] = []
    store.on_state(states.append)
    fresh = world.files("after")
    assert fresh.certificate_file is not None
    assert fresh.key_file is not None
    for file, name in ((fresh.certificate_file, "before.pem"), (fresh.key_file, "before.key")):
        shutil.copy(file, file.parent / name)

    store._client.drop_connection()  # noqa: SLF001 - a fault from outside
    await until(lambda: SessionState.CONNECTED in states)

    own = AccessRule(identity=subject_identity("CN=after"), permissions=frozenset(Permission))
    path = f"/own-{uuid4().hex}"
    await store.commit([CreateNode(path=path, data=b"mine", access=(own,))])
    assert (await store.get(path)).data == b"mine"
    assert store.session_id == session


@pytest.mark.fault("F54")
async def test_certificate__rotated_to_rubbish__the_last_good_one_is_used(world: World) -> None:
    """A rotation that went wrong takes nobody's session."""
    files = world.files("unlucky")
    store = await world.connect("unlucky", "/")
    session = store.session_id
    states: list[SessionState] = []
    store.on_state(states.append)
    assert files.certificate_file is not None
    files.certificate_file.write_text("rubbish")

    store._client.drop_connection()  # noqa: SLF001 - a fault from outside
    await until(lambda: SessionState.CONNECTED in states)

    assert store.session_id == session
    assert await store.exists("/")
