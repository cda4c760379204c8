"""Nova around the incidents: what is read when, who is shut out, who may serve, what is lifted."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.cloud import (
    RELIST_PERIOD_S,
    SERVICES_PERIOD_S,
    WATCH_PERIOD_S,
    WHILE_SENDING_S,
    think_cloud,
)
from hamon.decide.thought import Thought
from hamon.decide.tick import decide
from hamon.evacuator.cloud.denials import lift_denials
from hamon.model.action import CloudLook, CloudLookKind, EnableService, ShutOutService
from hamon.model.change import CONTROL, Decision, Delete, grant_of, guard_of
from hamon.model.cloud import OURS, CallState, CloudView
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.policy import Policy, ReturnPolicy
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    GRANT_VERSION,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    THIRD,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_view,
    at,
)
from tests.cloud_builders import (
    ROW,
    a_call,
    a_cloud,
    a_cloud_view,
    a_dead_host,
    a_row,
    a_server,
    a_service,
    a_spare,
)
from tests.decisions import checks

GUEST = a_guest()
POLICY = Policy()
RETURN = ReturnPolicy()


def kinds(decision: Decision | Thought) -> set[tuple[CloudLookKind, str]]:
    """What of Nova is read, and of which host."""
    return {(k.kind, k.service_host) for k in decision.looks if isinstance(k, CloudLook)}


def shut_outs(decision: Decision) -> list[ShutOutService]:
    """The requests to shut a service out."""
    actions = [intent.action for intent in decision.intents]
    return [action for action in actions if isinstance(action, ShutOutService)]


def enabled(decision: Decision) -> list[str]:
    """The services that are to be enabled."""
    actions = [intent.action for intent in decision.intents]
    return [action.service_host for action in actions if isinstance(action, EnableService)]


def with_service(**facts: Any) -> CloudView:  # noqa: ANN401 - any field of the service
    """A cloud in which the first host's service is up, but for what is named."""
    cloud = a_cloud()
    return replace(cloud, services={**cloud.services, HOST: a_service(HOST, **facts)})


def quiet(cloud: CloudView, **others: Any) -> ClusterView:  # noqa: ANN401 - see a_view
    """A view in which every host is well."""
    return replace(a_view(a_host(), a_spare(), **others), cloud=cloud)


# -- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "looks"),
    [
        (SERVICES_PERIOD_S - 0.1, set()),
        (SERVICES_PERIOD_S + 0.1, {(CloudLookKind.SERVICES, "")}),
    ],
)
def test_looks__all_is_well__only_services_and_seldom(
    age_s: float, looks: set[tuple[CloudLookKind, str]]
) -> None:
    """A cloud without incidents costs one list of services now and then."""
    cloud = CloudView(services={HOST: a_service(HOST)}, services_s=NOW_S - age_s)

    decision = decide(quiet(cloud), POLICY, NOW_S)

    assert looks == kinds(decision)


@pytest.mark.parametrize(
    ("age_s", "suspect_s", "looks"),
    [
        (2.0, 1.0, {(CloudLookKind.SERVICES, "")}),
        (0.5, 1.0, set()),
        (0.5, 0.1, {(CloudLookKind.SERVICES, "")}),
        (0.1, 0.0, set()),
        (None, 1.0, {(CloudLookKind.SERVICES, "")}),
    ],
    ids=["before", "since", "just before", "a moment ago", "never"],
)
def test_looks__host_is_suspect__services_are_read_once_since_then(
    age_s: float | None, suspect_s: float, looks: set[tuple[CloudLookKind, str]]
) -> None:
    """Whoever disabled a host a moment before it was switched off works on it.

    At once, because the conviction waits for it; but not anew for each of many that fall together.
    """
    cloud = CloudView()
    if age_s is not None:
        cloud = CloudView(services={HOST: a_service(HOST)}, services_s=NOW_S - age_s)
    suspect = a_host(state=HostState.SUSPECT, state_since_s=NOW_S - suspect_s)

    decision = decide(replace(a_view(suspect, a_spare()), cloud=cloud), POLICY, NOW_S)

    assert looks == kinds(decision)
    assert decision.wake_at_s is not None
    assert decision.wake_at_s > NOW_S


