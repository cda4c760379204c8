"""What a lab consists of, as data that is kept with it."""

from dataclasses import dataclass, field
from enum import StrEnum

from lab.names import LabError, MachineName

HOSTS_MAX = 100


class Backend(StrEnum):
    """Who schedules and rebuilds the guests of a lab."""

    LIBVIRT = "libvirt"
    NOVA = "nova"


class Driver(StrEnum):
    """What runs the guests of a nova-compute."""

    LIBVIRT = "libvirt"
    FAKE = "fake"  # nothing: a guest is a line in nova-compute's memory, hundreds cost little


@dataclass(frozen=True, slots=True, kw_only=True)
class Computes:
    """How nova-compute runs on the hosts of a lab.

    Attributes:
        driver: what runs its guests.
        has_service_names: whether a service bears another name than its host.
        agentless: how many of the hosts, the last ones, have no agent of hamon.
    """

    driver: Driver = Driver.LIBVIRT
    has_service_names: bool = False
    agentless: int = 0

    def service_host(self, host: MachineName) -> str:
        """The name under which Nova knows the nova-compute of a host."""
        return f"compute-{host}" if self.has_service_names else str(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How many machines a lab has, and for what.

    Attributes:
        controllers: 1 or 3.
        hosts: 1 to `HOSTS_MAX`.
        backend: whether the hosts are the computes of an OpenStack.
        computes: how they are, if they are.
    """

    controllers: int
    hosts: int
    backend: Backend = Backend.LIBVIRT
    computes: Computes = field(default_factory=Computes)

    def check(self) -> None:
        """Refuse what cannot be built.

        Raises:
            LabError: says what is wrong.
        """
        if self.controllers not in (1, 3) or not 1 <= self.hosts <= HOSTS_MAX:
            raise LabError(f"a lab has 1 or 3 controllers and 1 to {HOSTS_MAX} hosts")
        if self.backend is not Backend.NOVA and self.computes != Computes():
            raise LabError(
                "a driver, service names and hosts without an agent are nova-compute's:"
                " ask for the backend nova too"
            )
        if not 0 <= self.computes.agentless <= self.hosts:
            raise LabError(f"{self.computes.agentless} of {self.hosts} hosts without an agent")

    @property
    def has_cloud(self) -> bool:
        """Whether there is an OpenStack."""
        return self.backend is Backend.NOVA

    def is_agentless(self, host: MachineName) -> bool:
        """Whether a host has no agent of hamon."""
        return host.number > self.hosts - self.computes.agentless

    @property
    def has_libvirt(self) -> bool:
        """Whether the hosts run guests: a libvirt, and what hamon has beside it."""
        return not self.has_cloud or self.computes.driver is Driver.LIBVIRT
