"""A host without an agent comes back: by Nova's word alone, and what nobody can see to is said."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.evacuator.cloud.denials import deny
from hamon.evacuator.cloud.judge import judge
from hamon.model.action import EnableService, LiftForceDown, SetPower, ShutOutService
from hamon.model.change import Decision, Delete, guard_of, incident_of, migration_of, record_of
from hamon.model.cloud import LIVE_MIGRATION, ComputeService
from hamon.model.host import HostGuard, HostRecord, HostState, Right
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus, ShotOutcome
from hamon.model.policy import EvacuationPolicy, InstanceDisks
from hamon.model.view import ClusterView, HostView, IncidentView
from tests.agentless_builders import (
    DOWN,
    FORCED,
    POLICY,
    UP,
    an_agentless_host,
    cloud_with,
    decided,
    of_no_boot,
    world,
)
from tests.builders import HOST, INCIDENT, NOW_S, SPARE, a_guest, a_host, a_migration, a_shot
from tests.cloud_builders import a_cloud, a_cloud_view, a_row, a_server, recorded
from tests.decisions import changes_of, codes, state_written, writes

GUEST = a_guest()
SHUT_OUT = replace(FORCED, is_enabled=False, disabled_reason=f"hamon: {INCIDENT}")
DONE = a_migration(1, MigrationStatus.DONE, dest_compute=SPARE)


def returning(
    service: ComputeService = UP,
    incident: IncidentView | None = None,
    host: HostView | None = None,
    **cloud: Any,  # noqa: ANN401 - any field
) -> ClusterView:
    """The host on its way back; by default all is done and Nova calls it up."""
    return world(
        host or an_agentless_host(HostState.RETURNING),
        cloud=cloud_with(service, traced_s={HOST: NOW_S}, **cloud),
        incidents=[incident or of_no_boot(DONE)],
    )


def actions(decision: Decision) -> list[object]:
    """What is done outside."""
    return [intent.action for intent in decision.intents]


def test_return__a_guest_waits__stays_and_somebody_is_to_look() -> None:
    """Nobody asked Nova for it yet; whether it runs there nobody can tell."""
    incident = of_no_boot(a_migration(1, MigrationStatus.WAITING))
    view = replace(returning(SHUT_OUT, incident), guests={GUEST: recorded()})

    decision = decide(view, POLICY, NOW_S)

    operations = [op for change in decision.transitions for op in change.operations]
    assert any(isinstance(op, Delete) for op in operations)
    [closed] = [
        value for value in writes(*decision.transitions).values()
        if isinstance(value, MigrationRecord)
    ]  # fmt: skip
    assert MigrationStatus.STAYS is closed.status
    assert "has no agent" in closed.reason


@pytest.mark.parametrize(
    ("case", "view", "code"),
    [
        ("a guest on its way",
         returning(SHUT_OUT, of_no_boot(a_migration(1, MigrationStatus.ACCEPTED))),
         "return_waits_for_migrations"),
        ("an order that may still act",
         returning(SHUT_OUT, of_no_boot(shots=(a_shot(outcome=ShotOutcome.PENDING),)),
                   an_agentless_host(HostState.RETURNING, is_shot_running=True)),
         "return_waits_for_shot"),
        ("no service", world(an_agentless_host(HostState.RETURNING), None,
                             incidents=[of_no_boot()]), "return_waits_for_nova"),
        ("records not read since",
         returning(SHUT_OUT, services_s=NOW_S + 1.0), "return_waits_for_nova"),
        ("not up yet", returning(DOWN), "return_waits_for_service_up"),
    ],
)  # fmt: skip
def test_return__something_is_open__stays_shut(case: str, view: ClusterView, code: str) -> None:
    """What any other host waits for, as far as Nova tells it."""
    decision = decided(view)

    assert code in codes(decision), case
    assert guard_of(HOST) not in writes(*changes_of(decision)), case


@pytest.mark.parametrize("status", ["accepted", "pre-migrating", "done"])
def test_return__records_of_nova_open__waits_and_says_how_they_are_completed(status: str) -> None:
    """Nobody held its nova-compute back, so that it may have started too early to see them."""
    row = a_row(1, status, to=SPARE)
    view = returning(SHUT_OUT)
    assert view.cloud is not None

    decision = decided(replace(view, cloud=replace(view.cloud, migrations={GUEST: (row,)})))

    assert "agentless_waits_for_records" in codes(decision)
    assert not any(isinstance(action, LiftForceDown) for action in actions(decision))


def test_return__records_completed__lifts_the_force_down_without_a_gate() -> None:
    """There is nobody who would wait at a gate."""
    decision = decided(returning(SHUT_OUT))

    assert [LiftForceDown(service_host=HOST, service_id=UP.id)] == actions(decision)
    assert guard_of(HOST) not in writes(*changes_of(decision))


def test_return__up__lives_again_and_its_books_are_closed() -> None:
    """No libvirt is asked, nothing is started: that is said, with the guests it is about."""
    view = returning(servers=[a_server(), a_server(2, host=SPARE)])

    decision = decided(view)

    written = writes(*changes_of(decision))
    record = written[record_of(HOST)]
    closed = written[incident_of(INCIDENT)]
    moved = written[migration_of(INCIDENT, GUEST)]
    assert isinstance(record, HostRecord)
    assert isinstance(closed, IncidentRecord)
    assert isinstance(moved, MigrationRecord)
    assert HostGuard(right=Right.LIVE) == written[guard_of(HOST)]
    assert (HostState.UP, None, 1) == (record.state, record.boot_id, record.returns)
    assert (True, MigrationStatus.COMPLETED) == (closed.closed, moved.status)
    assert not any(isinstance(action, SetPower) for action in actions(decision))
    [told] = [r for r in decision.reasons if r.code == "agentless_return_unchecked"]
    assert "guest-1" == told.facts["guests"]


def test_return__once_more_in_a_row__is_quarantined() -> None:
    """A host that flaps takes no guests for a while, agent or not."""
    host = an_agentless_host(HostState.RETURNING, returns=1)

    assert HostState.QUARANTINED is state_written(decided(returning(host=host)), HOST)


def test_services__proven_dead__is_shut_out_and_later_enabled() -> None:
    """Nova is told of it as of any other host."""
    dead = world(an_agentless_host(HostState.FENCED), DOWN, incidents=[of_no_boot(a_migration())])
    back = world(an_agentless_host(), replace(UP, is_enabled=False, disabled_reason="hamon: x"))

    shut_out = ShutOutService(service_host=HOST, service_id=UP.id, reason=f"hamon: {INCIDENT}")
    assert [shut_out] == actions(decided(dead))
    assert [EnableService(service_host=HOST, service_id=UP.id)] == actions(decided(back))


def test_denial__for_a_host_without_an_agent__is_not_written() -> None:
    """Nobody would answer it, and the host could never come back."""
    assert () == deny(an_agentless_host(HostState.EVACUATING), GUEST, SPARE)
    assert len(deny(a_host(HOST, HostState.EVACUATING), GUEST, SPARE)) == 1


def test_live_migration_to_a_host_without_an_agent__is_waited_for_and_said() -> None:
    """A guest that had arrived there runs already, and nobody can look."""
    bare = an_agentless_host()
    bare = replace(bare, spec=replace(bare.spec, name=SPARE))
    row = a_row(1, "running", to=SPARE, kind=LIVE_MIGRATION)
    view = a_cloud_view(a_cloud([a_server()], [row]), a_host(HOST, HostState.EVACUATING), bare)
    [incident] = view.incidents.values()

    policy = EvacuationPolicy(instance_disks=InstanceDisks.SHARED)
    judgement = judge(view, incident.record.value, a_server(), policy)

    assert "has no agent" in judgement.why
