"""Worlds to think about: hosts, guests, incidents and views with sensible parts, by name.

Every builder returns a well world; a test names only what its rule is about. Versions of znodes are
all different, so that a version taken from the wrong znode is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from hamon.model.change import Versioned
from hamon.model.control import Control, Maintenance, Request, RequestKind, StormRecord
from hamon.model.guest import (
    Grant,
    GrantState,
    GuestRecord,
    InventoryEntry,
    NotMovable,
    PowerState,
)
from hamon.model.guest_policy import PRIORITY
from hamon.model.host import (
    LIVE_STATES,
    DomainState,
    FenceDeviceSpec,
    Heartbeat,
    HostCapacity,
    HostDomains,
    HostGuard,
    HostRecord,
    HostSelf,
    HostSpec,
    HostState,
    Leaving,
    PlaneAddress,
    Right,
)
from hamon.model.incident import (
    IncidentRecord,
    MigrationRecord,
    MigrationStatus,
    Shot,
    ShotOutcome,
    Trigger,
)
from hamon.model.names import BootId, ControllerId, Epoch, GuestId, HostName, IncidentId
from hamon.model.proof import (
    Evidence,
    Power,
    PowerReading,
    ProofMethod,
    ProofRecord,
    Source,
    Vote,
)
from hamon.model.view import (
    KERNEL_ONLY,
    ClusterView,
    ControllerView,
    DeviceShot,
    HostView,
    IncidentView,
    MigrationView,
    OwnView,
)

T = TypeVar("T")

NOW_S = 10_000.0
"""The decider's clock in these tests; everything is long settled before it."""
LONG_AGO_S = 0.0
WALL = "2026-01-01T00:00:00.000Z"
EPOCH = Epoch(7)
ME = ControllerId("controller-1")
OTHER = ControllerId("controller-2")
PLANES = ("management", "storage")
BOOT = BootId("11111111-aaaa-4aaa-8aaa-111111111111")
NEXT_BOOT = BootId("22222222-bbbb-4bbb-8bbb-222222222222")
HOST = HostName("host-1")
SPARE = HostName("host-2")
THIRD = HostName("host-3")
INCIDENT = IncidentId("host-1-3")

GUARD_VERSION = 3
RECORD_VERSION = 5
SELF_VERSION = 7
GRANT_VERSION = 11
GUEST_VERSION = 13
INCIDENT_VERSION = 17
MIGRATION_VERSION = 19
CONTROL_VERSION = 23
REQUEST_VERSION = 29
STORMS_VERSION = 31


def at(version: int, value: T) -> Versioned[T]:
    """A value as read at a version."""
    return Versioned(value=value, version=version)


# -- guests ---------------------------------------------------------------------------------------


def a_guest(number: int = 1) -> GuestId:
    """The uuid of guest ``number``."""
    return GuestId(str(UUID(int=number)))


def an_entry(
    number: int = 1,
    *,
    wanted: PowerState = PowerState.RUNNING,
    ram_mib: int = 256,
    vcpus: int = 1,
    priority: int | None = None,
    not_movable: tuple[NotMovable, ...] = (),
    **others: Any,  # noqa: ANN401 - any field of the entry
) -> InventoryEntry:
    """Guest ``number`` as its host defines it: protected, small, fits everywhere."""
    if priority is not None:
        others.setdefault("choices", {PRIORITY: str(priority)})
    return InventoryEntry(
        guest=a_guest(number),
        name=f"guest-{number}",
        definition=f"<domain>{number}</domain>",
        wanted=wanted,
        ram_mib=ram_mib,
        vcpus=vcpus,
        architecture="x86_64",
        not_movable=not_movable,
        **others,
    )


def owned_by(
    host: HostName | None,
    number: int = 1,
    *,
    generation: int = 1,
    migration: IncidentId | None = None,
) -> Versioned[GuestRecord]:
    """The record of guest ``number``."""
    record = GuestRecord(
        name=f"guest-{number}",
        owner=host,
        generation=generation,
        wanted=PowerState.RUNNING,
        migration=migration,
    )
    return at(GUEST_VERSION + number * 100, record)


def a_grant(
    state: GrantState = GrantState.RUNNING,
    *,
    generation: int = 1,
    boot_id: BootId | None = BOOT,
    version: int = GRANT_VERSION,
    **others: Any,  # noqa: ANN401 - any field of the grant
) -> Versioned[Grant]:
    """A grant, by default settled in the first boot."""
    others.setdefault("wanted", PowerState.RUNNING)
    return at(version, Grant(state=state, generation=generation, boot_id=boot_id, **others))


