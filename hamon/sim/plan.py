"""What a simulated world begins with: hosts, guests, storages, policy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.coordination.access import digest_of, host_user
from hamon.fencing.watchdog import WATCHDOG
from hamon.model.host import FenceDeviceSpec, HostSpec, PlaneAddress
from hamon.model.names import HostName
from hamon.model.policy import Backend, DetectionPolicy, InstanceDisks, Policy
from hamon.sim.guest_plan import GUEST_NETWORK, GuestPlan

MANAGEMENT = "management"
STORAGE = "storage"
PLANES = (MANAGEMENT, STORAGE)

ECHO_PORT = 7465


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a world begins with.

    ``ram_mib``: of hosts that differ from ``host_ram_mib``. ``storage``: names of the storages on
    which hosts leave their heartbeats. ``has_checks``: whether hosts check themselves.
    ``watchdog``: that of every host. ``labels``:
    by host. ``fence``: the level of each device that every host has; the
    one called ``watchdog`` is its own.
    """

    hosts: tuple[str, ...] = ("compute-1", "compute-2", "compute-3")
    controllers: tuple[str, ...] = ("controller-1", "controller-2")
    guests: tuple[GuestPlan, ...] = ()
    host_ram_mib: int = 16384
    ram_mib: dict[str, int] = field(default_factory=dict)
    reserved: tuple[str, ...] = ()
    backend: Backend = Backend.LIBVIRT
    storage: tuple[str, ...] = ()
    has_checks: bool = False
    watchdog: WatchdogSettings | None = None
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    fence: dict[str, int] = field(default_factory=lambda: {"ipmi": 1})
    policy: Policy = field(
        default_factory=lambda: Policy(detection=DetectionPolicy(session_timeout_s=6.0))
    )
    seed: int = 0


def policy_for_walks() -> Policy:
    """Return the default policy, but for what more happens by in a short walk.

    A storm limit lets two hosts of five be handled, and closed incidents are soon forgotten.
    """
    policy = Policy(detection=DetectionPolicy(session_timeout_s=6.0))
    return replace(
        policy,
        holds=replace(policy.holds, storm_share_max=0.5),
        recovery=replace(policy.recovery, incidents_kept=1),
    )


def spec_of(plan: Plan, index: int, name: str) -> HostSpec:
    """Return how a host is enrolled; ``index`` gives it addresses and an identity."""
    return HostSpec(
        name=HostName(name),
        planes=tuple(
            PlaneAddress(plane=plane, address=f"198.51.{100 + number}.{index}", port=ECHO_PORT)
            for number, plane in enumerate(PLANES)
        ),
        fence=tuple(
            FenceDeviceSpec(
                name=device,
                level=level,
                kind=WATCHDOG if device == WATCHDOG else "ipmi",
                address=f"192.0.{level}.{index}",
                reset_latency_s=5.0,
                margin_s=5.0,
            )
            for device, level in plan.fence.items()
        ),
        product_uuid=str(UUID(int=index << 64 | 0x4000 << 64 | 0x8 << 60)),
        zookeeper_identity=digest_of(host_user(HostName(name)), "secret"),
        labels=plan.labels.get(name, {}),
        reserved=name in plan.reserved,
    )


def policy_of(plan: Plan) -> Policy:
    """Return the plan's policy, for its backend and the disks that a world has: shared ones."""
    evacuation = replace(
        plan.policy.evacuation,
        instance_disks=InstanceDisks.SHARED,
        ready_networks=(GUEST_NETWORK,),
    )
    return replace(plan.policy, backend=plan.backend, evacuation=evacuation)
