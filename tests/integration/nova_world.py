"""The lab with OpenStack as a test of hamon sees it: guests are Nova's servers, told by uuids."""

from __future__ import annotations

import contextlib
import signal
import uuid
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from lab.machine import Machine
from lab.names import LabError
from lab.openstack import overview, programs
from lab.openstack.cloud import Cloud
from lab.openstack.overview import MigrationLine, Overview, ServerLine
from lab.openstack.programs import COMPUTE
from lab.openstack.proxy import Fault, write_faults
from tests.integration.world import World

_ARRIVED = frozenset({"done", "completed"})
_ENDED = frozenset({"error", "failed"})

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

    def act(self, server: str, action: str, how: object = None) -> None:
        """Ask Nova to do something with a server, as its owner or an administrator."""
        self.cloud.compute("POST", f"/servers/{server}/action", {action: how})

    def delete(self, server: str) -> None:
        """Delete a server, as its owner does, and wait until Nova has it no more."""
        self.guests.remove(server)
        self.cloud.compute("DELETE", f"/servers/{server}")
        self.wait(
            lambda: server not in {line.uuid for line in self.nova().servers}, f"{server} gone"
        )

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

    def names(self, servers: list[str]) -> list[str]:
        """What servers are called by their owner."""
        return [self.server(server).name for server in servers]

    def shown(self, host: str) -> str:
        """What an operator sees of a host where it is decided."""
        return self.hamon("host", "show", host, on=str(self.leader().name)).stdout

    @override
    def owner(self, guest: str) -> str:
        return self._named(self.server(guest).host)

    def _named(self, service_host: str) -> str:
        """The host of a nova-compute."""
        names = {self._service_host(str(host.name)): str(host.name) for host in self.lab.hosts}
        return names.get(service_host, service_host)

    def _service_host(self, host: str) -> str:
        """The name of a host's nova-compute."""
        return self.cloud.computes.service_host(self.lab.host(host).name)

    def evacuations(self, server: str) -> list[MigrationLine]:
        """Nova's records of a server's evacuations."""
        return list(self.nova().evacuations_of(server))

    def wait_serving(self, host: str) -> None:
        """Wait until hamon has a host in service, and Nova sends guests there again."""
        self.wait(lambda: self.state(host) == "UP", f"{host} UP", RETURN_S)
        self.wait(
            lambda: all(
                s.serves for s in self.nova().services if s.host == self._service_host(host)
            ),
            f"nova-compute of {host} enabled and up",
        )

    # -- faults -----------------------------------------------------------------------------------

    def spoil(self, *faults: Fault) -> None:
        """Have these things, and no others, go wrong with calls to Nova from now on."""
        # Counted by their names, over all tests of the lab.
        write_faults(self.cloud.machine.path(programs.FAULTS), faults)

    def disable(self, *hosts: str) -> None:
        """Disable computes, as an operator does: Nova sends no guests there."""
        for host in hosts:
            self._set_service(host, {"status": "disabled", "disabled_reason": "an operator's"})

    def enable(self, *hosts: str) -> None:
        """Enable computes again."""
        for host in hosts:
            self._set_service(host, {"status": "enabled"})

    def _set_service(self, host: str, what: dict[str, str]) -> None:
        services = self.cloud.compute("GET", "/os-services?binary=nova-compute")["services"]
        named = self._service_host(host)
        [number] = [service["id"] for service in services if service["host"] == named]
        self.cloud.compute("PUT", f"/os-services/{number}", what)

    @contextlib.contextmanager
    def hanging(self, service: str, *machines: str) -> Iterator[None]:
        """Have a service on machines do nothing for a while, as if it waited for something."""
        held = [self.lab.machine(name) for name in machines]
        try:
            for machine in held:
                signal_all(machine, service, signal.SIGSTOP)
            yield
        finally:
            for machine in held:
                # It may have lost its power meanwhile.
                with contextlib.suppress(LabError):
                    signal_all(machine, service, signal.SIGCONT)

    @contextlib.contextmanager
    def rebuild_held(self, server: str) -> Iterator[str]:
        """Have the destination hang that has claimed a server, before it is through; yield it."""
        with self.hanging(COMPUTE, self._claimed_by(server)):
            yield self._claimed_by(server)

    def _claimed_by(self, server: str) -> str:
        """Wait until a destination has claimed a server; return it while it still works at it.

        Raises:
            LabError: it was through before anybody looked.
        """
        query = f"/os-migrations?instance_uuid={server}&migration_type=evacuation"
        while True:
            newest = self.cloud.compute("GET", query)["migrations"][:1]
            match [row["status"] for row in newest]:
                case ["pre-migrating"]:
                    return self._named(str(newest[0]["dest_compute"]))
                case [] | ["accepted"]:
                    continue
                case ended:
                    raise LabError(f"the evacuation of {server} is {ended}")

    # -- waiting ----------------------------------------------------------------------------------

    def wait_accepted(self) -> dict[str, Any]:
        """Wait until Nova has accepted an evacuation; return the first line that says so."""
        facts = {"operation": "Evacuate", "outcome": "done"}
        self.wait(lambda: bool(self.told_of("cloud_call_ended", **facts)), "a request accepted")
        return self.told_of("cloud_call_ended", **facts)[0]

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

    # -- at the end -------------------------------------------------------------------------------

    def assert_moved_once(
        self, host: str, servers: list[str], *, may_leave_records: bool = False
    ) -> None:
        """Say that each ran here and then there, by one incident, and one record brought it there.

        Records that Nova ended without moving anything may lie before it. ``may_leave_records``:
        also ones that it neither ended nor goes on with, of requests that its conductor lost: it
        takes up the oldest one by whatever request.
        """
        statuses = {m["guest"]: m["status"] for m in self.incident(host)["migrations"]}
        for server in servers:
            records = [record.status for record in self.evacuations(server)]
            assert statuses[server] in _ARRIVED, (server, statuses)
            arrived = [status for status in records if status in _ARRIVED]
            others = {status for status in records if status not in _ARRIVED}
            assert len(arrived) == 1, (server, records)
            if may_leave_records:
                others.discard("accepted")
            else:
                assert records[-1] in _ARRIVED, (server, records)
            assert others <= _ENDED, (server, records)
            assert len(self.watching.boots(server)) == 2, server
        assert self.watching.double_writers() == {}


def signal_all(machine: Machine, service: str, number: signal.Signals) -> None:
    """Send a signal to a service with all its processes; each service is a group of its own.

    Raises:
        LabError: the machine is off, or the service does not run.
    """
    leader = machine.processes().get(service, {}).get("pid")
    if leader is None:
        raise LabError(f"{service} does not run on {machine.name}")
    machine.run(["sh", "-c", f"kill -{int(number)} -{leader}"])