def test_looks__host_is_proven_dead__its_guests_and_their_migrations_are_read() -> None:
    """And server groups, aggregates, and a token that lives long enough."""
    cloud = CloudView(services={HOST: a_service(HOST, is_down=True)}, services_s=NOW_S)

    found = kinds(decide(a_cloud_view(cloud), POLICY, NOW_S))

    assert {
        (CloudLookKind.SERVERS_OF, HOST),
        (CloudLookKind.MIGRATIONS_OF, HOST),
        (CloudLookKind.GROUPS, ""),
        (CloudLookKind.AGGREGATES, ""),
        (CloudLookKind.TOKEN, ""),
    } == found


def test_looks__guests_under_way__one_list_of_changes_for_all() -> None:
    """Whole lists are for what changes may miss, and come much less often."""
    cloud = a_cloud([a_server(), a_server(2)], age_s=5.0)
    flying = [a_migration(n, MigrationStatus.ACCEPTED, newest=ROW) for n in (1, 2)]

    found = kinds(decide(a_cloud_view(cloud, migrations=flying), POLICY, NOW_S))

    assert (CloudLookKind.MIGRATIONS_CHANGED, "") in found
    assert (CloudLookKind.SERVERS_OF, HOST) not in found


@pytest.mark.parametrize(
    ("guests", "agentless", "is_read"), [(10, False, True), (300, False, False), (300, True, True)]
)
def test_looks__hundreds_under_way__services_more_seldom(
    guests: int, *, agentless: bool, is_read: bool
) -> None:
    """Unless Nova's word is the evidence about a compute without an agent."""
    numbers = range(1, guests + 1)
    servers = [a_server(number) for number in numbers]
    flying = [a_migration(n, MigrationStatus.ACCEPTED, newest=ROW) for n in numbers]
    view = a_cloud_view(a_cloud(servers, age_s=SERVICES_PERIOD_S + 1.0), migrations=flying)
    if agentless:
        spare = a_spare()
        spare = replace(spare, spec=replace(spare.spec, agentless=True))
        view = replace(view, hosts={**view.hosts, SPARE: spare})

    found = kinds(think_cloud(view, POLICY, (), NOW_S))

    assert is_read is ((CloudLookKind.SERVICES, "") in found)


def test_looks__another_host_returns__guests_under_way_are_followed_all_the_same() -> None:
    """The lists of the one that returns say nothing of the guests of the other."""
    servers = [a_server(number) for number in range(1, 60)]
    flying = [a_migration(n, MigrationStatus.ACCEPTED, newest=ROW) for n in range(1, 60)]
    rows = [a_row(status="failed", row=ROW + 1)]
    cloud = a_cloud(servers, rows, age_s=WHILE_SENDING_S + 1.0)
    cloud = replace(
        cloud,
        traced_s={**cloud.traced_s, SPARE: NOW_S - 0.5},
        listed_s={**cloud.listed_s, SPARE: NOW_S - 0.5},
    )
    returning = a_host(SPARE, HostState.RETURNING)

    found = kinds(
        think_cloud(
            a_cloud_view(cloud, a_dead_host(), returning, migrations=flying), POLICY, (), NOW_S
        )
    )

    assert {(CloudLookKind.MIGRATIONS_CHANGED, ""), (CloudLookKind.SERVERS_CHANGED, "")} <= found


@pytest.mark.parametrize(("state", "is_read"), [(HostState.UP, True), (HostState.EVACUATED, False)])
def test_looks__host_still_refuses_guests__migrations_are_read_often_while_it_serves(
    state: HostState, *, is_read: bool
) -> None:
    """A guest that Nova sends back waits there for seconds only; to a dead host none comes."""
    servers = [a_server(number) for number in range(1, 100)]
    flying = [a_migration(n, MigrationStatus.ACCEPTED, newest=ROW) for n in range(1, 100)]
    cloud = a_cloud(servers, age_s=WATCH_PERIOD_S + 0.5)
    denying = replace(
        a_host(SPARE, state), grants={GUEST: a_grant(GrantState.RELEASED, moved_to=HOST)}
    )

    for migrations in ([], flying):
        view = a_cloud_view(cloud, a_dead_host(), denying, migrations=migrations)
        thought = think_cloud(view, POLICY, (), NOW_S)

        assert is_read is ((CloudLookKind.MIGRATIONS_CHANGED, "") in kinds(thought))
        assert is_read is ("guests_refused" in {told.code for told in thought.reasons})


