"""A rebuild that Nova believes in, and nobody works at: when it is forgotten, and when not."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.cloud import LATE_ORDERS_PERIOD_S, UNKNOWN_AT_ONCE, think_cloud
from hamon.evacuator.cloud.tasks import PROGRESS_PERIOD_S, RESET_AGAIN_S
from hamon.evacuator.cloud.track import track
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind, ResetTask
from hamon.model.cloud import CallState, CloudView, Progress
from hamon.model.control import Hold, HoldKind
from hamon.model.guest import GrantState
from hamon.model.host import DomainState, HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import CLUSTER
from hamon.model.policy import EvacuationPolicy, Policy
from hamon.model.view import HostView
from tests.builders import HOST, NOW_S, SPARE, a_grant, a_guest, a_host, a_migration
from tests.cloud_builders import (
    ROW,
    a_call,
    a_cloud,
    a_cloud_view,
    a_dead_host,
    a_row,
    a_server,
    a_spare,
)

GUEST = a_guest()
POLICY = EvacuationPolicy()
STUCK_S = POLICY.stuck_after_s + 1.0
OVER = Progress(is_passed_on=True, taken_by=SPARE, is_over=True)
RESET = ResetTask(guest=GUEST, is_error=False)
PROGRESS = CloudLook(kind=CloudLookKind.PROGRESS, guest=GUEST)
SERVERS = CloudLook(kind=CloudLookKind.SERVERS_CHANGED)


def left_behind(progress: Progress | None = OVER, **others: Any) -> CloudView:  # noqa: ANN401
    """A guest that arrived on the spare, and has a rebuild as its task in Nova's row."""
    server = a_server(host=SPARE, task_state=others.pop("task_state", "rebuilding"))
    cloud = a_cloud([replace(server, vm_state="error")], [a_row(status="done", to=SPARE)])
    if progress is not None:
        told = {"progress": {GUEST: progress}, "progress_s": {GUEST: NOW_S - 2.0}}
        others = {**told, "changed_s": NOW_S - 1.0} | others
    return replace(cloud, **others)


def followed(cloud: CloudView, *, age_s: float = STUCK_S, **spare: Any) -> Moves:  # noqa: ANN401
    """What following the guest comes to, so long after a destination claimed it."""
    status = MigrationStatus.PRE_MIGRATING
    migration = a_migration(status=status, newest=ROW - 1, attempts=1, since_s=NOW_S - age_s)
    record = replace(migration.record.value, number=ROW)
    migration = replace(migration, record=replace(migration.record, value=record))
    home = a_spare(domains={GUEST: spare.pop("domain", DomainState.RUNNING)}, **spare)
    view = a_cloud_view(cloud, a_dead_host(), home, migrations=[migration])
    [incident] = view.incidents.values()
    return track(view, incident, POLICY, NOW_S)


def test_arrived__rebuild_left_in_its_row__is_forgotten() -> None:
    """It runs where it should, and its owner could not do anything with it."""
    moves = followed(left_behind())

    assert [RESET] == [intent.action for intent in moves.intents]
    assert ["guest_in_flight"] == [known.code for known in moves.reasons]


def test_arrived__rebuild_in_its_row__novas_notes_are_read_before_its_row() -> None:
    """Read the other way round, a rebuild that ends in between would be taken for left behind."""
    assert (PROGRESS,) == followed(left_behind(None)).looks
    assert (SERVERS,) == followed(left_behind(changed_s=NOW_S - 2.5)).looks
    long_ago = {GUEST: NOW_S - PROGRESS_PERIOD_S - 1.0}
    assert (PROGRESS,) == followed(left_behind(progress_s=long_ago)).looks


