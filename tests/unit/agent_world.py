"""A compute host's agent over in-memory ZooKeeper and libvirt, and the hand of its leader."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hamon.agent.context import AgentContext, CheckSources
from hamon.agent.guests_agent import GuestsAgent
from hamon.backends.libvirt.definition import SharedStorage
from hamon.coordination.access import Identities, access_for, digest_of, host_user
from hamon.coordination.bootstrap import bootstrap, enrol
from hamon.coordination.codec import decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.guest import Grant, GrantState, InventoryEntry, PowerState
from hamon.model.host import HostDomains, HostGuard, HostMode, HostSelf, HostSpec, Right
from hamon.model.names import BootId, GuestId, HostName, IncidentId
from hamon.model.policy import Backend, Mode
from hamon.ports.store import CreateNode, DeleteNode, Node, SetData
from hamon.sim.host_files import InMemoryHostFiles, InMemoryPermits
from hamon.sim.hypervisor import HostShape, InMemoryHypervisor
from hamon.sim.store import InMemoryStore
from hamon.sim.zookeeper import InMemoryZooKeeper
from tests.virtual_clock import VirtualClock, rest

HOST = HostName("compute-1")
BOOT = BootId("boot-1")
GUEST = GuestId("11111111-1111-4111-8111-111111111111")
OTHER = GuestId("22222222-2222-4222-8222-222222222222")
INCIDENT = IncidentId("compute-9-1")
SHARED = SharedStorage(paths=("/srv/guests",))
CONTROLLERS = digest_of("controllers", "secret")
OWN = digest_of(host_user(HOST), "secret")
IDENTITIES = Identities(controllers=CONTROLLERS, hosts={HOST: OWN})
LIVE = HostGuard(right=Right.LIVE)


def definition(guest: GuestId = GUEST, name: str = "web", disk: str = "/srv/guests/web.img") -> str:
    """A protected guest's domain."""
    return f"""\
<domain type="qemu"><name>{name}</name><uuid>{guest}</uuid><memory unit="MiB">64</memory>
<vcpu>1</vcpu><os><type arch="x86_64">hvm</type></os><devices>
<disk type="file" device="disk"><source file="{disk}"/><target dev="vda"/></disk>
</devices></domain>"""


def nova_definition(guest: GuestId = GUEST, name: str = "instance-00000001") -> str:
    """A guest of Nova's as it defines one."""
    mark = (
        '<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">'
        "<nova:name>web</nova:name></nova:instance></metadata><memory"
    )
    return definition(guest, name).replace("<memory", mark, 1)


@dataclass
class Events:
    """A log to look into."""

    seen: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def info(self, event: str, **facts: object) -> None:
        """Note an event."""
        self.seen.append((event, facts))

    warning = info
    error = info

    def names(self) -> list[str]:
        """The names of all events so far."""
        return [name for name, _ in self.seen]


