"""The two ways without a program that remembers anything: ask Nova for every guest, and go home.

Both start from a power cut that is known: a host without power is proof, and nobody had to find
out. Forcing it down is part of what they do, as it is for hamon, because Nova refuses without.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final
from urllib.parse import quote

from bench.contenders.contender import Cut, Ground, Nova
from lab.names import LabError, Plane
from lab.observer import now_s
from lab.openstack.access import Request


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Posts an evacuation of each guest.

    Attributes:
        name: of this way.
        is_at_once: all in threads; else one after the other, each when the last was answered, as
            `nova host-evacuate` does it, but without its start-up of a second.
    """

    name: str
    is_at_once: bool

    @property
    def is_daemon_armed(self) -> bool:
        """Nobody else may evacuate."""
        return False

    @property
    def asks_again(self) -> bool:
        """It does not look."""
        return False

    def get_ready(self, ground: Ground, host: str) -> None:
        """Have a token: see `Contender`."""
        servers_on(ground.cloud, host)

    def evacuate(self, ground: Ground, cut: Cut) -> float:
        """Force the host down and post; see `Contender`."""
        proof_s = now_s()
        force_down(ground.cloud, cut.host)
        servers = servers_on(ground.cloud, cut.host)
        post(ground.cloud, servers, threads=len(servers) if self.is_at_once else 1)
        return proof_s

    def finish(self, ground: Ground, deadline_s: float) -> float | None:
        """It does not look what became of its requests."""
        return None

    def sends(self, ground: Ground, request: Request) -> bool:
        """What comes from OpenStack's own machine without saying what it is."""
        machine = ground.cloud.machine
        own = machine.layout.address(machine.name, Plane.MANAGEMENT)
        return request.sender == own and not request.agent


AT_ONCE = Posting(name="all at once", is_at_once=True)
ONE_AFTER_ANOTHER = Posting(name="host-evacuate", is_at_once=False)


def force_down(nova: Nova, host: str) -> None:
    """Tell Nova that a host is dead.

    Raises:
        LabError: Nova refuses, or does not know its nova-compute.
    """
    nova.compute("PUT", f"/os-services/{service_of(nova, host)}", {"forced_down": True})


def service_of(nova: Nova, host: str) -> str:
    """The id of a host's nova-compute.

    Raises:
        LabError: Nova refuses, or knows none or several.
    """
    found = nova.compute("GET", f"/os-services?binary=nova-compute&host={quote(host)}")["services"]
    if len(found) != 1:
        raise LabError(f"Nova knows {len(found)} nova-computes of {host}")
    return str(found[0]["id"])


def servers_on(nova: Nova, host: str) -> list[str]:
    """The uuids of a host's servers, as Nova lists them.

    Raises:
        LabError: Nova refuses.
    """
    found = nova.compute("GET", f"/servers?all_tenants=1&host={quote(host)}")["servers"]
    return [str(server["id"]) for server in found]


def post(nova: Nova, servers: Sequence[str], *, threads: int) -> None:
    """Ask Nova to evacuate servers, in the order they have.

    Raises:
        LabError: Nova refused one; the others were asked for nevertheless.
    """

    def evacuate(server: str) -> str:
        try:
            nova.compute("POST", f"/servers/{server}/action", {"evacuate": {}})
        except LabError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        refused = [why for why in pool.map(evacuate, servers) if why]
    if refused:
        raise LabError(f"{len(refused)} of {len(servers)} evacuations were refused: {refused[0]}")
