"""The worlds in which ``ports.Cloud`` keeps one contract: Nova in memory, and a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from hamon.backends.nova.cloud import NovaCloud
from hamon.clock import SystemClock
from hamon.model.cloud import Aggregate, Image, ServerGroup
from hamon.model.names import GuestId, guest_id
from hamon.ports.cloud import Cloud
from hamon.settings.values import NovaSettings, PasswordLogin
from hamon.sim.cloud import CloudFault, SimulatedCloud
from hamon.sim.nova_records import NovaRecords
from lab import network
from lab.lab import Lab
from lab.names import Plane
from lab.openstack import programs, seed
from lab.openstack.api import Api
from lab.openstack.configuration import COMPUTE_PORT, IDENTITY_PORT, IMAGE_PORT
from lab.openstack.proxy import Fault, What, write_faults

HOSTS = ("h1", "h2")
WITHIN_S = 90.0
BY_ADDRESS = "by-address"
"""A region of keystone's catalog, for whoever is none of the lab's machines."""


class World(Protocol):
    """A Nova with two computes."""

    cloud: Cloud

    def place(self) -> AbstractContextManager[None]:
        """Where calls have to be made from."""
        ...

    async def boot(self, host: str, name: str = "") -> GuestId:
        """Have a server run on a host, "": with a name of its own."""
        ...

    async def delete(self, guest: GuestId) -> None:
        """Have a server's owner delete it."""
        ...

    def make_group(self, name: str, policy: str) -> str:
        """Have a project make a group of servers, without any; return its id."""
        ...

    def make_aggregate(self, name: str, host: str, **metadata: str) -> None:
        """Put a host into a new aggregate of which something is said."""
        ...

    def remove_aggregate(self, name: str, host: str) -> None:
        """Take the host out again, and the aggregate away."""
        ...

    def say_of_image(self, image: str, key: str, value: str, tag: str) -> None:
        """Give an image a property, instead of one with this key, and a tag."""
        ...

    async def lose(self, host: str) -> None:
        """Cut a host's power; Nova need not know."""
        ...

    async def come_back(self, host: str) -> None:
        """Switch it on again, with its nova-compute."""
        ...

    async def go_on(self) -> None:
        """Have what Nova does by itself come a little further."""
        ...

    def spoil(self, fault: CloudFault | None) -> None:
        """Have the next calls fail, None: no more."""
        ...


class MemoryWorld:
    """The simulator's Nova."""

    def __init__(self) -> None:
        self._records = NovaRecords(SystemClock(), HOSTS)
        self._nova = SimulatedCloud(SystemClock(), self._records)
        self.cloud: Cloud = self._nova
        self._made = 0

    def place(self) -> AbstractContextManager[None]:
        """See :class:`World`."""
        return nullcontext()

    async def boot(self, host: str, name: str = "") -> GuestId:
        """See :class:`World`."""
        self._made += 1
        guest = guest_id(f"00000000-0000-4000-8000-{self._made:012}")
        self._records.add_server(guest, name or f"g{self._made}", host)
        return guest

    async def delete(self, guest: GuestId) -> None:
        """See :class:`World`."""
        self._records.delete(guest)

    def make_group(self, name: str, policy: str) -> str:
        """See :class:`World`."""
        self._made += 1
        group = ServerGroup(id=f"group-{self._made}", name=name, policy=policy)
        self._records.groups[group.id] = group
        return group.id

    def make_aggregate(self, name: str, host: str, **metadata: str) -> None:
        """See :class:`World`."""
        made = Aggregate(name=name, hosts=frozenset({host}), metadata=metadata)
        self._records.aggregates[name] = made

    def remove_aggregate(self, name: str, host: str) -> None:
        """See :class:`World`."""
        assert host in self._records.aggregates.pop(name).hosts

    def say_of_image(self, image: str, key: str, value: str, tag: str) -> None:
        """See :class:`World`."""
        properties = {**self._records.images[image].properties, key: value}
        said = Image(id=image, properties=properties, tags=frozenset({tag}))
        self._records.images[image] = said

    async def lose(self, host: str) -> None:
        """See :class:`World`."""
        self._records.lose(host)

    async def come_back(self, host: str) -> None:
        """See :class:`World`."""
        self._nova.come_back(host)

    async def go_on(self) -> None:
        """See :class:`World`."""
        self._nova.rebuild_all()
        self._nova.settle()

    def spoil(self, fault: CloudFault | None) -> None:
        """See :class:`World`."""
        self._nova.fault = fault


