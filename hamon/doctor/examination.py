"""The whole examination, in the order in which one thing stands on another."""

from __future__ import annotations

from hamon.doctor import ensemble, hosts, surroundings
from hamon.doctor.finding import Finding
from hamon.settings.values import Settings


async def examine(settings: Settings, version: str) -> tuple[Finding, ...]:
    """Look at a real installation from this controller. Changes nothing, harms nothing.

    Args:
        settings: the controller's, already checked.
        version: of this hamon.
    """
    of_ensemble, stored = await ensemble.examine(settings)
    found = list(of_ensemble)
    if stored is not None:
        found += hosts.examine(settings, stored, version)
    found += await surroundings.fence_devices(settings, stored)
    found += await surroundings.cloud(settings)
    found += surroundings.storage(settings)
    found += surroundings.clock()
    return tuple(found)