def test_looks__first_of_all__services_alone() -> None:
    """Their heartbeats tell the time by Nova's clocks, from which on changes are listed."""
    found = kinds(decide(a_cloud_view(CloudView()), POLICY, NOW_S))

    assert {(CloudLookKind.SERVICES, "")} == found


@pytest.mark.parametrize(
    ("waiting", "age_s", "is_read"), [(0, 6.0, True), (1, 19.9, False), (1, 20.1, True)]
)
def test_looks__one_has_arrived__servers_are_read_less_often_while_others_wait_to_be_sent(
    waiting: int, age_s: float, *, is_read: bool
) -> None:
    """A list of servers takes Nova as long as an evacuation."""
    servers = [a_server(number) for number in range(1, waiting + 2)]
    cloud = a_cloud(servers, [a_row(1, status="done", to=SPARE)], age_s=age_s)
    migrations = [
        a_migration(1, MigrationStatus.ACCEPTED, newest=ROW - 1, attempts=1),
        *(a_migration(number) for number in range(2, waiting + 2)),
    ]

    found = kinds(think_cloud(a_cloud_view(cloud, migrations=migrations), POLICY, (), NOW_S))

    assert is_read is ((CloudLookKind.SERVERS_CHANGED, "") in found)


@pytest.mark.parametrize(
    ("took_s", "age_s", "is_read"),
    [(0.1, 0.9, True), (0.4, 1.9, False), (0.4, 2.1, True), (60.0, 9.9, False), (60.0, 10.1, True)],
)
def test_looks__nova_slow_to_answer__is_asked_less_often(
    took_s: float, age_s: float, *, is_read: bool
) -> None:
    """What its lists cost it must not take the time that the guests need."""
    took = dict.fromkeys((CloudLookKind.MIGRATIONS_CHANGED, CloudLookKind.SERVERS_CHANGED), took_s)
    rows = [a_row(1, status="done", to=SPARE)]
    cloud = a_cloud([a_server()], rows, age_s=age_s, took_s=took)
    moving = a_migration(1, MigrationStatus.ACCEPTED, newest=ROW - 1, attempts=1)

    found = kinds(think_cloud(a_cloud_view(cloud, migrations=[moving]), POLICY, (), NOW_S))

    changes = {(CloudLookKind.MIGRATIONS_CHANGED, ""), (CloudLookKind.SERVERS_CHANGED, "")}
    assert is_read is (changes <= found)


def test_looks__whole_lists_are_old__are_read_anew() -> None:
    """A list of changes misses what a clock that is far off wrote."""
    cloud = a_cloud([a_server()], age_s=RELIST_PERIOD_S + 1.0)

    found = kinds(decide(a_cloud_view(cloud), POLICY, NOW_S))

    assert {(CloudLookKind.SERVERS_OF, HOST), (CloudLookKind.MIGRATIONS_OF, HOST)} <= found


def test_looks__list_is_of_the_last_incident__is_read_anew() -> None:
    """It may be young, and lacks the guests that came to the host since it was back."""
    view = a_cloud_view(a_cloud([a_server()], age_s=5.0))
    [(name, incident)] = view.incidents.items()
    view = replace(view, incidents={name: replace(incident, since_s=NOW_S - 3.0)})

    decision = decide(view, POLICY, NOW_S)

    assert (CloudLookKind.SERVERS_OF, HOST) in kinds(decision)
    assert not decision.transitions


@pytest.mark.parametrize(
    ("state", "is_read"), [(HostState.RETURNING, True), (HostState.EVACUATING, False)]
)
def test_looks__host_returns__its_servers_are_read_again_soon(
    state: HostState, *, is_read: bool
) -> None:
    """Nobody asks for changes then, and guests that start in place are waited for."""
    cloud = a_cloud([a_server()], age_s=SERVICES_PERIOD_S + 1.0)
    view = a_cloud_view(cloud, a_host(HOST, state), a_spare())

    found = kinds(think_cloud(view, POLICY, (), NOW_S))

    assert is_read is ((CloudLookKind.SERVERS_OF, HOST) in found)


