"""Calls to Nova: one for the same thing at a time, what became of each, and where a password is."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from hamon.engine.cloud_calls import LOOK_PAUSE_S, CloudCalls, subject_of
from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.action import (
    CloudAction,
    CloudLook,
    CloudLookKind,
    EnableService,
    Evacuate,
    LiftForceDown,
    ResetTask,
    SetPower,
    ShutOutService,
)
from hamon.model.cloud import CallState, CloudCall, Progress
from hamon.model.guest import PowerState
from hamon.model.names import GuestId
from hamon.sim.cloud import CloudFault, SimulatedCloud
from hamon.sim.nova_records import NovaRecords
from tests.builders import HOST, SPARE, a_guest
from tests.virtual_clock import VirtualClock, rest

GUEST = a_guest()
SECRET = "correct horse"


class StampedClock(VirtualClock):
    """One whose wall-clock time is a date, as Nova's stamps are."""

    def wall(self) -> str:  # type: ignore[explicit-override]
        """Return a time of the year 2030."""
        return f"2030-01-01T00:00:{int(self.now_s()) % 60:02}Z"


class SlowCloud(SimulatedCloud):
    """Answers its lists when the test lets it, and remembers what it was given."""

    def __init__(self, clock: VirtualClock, records: NovaRecords) -> None:
        super().__init__(clock, records)
        self.asked = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.passwords: list[str] = []

    async def services(self) -> Any:  # type: ignore[explicit-override]  # noqa: ANN401 - the port's
        """See ``ports.Cloud``."""
        self.asked += 1
        await self.go_on.wait()
        return await super().services()

    async def evacuate(self, guest: GuestId, **how: Any) -> str:  # type: ignore[explicit-override]  # noqa: ANN401
        """See ``ports.Cloud``."""
        self.passwords.append(how["password"])
        return await super().evacuate(guest, **how)


