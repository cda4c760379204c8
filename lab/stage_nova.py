"""The demonstration under a real OpenStack: Nova chooses where, and rebuilds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from lab import deployment, placement, wording
from lab.lab import Lab
from lab.machine import Machine
from lab.observer import Observer
from lab.openstack import overview, venv
from lab.openstack.cloud import Cloud
from lab.openstack.overview import Overview
from lab.placement import Placement
from lab.processes import wait_until
from lab.stage import VICTIM, Stage
from lab.story import Story
from lab.topology import Backend

PROTECTED_TIMEOUT_S = 60.0


class NovaStage(Stage):
    """Guests are servers; their disks and domains bear other names, which Nova knows."""

    backend: ClassVar[Backend] = Backend.NOVA
    parts: ClassVar[Sequence[str]] = (
        "3 controllers: c1 c2 c3 with a ZooKeeper server each, hamon's daemon on c1 and c2",
        "OpenStack on o1: keystone, glance, placement, neutron, nova, with MariaDB and RabbitMQ",
        "3 compute hosts: h1 h2 h3 with nova-compute and the gate before it, libvirtd,",
        "both hamon agents and an IPMI BMC each",
    )
    placement: ClassVar[Placement] = {"h1": ["g1", "g2", "g3", "g4"], "h2": ["g5"], "h3": ["g6"]}
    wording: ClassVar[Mapping[str, str]] = wording.NOVA
    phases: ClassVar[Mapping[str, str]] = {
        "heartbeat_late": "suspected",
        "host_convicted": "convicted",
        "host_fenced": "fenced",
        "evacuation_sent": "first request to Nova",
        "guest_claimed": "first guest being rebuilt",
        "host_evacuated": "all migrations done",
        "gate_opened": "nova-compute may start",
        "host_returned": "host back in service",
        "service_enabled": "enabled in Nova again",
    }

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._names: dict[str, str] = {}
        self._of_domains: dict[str, str] = {}

    @property
    def _cloud(self) -> Cloud:
        assert self.lab.cloud is not None, "made with an OpenStack"
        return self.lab.cloud

    @classmethod
    @override
    def made_first(cls) -> Sequence[str]:
        if venv.OPENSTACK.is_cached():
            return ()
        what = "OpenStack's locked Python packages and empty databases, once"
        return (f"first on this machine: {what}, into .lab/cache; takes minutes",)

    @override
    def observer(self) -> Observer:
        return Observer(self._disks)

    def _disks(self) -> dict[str, Path]:
        found = self._cloud.disks()
        return {name: found[uuid] for uuid, name in self._names.copy().items() if uuid in found}

    @override
    def start_guests(self, watching: Observer) -> None:
        for host, guests in self.placement.items():
            for guest in guests:
                self._names[str(self._cloud.boot(guest, self.lab.host(host)))] = guest
        self._cloud.wait_active([*self.moving, *self.staying])
        self._of_domains = {s.domain: s.name for s in overview.read(self._cloud).servers}
        placement.wait_writing(self.placement, watching)
        wait_until(self._are_movable, "every guest can be evacuated", PROTECTED_TIMEOUT_S)

    def _are_movable(self) -> bool:
        leading = deployment.leader(self.lab.daemons)
        if leading is None:
            return False
        shown = deployment.ask(leading, "host", host=VICTIM)["guests"]
        movable = {line["name"] for line in shown if line["protected"]}
        return movable.issuperset(self.moving)

    @override
    def names(self) -> Mapping[str, str]:
        return self._names

    @override
    def domains(self, host: Machine) -> dict[str, str]:
        found = self.lab.guests.on_host(host)
        return {self._of_domains.get(domain, domain): state for domain, state in found.items()}

    @override
    def tell_more(self, story: Story) -> None:
        """Tell nothing: all of it is in the leader's log."""

    @override
    def is_back(self, story: Story) -> bool:
        # hamon logs what it is about to ask; Nova answers a moment later.
        return story.has_happened("service_enabled") and all(
            service.serves for service in overview.read(self._cloud).services
        )

    @override
    def testimony(self) -> tuple[list[str], list[str]]:
        return judged(overview.read(self._cloud), self.homes(), self.moving)

    @override
    def hints(self, lab_command: str) -> Sequence[tuple[str, str]]:
        return (("Nova's own view: servers, services, evacuations", f"{lab_command} nova"),)


def judged(
    said: Overview, homes: Mapping[str, Sequence[str]], moving: Sequence[str]
) -> tuple[list[str], list[str]]:
    """What Nova says in the end: lines to show, and what is wrong.

    Args:
        said: by Nova.
        homes: where guests run, by libvirt.
        moving: the guests that were evacuated.
    """
    lines, faults = [], []
    for server in said.servers:
        statuses = [line.status for line in said.evacuations_of(server.uuid)]
        is_moved = server.name in moving
        if is_moved:
            records = " ".join(statuses) or "none"
            lines.append(f"{server.name}  {server.status} on {server.host}, records: {records}")
        if server.status != "ACTIVE" or server.task:
            faults.append(f"Nova has {server.name} {server.status} {server.task}".rstrip())
        if server.name not in homes.get(server.host, []):
            faults.append(f"Nova has {server.name} on {server.host}, where it does not run")
        if statuses != (["completed"] if is_moved else []):
            faults.append(f"Nova's evacuations of {server.name}: {' '.join(statuses) or 'none'}")
    faults += [
        f"nova-compute of {service.host} is {service.status} and {service.state} in Nova"
        for service in said.services
        if not service.serves
    ]
    serving = " ".join(service.host for service in said.services if service.serves)
    return [*lines, f"nova-compute enabled and up on {serving}"], faults
