"""A small cluster as `hamon bootstrap` and enrolment make it, for the contract suites."""

from hamon.coordination.access import CONTROLLERS_USER, Identities, access_for, digest_of, host_user
from hamon.coordination.codec import encode
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import Heartbeat, HostSelf, HostSpec
from hamon.model.names import BootId, GuestId, HostName
from hamon.ports.store import (
    CheckVersion,
    CreateNode,
    DeleteNode,
    SetData,
    Store,
    StoreOperation,
)
from tests.contract.store_world import password_of

HOST = HostName("compute-1")
OTHER = HostName("compute-2")
GUEST = GuestId("7c1d2ab0-52c5-4c3a-9a55-0d6c0bb0f1aa")
BOOT = BootId("11111111-1111-4111-8111-111111111111")
HEARTBEAT = f"/hosts/{HOST}/alive/hb"


def digest(user: str) -> str:
    """The digest of a test identity."""
    return digest_of(user, password_of(user))


def spec(host: HostName) -> HostSpec:
    """A host as enrolled, with its identity."""
    return HostSpec(name=host, planes=(), fence=(), zookeeper_identity=digest(host_user(host)))


CONTROLLERS = digest(CONTROLLERS_USER)
IDENTITIES = Identities(
    controllers=CONTROLLERS, hosts={host: digest(host_user(host)) for host in (HOST, OTHER)}
)
GRANT = Grant(state=GrantState.OFFERED, generation=1, wanted=PowerState.RUNNING)


def create(
    path: str, data: bytes, *, is_ephemeral: bool = False, identities: Identities = IDENTITIES
) -> CreateNode:
    """Create a znode with the rules it has to have."""
    access = access_for(path, identities)
    return CreateNode(path=path, data=data, access=access, is_ephemeral=is_ephemeral)


async def register(store: Store, host: HostName, identities: Identities = IDENTITIES) -> None:
    """Register a host as its heartbeat process does."""
    itself = HostSelf(boot_id=BOOT, product_uuid="")
    beat = f"/hosts/{host}/alive/hb"
    await store.commit(
        [
            CheckVersion(path=f"/hosts/{host}/state", version=0),
            SetData(
                path=f"/hosts/{host}/self", data=encode(f"/hosts/{host}/self", itself), version=0
            ),
            create(
                beat,
                encode(beat, Heartbeat(boot_id=BOOT)),
                is_ephemeral=True,
                identities=identities,
            ),
        ]
    )


LEADERS_OWN: tuple[StoreOperation, ...] = (
    SetData(path=f"/hosts/{HOST}/state", data=b"", version=0),
    SetData(path=f"/hosts/{HOST}/record", data=b"", version=0),
    CheckVersion(path=f"/hosts/{HOST}/record", version=0),
    DeleteNode(path=f"/hosts/{HOST}/state", version=0),
    DeleteNode(path=f"/hosts/{HOST}/self", version=0),
    DeleteNode(path=f"/hosts/{HOST}/checks", version=0),
    DeleteNode(path=f"/hosts/{HOST}/mode", version=0),
    DeleteNode(path=f"/hosts/{HOST}/grants/{GUEST}", version=0),
    create(f"/hosts/{HOST}/grants/{GUEST[:-1]}b", b""),
    CreateNode(path="/hosts/evil", data=b"", access=access_for("/hosts", IDENTITIES)),
    CheckVersion(path="/epoch", version=0),
    SetData(path="/epoch", data=b"", version=0),
    SetData(path="/control", data=b"", version=0),
    CheckVersion(path="/control", version=0),
    SetData(path="/storms", data=b"", version=0),
    create(f"/election/{'0' * 32}-n_0000000000", b""),
    create("/controllers/evil", b"", is_ephemeral=True),
    create(f"/guests/7c/{GUEST}", b""),
    create("/incidents/compute-1-1", b""),
    create("/requests/r-0000000000", b"", is_ephemeral=True),
    DeleteNode(path="/format", version=0),
)
"""What a host may not do anywhere, its own directory included."""

OF_ANOTHER: tuple[StoreOperation, ...] = (
    DeleteNode(path=HEARTBEAT, version=0),
    SetData(path=HEARTBEAT, data=b"", version=0),
    create(f"/hosts/{OTHER}/alive/hb", b"", is_ephemeral=True),
    SetData(path=f"/hosts/{HOST}/self", data=b"", version=1),
    CheckVersion(path=f"/hosts/{HOST}/state", version=0),
    SetData(path=f"/hosts/{HOST}/domains", data=b"", version=0),
    SetData(path=f"/hosts/{HOST}/checks", data=b"", version=0),
    SetData(path=f"/hosts/{HOST}/mode", data=b"", version=0),
    create(f"/hosts/{HOST}/inventory/{GUEST}", b""),
    SetData(path=f"/hosts/{HOST}/grants/{GUEST}", data=b"", version=0),
    DeleteNode(path=f"/hosts/{HOST}/alive", version=0),
)
"""What one host may not do to what belongs to another."""


def named(operation: StoreOperation) -> str:
    """Name an operation in the id of a test."""
    return f"{type(operation).__name__} {operation.path}"