@dataclass
class Desk:
    """A controller's calls, and everything they tell."""

    clock: StampedClock
    records: NovaRecords
    cloud: SlowCloud
    picture: CloudPicture
    calls: CloudCalls
    ended: list[tuple[str, str]] = field(default_factory=list)

    async def act(self, action: Any, *, start_by_s: float | None = None) -> CloudCall:  # noqa: ANN401
        """Make a request and wait for its end."""
        by_s = self.clock.now_s() + 0.5 if start_by_s is None else start_by_s
        self.calls.start_action(action, start_by_s=by_s)
        await rest()
        return self.picture.view().calls[subject_of(action)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A Nova with a guest on a host that is down."""
    clock = StampedClock()
    records = NovaRecords(clock, (HOST, SPARE))
    records.add_server(GUEST, "g1", HOST)
    records.lose(HOST)
    cloud = SlowCloud(clock, records)
    picture = CloudPicture(Pace(window=8.0, limit=8))
    ended: list[tuple[str, str]] = []

    def note(operation: str, outcome: str, _duration_s: float) -> None:
        ended.append((operation, outcome))

    calls = CloudCalls(cloud, picture, clock, lambda: None, on_call=note)
    yield Desk(clock, records, cloud, picture, calls, ended)
    await calls.close()


EVACUATE = Evacuate(guest=GUEST, attempt=1)
SERVICES = CloudLook(kind=CloudLookKind.SERVICES)


async def test_look__the_same_under_way__is_not_begun_again(desk: Desk) -> None:
    """However often the loop comes round."""
    desk.cloud.go_on.clear()
    for _ in range(3):
        desk.calls.start_look(SERVICES)
        await rest()
    assert 1 == desk.cloud.asked

    desk.cloud.go_on.set()
    await rest()
    desk.calls.start_look(SERVICES)
    await rest()
    assert 2 == desk.cloud.asked


async def test_look__failed__rests_a_while(desk: Desk) -> None:
    """A Nova that answers 503 at once is not asked in a busy loop."""
    desk.cloud.fault = CloudFault.UNWELL
    for _ in range(3):
        desk.calls.start_look(SERVICES)
        await rest()
    assert 1 == desk.cloud.asked

    await desk.clock.advance(LOOK_PAUSE_S)
    desk.calls.start_look(SERVICES)
    await rest()
    assert 2 == desk.cloud.asked


async def test_look__counts_from_when_it_was_asked_for(desk: Desk) -> None:
    """What happened while Nova thought about it may be missing in its answer."""
    desk.cloud.go_on.clear()
    asked_s = desk.clock.now_s()
    desk.calls.start_look(SERVICES)
    await desk.clock.advance(7.0)
    desk.cloud.go_on.set()
    await rest()

    assert asked_s == desk.picture.view().services_s


async def test_look__at_one_server__finds_it_or_notes_that_it_is_gone(desk: Desk) -> None:
    """Both end the looking."""
    for guest in (GUEST, a_guest(2)):
        desk.calls.start_look(CloudLook(kind=CloudLookKind.SERVER, guest=guest))
        await rest()

    servers = desk.picture.view().servers
    assert (HOST, "deleted") == (servers[GUEST].host, servers[a_guest(2)].vm_state)


async def test_request__accepted__is_done_with_novas_id(desk: Desk) -> None:
    """And with the attempt it was, so that it is not taken for another's."""
    call = await desk.act(EVACUATE)

    assert (CallState.DONE, 1, "req-1") == (call.state, call.attempt, call.request_id)
    assert [("Evacuate", "done")] == desk.ended


@pytest.mark.parametrize(
    "action",
    [
        EVACUATE,
        ShutOutService(service_host=HOST, service_id=f"service-{HOST}", reason="hamon: late"),
        LiftForceDown(service_host=HOST, service_id=f"service-{HOST}"),
        EnableService(service_host=HOST, service_id=f"service-{HOST}"),
        SetPower(guest=GUEST, wanted=PowerState.SHUTOFF),
        SetPower(guest=GUEST, wanted=PowerState.RUNNING),
        SetPower(guest=GUEST, wanted=PowerState.RUNNING, in_place=True),
    ],
    ids=lambda action: type(action).__name__,
)
async def test_request__begun_too_late__is_not_done_and_never_sent(
    desk: Desk, action: CloudAction
) -> None:
    """Its lease is over: another controller may lead by now, and the guest be elsewhere."""
    before = (dict(desk.records.services), dict(desk.records.servers))

    call = await desk.act(action, start_by_s=desk.clock.now_s() - 0.1)

    assert CallState.NOT_DONE is call.state
    assert not desk.records.migrations
    assert before == (desk.records.services, desk.records.servers)


@pytest.mark.parametrize(
    ("action", "state", "is_conflict", "is_missing"),
    [
        (Evacuate(guest=GUEST, attempt=1, target=HOST), CallState.REFUSED, False, False),
        (Evacuate(guest=GUEST, attempt=1, target="nowhere"), CallState.REFUSED, False, True),
        (SetPower(guest=GUEST, wanted=PowerState.RUNNING), CallState.REFUSED, True, False),
    ],
    ids=["400", "404", "409"],
)
async def test_request__refused__says_in_which_way(
    desk: Desk,
    action: Any,  # noqa: ANN401 - of any kind
    state: CallState,
    is_conflict: bool,  # noqa: FBT001 - a column of the table
    is_missing: bool,  # noqa: FBT001
) -> None:
    """What is to be done next depends on it."""
    call = await desk.act(action)

    assert (state, is_conflict, is_missing) == (call.state, call.is_conflict, call.is_missing)
    assert call.why


async def test_request__task_left_behind__is_forgotten_beside_the_guests_last_call(
    desk: Desk,
) -> None:
    """Nova takes no order for a server at which it believes somebody works."""
    desk.records.change(GUEST, task_state="rebuilding")
    again = SetPower(guest=GUEST, wanted=PowerState.RUNNING, in_place=True)
    assert CallState.REFUSED is (await desk.act(again)).state

    forgotten = await desk.act(ResetTask(guest=GUEST, is_error=False))

    assert CallState.DONE is forgotten.state
    assert CallState.REFUSED is desk.picture.view().calls[GUEST].state
    assert CallState.DONE is (await desk.act(again)).state


async def test_request__answer_lost__is_unknown_and_halves_the_window(desk: Desk) -> None:
    """Nova may be overloaded; and it may have done it."""
    desk.cloud.fault = CloudFault.LOSES_ANSWER

    call = await desk.act(EVACUATE)

    assert CallState.UNKNOWN is call.state
    assert (1, 4) == (len(desk.records.migrations), desk.picture.view().window)


async def test_request__breaks_in_an_unforeseen_way__is_unknown(desk: Desk) -> None:
    """Never: done, nor: not done. And the guest is not blocked as if a call were under way."""

    class BrokenCloud(SimulatedCloud):
        async def evacuate(self, guest: GuestId, **how: Any) -> str:  # type: ignore[explicit-override]  # noqa: ANN401
            raise AssertionError(guest, how)

    calls = CloudCalls(
        BrokenCloud(desk.clock, desk.records),
        desk.picture,
        desk.clock,
        lambda: None,
        on_call=lambda _operation, _outcome, _duration_s: None,
    )
    with structlog.testing.capture_logs():
        calls.start_action(EVACUATE, start_by_s=desk.clock.now_s() + 0.5)
        await rest()

    assert CallState.UNKNOWN is desk.picture.view().calls[GUEST].state


async def test_shut_out__done__shows_at_once(desk: Desk) -> None:
    """The first request of a guest does not wait for another list of services."""
    desk.calls.start_look(SERVICES)
    await rest()

    shut_out = ShutOutService(service_host=HOST, service_id=f"service-{HOST}", reason="hamon: i")
    call = await desk.act(shut_out)

    assert CallState.DONE is call.state
    service = desk.picture.view().services[HOST]
    assert (True, False, False) == (service.is_forced_down, service.is_up, service.is_enabled)


async def test_password__is_in_the_call_and_nowhere_else(desk: Desk) -> None:
    """Not in what is known of the call, and in no log: also not when it fails."""
    desk.picture.passwords.keep(GUEST, SECRET, 0.0)
    with structlog.testing.capture_logs() as logs:
        await desk.act(EVACUATE)
        desk.cloud.fault = CloudFault.UNWELL
        call = await desk.act(EVACUATE)

    assert [SECRET, SECRET] == desk.cloud.passwords
    assert SECRET not in json.dumps(logs, default=repr)
    assert SECRET not in repr(call)
    assert SECRET not in repr(desk.picture.view())


async def test_unreachable__said_once_and_when_it_is_back(desk: Desk) -> None:
    """Not each second of an outage."""
    with structlog.testing.capture_logs() as logs:
        desk.cloud.fault = CloudFault.UNWELL
        for _ in range(3):
            desk.calls.start_look(SERVICES)
            await desk.clock.advance(LOOK_PAUSE_S)
        desk.cloud.fault = None
        desk.calls.start_look(SERVICES)
        await rest()

    assert ["cloud_not_read", "cloud_reached"] == [log["event"] for log in logs]


async def test_look__progress_of_a_guest__is_noted_also_when_the_guest_is_gone(desk: Desk) -> None:
    """Of a server that was deleted nothing is under way."""
    asked_s = desk.clock.now_s()

    desk.calls.start_look(CloudLook(kind=CloudLookKind.PROGRESS, guest=a_guest(2)))
    await rest()

    view = desk.picture.view()
    assert ({a_guest(2): Progress()}, {a_guest(2): asked_s}) == (view.progress, view.progress_s)
