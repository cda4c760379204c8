"""The desk: questions are answered from the last round, requests by the leader."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from hamon.errors import RequestRefusedError
from tests.builders import HOST, ME, OTHER
from tests.unit.engine_world import Controller, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An ensemble with one enrolled host."""
    world = World()
    await world.prepare()
    yield world
    await world.close()


async def asked(world: World, controller: Controller, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """Ask at a desk, and let time pass until it is answered."""
    answering = asyncio.create_task(controller.desk.handle("request", arguments, "ada"))
    for _ in range(50):
        await world.turn()
        if answering.done():
            break
    return await answering


async def test_request__accepted__is_answered_and_withdrawn(world: World) -> None:
    """The leader's words reach who asked, and nothing is left behind."""
    leader = await world.add()

    answer = await asked(world, leader, kind="disarm", reason="tests")

    picture = leader.cluster.picture()
    assert picture is not None
    assert "disarmed: nothing new is started" == answer["answer"]
    assert (False, "ada") == (picture.control.value.is_armed, picture.control.value.who)
    assert () == await world.hand.children("/requests")


async def test_request__at_a_standby__is_answered_by_the_leader(world: World) -> None:
    """Any daemon takes a request; only the leader answers it."""
    await world.add()
    standby = await world.add(OTHER)

    answer = await asked(world, standby, kind="disarm", reason="tests")

    assert "disarmed: nothing new is started" == answer["answer"]


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ({"kind": "disarm", "reason": "the power feeds"}, "accepted"),
        ({"kind": "maintenance_on", "host": "h9", "reason": "new disks"}, "refused"),
    ],
)
async def test_request__whatever_comes_of_it__is_audited(
    world: World, arguments: dict[str, str], outcome: str
) -> None:
    """Who, what, why, before it is written; and what was answered."""
    leader = await world.add()

    with capture_logs() as lines, contextlib.suppress(RequestRefusedError):
        await asked(world, leader, **arguments)

    asking, answer = [line for line in lines if line["event"].startswith("audit_")]
    assert (asking["event"], answer["event"]) == ("audit_asked", "audit_answered")
    assert (asking["who"], asking["kind"]) == ("ada", arguments["kind"])
    assert (asking["why"], asking["subject"]) == (
        arguments["reason"],
        arguments.get("host", "cluster"),
    )
    assert (answer["outcome"], answer["nonce"]) == (outcome, asking["nonce"])


@pytest.mark.parametrize("text", ["x" * 401, "two\nlines", "\x1b[2J"])
async def test_request__reason_that_is_no_line__is_refused(world: World, text: str) -> None:
    """It goes into records and onto other people's terminals: one line, and not a book."""
    leader = await world.add()

    with pytest.raises(RequestRefusedError, match="one line of at most 400"):
        await asked(world, leader, kind="disarm", reason=text)


async def test_request__refused__raises_why_and_what_to_do(world: World) -> None:
    """A refusal carries the leader's advice."""
    leader = await world.add()

    with pytest.raises(RequestRefusedError) as refused:
        await asked(world, leader, kind="evacuate_host", host="host-9")

    assert "host host-9 is not enrolled" == refused.value.why
    assert "hamon host list" in refused.value.advice


async def test_request__nobody_leads__outcome_is_unknown(world: World) -> None:
    """No answer is not a refusal: the outcome is unknown, and the request is withdrawn."""
    controller = Controller(world, OTHER)
    controller.cluster.start()
    world.controllers.append(controller)
    answering = asyncio.create_task(controller.desk.handle("request", {"kind": "disarm"}, "ada"))

    await world.clock.advance(31.0)

    assert (await answering)["unknown"]
    assert () == await world.hand.children("/requests")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"kind": "explode"}, "explode"),
        ({}, "not a valid"),
        ({"kind": "disarm", "host": "../../epoch"}, "is not a host name"),
        ({"kind": "evacuate_host", "host": HOST, "target": "A B"}, "is not a host name"),
        ({"kind": "evacuate", "guest": "web"}, "badly formed"),
    ],
)
async def test_request__malformed__never_reaches_zookeeper(
    world: World, arguments: dict[str, str], why: str
) -> None:
    """Names are validated before they reach a path."""
    leader = await world.add()

    with pytest.raises(RequestRefusedError, match=why):
        await leader.desk.handle("request", arguments, "ada")

    assert () == await world.hand.children("/requests")


async def test_question__no_view_yet__is_refused_with_advice(world: World) -> None:
    """A daemon without ZooKeeper says so instead of showing an empty cluster."""
    controller = Controller(world, OTHER)

    with pytest.raises(RequestRefusedError, match="no whole view"):
        await controller.desk.handle("status", {}, "ada")


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("explode", {}),
        ("host", {"host": "host-9"}),
        ("explain", {"host": "host-9"}),
        ("incident", {"incident": "host-9-1"}),
        ("guest", {"guest": "web"}),
        ("rehearsal", {"host": "host-9"}),
    ],
)
async def test_question__about_what_is_not_there__is_refused(
    world: World, verb: str, arguments: dict[str, str]
) -> None:
    """A question about nothing is no empty answer."""
    leader = await world.add()

    with pytest.raises(RequestRefusedError):
        await leader.desk.handle(verb, arguments, "ada")


async def test_question__status__shows_leader_hosts_and_holds(world: World) -> None:
    """One page for the whole cluster."""
    leader = await world.add()

    status = await leader.desk.handle("status", {}, "ada")

    assert (True, True) == (status["is_leading"], status["armed"])
    assert [(HOST, "never seen")] == [(host["host"], host["state"]) for host in status["hosts"]]
    assert ["start_up"] == [hold["kind"] for hold in status["holds"]]


async def test_question__status_of_a_standby__names_who_leads_or_nobody(world: World) -> None:
    """Who asks the wrong controller is told which one to ask, or that there is none."""
    leader = await world.add()
    standby = await world.add(OTHER)

    status = await standby.desk.handle("status", {}, "ada")
    assert (False, ME) == (status["is_leading"], status["leader"])
    assert ME == (await leader.desk.handle("status", {}, "ada"))["leader"]

    # It only looks: nobody is left who stands for office.
    watcher = Controller(world, OTHER)
    watcher.cluster.start()
    await standby.stop()
    await leader.store.close()
    await world.clock.advance(10.0)

    picture = watcher.cluster.picture()
    assert picture is not None
    assert picture.leader is None
    await watcher.stop()
