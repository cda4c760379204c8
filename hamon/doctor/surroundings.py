"""What else hamon needs: fence devices, Nova, the storage of the heartbeats, the clock."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Iterator
from pathlib import Path

from hamon.clock import SystemClock
from hamon.doctor.finding import Finding, fault, good, warning
from hamon.engine.fence_checks import CheckedDevice, FenceChecks
from hamon.engine.memory import Memory
from hamon.errors import CloudError, CloudRefusedError, ConfigError
from hamon.fencing.devices import DeviceBuilder
from hamon.model.names import HostName
from hamon.model.stored import StoredCluster
from hamon.settings.values import NovaSettings, Settings

DEVICES = "fence devices"
NOVA = "Nova"
STORAGE = "storage"
CLOCK = "clock"


async def fence_devices(settings: Settings, stored: StoredCluster | None) -> list[Finding]:
    """Ask every fence device for its state and whom it answers for. Harmless.

    Args:
        settings: the controller's.
        stored: tells which machine each host says it is; None: not known.
    """
    clock = SystemClock()
    builder = DeviceBuilder(clock, lambda host: _identity(settings, stored, host))
    devices, found = {}, []
    for spec in settings.hosts:
        try:
            devices[spec.name] = {d.spec.name: d for d in await builder.build(spec)}
        except ConfigError as error:
            found.append(fault(DEVICES, str(error)))
    checks = FenceChecks(
        devices,
        lambda host: _identity(settings, stored, host),
        Memory(),
        clock,
        period_s=settings.policy.fencing.check_period_s,
        timeout_s=settings.policy.detection.look_timeout_s,
    )
    asked = await asyncio.gather(
        *(checks.check(host, name) for host, named in devices.items() for name in named)
    )
    return [*found, *map(_of_device, asked)]


def _of_device(checked: CheckedDevice) -> Finding:
    what = f"{checked.host} {checked.device} ({checked.kind})"
    if checked.why:
        return fault(DEVICES, f"{what}: {checked.why}", "see docs/fencing.md")
    return good(DEVICES, f"{what}: reads {checked.power} in {checked.took_s:.1f} s")


def _identity(settings: Settings, stored: StoredCluster | None, host: HostName) -> str:
    configured = next((s.product_uuid for s in settings.hosts if s.name == host), "")
    seen = stored.hosts.get(host) if stored is not None else None
    told = seen.self_.value.product_uuid if seen is not None and seen.self_.value else ""
    return configured or told


async def cloud(settings: Settings) -> list[Finding]:
    """Read of Nova what an evacuation needs. Harmless.

    Args:
        settings: the controller's.
    """
    if settings.nova is None:
        return []
    try:
        return await _cloud(settings, settings.nova)
    except ConfigError as error:
        return [fault(NOVA, str(error))]


async def _cloud(settings: Settings, nova: NovaSettings) -> list[Finding]:
    # Only here, because a libvirt cluster needs no client of Nova installed.
    from hamon.backends.nova.cloud import NovaCloud  # noqa: PLC0415

    asked = NovaCloud(nova, SystemClock())
    found: list[Finding] = []
    try:
        services = await asked.services()
        found.append(good(NOVA, f"{len(services)} compute services can be read"))
        found += await _readable("server groups", asked.groups())
        found += await _readable("aggregates", asked.aggregates())
        for service in services[:1]:
            host = service.host
            found += await _readable("servers of all projects", asked.servers(host=host))
            found += await _readable("migrations", asked.migrations(host=host))
        known = {spec.service_host or spec.name for spec in settings.hosts}
        there = {service.host for service in services}
        for name in sorted(known - there):
            advice = "set service_host in hosts.d as `openstack compute service list` has it"
            found.append(fault(NOVA, f"there is no compute service {name}", advice))
        for name in sorted(there - known):
            found.append(warning(NOVA, f"{name} is not protected: it is not in hosts.d"))
    except CloudError as error:
        found.append(_of_refusal("compute services", error))
    finally:
        asked.close()
    return found


async def _readable(what: str, read: Awaitable[object]) -> list[Finding]:
    try:
        await read
    except CloudError as error:
        return [_of_refusal(what, error)]
    return [good(NOVA, f"{what} can be read")]


def _of_refusal(what: str, error: CloudError) -> Finding:
    advice = "is Nova reached from here?"
    if isinstance(error, CloudRefusedError):
        advice = "the role of hamon's user may not do it; docs/nova.md lists what it needs"
    return fault(NOVA, f"{what} cannot be read: {error.why}", advice)


def storage(settings: Settings) -> Iterator[Finding]:
    """Look whether the storages of the heartbeats are mounted and can be read here.

    Args:
        settings: the controller's.
    """
    for name, folder in sorted(settings.storage.heartbeats.items()):
        if not folder.is_dir():
            advice = "mount the storage on this controller, and make the folder on it once"
            yield fault(STORAGE, f"{name}: {folder} is no folder", advice)
            continue
        if not os.access(folder, os.R_OK | os.X_OK):
            yield fault(STORAGE, f"{name}: {folder} cannot be read by this user")
            continue
        beats = sum(1 for _ in folder.iterdir())
        if _is_local(folder):
            advice = "a storage that only this machine has tells nothing of the hosts"
            yield warning(STORAGE, f"{name}: {folder} is on the disk of the system itself", advice)
        yield good(STORAGE, f"{name}: {folder} holds the heartbeats of {beats} hosts")


def _is_local(folder: Path) -> bool:
    return folder.stat().st_dev == Path("/").stat().st_dev


def clock() -> Iterator[Finding]:
    """Look whether this machine's clock is kept right. Nothing is decided by it: logs are read."""
    if shutil.which("timedatectl") is None:
        return
    said = subprocess.run(
        ["timedatectl", "show", "--property", "NTPSynchronized", "--value"],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    ).stdout.strip()
    if said == "yes":
        yield good(CLOCK, "it is synchronised")
    elif said == "no":
        advice = "times in records and logs of several machines are compared by people"
        yield warning(CLOCK, "it is not synchronised", advice)
