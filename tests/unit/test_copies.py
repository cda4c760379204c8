"""A guest that another host runs, or may run, is started nowhere else: only a human can tell."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.evacuator.cloud.kept import READ_PERIOD_S
from hamon.evacuator.copies import Copy, copies
from hamon.model.action import CloudLook, CloudLookKind, Evacuate, SetPower
from hamon.model.change import Decision, migration_of
from hamon.model.control import HoldKind
from hamon.model.guest import GrantState
from hamon.model.host import DomainState, HostState, Right
from hamon.model.incident import MigrationStatus
from hamon.model.policy import EvacuationPolicy, InstanceDisks, Policy
from hamon.model.proof import Power
from hamon.model.view import ClusterView, HostView, MigrationView
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    THIRD,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_power_word,
    a_reading,
    a_shot,
    a_view,
    an_entry,
    an_incident,
    off_twice,
    owned_by,
)
from tests.cloud_builders import a_cloud, a_cloud_view, a_row, a_server
from tests.decisions import changes_of, codes, offered, writes

GUEST = a_guest()
POLICY = Policy(evacuation=EvacuationPolicy(instance_disks=InstanceDisks.SHARED))
RUNS = {GUEST: DomainState.RUNNING}
BACKENDS = pytest.mark.parametrize("is_nova", [True, False], ids=["nova", "libvirt"])

HERE = a_host(SPARE, domains=RUNS)
UNHEARD = a_host(SPARE, domains=RUNS, is_here=False)
HUNG_LIBVIRT = a_host(SPARE, domains=RUNS, is_libvirt_healthy=False)
COPIES = (HERE, UNHEARD, HUNG_LIBVIRT)
COPY_NAMES = ("listed", "session lost", "libvirt does not answer")


def a_source(state: HostState = HostState.EVACUATING, **others: Any) -> HostView:  # noqa: ANN401
    """The guest's own host, proven dead by default; it ran there until then."""
    others.setdefault("grants", {GUEST: a_grant()})
    others.setdefault("readings", off_twice(HOST))
    others.setdefault("is_here", False)
    others.setdefault("domains", RUNS)
    return a_host(
        HOST,
        state,
        entries=[an_entry()],
        shot_settled_s=NOW_S - 20.0,
        state_since_s=NOW_S - 20.0,
        **others,
    )


def a_world(
    other: HostView,
    *,
    is_nova: bool,
    migration: MigrationView | None = None,
    source: HostView | None = None,
    **of_cloud: Any,  # noqa: ANN401 - see a_cloud
) -> ClusterView:
    """A guest whose host is dead, one other host in question, and one with room."""
    moving = migration or a_migration()
    incident = replace(
        an_incident(moving, proof=a_power_word(), shots=(a_shot(),)), opened_s=NOW_S - 30.0
    )
    dead = source or a_source()
    if is_nova:
        dead = replace(dead, inventory={}, grants={})
        cloud = a_cloud([a_server()], **of_cloud)
        view = a_cloud_view(cloud, dead, other, a_host(THIRD), migrations=[moving])
        return replace(view, incidents={INCIDENT: incident})
    return a_view(
        dead,
        other,
        a_host(THIRD),
        guests={GUEST: owned_by(HOST, migration=INCIDENT)},
        incidents=[incident],
    )


def is_moved(decision: Decision) -> bool:
    """Whether the guest is offered to a host, or Nova asked to evacuate it."""
    asked = [i.action for i in decision.intents if isinstance(i.action, Evacuate)]
    return bool(asked) or bool(offered(decision))


def pages(decision: Decision) -> list[str]:
    """Of which guests two copies page."""
    return [
        hold.scope
        for hold in decision.holds
        if hold.kind is HoldKind.TWO_COPIES and hold.needs_human
    ]


# -- what counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "is_seen"),
    [
        (HERE, True),
        (a_host(SPARE, domains={GUEST: DomainState.PAUSED}), True),
        (a_host(SPARE, domains={GUEST: DomainState.UNKNOWN}), False),
        (UNHEARD, False),
        (HUNG_LIBVIRT, False),
        (a_host(SPARE, HostState.SUSPECT, domains=RUNS, is_here=False), False),
        (a_host(SPARE, HostState.FENCING, domains=RUNS), False),
        (a_host(SPARE, HostState.FENCE_FAILED, domains=RUNS), False),
        (a_host(SPARE, HostState.RETURNING, boot_id=NEXT_BOOT, domains=RUNS, is_here=True), True),
        (a_host(SPARE, domains={GUEST: DomainState.SHUTOFF}), None),
        (a_host(SPARE, domains={}), None),
        (replace(UNHEARD, domains=None), None),
        (a_host(SPARE, HostState.FENCED, domains=RUNS), None),
        (a_host(SPARE, HostState.EVACUATED, domains=RUNS), None),
        (replace(HERE, self_=a_host(boot_id=NEXT_BOOT).self_), None),
        (replace(HERE, spec=replace(HERE.spec, agentless=True)), None),
    ],
    ids=[
        "listed running",
        "listed paused",
        "libvirt cannot tell",
        "session lost",
        "libvirt does not answer",
        "suspect",
        "not proven dead yet",
        "cannot be proven dead",
        "returns and runs it",
        "listed off",
        "not listed",
        "never listed",
        "proven dead",
        "proven dead long ago",
        "has booted since",
        "has no agent any more",
    ],
)
def test_copies__of_a_guest_of_another_host__count_while_they_may_run(
    other: HostView, *, is_seen: bool | None
) -> None:
    """Whoever is not heard may run what it listed last, until that boot is over by proof."""
    expected = {} if is_seen is None else {GUEST: Copy(host=SPARE, is_seen=is_seen)}

    assert expected == copies(a_view(a_source(), other), {GUEST: HOST})


