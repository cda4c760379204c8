"""What of the demonstration differs with the backend: who takes part, and who is asked at the end.

The story itself is the same, and is told in `lab.demo`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from lab.lab import Lab
from lab.machine import Machine
from lab.observer import Observer
from lab.placement import Placement
from lab.story import Story
from lab.topology import Backend

VICTIM = "h1"


class Stage(ABC):
    """A lab with a backend's guests.

    Class attributes:
        backend: whose story it is.
        parts: what the lab consists of, in lines for a spectator.
        placement: the guests of each host.
        wording: what is told of each event (`lab.wording`).
        phases: what a spectator calls an event of the summary.

    Args:
        lab: made with `backend`.
    """

    backend: ClassVar[Backend]
    parts: ClassVar[Sequence[str]]
    placement: ClassVar[Placement]
    wording: ClassVar[Mapping[str, str]]
    phases: ClassVar[Mapping[str, str]]

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @classmethod
    @abstractmethod
    def made_first(cls) -> Sequence[str]:
        """What has to be made on this machine before its first lab, in lines for a spectator."""

    @property
    def moving(self) -> Sequence[str]:
        """The guests of the host that loses its power."""
        return self.placement[VICTIM]

    @property
    def staying(self) -> Sequence[str]:
        """The guests of the other hosts."""
        return [g for host, guests in self.placement.items() if host != VICTIM for g in guests]

    @abstractmethod
    def observer(self) -> Observer:
        """A new observer that calls each disk by its guest's name."""

    @abstractmethod
    def start_guests(self, watching: Observer) -> None:
        """Start every guest; return when all write and would be rebuilt if their host died.

        Raises:
            LabError: one does not, in time.
        """

    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """The guests' names by their uuids, once they are started."""

    @abstractmethod
    def domains(self, host: Machine) -> dict[str, str]:
        """State of each guest that a host's libvirt knows, by its name."""

    @abstractmethod
    def tell_more(self, story: Story) -> None:
        """Tell what no log has (yet) while guests are being moved."""

    @abstractmethod
    def is_back(self, story: Story) -> bool:
        """Whether the host that came back serves again, as it did before."""

    @abstractmethod
    def testimony(self) -> tuple[list[str], list[str]]:
        """What somebody other than hamon says at the end: lines to show, and what is wrong."""

    @abstractmethod
    def hints(self, lab_command: str) -> Sequence[tuple[str, str]]:
        """What else can be looked at when the lab stays up: what it is, and the command."""

    def homes(self) -> dict[str, list[str]]:
        """Where guests run, as libvirt on each host tells."""
        return {
            str(host.name): sorted(
                name for name, state in self.domains(host).items() if state == "running"
            )
            for host in self.lab.hosts
        }
