"""The demonstration on plain libvirt: hamon schedules and rebuilds by itself."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from typing_extensions import override

from lab import placement, wording
from lab.machine import Machine
from lab.observer import Observer
from lab.placement import Placement
from lab.stage import Stage
from lab.story import Story
from lab.topology import Backend


class LibvirtStage(Stage):
    """Guests are domains, known by their names."""

    backend: ClassVar[Backend] = Backend.LIBVIRT
    parts: ClassVar[Sequence[str]] = (
        "3 controllers: c1 c2 c3 with a ZooKeeper server each, hamon's daemon on c1 and c2",
        "3 compute hosts: h1 h2 h3 with libvirtd, both hamon agents and an IPMI BMC each",
    )
    placement: ClassVar[Placement] = {
        "h1": ["g1", "g2", "g3", "g4"],
        "h2": ["g5", "g6"],
        "h3": ["g7", "g8"],
    }
    wording: ClassVar[Mapping[str, str]] = wording.LIBVIRT
    phases: ClassVar[Mapping[str, str]] = {
        "heartbeat_late": "suspected",
        "host_convicted": "convicted",
        "host_fenced": "fenced",
        "grant_claimed": "first guest being rebuilt",
        "host_evacuated": "all migrations done",
        "host_returned": "host back in service",
    }

    @classmethod
    @override
    def made_first(cls) -> Sequence[str]:
        return ()

    @override
    def observer(self) -> Observer:
        return self.lab.observer()

    @override
    def start_guests(self, watching: Observer) -> None:
        placement.place(self.lab, self.placement, watching)

    @override
    def names(self) -> Mapping[str, str]:
        return self.lab.guests.by_uuid([*self.moving, *self.staying])

    @override
    def domains(self, host: Machine) -> dict[str, str]:
        return self.lab.guests.on_host(host)

    @override
    def tell_more(self, story: Story) -> None:
        convicted = next((e for e in story.events if e.name == "host_convicted"), None)
        if story.narrator is not None and convicted is not None:
            story.narrator.tell_schedule(self.lab, convicted.fact("incident"))

    @override
    def is_back(self, story: Story) -> bool:
        return story.has_happened("host_returned")

    @override
    def testimony(self) -> tuple[list[str], list[str]]:
        return [], []

    @override
    def hints(self, lab_command: str) -> Sequence[tuple[str, str]]:
        return ()
