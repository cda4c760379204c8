"""Holds: what keeps hamon from acting, for how long, and who may pass it."""

from dataclasses import replace

import pytest

from hamon.decide.holds import (
    OVERRIDABLE,
    against_action,
    against_conviction,
    holds,
    is_passed_by_hand,
)
from hamon.model.control import Hold, HoldKind
from hamon.model.host import DomainState, HostState
from hamon.model.names import HostName
from hamon.model.policy import Mode, Policy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    EPOCH,
    HOST,
    NOW_S,
    SPARE,
    THIRD,
    a_guest,
    a_host,
    a_lost_host,
    a_view,
    an_entry,
    an_own,
    owned_by,
    silence,
)

POLICY = Policy()
GRACE_S = POLICY.detection.session_timeout_s + POLICY.detection.boot_grace_s
YOUNG = an_own(watching_since_s=NOW_S - 1.0, took_office_s=NOW_S - 1.0)


def kinds(view: ClusterView, policy: Policy = POLICY) -> set[HoldKind]:
    """The kinds of holds in force."""
    return {hold.kind for hold in holds(view, policy, NOW_S)}


def stopping(view: ClusterView, host: HostView) -> set[HoldKind]:
    """The kinds of holds that keep a host from being convicted."""
    return {hold.kind for hold in against_conviction(holds(view, POLICY, NOW_S), host, view)}


def fleet(lost: int, well: int) -> list[HostView]:
    """So many lost hosts and so many well ones."""
    return [
        *(a_lost_host(HostName(f"lost-{number}")) for number in range(lost)),
        *(a_host(HostName(f"well-{number}")) for number in range(well)),
    ]


def test_holds__well_cluster__there_are_none() -> None:
    """Nothing is held back without a reason."""
    assert () == holds(a_view(a_host(), a_host(SPARE)), POLICY, NOW_S)


# -- each of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "kind", "scope", "needs_human"),
    [
        (a_view(a_host(), is_armed=False), HoldKind.DISARMED, "cluster", True),
        (a_view(a_host(), own=an_own(is_rolled_back=True)), HoldKind.ROLLED_BACK, "cluster", True),
        (a_view(a_host(), own=an_own(is_session_proven=False, session_proven_s=NOW_S - 7.0)),
         HoldKind.OWN_HEALTH, "cluster", False),
        (a_view(a_host(), own=an_own(lagged_s=NOW_S - 1.0)), HoldKind.OWN_HEALTH, "cluster",
         False),
        (a_view(a_host(), own=YOUNG), HoldKind.START_UP, "cluster", False),
        (a_view(a_host(), unreadable=("/control",)), HoldKind.UNREADABLE, "cluster", True),
        (a_view(a_host(), unreadable=("/hosts/host-1/state",)), HoldKind.UNREADABLE, HOST, True),
        (a_view(a_host(), unreadable=("/incidents/host-1-3/record",)), HoldKind.UNREADABLE,
         "cluster", True),
        (a_view(a_host(), maintenance=[HOST]), HoldKind.MAINTENANCE, HOST, False),
        (a_view(*fleet(2, 2)), HoldKind.STORM, "cluster", True),
    ],
)  # fmt: skip
def test_holds__one_cause__one_hold_with_scope_and_reason(
    view: ClusterView, kind: HoldKind, scope: str, *, needs_human: bool
) -> None:
    """A hold says what it is about, why, and whether a human has to end it (rule 6)."""
    (hold,) = holds(view, POLICY, NOW_S)

    assert (kind, scope, needs_human) == (hold.kind, hold.scope, hold.needs_human)
    assert hold.reason


def test_holds__several__cluster_wide_ones_come_first() -> None:
    """Whoever reads the list sees first what holds everything."""
    view = a_view(a_host(), is_armed=False, maintenance=[HOST])

    assert ["cluster", HOST] == [hold.scope for hold in holds(view, POLICY, NOW_S)]


@pytest.mark.parametrize(
    ("lagged_s", "expected"),
    [(None, False), (NOW_S, True), (NOW_S - 4.9, True), (NOW_S - 5.0, False)],
)
def test_own_health__after_a_lag__holds_for_a_while(
    lagged_s: float | None, *, expected: bool
) -> None:
    """A leader that was late a moment ago does not judge others by what it missed (S10)."""
    view = a_view(a_host(), own=an_own(lagged_s=lagged_s))

    assert expected == (HoldKind.OWN_HEALTH in kinds(view))


@pytest.mark.parametrize(
    ("ages_s", "expected"),
    [
        ([301.0, 301.0, 301.0, 301.0], [True]),
        ([301.0, 301.0, 301.0, 9.0], [True]),
        ([301.0, 301.0, 9.0, 9.0], [False]),
        ([299.0, 299.0, 299.0, 299.0], [False]),
        ([301.0, 301.0, 0.0, 0.0], []),
    ],
    ids=["all", "most", "most of them not for long", "not for long", "half"],
)
def test_own_health__most_hosts_silent_for_minutes__pages(
    ages_s: list[float], expected: list[bool]
) -> None:
    """A firewall on the port of the probes does not end by itself, and nobody is convicted."""
    hosts = [
        a_host(HostName(f"host-{n}"), evidence=silence(for_s=age_s) if age_s else None)
        for n, age_s in enumerate(ages_s)
    ]

    found = [h for h in holds(a_view(*hosts), POLICY, NOW_S) if h.kind is HoldKind.OWN_HEALTH]

    assert expected == [hold.needs_human for hold in found]


