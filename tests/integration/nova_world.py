"""The lab with OpenStack as a test of hamon sees it: guests are Nova's servers, told by uuids."""

from __future__ import annotations

import uuid
from typing import Any

from typing_extensions import override

from lab.openstack import overview, programs
from lab.openstack.cloud import Cloud
from lab.openstack.overview import MigrationLine, Overview, ServerLine
from lab.openstack.proxy import Fault, write_faults
from tests.integration.world import World

RETURN_S = 180.0
"""For a host to be in service again: nova-compute's start takes long on a busy machine."""


class NovaWorld(World):
    """One test's view of the shared lab with OpenStack."""

    @property
    def cloud(self) -> Cloud:
        """The lab's OpenStack."""
        assert self.lab.cloud is not None, "made with one"
        return self.lab.cloud

    # -- guests -----------------------------------------------------------------------------------

    def boot(self, host: str, count: int = 1) -> list[str]:
        """Boot servers on a host; return their uuids when they write and hamon would move them."""
        names = [f"{self._prefix}-{self._made + n + 1}" for n in range(count)]
        self._made += count
        servers = [str(self.cloud.boot(name, self.lab.host(host))) for name in names]
        self.cloud.wait_active(names)
        self.guests += servers
        self.wait_writing(servers)
        self.wait_known(host, servers)
        return servers

    def wait_known(self, host: str, servers: list[str]) -> None:
        """Wait until hamon counts servers as those of a host that it would evacuate."""

        def are_known() -> bool:
            shown = self.ask("host", host=host)
            return {g["guest"] for g in shown["guests"] if g["protected"]}.issuperset(servers)

        self.wait(are_known, f"{', '.join(servers)} known on {host}")

    def switch_off(self, server: str) -> None:
        """Stop a server, as its owner does, and wait until it is off; it need not write now."""
        self.guests.remove(server)
        self.act(server, "os-stop")
        self.wait(lambda: self.server(server).status == "SHUTOFF", f"{server} off")

    def act(self, server: str, action: str) -> None:
        """Ask Nova to do something with a server, as its owner."""
        self.cloud.compute("POST", f"/servers/{server}/action", {action: None})

    def on(self, host: str) -> dict[str, str]:
        """State of each server that a host's libvirt knows, by its uuid."""
        listed = {line.domain: line.uuid for line in self.nova().servers}
        return {listed.get(name, name): state for name, state in self.domains(host).items()}

    # -- what Nova says ---------------------------------------------------------------------------

    def nova(self) -> Overview:
        """All that Nova says."""
        return overview.read(self.cloud)

    def server(self, server: str) -> ServerLine:
        """A server."""
        return next(line for line in self.nova().servers if line.uuid == server)

    @override
    def owner(self, guest: str) -> str:
        return self.server(guest).host

    def evacuations(self, server: str) -> list[MigrationLine]:
        """Nova's records of a server's evacuations."""
        return list(self.nova().evacuations_of(server))

    def wait_serving(self, host: str) -> None:
        """Wait until hamon has a host in service, and Nova sends guests there again."""
        self.wait(lambda: self.state(host) == "UP", f"{host} UP", RETURN_S)
        self.wait(
            lambda: all(s.serves for s in self.nova().services if s.host == host),
            f"nova-compute of {host} enabled and up",
        )

    # -- faults -----------------------------------------------------------------------------------

    def spoil(self, *faults: Fault) -> None:
        """Have these things, and no others, go wrong with calls to Nova from now on."""
        # Counted by their names, over all tests of the lab.
        write_faults(self.cloud.machine.path(programs.FAULTS), faults)

    # -- waiting ----------------------------------------------------------------------------------

    def wait_moved_from(self, host: str, servers: list[str], boots: int = 2) -> None:
        """Wait until servers write again under a new boot, each of them once, and not on a host."""
        self.wait_moved(servers, boots)
        self.wait_state(host, "EVACUATED")
        where = {server: self.owner(server) for server in servers}
        assert host not in where.values(), where
        for server, home in where.items():
            assert self.on(home).get(server) == "running", (server, home)

    def told_of(self, event: str, **facts: str) -> list[dict[str, Any]]:
        """The lines of an event that a daemon has logged in this test, with these facts."""
        return [
            line
            for line in self.told()
            if line.get("event") == event and facts.items() <= line.items()
        ]

    def fresh(self, what: str) -> str:
        """A name for a fault that no other test has used."""
        return f"{what}-{uuid.uuid4().hex[:8]}"