def test_copies__own_listing__does_not_count() -> None:
    """The host that a guest is taken from ran it, of course."""
    assert {} == copies(a_view(a_host(domains=RUNS)), {GUEST: HOST})


def test_copies__one_heard_and_one_not__the_one_heard_is_told() -> None:
    """It is the one that somebody can look at."""
    view = a_view(UNHEARD, replace(HERE, spec=a_host(THIRD).spec))

    assert {GUEST: Copy(host=THIRD, is_seen=True)} == copies(view, {GUEST: HOST})


# -- a dead host's guest --------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("other", COPIES, ids=COPY_NAMES)
def test_decide__dead_hosts_guest_runs_elsewhere__is_not_moved_and_pages(
    other: HostView, *, is_nova: bool
) -> None:
    """Two copies were held while both hosts lived; the death of one makes no third."""
    decision = decide(a_world(other, is_nova=is_nova), POLICY, NOW_S)

    assert not is_moved(decision)
    assert [GUEST] == pages(decision)
    assert "guest_kept_for_copy" in codes(decision)
    # No back-off: it goes on at once when the copy is gone.
    assert migration_of(INCIDENT, GUEST) not in writes(*changes_of(decision))


@BACKENDS
@pytest.mark.parametrize(
    "other",
    [
        a_host(SPARE, domains={GUEST: DomainState.SHUTOFF}),
        a_host(SPARE),
        replace(HERE, self_=a_host(boot_id=NEXT_BOOT).self_),
    ],
    ids=["is off", "is gone", "its host has booted"],
)
def test_decide__copy_is_gone__guest_is_moved_at_once(other: HostView, *, is_nova: bool) -> None:
    """Nobody has to tell hamon."""
    decision = decide(a_world(other, is_nova=is_nova), POLICY, NOW_S)

    assert is_moved(decision)
    assert [] == pages(decision)


def test_decide__copys_host_proven_dead__guest_is_moved() -> None:
    """As where both hosts of a live migration die at once: each by its own proof."""
    other = a_host(SPARE, HostState.EVACUATING, domains=RUNS, readings=off_twice(SPARE))

    assert is_moved(decide(a_world(other, is_nova=False), POLICY, NOW_S))


def test_decide__destination_gave_it_back__it_is_offered_there_again() -> None:
    """Its agent ended what it had begun, and lists it no more."""
    tried = a_migration(reason=f"{SPARE}: no network", attempts=1, generation=2, target=SPARE)
    released = a_grant(GrantState.RELEASED, generation=2, incident=INCIDENT)
    view = a_world(a_host(SPARE, grants={GUEST: released}), is_nova=False, migration=tried)

    assert {GUEST: SPARE} == offered(decide(view, POLICY, NOW_S))


@BACKENDS
@pytest.mark.parametrize("status", [MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING])
def test_decide__runs_where_it_was_sent__is_no_second_copy(
    status: MigrationStatus, *, is_nova: bool
) -> None:
    """It is listed there before it is confirmed."""
    sent = a_migration(status=status, dest_compute=SPARE, generation=2, attempts=1)
    view = a_world(HERE, is_nova=is_nova, migration=sent)

    assert [] == pages(decide(view, POLICY, NOW_S))


@BACKENDS
def test_decide__only_guest_left_runs_elsewhere__host_is_not_fenced_for_it(
    *, is_nova: bool
) -> None:
    """Power that somebody switched on again is no reason: no guest could move."""
    on = a_source(readings=(a_reading(Power.ON, age_s=0.5),))

    def said(other: HostView) -> set[str]:
        return codes(decide(a_world(other, is_nova=is_nova, source=on), POLICY, NOW_S))

    assert "power_on_again" not in said(HERE)
    assert "power_on_again" in said(a_host(SPARE))


# -- in a nova cloud ------------------------------------------------------------------------------


