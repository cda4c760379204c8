"""Which outside systems this controller reaches: what it reports, so that a blind leader yields."""

from __future__ import annotations

from collections.abc import Mapping

from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.fence_checks import FenceChecks
from hamon.ports.clock import Clock

NOVA_FRESH_S = 45.0
"""Nova is reached while a list of its services is no older: one is read each 15 s."""


class Outside:
    """Tells what is reached.

    Args:
        clock: time; what was never reached counts as blind only some time after this moment.
        cloud: what was read of Nova, None: there is no Nova.
        checks: those of fence devices, None: there are none.
    """

    def __init__(
        self, clock: Clock, cloud: CloudPicture | None, checks: FenceChecks | None
    ) -> None:
        self._clock = clock
        self._started_s = clock.now_s()
        self._cloud = cloud
        self._checks = checks

    def __call__(self) -> Mapping[str, bool]:
        """Return whether each system that was tried is reached."""
        reached: dict[str, bool] = {}
        if self._cloud is not None:
            read_s = self._cloud.view().services_s
            now_s = self._clock.now_s()
            since_s = read_s if read_s is not None else self._started_s
            if read_s is not None or now_s - since_s > NOVA_FRESH_S:
                reached["nova"] = now_s - since_s <= NOVA_FRESH_S
        power = self._checks.reaches() if self._checks is not None else None
        if power is not None:
            reached["power"] = power
        return reached
