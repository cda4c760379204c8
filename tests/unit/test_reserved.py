"""Reserved hosts: kept free, put to use one at a time when there is no room, and given back."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.evacuator.offers import offer_waiting
from hamon.evacuator.reserved import PAUSE_S, cloud_host_to_use
from hamon.evacuator.scheduler import RESERVED, Scheduler, Wish
from hamon.model.action import DisableService, EnableService
from hamon.model.change import CONTROL, Change
from hamon.model.cloud import OURS, CallState, CloudView, ComputeService
from hamon.model.control import Control, Hold, HoldKind, Request, RequestKind, ReservedUse
from hamon.model.guest import GrantState
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    THIRD,
    WALL,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_request,
    a_view,
    an_entry,
    an_incident,
    owned_by,
)
from tests.cloud_builders import (
    a_call,
    a_cloud,
    a_cloud_view,
    a_dead_host,
    a_proof,
    a_server,
    a_service,
)
from tests.decisions import writes

USE = ReservedUse(incident=INCIDENT, since=WALL)
KEPT_FREE: dict[str, Any] = {"is_enabled": False, "disabled_reason": f"{OURS} reserved"}


def reserved(name: HostName = SPARE, **others: Any) -> HostView:  # noqa: ANN401 - see a_host
    """A host that is kept free."""
    host = a_host(name, **others)
    return replace(host, spec=replace(host.spec, reserved=True))


def in_use(view: ClusterView, *names: HostName) -> ClusterView:
    """The same, with reserved hosts put to use."""
    control = replace(view.control.value, reserved_in_use=dict.fromkeys(names, USE))
    return replace(view, control=replace(view.control, value=control))


def used(*changes: Change | None) -> list[str]:
    """The hosts that are put to use."""
    found = [change for change in changes if change is not None]
    return [c.subject for c in found if c.reason.code == "reserved_host_used"]


# -- libvirt --------------------------------------------------------------------------------------


def waiting(*hosts: HostView, guests: int = 1, ram_mib: int = 256) -> ClusterView:
    """Guests of a dead host that wait."""
    numbers = range(1, guests + 1)
    source = a_host(
        HOST,
        HostState.EVACUATING,
        entries=[an_entry(number, ram_mib=ram_mib) for number in numbers],
        grants={a_guest(number): a_grant() for number in numbers},
    )
    return a_view(
        source,
        *hosts,
        guests={a_guest(n): owned_by(HOST, n, migration=INCIDENT) for n in numbers},
        incidents=[an_incident(*(a_migration(number) for number in numbers))],
    )


def offered(view: ClusterView, *, is_proven: bool = True) -> tuple[Change, ...]:
    """What becomes of the waiting guests."""
    policy = EvacuationPolicy()
    return offer_waiting(
        view,
        view.incidents[INCIDENT],
        a_proof() if is_proven else None,
        Scheduler(view, policy, ()),
        policy,
        held={},
        in_flight=0,
        now_s=NOW_S,
    ).changes


def test_offer__no_room_but_on_reserved_hosts__puts_one_to_use() -> None:
    """One, however many guests wait; they are placed when it is a host like any other."""
    view = waiting(reserved(SPARE), reserved(THIRD), guests=3)

    [change] = offered(view)

    assert [SPARE] == used(change)
    control = writes(change)[CONTROL]
    assert isinstance(control, Control)
    assert {SPARE: USE} == control.reserved_in_use
    assert ["guest_scheduled"] == [
        c.reason.code for c in offered(in_use(waiting(reserved()), SPARE))
    ]


def test_offer__room_elsewhere__keeps_reserved_hosts_free() -> None:
    """They are for the day when there is none."""
    assert [] == used(*offered(waiting(a_host(THIRD), reserved())))


def test_offer__some_fit_elsewhere__they_are_offered_first() -> None:
    """Their offers check the same switches that putting a host to use changes."""
    view = waiting(a_host(THIRD, ram_mib=512 + 256), reserved(), guests=2)

    assert ["guest_scheduled"] == [change.reason.code for change in offered(view)]


def test_offer__waits_for_others_to_settle__needs_no_reserved_host() -> None:
    """A destination with as many arriving as it may have will take more soon."""
    busy = a_host(THIRD, grants={a_guest(n): a_grant(GrantState.CLAIMED) for n in range(10, 18)})

    assert [] == used(*offered(waiting(busy, reserved())))


def test_offer__would_not_fit_there_either__stays_reserved() -> None:
    """Putting it to use would help nobody."""
    assert [] == used(*offered(waiting(reserved(), ram_mib=99_999)))


def test_offer__no_fresh_proof__stays_reserved() -> None:
    """Nothing could move there yet."""
    assert [] == used(*offered(waiting(reserved()), is_proven=False))


def test_place__operator_names_a_reserved_host__is_placed_there() -> None:
    """A person who names a destination means it."""
    view = waiting(reserved())
    scheduler = Scheduler(view, EvacuationPolicy(), ())
    wish = Wish(guest=a_guest(), entry=an_entry(), excluded={HOST: "source host"})

    assert RESERVED == scheduler.place(wish).refused[SPARE]
    assert SPARE == scheduler.place(replace(wish, target=SPARE)).host


# -- nova -----------------------------------------------------------------------------------------


def a_full_cloud(**services: ComputeService) -> CloudView:
    """A cloud in which the spare and the third compute are kept free."""
    cloud = a_cloud([a_server()])
    kept = {str(name): a_service(name, **KEPT_FREE) for name in (SPARE, THIRD)}
    return replace(cloud, services={**cloud.services, **kept, **services})


def refused_by_nova(since_s: float = NOW_S - 1.0, **others: Any) -> Any:  # noqa: ANN401
    """A guest for which Nova found no room."""
    facts = {"reason": "No valid host was found.", "stamps": {"no_valid_host": WALL}} | others
    return a_migration(1, since_s=since_s, **facts)


def to_use(view: ClusterView, *in_force: Hold) -> list[str]:
    """The reserved compute that is put to use now."""
    [incident] = view.incidents.values()
    return used(cloud_host_to_use(view, incident, in_force))


def a_reserved_cloud(cloud: CloudView, *migrations: Any) -> ClusterView:  # noqa: ANN401
    """A dead host and two reserved ones."""
    hosts = (a_dead_host(), reserved(SPARE), reserved(THIRD))
    return a_cloud_view(cloud, *hosts, migrations=migrations)


def test_cloud__nova_finds_no_room__one_is_put_to_use() -> None:
    """By its name in order; the other stays free."""
    assert [SPARE] == to_use(a_reserved_cloud(a_full_cloud(), refused_by_nova()))


@pytest.mark.parametrize(
    "facts",
    [
        {"stamps": {"rebuild_failed": WALL}},
        {"reason": ""},
        {"target": THIRD},
        {"status": MigrationStatus.FAILED},
        {"status": MigrationStatus.ACCEPTED},
    ],
)
def test_cloud__guest_waits_for_something_else__none_is_used(facts: dict[str, Any]) -> None:
    """Room would not help it."""
    assert [] == to_use(a_reserved_cloud(a_full_cloud(), refused_by_nova(**facts)))


@pytest.mark.parametrize(
    ("enabled_age_s", "refused_age_s", "expected"),
    [(20.0, 1.0, [THIRD]), (20.0, 21.0, []), (PAUSE_S, 1.0, []), (1.0, 30.0, [])],
)
def test_cloud__one_is_in_use__another_only_when_room_was_lacking_since(
    enabled_age_s: float, refused_age_s: float, expected: list[str]
) -> None:
    """What Nova said before that one could take guests does not count."""
    cloud = a_full_cloud(**{SPARE: a_service(SPARE)})
    cloud = replace(cloud, calls={SPARE: a_call(CallState.DONE, age_s=enabled_age_s)})
    view = a_reserved_cloud(cloud, refused_by_nova(NOW_S - refused_age_s))

    assert expected == to_use(in_use(view, SPARE))


def awaited(view: ClusterView) -> list[str]:
    """The reserved computes in use that are said to be waited for."""
    found = [r for r in decide(view, Policy(), NOW_S).reasons if r.code == "reserved_host_awaited"]
    assert {HOST} >= {r.subject for r in found}
    return [r.facts["host"] for r in found]


def test_cloud__one_in_use_is_not_enabled_yet__is_waited_for() -> None:
    """It was put to use a moment ago; whom one waits for is said, if there is no room."""
    view = in_use(a_reserved_cloud(a_full_cloud(), refused_by_nova()), SPARE)

    assert [] == to_use(view)
    assert [SPARE] == awaited(view)
    assert [] == awaited(in_use(a_reserved_cloud(a_full_cloud(), a_migration(1)), SPARE))


@pytest.mark.parametrize(
    "state",
    [
        HostState.DEGRADED,
        HostState.QUARANTINED,
        HostState.SUSPECT,
        HostState.FENCE_FAILED,
        HostState.RETURNING,
        HostState.EVACUATED,
    ],
)
def test_cloud__one_in_use_is_ill__the_next_is_put_to_use(state: HostState) -> None:
    """It would be waited for without end, and the guests with it."""
    ill = reserved(SPARE, state=state, state_since_s=NOW_S - 9000.0)
    hosts = (a_dead_host(), ill, reserved(THIRD))
    view = in_use(a_cloud_view(a_full_cloud(), *hosts, migrations=[refused_by_nova()]), SPARE)

    assert [THIRD] == to_use(view)
    assert [] == awaited(view)


def test_cloud__one_in_use_is_held__the_next_is_put_to_use() -> None:
    """Somebody works on it."""
    hold = Hold(kind=HoldKind.MAINTENANCE, scope=SPARE, reason="disks")
    view = in_use(a_reserved_cloud(a_full_cloud(), refused_by_nova()), SPARE)

    assert [THIRD] == to_use(view, hold)


@pytest.mark.parametrize("facts", [{"is_up": False}, {"is_up": None}, {"disabled_reason": "disks"}])
def test_cloud__one_in_use_cannot_be_enabled__the_next_is_put_to_use(
    facts: dict[str, Any],
) -> None:
    """Its nova-compute is down, or an operator disabled it."""
    broken = replace(a_service(SPARE, **KEPT_FREE), **facts)
    view = a_reserved_cloud(a_full_cloud(**{SPARE: broken}), refused_by_nova())

    assert [THIRD] == to_use(in_use(view, SPARE))


@pytest.mark.parametrize(
    "facts", [{"is_up": False}, {"disabled_reason": "disks"}, {"is_forced_down": True}]
)
def test_cloud__reserved_compute_cannot_serve__is_passed_over(facts: dict[str, Any]) -> None:
    """Also one that an operator disabled for a reason of his own."""
    spare = replace(a_service(SPARE, **KEPT_FREE), **({"is_up": True} | facts))
    if spare.is_forced_down:
        spare = replace(spare, is_up=False)

    assert [THIRD] == to_use(a_reserved_cloud(a_full_cloud(**{SPARE: spare}), refused_by_nova()))


def test_cloud__reserved_compute_is_held__is_passed_over() -> None:
    """One in maintenance is nobody's room."""
    hold = Hold(kind=HoldKind.MAINTENANCE, scope=SPARE, reason="disks")

    assert [THIRD] == to_use(a_reserved_cloud(a_full_cloud(), refused_by_nova()), hold)


