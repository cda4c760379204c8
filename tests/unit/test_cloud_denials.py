"""Denials: what a returned host may not start, and when it may again."""

from dataclasses import replace

import pytest

from hamon.evacuator.cloud.denials import lift_denials
from hamon.model.cloud import CloudView
from hamon.model.guest import GrantState
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.policy import ReturnPolicy
from hamon.model.view import HostView, MigrationView
from tests.builders import HOST, NOW_S, SPARE, a_grant, a_guest, a_host, a_migration
from tests.cloud_builders import ROW, a_cloud, a_cloud_view, a_dead_host, a_row, a_server

GUEST = a_guest()
POLICY = ReturnPolicy(stale_watch_s=600.0)


def denying(
    state: HostState = HostState.UP,
    grant: GrantState = GrantState.RELEASED,
    *,
    up_for_s: float = 60.0,
) -> HostView:
    """The second host, which must not start the guest."""
    host = a_host(SPARE, state, state_since_s=NOW_S - up_for_s)
    return replace(host, grants={GUEST: a_grant(grant, moved_to=HOST)})


def is_lifted(cloud: CloudView, host: HostView, *migrations: MigrationView) -> bool:
    """Whether the host may start the guest again."""
    view = a_cloud_view(cloud, a_dead_host(), host, migrations=migrations)
    return bool(lift_denials(view, host, cloud, POLICY, NOW_S))


def coming() -> CloudView:
    """A cloud in which the guest is being rebuilt on the second host."""
    server = a_server(task_state="rebuilding")
    return a_cloud([server], [a_row(status="pre-migrating", to=SPARE)])


def test_denial__guest_comes_here__is_lifted_at_once() -> None:
    """Else the hook would refuse what Nova rightly rebuilds here."""
    assert is_lifted(coming(), denying(), a_migration(status=MigrationStatus.ACCEPTED))


@pytest.mark.parametrize(
    "state", [HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED, HostState.RETURNING]
)
def test_denial__host_is_shut_out__is_kept_whatever_nova_sends_there(state: HostState) -> None:
    """The record of the rebuild that died with the host is still open."""
    assert not is_lifted(coming(), denying(state))


def test_denial__rebuild_that_was_given_up__does_not_lift_it() -> None:
    """The host is back; its queue may still hold that rebuild, and the guest goes elsewhere."""
    waiting = a_migration(newest=ROW, attempts=1)

    assert not is_lifted(coming(), denying(), waiting)


def test_denial__open_record_but_guest_is_elsewhere_by_now__does_not_lift_it() -> None:
    """Nova never closes the record of a rebuild that died."""
    cloud = a_cloud([a_server(host="host-9")], [a_row(status="pre-migrating", to=SPARE)])

    assert not is_lifted(cloud, denying())


def test_denial__guest_lives_here_by_novas_word__is_lifted() -> None:
    """It came back in the ordinary way."""
    assert is_lifted(a_cloud([a_server(host=SPARE)]), denying())


@pytest.mark.parametrize(
    ("grant", "up_for_s", "lifted"),
    [
        (GrantState.RELEASED, 599.0, False),
        (GrantState.RELEASED, 601.0, True),
        (GrantState.REVOKED, 601.0, False),
    ],
)
def test_denial__watch__ends_when_its_time_is_over_and_the_agent_answered(
    grant: GrantState, up_for_s: float, *, lifted: bool
) -> None:
    """A request to start it may wait for the host in Nova's queues for that long."""
    host = denying(grant=grant, up_for_s=up_for_s)

    assert is_lifted(a_cloud(), host) is lifted