def test_nova__copy_is_a_late_order_of_ours__is_followed() -> None:
    """An order of a former attempt that is carried out after all is the evacuation itself."""
    late = a_row(1, "pre-migrating", to=SPARE)
    given_up = a_migration(attempts=1, newest=late.number, joined=(late.number,))
    view = a_world(HERE, is_nova=True, migration=given_up, rows=[late])

    decision = decide(view, POLICY, NOW_S)

    assert "evacuation_adopted" in codes(decision)
    assert not is_moved(decision)


def test_nova__copy_is_where_nova_has_it_now__is_closed() -> None:
    """Somebody has moved it, and Nova knows."""
    view = a_world(HERE, is_nova=True)
    assert view.cloud is not None
    moved = replace(view.cloud, servers={GUEST: a_server(host=SPARE)})

    [change] = decide(replace(view, cloud=moved), POLICY, NOW_S).transitions[:1]

    assert "guest_not_movable" == change.reason.code


@pytest.mark.parametrize(
    ("age_s", "expected"), [(READ_PERIOD_S - 1.0, False), (READ_PERIOD_S + 1.0, True)]
)
def test_nova__guest_is_kept_back__is_read_again_now_and_then(
    age_s: float, *, expected: bool
) -> None:
    """Somebody may have moved it; but a human may take hours, and Nova has other work."""
    looks = decide(a_world(HERE, is_nova=True, age_s=age_s), POLICY, NOW_S).looks

    assert expected == (CloudLook(kind=CloudLookKind.MIGRATIONS_CHANGED) in looks)


def test_nova__guest_is_kept_back__ends_of_others_are_read_soon() -> None:
    """It is not going to be sent: Nova has time for the others."""
    row = a_row(2, "done", to=THIRD)
    arriving = a_migration(2, MigrationStatus.ACCEPTED, newest=row.number - 1, attempts=1)
    view = a_world(HERE, is_nova=True, age_s=READ_PERIOD_S - 1.0)
    assert view.cloud is not None
    [incident] = view.incidents.values()
    both = replace(incident, migrations={**incident.migrations, a_guest(2): arriving})
    servers = {**view.cloud.servers, a_guest(2): a_server(2)}
    cloud = replace(view.cloud, servers=servers, migrations={a_guest(2): (row,)})

    decision = decide(replace(view, incidents={INCIDENT: both}, cloud=cloud), POLICY, NOW_S)

    assert CloudLook(kind=CloudLookKind.SERVERS_CHANGED) in decision.looks


# -- a host that returns --------------------------------------------------------------------------


def a_returning_host() -> HostView:
    """The guest's own host in a new boot: its agent starts the guest as soon as it may live."""
    return a_source(
        HostState.RETURNING,
        boot_id=NEXT_BOOT,
        is_here=True,
        domains={GUEST: DomainState.SHUTOFF},
    )


@pytest.mark.parametrize("other", COPIES, ids=COPY_NAMES)
def test_return__its_guest_runs_elsewhere__stays_shut_and_pages(other: HostView) -> None:
    """Nobody asks the leader before a host starts what it was granted."""
    stayed = a_migration(status=MigrationStatus.STAYS)
    view = a_world(other, is_nova=False, migration=stayed, source=a_returning_host())

    decision = decide(view, POLICY, NOW_S)

    assert "return_waits_for_copies" in codes(decision)
    assert [GUEST] == pages(decision)
    assert "host_returned" not in codes(decision)


def test_return__copy_is_gone__lives_again() -> None:
    """And starts its guest."""
    stayed = a_migration(status=MigrationStatus.STAYS)
    view = a_world(a_host(SPARE), is_nova=False, migration=stayed, source=a_returning_host())

    decision = decide(view, POLICY, NOW_S)

    assert Right.LIVE in [
        getattr(value, "right", None) for value in writes(*changes_of(decision)).values()
    ]


def test_in_place__may_run_on_a_host_that_is_not_heard__is_not_started() -> None:
    """The same rule for guests that Nova is asked to start where they are."""
    home = a_host(HOST, HostState.RESTARTED, domains={}, registered_s=NOW_S - 30.0)
    cloud = a_cloud([a_server()], services={HOST: a_cloud().services[SPARE]})
    cloud = replace(
        cloud,
        services={HOST: replace(cloud.services[HOST], host=str(HOST))},
        beats_s={str(HOST): NOW_S - 1.0},
    )
    view = replace(a_cloud_view(cloud, home, UNHEARD), incidents={})

    decision = decide(view, POLICY, NOW_S)

    assert [] == [i.action for i in decision.intents if isinstance(i.action, SetPower)]
    assert "guest_runs_elsewhere" in codes(decision)
    alone = decide(replace(view, hosts={HOST: home}), POLICY, NOW_S)
    assert [GUEST] == [i.action.guest for i in alone.intents if isinstance(i.action, SetPower)]
    assert home.boot_id == BOOT
