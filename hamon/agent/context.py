"""What the guests process stands on; the simulator hands in its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hamon.agent.events import EventLog
from hamon.agent.host_files import HostFiles
from hamon.backends.libvirt.definition import SharedStorage
from hamon.coordination.access import Identities
from hamon.model.names import BootId, GuestId, HostName
from hamon.model.policy import Backend
from hamon.ports.clock import Clock
from hamon.ports.hypervisor import Hypervisor, Permits
from hamon.ports.store import Store

PathCheck = Callable[[tuple[str, ...]], Awaitable[tuple[str, ...]]]
"""Returns which of these paths exist and can be read on this host; hangs no longer than its own
deadline, whatever the storage does."""

GuestKiller = Callable[[frozenset[GuestId]], frozenset[GuestId]]
"""Kills the QEMU processes of these guests without libvirt; returns the guests it found running.
Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSources:
    """Where a host learns how it is.

    ``storage``: of each storage why it takes no heartbeat, "": it does, None: not known yet.
    ``links``: of each link why it carries nothing. Neither may block.
    """

    period_s: float = 2.0
    storage: Callable[[], Mapping[str, str | None]] = dict
    links: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """One boot of one host, and the ports to its world.

    ``identities``: the digests of the controllers and of this host, for what it creates.
    ``checks``: where it learns how it is, None: it checks nothing of itself.
    """

    host: HostName
    boot_id: BootId
    backend: Backend
    store: Store
    hypervisor: Hypervisor
    permits: Permits
    files: HostFiles
    clock: Clock
    log: EventLog
    shared: SharedStorage
    identities: Identities
    readable_paths: PathCheck
    kill_guests: GuestKiller
    checks: CheckSources | None = None