def calls_of(view: ClusterView) -> list[Any]:
    """What Nova is asked for about its services."""
    return [intent.action for intent in decide(view, Policy(), NOW_S).intents]


@pytest.mark.parametrize("is_in_use", [False, True])
@pytest.mark.parametrize("is_enabled", [False, True])
def test_services__reserved__is_enabled_only_while_in_use(
    *, is_in_use: bool, is_enabled: bool
) -> None:
    """Disabled with a reason of hamon's own, so that nobody takes it for an operator's."""
    service = a_service(SPARE) if is_enabled else a_service(SPARE, **KEPT_FREE)
    cloud = CloudView(services={SPARE: service}, services_s=NOW_S)
    view = replace(a_view(reserved()), cloud=cloud)
    if is_in_use:
        view = in_use(view, SPARE)

    found = calls_of(view)

    if is_enabled is is_in_use:
        assert [] == found
    elif is_in_use:
        assert [EnableService(service_host=SPARE, service_id=service.id)] == found
    else:
        why = "hamon: reserved"
        assert [DisableService(service_host=SPARE, service_id=service.id, reason=why)] == found


# -- given back -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "names", "answer"),
    [
        (reserved(), (SPARE, THIRD), "is reserved again"),
        (reserved(), (), "is not in use"),
        (a_host(SPARE), (), "is not a reserved one"),
    ],
)
def test_request__give_it_back__is_kept_free_again(
    host: HostView, names: tuple[HostName, ...], answer: str
) -> None:
    """Only what is reserved, and in use."""
    request = a_request(RequestKind.RESERVE, SPARE)
    view = in_use(a_view(host, requests=[request]), *names)

    written = writes(*decide(view, Policy(), NOW_S).transitions)

    [answered] = [value for value in written.values() if isinstance(value, Request)]
    assert answer in answered.answer
    if names:
        control = written[CONTROL]
        assert isinstance(control, Control)
        assert {THIRD: USE} == control.reserved_in_use
    else:
        assert CONTROL not in written
