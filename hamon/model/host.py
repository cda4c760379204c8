"""A compute host as hamon knows it.

The records, by who may write them and how often they change:

* :class:`HostGuard` (znode ``state``): whether the host may live. Changes only when that right
  changes, so that it can guard registrations and guest starts. Written by the leader.
* :class:`HostMode` (znode ``mode``): whether hamon may change anything on the host, and whether the
  host still goes by what was said before. Written by the leader and by the guests process.
* :class:`HostRecord` (znode ``record``): what else the leader remembers. Written by the leader.
* :class:`HostSelf` (znode ``self``): what the heartbeat process says of its host.
* :class:`HostDomains`, :class:`HostCapacity` (znodes ``domains``, ``capacity``): what the guests
  process says of libvirt.
* :class:`HostChecks` (znode ``checks``): what the guests process finds wrong with its host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hamon.model.names import BootId, GuestId, HostName, IncidentId
from hamon.model.policy import HostPolicy, Mode


class HostState(StrEnum):
    """Where a host stands.

    PARTITIONED: it writes its heartbeat to shared storage, and nothing else of it is heard. HUNG:
    its kernel answers, and nothing that runs above it has for long. DEGRADED: it is well, but its
    own checks say that its guests are not (no storage, no network).
    """

    UP = "UP"
    SUSPECT = "SUSPECT"
    PARTITIONED = "PARTITIONED"
    HUNG = "HUNG"
    DEGRADED = "DEGRADED"
    LEAVING = "LEAVING"
    RESTARTED = "RESTARTED"
    FENCING = "FENCING"
    FENCE_FAILED = "FENCE_FAILED"
    FENCED = "FENCED"
    EVACUATING = "EVACUATING"
    EVACUATED = "EVACUATED"
    RETURNING = "RETURNING"
    QUARANTINED = "QUARANTINED"


_S = HostState

MISSED_STATES = frozenset({_S.SUSPECT, _S.PARTITIONED, _S.HUNG})
"""Something of it is not heard any more; which of them it is may change as more is known."""

_CAME_BACK = frozenset({_S.UP, _S.RESTARTED, _S.QUARANTINED})

HOST_TRANSITIONS: Mapping[HostState, frozenset[HostState]] = {
    _S.UP: MISSED_STATES | {_S.DEGRADED, _S.LEAVING, _S.RESTARTED, _S.FENCING},
    _S.SUSPECT: (MISSED_STATES | _CAME_BACK | {_S.LEAVING, _S.FENCING}) - {_S.SUSPECT},
    _S.PARTITIONED: (MISSED_STATES | _CAME_BACK | {_S.LEAVING, _S.FENCING}) - {_S.PARTITIONED},
    _S.HUNG: (MISSED_STATES | _CAME_BACK | {_S.LEAVING, _S.FENCING}) - {_S.HUNG},
    _S.DEGRADED: MISSED_STATES | {_S.UP, _S.LEAVING, _S.RESTARTED, _S.FENCING},
    _S.LEAVING: MISSED_STATES | _CAME_BACK | {_S.FENCING},
    _S.RESTARTED: MISSED_STATES | _CAME_BACK | {_S.LEAVING, _S.FENCING},
    _S.FENCING: frozenset({_S.FENCED, _S.FENCE_FAILED}),
    _S.FENCE_FAILED: frozenset({_S.FENCING, _S.FENCED, _S.RETURNING}),
    _S.FENCED: frozenset({_S.EVACUATING, _S.FENCING, _S.RETURNING}),
    _S.EVACUATING: frozenset({_S.EVACUATED, _S.FENCING, _S.RETURNING}),
    _S.EVACUATED: frozenset({_S.RETURNING, _S.EVACUATING, _S.FENCING}),
    _S.RETURNING: frozenset({_S.UP, _S.QUARANTINED, _S.FENCING}),
    _S.QUARANTINED: MISSED_STATES | {_S.UP, _S.LEAVING, _S.RESTARTED, _S.FENCING},
}
"""Every lawful step; what is not here is refused. The diagram in docs is generated from this."""

LIVE_STATES = MISSED_STATES | {_S.UP, _S.DEGRADED, _S.LEAVING, _S.RESTARTED, _S.QUARANTINED}
"""States in which the host's guard reads :attr:`Right.LIVE`."""

SHUT_OUT_STATES = frozenset(HostState) - LIVE_STATES


class IllegalTransitionError(AssertionError):
    """A transition that the table does not have: a fault in the core, nothing was changed."""


