"""Names, addresses and folders of a lab: everything in which two labs must differ."""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from typing_extensions import override

PROJECT = Path(__file__).resolve().parent.parent
LABS = PROJECT / ".lab"
CACHE = LABS / "cache"

# The same path in every host of every lab; it exists only in their mount namespaces.
SHARED_STORAGE = Path("/srv/hamon-lab-shared")
# The same in every host and controller.
HEARTBEATS = Path("/srv/hamon-lab-beats")

SLOTS = 64
PREFIX_LENGTH = 24

_LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
_IDENTITY = uuid.UUID("5ba3ba0c-5c3b-4d55-a4a4-f8a1f0a1d3a5")


class LabError(Exception):
    """The lab cannot do what was asked; the message says why and what to do."""


class Plane(StrEnum):
    """A network of the lab; each is one bridge in the namespace of the lab's switch."""

    MANAGEMENT = "management"
    STORAGE = "storage"
    BMC = "bmc"


class Role(StrEnum):
    """What a machine of the lab is."""

    CONTROLLER = "controller"
    HOST = "host"
    CLOUD = "cloud"


# Controllers are on the storage plane too, so that they can probe a host on both of its planes.
PLANES_OF_ROLE = {
    Role.CONTROLLER: (Plane.MANAGEMENT, Plane.STORAGE, Plane.BMC),
    Role.HOST: (Plane.MANAGEMENT, Plane.STORAGE),
    Role.CLOUD: (Plane.MANAGEMENT,),
}
_LETTERS = {Role.CONTROLLER: "c", Role.HOST: "h", Role.CLOUD: "o"}
_FIRST_ADDRESSES = {
    Role.CONTROLLER: 11,
    Role.HOST: 101,
    Role.CLOUD: 21,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineName:
    """One machine of a lab: `c1` is the first controller, `h1` the first host, `o1` OpenStack's."""

    role: Role
    number: int

    @classmethod
    def parse(cls, text: str) -> "MachineName":
        """The machine that is called `text`."""
        [role] = (role for role, letter in _LETTERS.items() if letter == text[0])
        return cls(role=role, number=int(text[1:]))

    @override
    def __str__(self) -> str:
        return f"{_LETTERS[self.role]}{self.number}"


def valid_lab_name(name: str) -> str:
    """Return `name` if it can name a lab.

    Raises:
        LabError: the name is not 1 to 16 lower-case letters and digits, or is `cache`.
    """
    if not _LAB_NAME.fullmatch(name) or name == CACHE.name:
        raise LabError(
            f"lab name {name!r}: 1 to 16 lower-case letters and digits, a letter first, not 'cache'"
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a lab keeps what it makes, and what it calls it.

    Attributes:
        lab: the lab's name.
        slot: 0 to 63; no two labs of this checkout share one while both exist.
    """

    lab: str
    slot: int

    @property
    def folder(self) -> Path:
        """Everything that the lab makes in the file system."""
        return LABS / self.lab

    @property
    def state(self) -> Path:
        """What machines keep across a power cut; a tmpfs unless the lab is durable."""
        return self.folder / "state"

    @property
    def processes(self) -> Path:
        """The record of each process: "<pid> <start time>"."""
        return self.folder / "processes"

    def power_switch(self, machine: MachineName) -> Path:
        """The lock under which a machine is switched on or off."""
        return self.processes / f"{machine}-switch"

    @property
    def closing(self) -> Path:
        """Present from the moment the lab is taken down: no machine is switched on any more."""
        return self.folder / "closing"

    @property
    def secrets(self) -> Path:
        """Passwords, for root only."""
        return self.folder / "secrets"

    @property
    def shared_storage(self) -> Path:
        """The folder that hosts see as `SHARED_STORAGE`."""
        return self.state / "shared"

    @property
    def heartbeats(self) -> Path:
        """The folder that hosts and controllers see as `HEARTBEATS`."""
        return self.state / "beats"

    @property
    def guest_disks(self) -> Path:
        """Where the disks of the guests are, seen from outside."""
        return self.shared_storage / "guests"

    @property
    def switch(self) -> str:
        """The network namespace that holds the bridge of each plane."""
        return f"hamon-{self.lab}-switch"

    def machine_folder(self, machine: MachineName) -> Path:
        """What a machine keeps over a power cut."""
        return self.state / "machines" / str(machine)

    def bmc_folder(self, machine: MachineName) -> Path:
        """A BMC's configuration and log."""
        return self.state / "bmc" / str(machine)

    def bmc_namespace(self, machine: MachineName) -> str:
        """The network namespace of a host's BMC."""
        return f"hamon-{self.lab}-{machine}-bmc"

    def address(self, machine: MachineName, plane: Plane) -> str:
        """The IPv4 address of a machine on a plane; a host's one on `bmc` is its BMC's."""
        network = 4 * self.slot + list(Plane).index(plane)
        return f"10.77.{network}.{_FIRST_ADDRESSES[machine.role] + machine.number - 1}"

    def product_uuid(self, machine: MachineName) -> uuid.UUID:
        """The machine's product uuid: the same at each power-on, different in each lab."""
        return uuid.uuid5(_IDENTITY, f"{self.folder}/{machine}")