# -- hosts ----------------------------------------------------------------------------------------


def uuid_of(name: HostName) -> str:
    """The system uuid of a host: no palindrome, so that byte orders differ."""
    return str(UUID(bytes=name.encode().ljust(16, b"\x10")[:16]))


def a_device(name: str = "bmc", *, level: int = 1, kind: str = "ipmi") -> FenceDeviceSpec:
    """A fence device as configured."""
    return FenceDeviceSpec(name=name, level=level, kind=kind, address="127.0.0.1")


def a_host(
    name: HostName = HOST,
    state: HostState | None = HostState.UP,
    *,
    boot_id: BootId = BOOT,
    shut_out_boot: BootId | None = BOOT,
    is_here: bool | None = None,
    leaving: Leaving | None = None,
    state_since_s: float = LONG_AGO_S,
    record_epoch: int = EPOCH,
    returns: int = 0,
    fence: tuple[FenceDeviceSpec, ...] = (a_device(),),
    product_uuid: str | None = None,
    evidence: tuple[Evidence, ...] | None = None,
    entries: Iterable[InventoryEntry] = (),
    domains: Mapping[GuestId, DomainState] | None = None,
    is_libvirt_healthy: bool = True,
    lost: Iterable[GuestId] = (),
    ram_mib: int = 8192,
    vcpus: int = 8,
    **others: Any,  # noqa: ANN401 - any field of the view
) -> HostView:
    """A host in a state, with the guard that belongs to it.

    Args:
        name: its name.
        state: None: hamon has never seen it, although it may be registered.
        boot_id: the boot that its agent last registered.
        shut_out_boot: the boot in its guard, in states that are shut out.
        is_here: whether there is a heartbeat; by default in live states.
        leaving: what it announced.
        state_since_s: since when it has been in this state.
        record_epoch: the term that wrote its record.
        returns: how often it came back in a row.
        fence: its devices.
        product_uuid: as configured; by default the one it registers.
        evidence: by default an echo on each plane while it is here, else silence for long.
        entries: its inventory; its domains list them running unless ``domains`` says otherwise.
        domains: what its libvirt lists.
        is_libvirt_healthy: whether libvirt answered.
        lost: guests whose definitions its libvirt lost.
        ram_mib: its memory.
        vcpus: its processors.
        others: fields of the view; ``is_shot_running``, ``last_shot``, ``shot_settled_s`` and
            ``shot_attempt`` are of each of its devices, in the incident of :func:`an_incident`.
    """
    others = {"shots": _shots(fence, IncidentId(f"{name}-{GUARD_VERSION}"), others), **others}
    is_live = state is None or state in LIVE_STATES
    here = is_live if is_here is None else is_here
    incident = None if is_live else IncidentId(f"{name}-{GUARD_VERSION}")
    guard = (
        HostGuard(right=Right.LIVE)
        if is_live
        else HostGuard(right=Right.SHUT_OUT, boot_id=shut_out_boot, incident=incident)
    )
    recorded_boot = boot_id if is_live else shut_out_boot
    record = (
        None
        if state is None
        else HostRecord(
            state=state,
            epoch=record_epoch,
            since=WALL,
            boot_id=recorded_boot,
            incident=incident,
            returns=returns,
        )
    )
    inventory = {entry.guest: entry for entry in entries}
    listed = dict.fromkeys(inventory, DomainState.RUNNING) if domains is None else domains
    if evidence is None:
        evidence = echoes(boot_id) if here else silence()
    view = HostView(
        spec=HostSpec(
            name=name,
            planes=tuple(PlaneAddress(plane=p, address="127.0.0.1", port=7) for p in PLANES),
            fence=fence,
            product_uuid=uuid_of(name) if product_uuid is None else product_uuid,
        ),
        guard=at(GUARD_VERSION, guard),
        record=at(RECORD_VERSION, record),
        self_=at(
            SELF_VERSION,
            HostSelf(boot_id=boot_id, product_uuid=uuid_of(name), leaving=leaving),
        ),
        heartbeat=Heartbeat(boot_id=boot_id) if here else None,
        session_lost_s=None if here else NOW_S - 60.0,
        registered_s=LONG_AGO_S if here else None,
        state_since_s=state_since_s,
        evidence=evidence,
        domains=HostDomains(
            boot_id=boot_id, is_healthy=is_libvirt_healthy, domains=listed, lost=tuple(lost)
        ),
        capacity=HostCapacity(boot_id=boot_id, ram_mib=ram_mib, vcpus=vcpus, architecture="x86_64"),
        inventory=inventory,
    )
    return replace(view, **others)