# -- shutting out ---------------------------------------------------------------------------------


def test_shut_out__proven_dead__once_with_the_incident_as_the_reason() -> None:
    """The write checks the switch and the very right to live that the proof is about."""
    decision = decide(a_cloud_view(with_service()), POLICY, NOW_S)

    [asked] = shut_outs(decision)
    [intent] = [intent for intent in decision.intents if intent.action == asked]
    assert (asked.service_host, asked.reason) == (HOST, f"{OURS} {INCIDENT}")
    assert {CONTROL, guard_of(HOST)} == set(checks(intent.change))


def test_shut_out__already_forced_down__is_not_asked_again() -> None:
    """What Nova shows is believed."""
    assert not shut_outs(decide(a_cloud_view(a_cloud()), POLICY, NOW_S))


def test_shut_out__forced_down_was_lost__is_asked_again() -> None:
    """Somebody lifted it: else Nova would send guests there."""
    calls = {str(HOST): a_call(CallState.DONE, attempt=0)}
    cloud = replace(with_service(disabled_reason=f"{OURS} {INCIDENT}"), calls=calls)

    assert 1 == len(shut_outs(decide(a_cloud_view(cloud), POLICY, NOW_S)))


def test_shut_out__disabled_by_an_operator__keeps_his_reason() -> None:
    """Only forced down: later hamon must not enable what it has not disabled."""
    cloud = with_service(is_enabled=False, disabled_reason="new disks")

    [asked] = shut_outs(decide(a_cloud_view(cloud), POLICY, NOW_S))

    assert "" == asked.reason


@pytest.mark.parametrize(
    ("state", "age_s", "asked"),
    [
        (CallState.RUNNING, 60.0, 0),
        (CallState.UNKNOWN, 1.0, 0),
        (CallState.UNKNOWN, 3.0, 1),
        (CallState.REFUSED, 3.0, 1),
    ],
)
def test_shut_out__asked_before__one_call_at_a_time_and_not_at_once(
    state: CallState, age_s: float, asked: int
) -> None:
    """No busy loop of calls to a Nova that is unwell."""
    cloud = replace(with_service(), calls={HOST: a_call(state, age_s=age_s, attempt=0)})

    assert asked == len(shut_outs(decide(a_cloud_view(cloud), POLICY, NOW_S)))


def test_shut_out__disarmed__is_not_asked() -> None:
    """While disarmed nothing is changed outside."""
    view = a_cloud_view(with_service())
    control = replace(view.control.value, is_armed=False, reason="work")

    decision = decide(replace(view, control=replace(view.control, value=control)), POLICY, NOW_S)

    assert not decision.intents


@pytest.mark.parametrize("state", [HostState.FENCING, HostState.FENCE_FAILED])
def test_shut_out__not_proven_dead__is_not_asked(state: HostState) -> None:
    """It may live yet, and serve."""
    host = a_host(HOST, state)

    assert not shut_outs(decide(a_cloud_view(with_service(), host, a_spare()), POLICY, NOW_S))


# -- enabling -------------------------------------------------------------------------------------


def disabled(reason: str) -> CloudView:
    """A cloud in which the first host's service is disabled."""
    return with_service(is_enabled=False, disabled_reason=reason)


def test_enable__up_and_disabled_by_hamon__is_enabled() -> None:
    """The last step of a return."""
    assert [HOST] == enabled(decide(quiet(disabled(f"{OURS} {INCIDENT}")), POLICY, NOW_S))


@pytest.mark.parametrize(
    "cloud",
    [disabled("new disks"), disabled(""), with_service(is_down=True)],
    ids=["by an operator", "without a reason", "forced down"],
)
def test_enable__not_hamons_or_forced_down__stays_disabled(cloud: CloudView) -> None:
    """Only what hamon disabled, and only when nothing else keeps it down."""
    assert not enabled(decide(quiet(cloud), POLICY, NOW_S))