@pytest.mark.parametrize(
    ("case", "cloud", "others"),
    [
        ("it may end by itself", left_behind(), {"age_s": 10.0}),
        ("its compute works at it", left_behind(replace(OVER, is_over=False)), {}),
        ("its owner asked for something", left_behind(replace(OVER, is_newest=False)), {}),
        ("another task", left_behind(task_state="powering-off"), {}),
        ("it does not run there", left_behind(), {"domain": DomainState.SHUTOFF}),
        (
            "just asked",
            left_behind(calls={RESET.subject: a_call(CallState.DONE, age_s=RESET_AGAIN_S - 1)}),
            {},
        ),
        ("being asked", left_behind(calls={RESET.subject: a_call(CallState.RUNNING)}), {}),
    ],
)
def test_arrived__it_may_be_true__nothing_is_forgotten(
    case: str, cloud: CloudView, others: dict[str, Any]
) -> None:
    """A task that somebody works at is nobody's business but theirs."""
    assert not followed(cloud, **others).intents, case


# -- after the host is back ---------------------------------------------------------------------


def back_with_a_denial(state: HostState = HostState.UP) -> HostView:
    """The host that the guest was moved away from, which is back."""
    return replace(
        a_host(HOST, state), grants={GUEST: a_grant(GrantState.RELEASED, moved_to=SPARE)}
    )


def thought(cloud: CloudView, *, host: HostView | None = None, holds: tuple[Hold, ...] = ()) -> Any:  # noqa: ANN401
    """What thinking about Nova comes to."""
    home = a_spare(domains={GUEST: DomainState.RUNNING})
    view = a_cloud_view(cloud, host or back_with_a_denial(), home)
    return think_cloud(view, Policy(), holds, NOW_S)


def test_late_order__obeyed_by_a_host_that_is_back__what_it_left_is_forgotten() -> None:
    """The incident is long closed; the order had waited in that host's queue."""
    assert [RESET] == [intent.action for intent in thought(left_behind()).intents]


def test_late_order__host_is_back__servers_are_looked_at_now_and_then() -> None:
    """The row of the guest tells; it belongs to a host that nothing is wrong with."""
    for age_s, is_read in ((LATE_ORDERS_PERIOD_S + 1.0, True), (LATE_ORDERS_PERIOD_S - 1.0, False)):
        cloud = left_behind(task_state="", changed_s=NOW_S - age_s)
        assert is_read is (SERVERS in thought(cloud).looks)


def test_late_order__new_leader__reads_once_what_it_knows_nothing_of() -> None:
    """Else it would neither let a guest come back there, nor see what an order left behind."""
    numbers = range(1, UNKNOWN_AT_ONCE + 3)
    denial = a_grant(GrantState.RELEASED, moved_to=SPARE)
    host = replace(a_host(HOST), grants={a_guest(number): denial for number in numbers})
    migrations = CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=HOST)
    nothing = replace(a_cloud(), servers={}, traced_s={}, listed_s={}, changed_s=None)

    looks = thought(nothing, host=host).looks
    servers = [look for look in looks if look.kind is CloudLookKind.SERVER]
    assert [a_guest(number) for number in numbers][:UNKNOWN_AT_ONCE] == [k.guest for k in servers]
    assert migrations in looks

    known = {a_guest(number): a_server(number, host=SPARE) for number in numbers}
    looks = thought(replace(nothing, servers=known, traced_s={HOST: 0.0}), host=host).looks
    assert migrations not in looks
    assert not any(look.kind is CloudLookKind.SERVER for look in looks)


@pytest.mark.parametrize("case", ["dead again", "disarmed"])
def test_late_order__nothing_may_be_done__nothing_is(case: str) -> None:
    """Neither for a host that is shut out, nor against an operator's word."""
    disarmed = Hold(kind=HoldKind.DISARMED, scope=CLUSTER, reason="", needs_human=True)
    host = back_with_a_denial(HostState.EVACUATED if case == "dead again" else HostState.UP)
    holds = (disarmed,) if case == "disarmed" else ()

    resets = [
        intent
        for intent in thought(left_behind(), host=host, holds=holds).intents
        if isinstance(intent.action, ResetTask)
    ]
    assert [] == resets