def check_transition(old: HostState, new: HostState) -> None:
    """Refuse a step that :data:`HOST_TRANSITIONS` does not have.

    Raises:
        IllegalTransitionError: always when the step is not in the table.
    """
    if new not in HOST_TRANSITIONS[old]:
        msg = f"host: {old} -> {new}"
        raise IllegalTransitionError(msg)


class Right(StrEnum):
    """Whether a host may register, claim and start guests."""

    LIVE = "live"
    SHUT_OUT = "shut_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMode:
    """Whether hamon acts on the host (znode ``mode``).

    ``mode``: the leader's word. ``is_ungated``: the host's: its hook lets every guest start that
    was not moved away, also in boots to come. It is written before that becomes so, and taken back
    only after it is over, so that no guest is moved away from where it may start by itself.
    """

    mode: Mode = Mode.ACTIVE
    is_ungated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGuard:
    """The right to live (znode ``state``).

    ``boot_id`` is the boot that was shut out (None: none was ever seen); a different boot may
    register so that the leader sees the host return, but claims and starts stay refused until the
    right reads LIVE again. ``is_gate_open``: in a nova cloud, nova-compute may start on the
    returned host although Nova and hamon still give it no guests: only its start cleans up there.
    """

    right: Right
    boot_id: BootId | None = None
    incident: IncidentId | None = None
    is_gate_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What the leader remembers of a host (znode ``record``).

    ``epoch`` is the term that wrote it: a suspicion that an earlier term already wrote down has
    outlived a change of leader and needs no start-up grace. ``returns`` counts returns after an
    evacuation in a row, for the growing quarantine. ``since`` is wall-clock time for humans only.
    ``left_open``: Nova's evacuation records away from the host that stayed open when it returned in
    this boot, although a later one of the same guest was completed. ``is_restoring``: it rebooted
    by itself, and what ran on it is still to be started there; no suspicion in between ends that.
    """

    state: HostState
    epoch: int
    since: str
    boot_id: BootId | None = None
    incident: IncidentId | None = None
    reason: str = ""
    returns: int = 0
    left_open: tuple[int, ...] = ()
    is_restoring: bool = False


class Leaving(StrEnum):
    """Why a host announced that it goes."""

    SHUTDOWN = "shutdown"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogFacts:
    """The watchdog that resets this boot of a host once its guarded heartbeats end.

    Said only while the device is armed, and written under the same version of ``state`` as a
    heartbeat; what it proves, ``fencing/watchdog.py`` works out.

    ``timeout_s``: what the device really has, not what was asked for. ``r_max_s``: a heartbeat that
    took longer does not pet. ``is_soft``: the kernel's own timer, which dies with the kernel.
    ``nowayout``: nobody can disarm it. ``identity``: the driver's name for it.
    """

    timeout_s: float
    r_max_s: float
    is_soft: bool
    nowayout: bool
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSelf:
    """What the heartbeat process says of its host (znode ``self``)."""

    boot_id: BootId
    product_uuid: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    agent_version: str = ""
    leaving: Leaving | None = None
    watchdog: WatchdogFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Content of the ephemeral ``alive/hb``. ``count``: guarded heartbeats of this session."""

    boot_id: BootId
    count: int = 0