def test_enable__quarantined__stays_disabled() -> None:
    """It is no destination yet."""
    host = a_host(HOST, HostState.QUARANTINED, returns=3, state_since_s=NOW_S - 1.0)
    view = replace(a_view(host, a_spare()), cloud=disabled(f"{OURS} {INCIDENT}"))

    assert not enabled(decide(view, POLICY, NOW_S))


# -- denials --------------------------------------------------------------------------------------


def denied(
    state: GrantState = GrantState.RELEASED,
    *,
    up_for_s: float = 1.0,
    **others: Any,  # noqa: ANN401
) -> HostView:
    """A host that is up again, and that may not start the guest."""
    denial = Grant(state=state, generation=1, wanted=PowerState.SHUTOFF, moved_to=SPARE)
    grants = {GUEST: at(GRANT_VERSION, denial)}
    return a_host(HOST, grants=grants, state_since_s=NOW_S - up_for_s, **others)


def lifted(host: HostView, cloud: CloudView, **others: Any) -> bool:  # noqa: ANN401 - see a_cloud_view
    """Whether the guest is given back to the host."""
    view = a_cloud_view(cloud, host, a_spare(), a_spare(THIRD), **others)
    changes = lift_denials(view, host, cloud, RETURN, NOW_S)
    deletes = [one for change in changes for one in change.operations]
    assert all(one == Delete(key=grant_of(HOST, GUEST), version=GRANT_VERSION) for one in deletes)
    return bool(deletes)


def test_denial__guest_lives_elsewhere__is_kept_for_the_length_of_the_watch() -> None:
    """What Nova still has in its queue may come late."""
    cloud = a_cloud([a_server(host=SPARE)])

    assert not lifted(denied(up_for_s=RETURN.stale_watch_s - 1.0), cloud)
    assert lifted(denied(up_for_s=RETURN.stale_watch_s), cloud)


@pytest.mark.parametrize("up_for_s", [1.0, RETURN.stale_watch_s])
def test_denial__not_answered__is_never_lifted(up_for_s: float) -> None:
    """An order to power the guest off may be under way, and would hit the copy that comes."""
    cloud = a_cloud([a_server(host=HOST)])

    assert not lifted(denied(GrantState.REVOKED, up_for_s=up_for_s), cloud)


def test_denial__guest_lives_here_again__is_lifted_at_once() -> None:
    """By Nova's word, and nothing under way."""
    assert lifted(denied(), a_cloud([a_server(host=HOST)]))
    assert not lifted(denied(), a_cloud([a_server(host=HOST, task_state="rebuilding")]))


@pytest.mark.parametrize("status", ["pre-migrating", "preparing", "migrating"])
def test_denial__guest_comes_here__is_lifted_at_once(status: str) -> None:
    """Evacuated or migrated to this host now."""
    row = a_row(status=status, source=SPARE, to=HOST)

    assert lifted(denied(), a_cloud([a_server(host=SPARE)], [row]))


def test_denial__rebuild_here_was_given_up__is_kept() -> None:
    """Of a rebuild that died here Nova keeps an open record; the guest is asked for elsewhere."""
    row = a_row(status="pre-migrating", source=SPARE, to=HOST)
    cloud = a_cloud([a_server(host=SPARE)], [row])
    tried_again = a_migration(1, MigrationStatus.WAITING, source=SPARE, newest=ROW, attempts=1)

    assert lifted(denied(), cloud)
    assert not lifted(denied(), cloud, migrations=[tried_again])


def test_denial__rebuild_here_was_abandoned_and_guest_is_elsewhere__is_kept() -> None:
    """It no longer is where the open record says that it came from."""
    row = a_row(status="pre-migrating", source=SPARE, to=HOST)

    assert not lifted(denied(), a_cloud([a_server(host=THIRD)], [row]))


def test_denial__of_a_dead_host__is_kept() -> None:
    """The watch begins when it is up again."""
    denial = Grant(
        state=GrantState.RELEASED, generation=1, wanted=PowerState.SHUTOFF, moved_to=SPARE
    )
    host = a_dead_host(grants={GUEST: at(GRANT_VERSION, denial)})

    assert not lifted(host, a_cloud([a_server(host=SPARE)]))
