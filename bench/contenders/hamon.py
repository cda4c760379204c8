"""hamon itself, as it runs in the lab: two daemons, armed."""

from dataclasses import dataclass, field
from typing import final

from bench.contenders.contender import Cut, Ground
from lab.event_log import Event
from lab.names import LabError, Plane
from lab.openstack.access import Request
from lab.processes import wait_until

FENCED_TIMEOUT_S = 60.0
LOOK_S = 0.1


@final
@dataclass(slots=True, kw_only=True)
class Hamon:
    """hamon.

    Attributes:
        convicted_after_s: how long after the cut it convicted the host in its last run.
        events: what its daemons logged in its last run.
    """

    convicted_after_s: float | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "hamon"

    @property
    def is_daemon_armed(self) -> bool:
        """It is the daemons that act."""
        return True

    @property
    def asks_again(self) -> bool:
        """With a back-off, for ever."""
        return True

    def get_ready(self, ground: Ground, host: str) -> None:
        """Forget the last run: see `Contender`."""
        ground.log.news()
        self.events = []

    def evacuate(self, ground: Ground, cut: Cut) -> float:
        """Wait until it has proof by itself; see `Contender`."""
        fenced_s = self._wait_for(ground, "host_fenced", FENCED_TIMEOUT_S)
        if fenced_s is None:
            raise LabError(f"hamon did not fence {cut.host} within {FENCED_TIMEOUT_S:g} s")
        convicted_s = self._at("host_convicted")
        assert convicted_s is not None, "fenced, hence convicted"
        self.convicted_after_s = convicted_s - cut.at_s
        return fenced_s

    def finish(self, ground: Ground, deadline_s: float) -> float | None:
        """Wait until it has confirmed every guest; see `Contender`."""
        return self._wait_for(ground, "host_evacuated", deadline_s)

    def sends(self, ground: Ground, request: Request) -> bool:
        """What comes from a machine with a daemon."""
        layout = ground.lab.layout
        return request.sender in {
            layout.address(daemon.name, Plane.MANAGEMENT) for daemon in ground.lab.daemons
        }

    def _wait_for(self, ground: Ground, event: str, deadline_s: float) -> float | None:
        def has_happened() -> bool:
            self.events += ground.log.news()
            return self._at(event) is not None

        try:
            wait_until(has_happened, event, deadline_s, every_s=LOOK_S)
        except LabError:
            return None
        return self._at(event)

    def _at(self, name: str) -> float | None:
        return next((event.at_s for event in self.events if event.name == name), None)