@pytest.mark.parametrize(
    ("proven_s", "took_office_s", "expected"),
    [
        (NOW_S - 19.9, 0.0, False),
        (NOW_S - 20.0, 0.0, True),
        (NOW_S - 60.0, NOW_S - 19.9, False),
        (None, NOW_S - 19.9, False),
        (None, NOW_S - 20.0, True),
    ],
)
def test_own_health__session_not_proven_for_long__pages(
    proven_s: float | None, took_office_s: float, *, expected: bool
) -> None:
    """A leader that reads ZooKeeper and cannot write there convicts nobody: it says so aloud."""
    own = an_own(is_session_proven=False, session_proven_s=proven_s, took_office_s=took_office_s)

    found = holds(a_view(a_host(), own=own), POLICY, NOW_S)

    assert [expected] == [hold.needs_human for hold in found if hold.kind is HoldKind.OWN_HEALTH]


# -- two copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (a_host(SPARE, domains={a_guest(): DomainState.RUNNING}), True),
        (a_host(SPARE, domains={a_guest(): DomainState.SHUTOFF}), False),
        (a_host(SPARE, domains={a_guest(): DomainState.PAUSED}), False),
        (a_host(SPARE, domains={a_guest(): DomainState.RUNNING}, is_here=False), False),
        (a_host(SPARE, domains={a_guest(): DomainState.RUNNING}, is_libvirt_healthy=False), False),
        (a_host(SPARE, domains=None), False),
    ],
)
def test_two_copies__running_on_two_hosts__is_a_hold_of_the_guest(
    other: HostView, *, expected: bool
) -> None:
    """Only a human can tell which of two running copies counts; stale listings tell nothing."""
    view = a_view(a_host(entries=[an_entry()]), other)

    found = [hold for hold in holds(view, POLICY, NOW_S) if hold.kind is HoldKind.TWO_COPIES]

    assert ([a_guest()] if expected else []) == [hold.scope for hold in found]


# -- lost definitions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (a_host(lost=[a_guest()]), [HOST]),
        (a_host(), []),
        (a_host(lost=[a_guest(2)]), []),
        (a_host(lost=[a_guest()], is_libvirt_healthy=False), []),
        (a_host(lost=[a_guest()], state=HostState.SUSPECT), []),
    ],
    ids=["lost", "none", "of another owner", "libvirt is silent", "host is suspected"],
)
def test_definitions_lost__of_a_guest_owned_there__is_a_hold_of_the_host(
    host: HostView, expected: list[HostName]
) -> None:
    """Definitions that vanish without anybody's word are called out, with their guests."""
    owned = {a_guest(): owned_by(HOST), a_guest(2): owned_by(SPARE)}
    view = a_view(host, a_host(SPARE), guests=owned)

    found = [hold for hold in holds(view, POLICY, NOW_S) if hold.kind is HoldKind.DEFINITIONS_LOST]

    assert expected == [hold.scope for hold in found]
    assert all(str(a_guest()) in hold.reason and hold.needs_human for hold in found)


def test_definitions_lost__host_dies__does_not_keep_its_guests_from_moving() -> None:
    """What was published of the guests is enough to rebuild them; waiting would help nobody."""
    host = a_host(lost=[a_guest()])

    assert set() == stopping(a_view(host, guests={a_guest(): owned_by(HOST)}), host)


# -- start-up -------------------------------------------------------------------------------------


def test_start_up__young_view__holds_until_agents_had_their_time() -> None:
    """After a start or a return of ZooKeeper agents get session time and boot grace to register."""
    (hold,) = holds(a_view(a_host(), own=an_own(watching_since_s=NOW_S - 1)), POLICY, NOW_S)

    assert hold.until_s == NOW_S - 1 + GRACE_S
    assert set() == kinds(a_view(a_host(), own=an_own(watching_since_s=NOW_S - GRACE_S)))


def test_start_up__one_host_lost__is_held() -> None:
    """Whoever is missing at a start-up may only not have come up yet (S10)."""
    host = a_lost_host(session_lost_s=NOW_S - 0.5)

    assert {HoldKind.START_UP} == stopping(a_view(host, a_host(SPARE), own=YOUNG), host)


