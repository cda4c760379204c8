"""A host of a real Nova dies, or reboots, and hamon moves its guests or starts them again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lab.openstack.programs import COMPUTE
from lab.openstack.proxy import Fault, What
from lab.services import log_of
from tests.integration.nova_world import RETURN_S, NovaWorld
from tests.openstack import NEEDS_OPENSTACK

pytestmark = NEEDS_OPENSTACK

OUTAGE_S = 60.0


@pytest.mark.fault("F1")
def test_power_cut__host_of_nova__guests_run_elsewhere_and_the_host_serves_again(
    nova_world: NovaWorld,
) -> None:
    """What ran runs, what was off stays off; the returned host keeps nothing of what moved."""
    world = nova_world
    *running, off = world.boot("h1", 3)
    world.switch_off(off)

    world.power_cut("h1")
    world.wait_moved_from("h1", running)

    incident = world.incident("h1")
    assert incident["proof"]["method"] == "power"
    assert {m["guest"]: m["status"] for m in incident["migrations"]} == dict.fromkeys(
        [*running, off], "done"
    )
    stopped = world.server(off)
    assert (stopped.status, world.on(stopped.host)[off]) == ("SHUTOFF", "shut off")

    world.lab.host("h1").power_on()
    world.wait_serving("h1")

    assert world.domains("h1") == {}
    for server in (*running, off):
        assert [record.status for record in world.evacuations(server)] == ["completed"]
    assert world.incident("h1")["closed"]
    assert all(len(world.watching.boots(server)) == 2 for server in running)


@pytest.mark.slow
def test_start__queued_for_a_dead_host__starts_nothing_there_when_it_returns(
    nova_world: NovaWorld,
) -> None:
    """Nova keeps a late order for a dead host; obeyed there, it would be a second copy."""
    world = nova_world
    [server] = world.boot("h1")
    world.switch_off(server)
    domain = world.server(server).domain

    world.power_cut("h1")
    world.act(server, "os-start")
    world.wait_state("h1", "EVACUATED")
    # Its owner wants it to run, so it does, elsewhere.
    world.wait(lambda: world.server(server).status == "ACTIVE", f"{server} runs elsewhere")
    world.guests.append(server)
    world.lab.host("h1").power_on()
    world.wait_serving("h1")

    world.wait(
        lambda: f"start of {domain} refused" in compute_log(world, "h1"),
        "the queued start is refused",
        RETURN_S,
    )
    assert world.owner(server) != "h1"
    assert world.on("h1").get(server) != "running"
    assert world.on(world.owner(server))[server] == "running"


@pytest.mark.slow
def test_reset__host_back_before_anybody_convicts_it__guests_start_again_there(
    nova_world: NovaWorld,
) -> None:
    """Nova leaves the guests of a rebooted host off; hamon starts what ran, in place."""
    world = nova_world
    *running, off = world.boot("h1", 3)
    world.switch_off(off)

    world.lab.reset("h1")
    world.wait_told("guest_started_in_place")
    world.wait_moved(running)
    world.wait_serving("h1")

    assert world.incidents() == []
    assert world.on("h1") == {**dict.fromkeys(running, "running"), off: "shut off"}
    assert all(world.evacuations(server) == [] for server in (*running, off))


@pytest.mark.slow
def test_commands__on_a_live_host__rehearse_and_refuse_with_novas_words(
    nova_world: NovaWorld,
) -> None:
    """What an operator tries first: what would happen, and what cannot be."""
    world = nova_world
    servers = world.boot("h1", 2)

    said = world.hamon("evacuate-host", "h1", "--dry-run")
    as_json = world.hamon("evacuate-host", "h1", "--dry-run", "-f", "json")
    assert (said.returncode, as_json.returncode) == (0, 0), said.stderr + as_json.stderr
    assert "2 of 2 guests that should move could" in said.stdout
    rows = {row["guest"]: row["destination"] for row in json.loads(as_json.stdout)["guests"]}
    assert set(servers) == set(rows)

    for arguments, why in (
        ((servers[0],), "Compute service of h1 is still in use"),
        ((servers[0], "h1"), "The target host can't be the same one."),
        ((servers[0], "h9"), "ComputeHostNotFound"),
    ):
        said = world.hamon("evacuate", *arguments, "--yes")
        assert (said.returncode, why in said.stderr) == (1, True), said.stdout + said.stderr
    assert world.incidents() == []


@pytest.mark.slow
def test_evacuate__one_server_then_its_host_by_hand__each_moves_what_it_names(
    nova_world: NovaWorld,
) -> None:
    """In maintenance hamon moves nothing by itself; a server on its way is not sent twice."""
    world = nova_world
    wanted, other = world.boot("h1", 2)
    world.power_cut_in_maintenance("h1")

    said = world.hamon("evacuate", wanted, "h3", "--yes", "--no-wait")
    assert said.returncode == 0, said.stdout + said.stderr
    world.wait_told("evacuation_sent")
    said = world.hamon("evacuate", wanted, "--yes")
    assert said.returncode == 1, said.stdout
    assert "is in an evacuation already" in said.stderr
    world.wait_moved_from("h1", [wanted])
    assert (world.owner(wanted), world.owner(other)) == ("h3", "h1")

    said = world.hamon("evacuate-host", "h1", "--yes", deadline_s=240.0)

    assert said.returncode == 0, said.stdout + said.stderr
    world.wait_moved_from("h1", [wanted, other])
    assert all(len(world.evacuations(server)) == 1 for server in (wanted, other))


@pytest.mark.fault("F30")
@pytest.mark.slow
def test_evacuate__answer_lost__request_is_found_and_not_sent_again(nova_world: NovaWorld) -> None:
    """A request that Nova has carried out is never repeated because its answer was lost."""
    world = nova_world
    servers = world.boot("h1", 2)
    world.spoil(
        Fault(
            name=world.fresh("lost"),
            what=What.SWALLOW,
            method="POST",
            path="/action$",
            body="evacuate",
            times=2,
        )
    )

    world.power_cut("h1")
    world.wait_moved_from("h1", servers)

    assert world.told_of("cloud_call_ended", outcome="unknown")
    for server in servers:
        assert [record.status for record in world.evacuations(server)] == ["done"]
        assert len(world.watching.boots(server)) == 2


@pytest.mark.fault("F29")
@pytest.mark.slow
def test_nova_api__unwell_midway__guests_move_once_when_it_is_well(nova_world: NovaWorld) -> None:
    """A minute of 503 in the middle costs a minute, and neither a guest nor a second request."""
    world = nova_world
    servers = world.boot("h1", 3)

    # One request passes; then nothing does any more.
    busy = Fault(name=world.fresh("busy"), what=What.ANSWER, status=503)
    world.spoil(replace(busy, method="POST", body="evacuate", times=2))

    world.power_cut("h1")
    world.wait_told("evacuation_sent")
    world.spoil(replace(busy, name=world.fresh("busy")))
    world.stay(OUTAGE_S)
    world.spoil()
    world.wait_moved_from("h1", servers)

    for server in servers:
        assert [record.status for record in world.evacuations(server)] == ["done"]
        assert len(world.watching.boots(server)) == 2


def compute_log(world: NovaWorld, host: str) -> str:
    """What nova-compute of a host has logged."""
    file = log_of(world.lab.layout, world.lab.host(host).name, COMPUTE)
    return file.read_text(errors="replace")
