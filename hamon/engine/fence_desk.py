"""The desk's answers about fence devices: what checks came to, and a check right now."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from hamon.engine.answers import Answer
from hamon.engine.fence_checks import FenceChecks
from hamon.errors import RequestRefusedError
from hamon.model.names import HostName
from hamon.model.view import ClusterView, HostView


class FenceDesk:
    """Answers what is known of fence devices, from this controller.

    Args:
        checks: asks them.
    """

    def __init__(self, checks: FenceChecks) -> None:
        self._checks = checks

    def status(self, name: str, view: ClusterView, now_s: float) -> Answer:
        """Return what the last check of each device came to, without asking any.

        Args:
            name: of a host, "": of all.
            view: what this controller sees.
            now_s: its monotonic seconds.

        Raises:
            RequestRefusedError: there is no such host.
        """
        return {
            "devices": [
                {
                    "host": host.name,
                    "device": device.name,
                    "kind": device.kind,
                    "level": device.level,
                    **_of_check(host, device.name, now_s),
                }
                for host in _chosen(name, view)
                for device in host.spec.fence
            ]
        }

    async def check(self, name: str, view: ClusterView) -> Answer:
        """Ask the devices now; see :meth:`status`. Harmless."""
        found = await asyncio.gather(
            *(
                self._checks.check(host.name, device)
                for host in _chosen(name, view)
                for device in self._checks.of(host.name)
            )
        )
        return {"devices": [asdict(one) for one in found]}


def _of_check(host: HostView, device: str, now_s: float) -> Answer:
    check = host.device_checks.get(device)
    if check is None:
        return {"power": "", "why": "", "checked_age_s": None, "good_age_s": None}
    return {
        "power": check.power,
        "why": check.why,
        "checked_age_s": round(now_s - check.checked_s, 1),
        "good_age_s": None if check.good_s is None else round(now_s - check.good_s, 1),
    }


def _chosen(name: str, view: ClusterView) -> list[HostView]:
    if not name:
        return [host for _, host in sorted(view.hosts.items())]
    host = view.hosts.get(HostName(name))
    if host is None:
        raise RequestRefusedError(
            f"host {name} is not enrolled", "`hamon host list` shows the hosts"
        )
    return [host]
