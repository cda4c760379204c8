"""The real layout: what each identity may do with it (reference/security.md 4)."""

import pytest

from hamon.coordination.access import access_for, host_user, verify_access
from hamon.coordination.codec import encode
from hamon.coordination.paths import path_of
from hamon.errors import AccessDeniedError
from hamon.model.change import grant_of
from hamon.ports.store import CheckVersion, CreateNode, DeleteNode, SetData, Store, StoreOperation
from tests.contract.cluster import (
    CONTROLLERS,
    GRANT,
    GUEST,
    HEARTBEAT,
    HOST,
    IDENTITIES,
    LEADERS_OWN,
    OF_ANOTHER,
    OTHER,
    create,
    named,
    register,
)
from tests.contract.store_world import StoreWorld

pytestmark = pytest.mark.contract


# -- what a host may do -----------------------------------------------------------------------


async def test_host__itself__may_do_its_part(zookeeper: StoreWorld, leader: Store) -> None:
    """A host registers, describes itself, keeps its inventory and claims its grants."""
    host = await zookeeper.connect(host_user(HOST))
    entry = f"/hosts/{HOST}/inventory/{GUEST}"
    grant = path_of(grant_of(HOST, GUEST))

    await register(host, HOST)
    await host.commit(
        [
            SetData(path=f"/hosts/{HOST}/domains", data=b"", version=0),
            SetData(path=f"/hosts/{HOST}/capacity", data=b"", version=0),
            SetData(path=f"/hosts/{HOST}/checks", data=b"", version=0),
            SetData(path=f"/hosts/{HOST}/mode", data=b"", version=0),
            create(entry, b"x"),
            CheckVersion(path=f"/hosts/{HOST}/state", version=0),
            SetData(path=grant, data=encode(grant, GRANT), version=0),
        ]
    )
    await host.commit([DeleteNode(path=entry, version=0)])

    assert await host.children(f"/hosts/{HOST}/grants") == (GUEST,)
    assert (await leader.get(HEARTBEAT)).owner == host.session_id


@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    "operation",
    LEADERS_OWN,
    ids=named,
)
@pytest.mark.usefixtures("leader")
async def test_host__what_is_the_leader_s__is_denied(
    zookeeper: StoreWorld, operation: StoreOperation
) -> None:
    """A host can neither raise its own rights nor speak as a controller."""
    host = await zookeeper.connect(host_user(HOST))

    with pytest.raises(AccessDeniedError):
        await host.commit([operation])


@pytest.mark.fault("F52")
@pytest.mark.parametrize(
    "operation",
    OF_ANOTHER,
    ids=named,
)
@pytest.mark.usefixtures("leader")
async def test_host__another_s_znode__can_be_neither_deleted_nor_forged(
    zookeeper: StoreWorld, operation: StoreOperation
) -> None:
    """One host that was broken into cannot speak or die for another."""
    host = await zookeeper.connect(host_user(HOST))
    await register(host, HOST)
    if operation.path.startswith(f"/hosts/{HOST}/"):
        intruder = await zookeeper.connect(host_user(OTHER))
    else:
        intruder = host

    with pytest.raises(AccessDeniedError):
        await intruder.commit([operation])


@pytest.mark.parametrize(
    "path", ["/hosts", "/guests", "/incidents", "/requests", f"/hosts/{OTHER}", "/control"]
)
@pytest.mark.usefixtures("leader")
async def test_host__what_does_not_concern_it__is_hidden(zookeeper: StoreWorld, path: str) -> None:
    """A host sees its own directory and nothing else."""
    host = await zookeeper.connect(host_user(HOST))

    with pytest.raises(AccessDeniedError):
        await (host.get(path) if path == "/control" else host.children(path))


@pytest.mark.usefixtures("leader")
async def test_stranger__anywhere__is_denied(zookeeper: StoreWorld) -> None:
    """Nothing is open to the world."""
    stranger = await zookeeper.connect("stranger")

    for path in ("/", "/format", "/hosts", f"/hosts/{HOST}/state"):
        with pytest.raises(AccessDeniedError):
            await stranger.get(path)
    with pytest.raises(AccessDeniedError):
        await stranger.commit([create("/requests/r-0000000000", b"")])


async def test_verify_access__as_made__finds_nothing(zookeeper: StoreWorld, leader: Store) -> None:
    """Bootstrap, enrolment and registration leave exactly the rules they must."""
    host = await zookeeper.connect(host_user(HOST))
    await register(host, HOST)

    assert await verify_access(leader, IDENTITIES) == ()


async def test_verify_access__wrong_rules_and_strangers__are_told(leader: Store) -> None:
    """A wider rule, a host nobody enrolled and a znode nobody knows are found."""
    wide = (*access_for("/hosts", IDENTITIES), *access_for("/hosts", IDENTITIES))
    path = f"/hosts/{HOST}/grants/{GUEST[:-1]}b"
    await leader.commit(
        [
            CreateNode(path=path, data=b"", access=wide[:1]),
            CreateNode(path="/hosts/ghost", data=b"", access=wide[:1]),
            CreateNode(path="/surprise", data=b"", access=wide[:1]),
        ]
    )

    found = {deviation.path: deviation.why for deviation in await verify_access(leader, IDENTITIES)}

    assert sorted(found) == sorted([path, "/hosts/ghost", "/surprise"])
    assert "instead of" in found[path]
    assert CONTROLLERS not in found[path]