@pytest.mark.parametrize(
    ("case", "host", "expected"),
    [
        ("suspected by an earlier term",
         a_lost_host(HOST, HostState.SUSPECT, record_epoch=EPOCH - 1, session_lost_s=NOW_S - 0.5),
         set()),
        ("lost before the gap",
         a_lost_host(HOST, HostState.SUSPECT, session_lost_s=NOW_S - 1.1), set()),
        ("lost in this view",
         a_lost_host(HOST, HostState.SUSPECT, session_lost_s=NOW_S - 0.9), {HoldKind.START_UP}),
        ("known lost to nobody",
         a_lost_host(HOST, HostState.SUSPECT, session_lost_s=None), {HoldKind.START_UP}),
        ("not suspected then, by an earlier term",
         a_lost_host(HOST, HostState.UP, record_epoch=EPOCH - 1, session_lost_s=NOW_S - 99),
         {HoldKind.START_UP}),
    ],
)  # fmt: skip
def test_start_up__loss_older_than_the_view__owes_no_grace(
    case: str, host: HostView, expected: set[HoldKind]
) -> None:
    """A change of leader in the middle of a failure costs nothing: the evidence is old."""
    assert expected == stopping(a_view(host, a_host(SPARE), own=YOUNG), host), case


def test_start_up__loss_older_than_the_view__other_holds_stay() -> None:
    """The exemption is from the start-up grace only."""
    host = a_lost_host(HOST, HostState.SUSPECT, record_epoch=EPOCH - 1)
    view = a_view(host, a_host(SPARE), own=YOUNG, is_armed=False)

    assert {HoldKind.DISARMED} == stopping(view, host)


# -- what they stop -------------------------------------------------------------------------------


def of_kind(kind: HoldKind, scope: str = "cluster") -> tuple[Hold, ...]:
    """One hold."""
    return (Hold(kind=kind, scope=scope, reason="why"),)


@pytest.mark.parametrize("kind", list(HoldKind))
def test_against_conviction__cluster_wide__every_kind_stops(kind: HoldKind) -> None:
    """Whatever holds the whole cluster stops new convictions."""
    host = a_lost_host()

    assert against_conviction(of_kind(kind), host, a_view(host))


@pytest.mark.parametrize("kind", list(HoldKind))
def test_against_conviction__of_another_host__does_not_stop(kind: HoldKind) -> None:
    """One host's trouble does not keep another from being helped (L2)."""
    host = a_lost_host()

    assert not against_conviction(of_kind(kind, SPARE), host, a_view(host))
    is_bar = kind is not HoldKind.DEFINITIONS_LOST
    assert is_bar == bool(against_conviction(of_kind(kind, HOST), host, a_view(host)))


STOP_ALL = {
    HoldKind.DISARMED,
    HoldKind.SHADOW,
    HoldKind.UNREADABLE,
    HoldKind.OWN_HEALTH,
}


@pytest.mark.parametrize("kind", list(HoldKind))
@pytest.mark.parametrize("scope", ["cluster", HOST, THIRD])
def test_against_action__by_kind__a_storm_leaves_no_guest_half_moved(
    kind: HoldKind, scope: str
) -> None:
    """Disarm, rubbish and own sickness stop everything; the rest only stops new convictions."""
    expected = kind in STOP_ALL and scope != THIRD

    assert expected == bool(against_action(of_kind(kind, scope), a_host(HOST, HostState.FENCING)))


def test_overridable__the_list__is_what_an_operator_can_judge() -> None:
    """What others than the host itself say against its fencing may be passed; nothing else."""
    assert {
        HoldKind.STORM,
        HoldKind.RATE,
        HoldKind.START_UP,
        HoldKind.MAINTENANCE,
        HoldKind.OPERATOR_DISABLED,
        HoldKind.NOVA_NOT_READ,
        HoldKind.UNGATED,
    } == OVERRIDABLE


# -- is it me? ------------------------------------------------------------------------------------


def unheard(name: str) -> HostView:
    """A host with a session that does not answer this controller."""
    return a_host(HostName(name), evidence=silence())


@pytest.mark.parametrize(
    ("silent", "heard", "expected"),
    [(1, 0, False), (1, 1, False), (2, 2, False), (2, 1, True), (3, 0, True), (3, 4, False)],
)
def test_own_health__hosts_with_a_session_are_silent__the_leader_is_what_is_ill(
    silent: int, heard: int, *, expected: bool
) -> None:
    """Where most of what ZooKeeper knows to live looks dead from here, here is the trouble."""
    hosts = [unheard(f"silent-{n}") for n in range(silent)]
    hosts += [a_host(HostName(f"heard-{n}")) for n in range(heard)]

    assert expected == (HoldKind.OWN_HEALTH in kinds(a_view(*hosts)))


def test_own_health__silent_hosts_in_maintenance__say_nothing() -> None:
    """Who works on hosts may switch off their network."""
    hosts = [unheard("silent-1"), unheard("silent-2")]
    view = a_view(*hosts, maintenance=[host.name for host in hosts])

    assert HoldKind.OWN_HEALTH not in kinds(view)


# -- shadow mode ----------------------------------------------------------------------------------


def test_shadow__mode__stops_convictions_and_actions_and_nobody_passes_it() -> None:
    """A new installation shows what it would do."""
    host = a_lost_host()
    view = a_view(host, a_host(SPARE))
    in_force = holds(view, replace(POLICY, mode=Mode.SHADOW), NOW_S)

    assert [HoldKind.SHADOW] == [hold.kind for hold in against_action(in_force, host)]
    assert HoldKind.SHADOW in {hold.kind for hold in against_conviction(in_force, host, view)}
    assert is_passed_by_hand(HoldKind.SHADOW) is False
