"""Masakari: its API and engine, told of the dead host as its host monitor would tell them.

It has no fencing of its own and asks for no proof; the power cut is the fence that it relies on.
"""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from bench.contenders.contender import Cut, Ground
from bench.contenders.masakari_service import MasakariService
from bench.contenders.posting import force_down
from lab.names import LabError, Plane
from lab.observer import now_s
from lab.openstack.access import Request
from lab.processes import wait_until

POLL_S = 0.5
_ENDED = frozenset({"finished", "failed", "ignored", "error"})
_TUNED = {
    # No shorter wait is of use: the service is forced down for it.
    "wait_period_after_service_update": "1",
    "host_failure_recovery_threads": "30",
    "notification_delay_max": "0",
    "verify_interval": "1",
}


@final
@dataclass(slots=True, kw_only=True)
class Masakari:
    """Masakari with one profile of its settings.

    Attributes:
        name: of the profile.
        options: what is not as it comes.
        is_forced_down: whether the dead host is forced down in Nova for it, without which its
            requests are refused until Nova finds out by itself.
        services: by the name of their lab; they serve all profiles.
    """

    name: str
    options: Mapping[str, str]
    is_forced_down: bool
    services: dict[str, MasakariService]
    _notification: str = ""
    _service: MasakariService | None = field(default=None, repr=False)

    @property
    def is_daemon_armed(self) -> bool:
        """Nobody else may evacuate."""
        return False

    @property
    def asks_again(self) -> bool:
        """Once, after two minutes."""
        return True

    def get_ready(self, ground: Ground, host: str) -> None:
        """Start it, and tell it of the host: see `Contender`."""
        service = self.services.setdefault(
            ground.lab.layout.lab, MasakariService(cloud=ground.cloud.machine)
        )
        self._service = service
        service.stop()
        service.start(self.options)
        new = {"name": "bench", "recovery_method": "auto", "service_type": "COMPUTE"}
        segment = service.call("POST", "/segments", {"segment": new})["segment"]["uuid"]
        member = {"name": host, "type": "COMPUTE", "control_attributes": "none"}
        service.call("POST", f"/segments/{segment}/hosts", {"host": member})

    def evacuate(self, ground: Ground, cut: Cut) -> float:
        """Notify it when hamon would have known that the host is dead; see `Contender`."""
        assert self._service is not None, "it is ready"
        time.sleep(max(0.0, cut.at_s + cut.known_after_s - now_s()))
        known_s = now_s()
        if self.is_forced_down:
            force_down(ground.cloud, cut.host)
        answer = self._service.call("POST", "/notifications", {"notification": notification(cut)})
        self._notification = str(answer["notification"]["notification_uuid"])
        return known_s

    def finish(self, ground: Ground, deadline_s: float) -> float | None:
        """Wait until it calls its work finished; see `Contender`."""
        service = self._service
        assert service is not None, "it is ready"
        path = f"/notifications/{self._notification}"
        status = ""

        def has_ended() -> bool:
            nonlocal status
            status = str(service.call("GET", path)["notification"]["status"])
            return status in _ENDED

        try:
            wait_until(has_ended, "Masakari's end", deadline_s, every_s=POLL_S)
        except LabError:
            return None
        finally:
            ended_s = now_s()
            service.stop()
        return ended_s if status == "finished" else None

    def sends(self, ground: Ground, request: Request) -> bool:
        """What comes from its machine and from a program of its kind."""
        machine = ground.cloud.machine
        own = machine.layout.address(machine.name, Plane.MANAGEMENT)
        is_its = "python-novaclient" in request.agent or "masakari" in request.agent
        return request.sender == own and is_its


def profiles() -> tuple[Masakari, Masakari]:
    """Masakari as it comes, and tuned (peers.md 25.1); they share what runs in a lab."""
    services: dict[str, MasakariService] = {}
    return (
        Masakari(name="masakari", options={}, is_forced_down=False, services=services),
        Masakari(name="masakari tuned", options=_TUNED, is_forced_down=True, services=services),
    )


def notification(cut: Cut) -> dict[str, object]:
    """What Masakari's host monitor says of a host that is gone, and of which that is certain."""
    return {
        "type": "COMPUTE_HOST",
        "hostname": cut.host,
        "generated_time": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "payload": {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"},
    }
