"""Parts of OpenStack go away while hamon evacuates: keystone, tokens, the conductor."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from lab.names import Plane
from lab.openstack import access, configuration
from lab.openstack.api import Api
from lab.openstack.identity import ADMIN
from lab.openstack.programs import COMPUTE, KEYSTONE
from lab.openstack.proxy import Fault, What
from lab.openstack.seed import password
from lab.services import log_of
from tests.integration.nova_world import NovaWorld, signal_all
from tests.openstack import NEEDS_OPENSTACK

pytestmark = [*NEEDS_OPENSTACK, pytest.mark.slow]

KEYSTONE_AWAY_S = 45.0
KEYSTONE_HANGS_S = 30.0
"""Shorter than the lab's `stuck_after_s`: a conductor that waits for longer is taken for dead."""

LOST_S = 180.0
"""Computes call a conductor that is gone, and are silent until that call times out."""

CONDUCTOR, SCHEDULER = "nova-conductor", "nova-scheduler"


@pytest.mark.fault("F35")
def test_keystone__refuses_connections_midway__guests_move_once_when_it_is_back(
    nova_world: NovaWorld,
) -> None:
    """Without keystone nothing is known and nothing sent; with it, all goes on where it was."""
    world = nova_world
    servers = world.boot("h1", 3)

    world.power_cut("h1")
    world.wait_accepted()
    world.cloud.machine.stop_service(KEYSTONE)
    world.stay(KEYSTONE_AWAY_S)
    is_answered = world.cloud.admin.is_answered()
    shown = world.shown("h1")
    world.cloud.machine.start_service(KEYSTONE)

    world.wait_moved_from("h1", servers)
    # Nova takes tokens that it has seen for some minutes, so that some of it may go on; what its
    # conductor cannot do without keystone it drops without a word, and the record stays.
    assert not is_answered
    assert all(name in shown for name in world.names(servers)), shown
    world.assert_moved_once("h1", servers, may_leave_records=True)


@pytest.mark.fault("F35")
def test_keystone__hangs_midway__guests_move_once_when_it_goes_on(nova_world: NovaWorld) -> None:
    """What nova-api has taken and cannot check may still be carried out: it is not sent twice."""
    world = nova_world
    servers = world.boot("h1", 3)

    world.power_cut("h1")
    world.wait_accepted()
    with world.hanging(KEYSTONE, "o1"):
        world.stay(KEYSTONE_HANGS_S)

    world.wait_moved_from("h1", servers)
    world.assert_moved_once("h1", servers)


@pytest.mark.fault("F35")
def test_token__revoked_midway__hamon_logs_in_anew_and_guests_move_once(
    nova_world: NovaWorld,
) -> None:
    """A token that ends before its time costs a login: no guest, and no second request."""
    world = nova_world
    servers = world.boot("h1", 2)
    refused = Fault(name=world.fresh("token"), what=What.ANSWER, status=401, times=1)
    world.spoil(replace(refused, method="POST", body="evacuate"))

    world.power_cut("h1")
    world.wait_told("host_convicted")
    revoked_s = access.now_s()
    revoke_tokens_of_hamon(world)
    # It keeps the answers of keystone for minutes.
    world.lab.restart_service("o1", "nova-api")

    world.wait_moved_from("h1", servers)
    log = log_of(world.lab.layout, world.cloud.machine.name, KEYSTONE)
    senders = {c.layout.address(c.name, Plane.MANAGEMENT) for c in world.lab.daemons}
    found = access.requests_in(log, revoked_s)
    assert any(request.is_login and request.sender in senders for request in found)
    world.assert_moved_once("h1", servers)


def test_conductor__away_when_requests_come__they_are_carried_out_once_when_it_is_back(
    nova_world: NovaWorld,
) -> None:
    """A request waits in its queue for a conductor: it is not asked for again, and that is said."""
    world = nova_world
    servers = world.boot("h1", 2)
    world.cloud.machine.stop_service(CONDUCTOR)

    world.power_cut("h1")
    world.wait_accepted()
    world.wait_reason("h1", "evacuation_stuck")
    shown = world.shown("h1")
    asked = len(world.told_of("evacuation_sent"))
    world.cloud.machine.start_service(CONDUCTOR)

    world.wait_moved_from("h1", servers)
    assert "look whether nova-conductor and nova-scheduler live" in shown, shown
    assert asked == len(servers)
    world.assert_moved_once("h1", servers)


@pytest.mark.fault("F34")
def test_conductor__killed_with_a_request_it_had_taken__asked_again_and_moved_once(
    nova_world: NovaWorld,
) -> None:
    """The message is in no queue any more and Nova says `accepted` for ever: hamon asks again."""
    world = nova_world
    [server] = world.boot("h1")

    with world.hanging(SCHEDULER, "o1"):
        world.power_cut("h1")
        taken = world.wait_accepted()
        request = f"/servers/{server}/os-instance-actions/{taken['request_id']}"

        def is_being_conducted() -> bool:
            events = world.cloud.compute("GET", request)["instanceAction"]["events"]
            return any(not event["finish_time"] for event in events)

        world.wait(is_being_conducted, "the conductor asks the scheduler")
        signal_all(world.cloud.machine, CONDUCTOR, signal.SIGKILL)
    world.wait(
        lambda: world.cloud.machine.processes()[CONDUCTOR]["state"] == "dead", "conductor dead"
    )
    world.cloud.machine.start_service(CONDUCTOR)

    world.wait(lambda: bool(world.told_of("evacuation_lost")), "given up", LOST_S)
    [lost] = world.told_of("evacuation_lost")
    assert "nobody took up Nova's record" in lost["why"]
    world.wait_moved_from("h1", [server])
    # Nova goes on with the first record, by the second request; the second record stays for ever.
    assert [record.status for record in world.evacuations(server)] == ["done", "accepted"]
    assert len(world.told_of("evacuation_sent")) == 2
    assert len(world.watching.boots(server)) == 2

    # A start of nova-compute completes one record of a guest, and Nova lets no host up before the
    # one that is done is completed.
    world.lab.host("h1").power_on()
    world.wait_reason("h1", "return_waits_for_records")
    shown = world.shown("h1")
    world.lab.restart_service("h1", COMPUTE)
    world.wait_serving("h1")
    assert "restart nova-compute there" in shown, shown
    assert {record.status for record in world.evacuations(server)} == {"completed"}
    assert world.domains("h1") == {}


def revoke_tokens_of_hamon(world: NovaWorld) -> None:
    """Have keystone revoke every token of hamon's user, which it does when the user is disabled."""
    other = Api(world.cloud.machine, password(), user="nova", project="service")
    port = configuration.IDENTITY_PORT
    [user] = other.call(port, "GET", f"/v3/users?name={ADMIN}")["users"]
    for is_enabled in (False, True):
        other.call(port, "PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": is_enabled}})