class World:
    """One host and its ZooKeeper."""

    def __init__(
        self, backend: Backend = Backend.LIBVIRT, permits: InMemoryPermits | None = None
    ) -> None:
        self.backend = backend
        self.clock = VirtualClock()
        self.server = InMemoryZooKeeper(self.clock, 6.0)
        self.leader: InMemoryStore = self.server.connect(CONTROLLERS)
        self.permits = permits or InMemoryPermits()
        self.files = InMemoryHostFiles()
        self.hypervisor = self._libvirt()
        self.log = Events()
        self.boot_id = BOOT
        self.missing_paths: set[str] = set()
        self.checks: CheckSources | None = None
        self._store: InMemoryStore | None = None
        self._agent: asyncio.Task[None] | None = None

    def _libvirt(self) -> InMemoryHypervisor:
        shape = HostShape(pool_paths=("/srv/guests",))
        return InMemoryHypervisor(self.clock, self.permits, shape)

    async def prepare(self) -> None:
        """Bootstrap the cluster and enrol the host."""
        await bootstrap(self.leader, "/", Identities(controllers=CONTROLLERS))
        spec = HostSpec(name=HOST, planes=(), fence=(), zookeeper_identity=OWN)
        await enrol(self.leader, [spec], CONTROLLERS)

    # -- the host ---------------------------------------------------------------------------------

    @property
    def store(self) -> InMemoryStore:
        """The agent's session."""
        assert self._store is not None
        return self._store

    def connect(self) -> InMemoryStore:
        """Open a session for the guests process."""
        return self.server.connect(OWN)

    async def start_agent(self) -> None:
        """Start the guests process, and let it come to rest."""
        self._store = self.connect()
        context = AgentContext(
            host=HOST,
            boot_id=self.boot_id,
            backend=self.backend,
            store=self._store,
            hypervisor=self.hypervisor,
            permits=self.permits,
            files=self.files,
            clock=self.clock,
            log=self.log,
            shared=SHARED,
            identities=IDENTITIES,
            readable_paths=self._readable_paths,
            kill_guests=self.hypervisor.kill_now,
            checks=self.checks,
        )
        self._agent = asyncio.create_task(GuestsAgent(context).run())
        await rest()

    async def stop_agent(self) -> None:
        """Kill the guests process."""
        if self._agent is not None:
            self._agent.cancel()
            with suppress(asyncio.CancelledError):
                await self._agent
            self._agent = None
            self.store.die()

    async def register(self, boot_id: BootId | None = None) -> None:
        """Have the heartbeat process register a boot, by default the present one."""
        value = HostSelf(boot_id=boot_id or self.boot_id, product_uuid="")
        await self._set(PlaceKind.SELF, None, value)

    async def reboot(self) -> None:
        """Cut the host's power and bring it back in a new boot, its agent started."""
        await self.stop_agent()
        self.hypervisor.power_cut()
        self.files.reboot()
        self.boot_id = BootId(f"{self.boot_id}+")
        await self.start_agent()

    async def close(self) -> None:
        """End everything."""
        await self.stop_agent()
        self.server.stop()
        await rest()

    async def pass_s(self, duration_s: float) -> None:
        """Let time pass."""
        await self.clock.advance(duration_s)

    async def _readable_paths(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(path for path in paths if path not in self.missing_paths)

    # -- the leader -------------------------------------------------------------------------------

    async def write_guard(self, guard: HostGuard) -> None:
        """Change the host's right to live."""
        await self._set(PlaceKind.GUARD, None, guard)

    async def tell_mode(self, mode: Mode) -> None:
        """Tell the host which mode hamon is in."""
        await self._set(PlaceKind.MODE, None, replace(await self.mode(), mode=mode))

    async def mode(self) -> HostMode:
        """Read what the host is told, and what it answered."""
        value = self._decoded(await self._node(PlaceKind.MODE))
        assert value is None or isinstance(value, HostMode)
        return value or HostMode()

    async def offer(self, guest: GuestId = GUEST, **changes: object) -> None:
        """Offer a guest to the host's present boot, as in an evacuation."""
        grant = Grant(
            state=GrantState.OFFERED,
            generation=2,
            wanted=PowerState.RUNNING,
            boot_id=self.boot_id,
            incident=INCIDENT,
            definition=definition(guest),
        )
        await self.write_grant(guest, replace(grant, **changes))  # type: ignore[arg-type]

    async def adopt(self, guest: GuestId = GUEST, wanted: PowerState = PowerState.RUNNING) -> None:
        """Offer the host a guest that it defines itself."""
        await self.offer(guest, generation=1, definition="", incident=None, wanted=wanted)

    async def deny(self, guest: GuestId = GUEST, **changes: object) -> None:
        """Deny the host a guest that was evacuated away, as in a nova cloud."""
        denial = Grant(
            state=GrantState.REVOKED,
            generation=2,
            wanted=PowerState.RUNNING,
            incident=INCIDENT,
            moved_to=HostName("compute-2"),
        )
        await self.write_grant(guest, replace(denial, **changes))  # type: ignore[arg-type]

    async def lift_denial(self, guest: GuestId = GUEST) -> None:
        """Delete a grant; the guest may come back."""
        node = await self._node(PlaceKind.GRANT, guest)
        await self.leader.commit([DeleteNode(path=node.path, version=node.version)])
        await rest()

    async def revoke(self, guest: GuestId = GUEST, **changes: object) -> None:
        """Revoke the host's grant of a guest."""
        grant = await self.grant(guest)
        await self.write_grant(guest, replace(grant, state=GrantState.REVOKED, **changes))  # type: ignore[arg-type]

    async def write_grant(self, guest: GuestId, grant: Grant) -> None:
        """Make a grant, or write it anew; and let the agent answer."""
        path = to_path(Place(kind=PlaceKind.GRANT, host=HOST, guest=guest))
        if await self.leader.exists(path):
            await self._set(PlaceKind.GRANT, guest, grant)
        else:
            access = access_for(path, IDENTITIES)
            data = encode(path, grant)
            await self.leader.commit([CreateNode(path=path, data=data, access=access)])
        await rest()

    async def grant(self, guest: GuestId = GUEST) -> Grant:
        """Read a grant."""
        value = self._decoded(await self._node(PlaceKind.GRANT, guest))
        assert isinstance(value, Grant)
        return value

    async def domains(self) -> HostDomains | None:
        """Read what the host says that libvirt has."""
        value = self._decoded(await self._node(PlaceKind.DOMAINS))
        assert value is None or isinstance(value, HostDomains)
        return value

    async def inventory(self) -> dict[GuestId, InventoryEntry]:
        """Read what the host says of its guests."""
        names = await self.leader.children(to_path(Place(kind=PlaceKind.INVENTORY, host=HOST)))
        entries = {}
        for name in names:
            value = self._decoded(await self._node(PlaceKind.INVENTORY_ENTRY, GuestId(name)))
            assert isinstance(value, InventoryEntry)
            entries[GuestId(name)] = value
        return entries

    async def _set(
        self, kind: PlaceKind, guest: GuestId | None, value: HostGuard | HostMode | HostSelf | Grant
    ) -> None:
        node = await self._node(kind, guest)
        data = encode(node.path, value)
        await self.leader.commit([SetData(path=node.path, data=data, version=node.version)])
        await rest()

    async def _node(self, kind: PlaceKind, guest: GuestId | None = None) -> Node:
        return await self.leader.get(to_path(Place(kind=kind, host=HOST, guest=guest)))

    @staticmethod
    def _decoded(node: Node) -> object:
        return decode(node.path, node.data)