class DomainState(StrEnum):
    """State of a domain as libvirt tells it, folded to what hamon needs."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTOFF = "shutoff"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDomains:
    """All domains libvirt has on the host, in this boot (znode ``domains``).

    ``is_healthy`` False means libvirt did not answer: the listing is the last one known, and
    nothing may be concluded from what is missing in it. ``lost``: guests whose published definition
    libvirt no longer has, though nobody was seen undefining them. ``is_attended``: who wrote it has
    a znode ``alive/guests`` while it lives; without that the listing is of the past.
    """

    boot_id: BootId
    is_healthy: bool
    domains: Mapping[GuestId, DomainState] = field(default_factory=dict)
    lost: tuple[GuestId, ...] = ()
    is_attended: bool = False


class GuestAgent(StrEnum):
    """The agent inside a running guest, as the host's libvirt sees it."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    NO_CHANNEL = "no_channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGuestAgents:
    """The agents in the guests that run on the host, in this boot (ephemeral ``alive/agents``).

    ``agents``: of the guests of which it is known. It goes with the session of the guests process,
    which writes it before the listing of the same reading.
    """

    boot_id: BootId
    agents: Mapping[GuestId, GuestAgent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCapacity:
    """What the scheduler needs to know of a host (znode ``capacity``).

    ``pool_paths`` are the target folders of active storage pools; ``cpu_models`` what
    libvirt calls usable here, kind of virtualisation first: ``kvm/EPYC``; ``kvm/`` is any kvm.
    """

    boot_id: BootId
    ram_mib: int
    vcpus: int
    architecture: str
    cpu_models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    pool_paths: tuple[str, ...] = ()


LIBVIRT_CHECK = "libvirt"
"""Name of the check that libvirt answers."""

STORAGE_CHECK = "storage:"
"""What the name of a check of a shared storage begins with; the storage's own name follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostChecks:
    """What a host finds wrong with itself, in this boot (znode ``checks``).

    ``failed``: a plain reason for each check that failed twice in a row and has not passed twice
    since. Nothing is written while nothing ever failed. Checks are called ``libvirt``,
    ``storage:<name>`` and ``link:<name>``.
    """

    boot_id: BootId
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneAddress:
    """Where a host answers on one network plane."""

    plane: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceDeviceSpec:
    """One fence device of a host, as configured; secrets stay in files.

    ``kind``: ``ipmi``, ``redfish``, ``agent``, ``storage`` or ``watchdog``. ``options`` are the
    device's own (for ``agent``: the fence-agents program's). ``system``: path of the ComputerSystem
    of ``redfish``; ``ca_file``, ``allow_insecure_tls``: whom it believes. ``program``,
    ``arguments``: the hook of ``storage``. ``delay_s``: seconds after the conviction before it may
    shoot.
    ``reset_latency_s``, ``margin_s``: of ``kind = "watchdog"``, see ``fencing/watchdog.py``.
    """

    name: str
    level: int
    kind: str
    address: str
    port: int = 623
    username: str = ""
    password_file: str = ""
    cipher: int = 17
    agent: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    ca_file: str = ""
    allow_insecure_tls: bool = False
    program: str = ""
    arguments: tuple[str, ...] = ()
    delay_s: float = 0.0
    reset_latency_s: float = 0.0
    margin_s: float = 0.0

    @property
    def place(self) -> str:
        """Where it takes one order at a time, whichever host's; "": it alone."""
        if not self.address:
            return ""
        return f"{self.address}:{self.port}" if self.kind in {"ipmi", "redfish"} else self.address

    @property
    def is_power(self) -> bool:
        """Whether it switches the host's power, and reads it."""
        return not self.is_revocation and not self.is_watchdog

    @property
    def is_watchdog(self) -> bool:
        """Whether it is the host's own, which nobody can switch or read: only time proves."""
        return self.kind == "watchdog"

    @property
    def is_revocation(self) -> bool:
        """Whether it takes the host's storage away rather than its power.

        Its Off then says nothing of power: the host may run on, shut out of its disks.
        """
        return self.kind == "storage"

    @property
    def names_system(self) -> bool:
        """Whether its readings say which machine answered.

        A fence-agents program and a storage hook have no way to: what their options and arguments
        name is the operator's word.
        """
        return self.kind not in {"agent", "storage"}


class Carried(StrEnum):
    """What hamon itself stands on, where it runs on a compute host."""

    CONTROLLER = "controller"
    ZOOKEEPER = "zookeeper"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """A host as enrolled from ``hosts.d``.

    ``product_uuid`` is what its BMC must answer for (S12); empty: the uuid its agent registered.
    ``zookeeper_identity``: what access rules name its agent by (never the password).
    ``service_host``: the name of its nova-compute in Nova, "": the host's own name.
    ``agentless``: no process of hamon's runs there: it is known by Nova's word and by probes, it is
    never fenced by itself, and it has no identity in ZooKeeper. ``policy``: its own choices.
    ``carries``: what of hamon's own foundation runs there. ``reserved``: it takes no guests until
    there is no room elsewhere.
    ``kdump_addresses``: whence its crash kernel sends, besides the addresses of its planes.
    """

    name: HostName
    planes: tuple[PlaneAddress, ...]
    fence: tuple[FenceDeviceSpec, ...]
    product_uuid: str = ""
    zookeeper_identity: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    service_host: str = ""
    agentless: bool = False
    policy: HostPolicy = field(default_factory=HostPolicy)
    carries: tuple[Carried, ...] = ()
    kdump_addresses: tuple[str, ...] = ()
    reserved: bool = False