class RealWorld:
    """The lab's Nova, behind its proxy.

    Args:
        lab: with a real OpenStack.
        password_file: where to write the administrator's password.
    """

    def __init__(self, lab: Lab, password_file: Path) -> None:
        assert lab.cloud is not None
        self._lab = lab
        self._openstack = lab.cloud
        address = lab.layout.address(lab.cloud.machine.name, Plane.MANAGEMENT)
        password_file.touch(mode=0o600)
        password_file.write_text(seed.password())
        login = PasswordLogin(
            auth_url=f"http://{address}:{IDENTITY_PORT}/v3",
            username="admin",
            password_file=password_file,
            project="admin",
        )
        endpoint = f"http://{address}:{COMPUTE_PORT}/v2.1"
        _tell_glance_by_address(lab.cloud.admin, f"http://{address}:{IMAGE_PORT}")
        self._nova = NovaCloud(
            NovaSettings(
                login=login, interface="internal", endpoint_override=endpoint, region=BY_ADDRESS
            ),
            SystemClock(),
        )
        self.cloud: Cloud = self._nova
        self._made = 0

    def place(self) -> AbstractContextManager[None]:
        """See :class:`World`."""
        init = self._openstack.machine.init_process()
        assert init is not None
        return network.inside(Path(f"/proc/{init.pid}/ns/net"))

    async def boot(self, host: str, name: str = "") -> GuestId:
        """See :class:`World`."""
        self._made += 1
        made = f"g{self._made}"
        server = self._openstack.boot(made, self._lab.host(host))
        await asyncio.to_thread(self._openstack.wait_active, [made])
        if name:
            # After that, because the lab waits for servers by names that are all different.
            renamed = {"server": {"name": name}}
            self._openstack.compute("PUT", f"/servers/{server}", renamed)
        return guest_id(str(server))

    async def delete(self, guest: GuestId) -> None:
        """See :class:`World`."""
        self._openstack.compute("POST", f"/servers/{guest}/action", {"forceDelete": None})

    def make_group(self, name: str, policy: str) -> str:
        """See :class:`World`."""
        group = {"server_group": {"name": name, "policy": policy}}
        made = self._openstack.compute("POST", "/os-server-groups", group)
        return str(made["server_group"]["id"])

    def make_aggregate(self, name: str, host: str, **metadata: str) -> None:
        """See :class:`World`."""
        made = self._openstack.compute("POST", "/os-aggregates", {"aggregate": {"name": name}})
        path = f"/os-aggregates/{made['aggregate']['id']}/action"
        self._openstack.compute("POST", path, {"add_host": {"host": host}})
        self._openstack.compute("POST", path, {"set_metadata": {"metadata": metadata}})

    def remove_aggregate(self, name: str, host: str) -> None:
        """See :class:`World`."""
        found = self._openstack.compute("GET", "/os-aggregates")["aggregates"]
        [number] = [one["id"] for one in found if one["name"] == name]
        path = f"/os-aggregates/{number}"
        self._openstack.compute("POST", f"{path}/action", {"remove_host": {"host": host}})
        self._openstack.compute("DELETE", path)

    def say_of_image(self, image: str, key: str, value: str, tag: str) -> None:
        """See :class:`World`."""
        self._openstack.admin.call(
            IMAGE_PORT,
            "PATCH",
            f"/v2/images/{image}",
            [{"op": "add", "path": f"/{key}", "value": value}],
            content_type="application/openstack-images-v2.1-json-patch",
        )
        self._openstack.admin.call(IMAGE_PORT, "PUT", f"/v2/images/{image}/tags/{tag}")

    async def lose(self, host: str) -> None:
        """See :class:`World`."""
        self._lab.host(host).power_cut()

    async def come_back(self, host: str) -> None:
        """See :class:`World`."""
        self._lab.host(host).power_on()

    async def go_on(self) -> None:
        """See :class:`World`."""
        await asyncio.sleep(0.2)

    def spoil(self, fault: CloudFault | None) -> None:
        """See :class:`World`."""
        what = {CloudFault.UNWELL: What.ANSWER, CloudFault.LOSES_ANSWER: What.SWALLOW}
        faults = () if fault is None else (Fault(name=str(fault), what=what[fault], status=503),)
        write_faults(self._openstack.machine.path(programs.FAULTS), faults)

    def close(self) -> None:
        """Make no more calls."""
        self._nova.close()


def _tell_glance_by_address(admin: Api, url: str) -> None:
    """Give glance one more endpoint: the lab's own has a name that only its machines resolve."""

    def call(method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - as Api.call
        return admin.call(IDENTITY_PORT, method, f"/v3/{path}", body)

    if call("GET", f"endpoints?region_id={BY_ADDRESS}")["endpoints"]:
        return
    [glance] = call("GET", "services?type=image")["services"]
    call("PUT", f"regions/{BY_ADDRESS}", {"region": {}})
    endpoint = {
        "service_id": glance["id"],
        "interface": "internal",
        "url": url,
        "region_id": BY_ADDRESS,
    }
    call("POST", "endpoints", {"endpoint": endpoint})


async def until(world: World, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has come about, and fail when it does not."""
    deadline_s = time.monotonic() + WITHIN_S
    while not await is_so():
        assert time.monotonic() < deadline_s, "waited in vain"
        await world.go_on()
