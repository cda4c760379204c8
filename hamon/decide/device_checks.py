"""Fence devices that do not work, told before they are needed. Pure."""

from __future__ import annotations

from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView


def failing_devices(view: ClusterView, now_s: float) -> tuple[Reason, ...]:
    """Name each device whose last check failed, with what is wrong and when it last worked."""
    return tuple(
        reason(
            "fence_device_failing",
            name,
            device=device,
            why=check.why,
            good="never" if check.good_s is None else f"{now_s - check.good_s:.0f} s ago",
        )
        for name, host in sorted(view.hosts.items())
        for device, check in sorted(host.device_checks.items())
        if check.why
    )
