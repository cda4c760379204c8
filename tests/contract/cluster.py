"""A small cluster as `hamon bootstrap` and enrolment make it, for the contract suites."""

from hamon.coordination.access import CONTROLLERS_USER, Identities, access_for, digest_of, host_user
from hamon.coordination.codec import encode
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import Heartbeat, HostSelf, HostSpec
from hamon.model.names import BootId, GuestId, HostName
from hamon.ports.store import CheckVersion, CreateNode, SetData, Store
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
    return HostSpec(name=host, planes=(), fence=(), zookeeper_digest=digest(host_user(host)))


CONTROLLERS = digest(CONTROLLERS_USER)
IDENTITIES = Identities(
    controllers=CONTROLLERS, hosts={host: digest(host_user(host)) for host in (HOST, OTHER)}
)
GRANT = Grant(state=GrantState.OFFERED, generation=1, wanted=PowerState.RUNNING)


def create(path: str, data: bytes, *, is_ephemeral: bool = False) -> CreateNode:
    """Create a znode with the rules it has to have."""
    access = access_for(path, IDENTITIES)
    return CreateNode(path=path, data=data, access=access, is_ephemeral=is_ephemeral)


async def register(store: Store, host: HostName) -> None:
    """Register a host as its heartbeat process does."""
    itself = HostSelf(boot_id=BOOT, product_uuid="")
    beat = f"/hosts/{host}/alive/hb"
    await store.commit(
        [
            CheckVersion(path=f"/hosts/{host}/state", version=0),
            SetData(
                path=f"/hosts/{host}/self", data=encode(f"/hosts/{host}/self", itself), version=0
            ),
            create(beat, encode(beat, Heartbeat(boot_id=BOOT)), is_ephemeral=True),
        ]
    )