def _shots(
    fence: tuple[FenceDeviceSpec, ...], incident: IncidentId, others: dict[str, Any]
) -> dict[str, DeviceShot]:
    """Take what is said of shots from a host's other fields: the same for each of its devices."""
    shot = DeviceShot(
        is_running=others.pop("is_shot_running", False),
        last=others.pop("last_shot", None),
        settled_s=others.pop("shot_settled_s", None),
    )
    if shot == DeviceShot():
        return {}
    shot = replace(shot, incident=incident, attempt=others.pop("shot_attempt", 1))
    return {device.name: shot for device in fence}


def a_lost_host(name: HostName = HOST, state: HostState = HostState.UP, **others: Any) -> HostView:  # noqa: ANN401
    """A host whose session is gone, that no probe hears, and whose power reads Off twice."""
    others.setdefault("readings", off_twice(name))
    return a_host(name, state, is_here=False, **others)


# -- evidence -------------------------------------------------------------------------------------


def a_vote(
    vote: Vote,
    plane: str = "management",
    *,
    age_s: float = 0.5,
    for_s: float = 60.0,
    boot_id: BootId | None = None,
    source: Source | None = None,
) -> Evidence:
    """The latest vote of one plane, ``age_s`` old and the same for ``for_s``."""
    by = Source.ECHO if vote is Vote.ALIVE_STRONG else Source.CONNECT
    return Evidence(
        source=source or by,
        subject=plane,
        vote=vote,
        observed_s=NOW_S - age_s,
        changed_s=NOW_S - for_s,
        observer=ME,
        boot_id=boot_id,
    )


def silence(*, age_s: float = 0.5, for_s: float = 60.0) -> tuple[Evidence, ...]:
    """Silence on every plane."""
    return tuple(a_vote(Vote.SILENT, plane, age_s=age_s, for_s=for_s) for plane in PLANES)


def echoes(boot_id: BootId = BOOT, *, age_s: float = 0.5) -> tuple[Evidence, ...]:
    """An echo of a boot on every plane."""
    return tuple(a_vote(Vote.ALIVE_STRONG, plane, age_s=age_s, boot_id=boot_id) for plane in PLANES)


def a_reading(
    power: Power,
    *,
    age_s: float,
    host: HostName = HOST,
    device: str = "bmc",
    identity: str | None = None,
    took_s: float = 0.0,
) -> PowerReading:
    """One answer of a device, that arrived ``age_s`` ago."""
    return PowerReading(
        device=device,
        power=power,
        identity=uuid_of(host) if identity is None else identity,
        asked_s=NOW_S - age_s - took_s,
        observed_s=NOW_S - age_s,
    )


def off_twice(
    host: HostName = HOST, device: str = "bmc", *, newest_age_s: float = 0.5
) -> tuple[PowerReading, ...]:
    """Two Off answers, two seconds apart."""
    return tuple(
        a_reading(Power.OFF, age_s=age_s, host=host, device=device)
        for age_s in (newest_age_s + 2.0, newest_age_s)
    )


# -- incidents ------------------------------------------------------------------------------------


def a_shot(
    device: str = "bmc",
    *,
    level: int = 1,
    attempt: int = 1,
    epoch: int = EPOCH,
    outcome: ShotOutcome = ShotOutcome.DONE,
    deadline_s: float = 20.0,
) -> Shot:
    """A shot as journalled."""
    return Shot(
        device=device,
        level=level,
        attempt=attempt,
        epoch=epoch,
        controller=ME,
        at=WALL,
        deadline_s=deadline_s,
        outcome=outcome,
    )


def a_power_word(boot_id: BootId | None = BOOT) -> ProofRecord:
    """What is written down of a proof by power."""
    return ProofRecord(
        method=ProofMethod.POWER, boot_id=boot_id, epoch=EPOCH, at=WALL, detail="off twice"
    )


def an_operators_word(boot_id: BootId | None = BOOT) -> ProofRecord:
    """What is written down of an operator's word."""
    return ProofRecord(
        method=ProofMethod.OPERATOR,
        boot_id=boot_id,
        epoch=EPOCH,
        at=WALL,
        detail="plugs pulled",
        operator="ada",
    )


def a_migration(
    number: int = 1,
    status: MigrationStatus = MigrationStatus.WAITING,
    *,
    incident: IncidentId = INCIDENT,
    source: HostName = HOST,
    since_s: float = LONG_AGO_S,
    **others: Any,  # noqa: ANN401 - any field of the record
) -> MigrationView:
    """The migration of guest ``number``."""
    others.setdefault("wanted", PowerState.RUNNING)
    record = MigrationRecord(
        guest=a_guest(number),
        name=f"guest-{number}",
        incident=incident,
        status=status,
        source_compute=source,
        source_node=source,
        **others,
    )
    return MigrationView(record=at(MIGRATION_VERSION + number * 100, record), since_s=since_s)


def an_incident(
    *migrations: MigrationView,
    host: HostName = HOST,
    boot_id: BootId | None = BOOT,
    **others: Any,  # noqa: ANN401 - any field of the record
) -> IncidentView:
    """The open incident of a host that :func:`a_host` builds in a state that is shut out.

    Its proof, if any, has been known for ten seconds.
    """
    opened_s = others.pop("opened_s", LONG_AGO_S)
    record = IncidentRecord(
        incident=others.pop("incident", IncidentId(f"{host}-{GUARD_VERSION}")),
        host=host,
        boot_id=boot_id,
        trigger=others.pop("trigger", Trigger.DETECTOR),
        reason=others.pop("reason", "power_off_and_silent"),
        **others,
    )
    return IncidentView(
        record=at(INCIDENT_VERSION, record),
        since_s=LONG_AGO_S,
        opened_s=opened_s,
        written_s=NOW_S,
        proof_s=NOW_S - 10.0,
        migrations={m.record.value.guest: m for m in migrations},
    )


# -- the whole ------------------------------------------------------------------------------------


def a_request(
    kind: RequestKind,
    host: HostName | None = None,
    **others: Any,  # noqa: ANN401 - any field
) -> Versioned[Request]:
    """A pending request of an operator."""
    others.setdefault("nonce", "nonce-1")
    others.setdefault("who", "ada")
    return at(REQUEST_VERSION, Request(kind=kind, host=host, **others))


def an_own(**others: Any) -> OwnView:  # noqa: ANN401 - any field
    """A leader that is well and long in office."""
    own = OwnView(
        controller=ME,
        epoch=EPOCH,
        took_office_s=LONG_AGO_S,
        decides_since_s=LONG_AGO_S,
        watching_since_s=LONG_AGO_S,
    )
    return replace(own, **others)


def a_report(
    controller: ControllerId,
    *,
    silent: Iterable[HostName] = (),
    heard: Iterable[HostName] = (),
    kernel: Iterable[HostName] = (),
    reaches: tuple[str, ...] = PLANES,
) -> ControllerView:
    """A controller's report: it reaches every plane, and hears some hosts on none, or on one.

    ``kernel``: heard there as well, but of these only a kernel answers.
    """
    weak = tuple(kernel)
    return ControllerView(
        controller=controller,
        reaches=reaches,
        silent=dict.fromkeys(PLANES, tuple(silent)),
        heard={PLANES[-1]: (*heard, *weak), KERNEL_ONLY + PLANES[-1]: weak},
    )


def a_view(
    *hosts: HostView,
    guests: Mapping[GuestId, Versioned[GuestRecord]] | None = None,
    incidents: Iterable[IncidentView] = (),
    requests: Iterable[Versioned[Request]] = (),
    controllers: Iterable[ControllerView] = (),
    maintenance: Iterable[HostName] = (),
    is_armed: bool = True,
    own: OwnView | None = None,
    unreadable: tuple[str, ...] = (),
    storms: Iterable[str] = (),
) -> ClusterView:
    """A view of hosts. Guests are owned by the host whose inventory has them, unless given.

    ``storms``: the scopes that a leader wrote down.
    """
    if guests is None:
        guests = {
            guest: owned_by(host.name, UUID(guest).int)
            for host in hosts
            for guest in host.inventory
        }
    reports = tuple(controllers) or (a_report(ME),)
    control = Control(
        is_armed=is_armed,
        reason="" if is_armed else "work on the power feeds",
        maintenance={
            host: Maintenance(reason="new disks", who="ada", since=WALL) for host in maintenance
        },
    )
    return ClusterView(
        own=own or an_own(),
        wall=WALL,
        control=at(CONTROL_VERSION, control),
        storms=at(STORMS_VERSION, StormRecord(scopes=dict.fromkeys(storms, WALL))),
        hosts={host.name: host for host in hosts},
        guests=guests,
        incidents={incident.record.value.incident: incident for incident in incidents},
        requests={f"r-{number:010d}": request for number, request in enumerate(requests)},
        controllers={report.controller: report for report in reports},
        unreadable=unreadable,
    )
