"""``hamon fence off`` and ``on``: the guards of a hand on the power button."""

from __future__ import annotations

from typing import Any

import pytest

from hamon.decide.tick import decide
from hamon.model.action import PowerOn
from hamon.model.change import Decision, Versioned, guard_of, incident_of, request_of
from hamon.model.control import Request, RequestKind, RequestState
from hamon.model.host import HostGuard, HostState, Right
from hamon.model.incident import IncidentRecord, Trigger
from hamon.model.names import IncidentId
from hamon.model.policy import Mode, Policy
from hamon.model.proof import Power
from hamon.model.view import HostView
from tests.builders import (
    BOOT,
    GUARD_VERSION,
    HOST,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_device,
    a_host,
    a_lost_host,
    a_reading,
    a_request,
    a_shot,
    a_view,
    an_incident,
)
from tests.decisions import changes_of, state_written, writes

FIRST = "r-0000000000"
OPENED = IncidentId(f"{HOST}-{GUARD_VERSION + 1}")
OFF = a_request(RequestKind.FENCE_OFF, HOST, boot_id=BOOT, reason="smoke")
OFF_ALIVE = a_request(RequestKind.FENCE_OFF, HOST, boot_id=BOOT, reason="smoke", force=True)
ON = a_request(RequestKind.FENCE_ON, HOST, reason="repaired")
TWO_FEEDS = (a_device("left"), a_device("right"), a_device("pdu", level=2))


def answered(request: Any, host: HostView, **world: Any) -> tuple[Request, Decision]:  # noqa: ANN401
    """The answer to one request about a host beside a well one, and the decision."""
    mode = world.pop("mode", Mode.ACTIVE)
    view = a_view(host, a_host(SPARE), requests=[request], **world)
    decision = decide(view, Policy(mode=mode), NOW_S)
    found = writes(*changes_of(decision))[request_of(FIRST)]
    assert isinstance(found, Request)
    return found, decision


def ordered(decision: Decision) -> list[str]:
    """The devices that are ordered to switch on."""
    return [i.action.device for i in decision.intents if isinstance(i.action, PowerOn)]


# -- off ------------------------------------------------------------------------------------------


def test_off__host_that_nobody_hears__opens_the_same_incident() -> None:
    """By hand the same conviction, ladder and proof."""
    said, decision = answered(OFF, a_lost_host(readings=()))

    assert (RequestState.ACCEPTED, OPENED) == (said.state, said.incident)
    written = writes(*changes_of(decision))
    guard, opened = written[guard_of(HOST)], written[incident_of(OPENED)]
    assert isinstance(guard, HostGuard)
    assert isinstance(opened, IncidentRecord)
    assert (Right.SHUT_OUT, Trigger.OPERATOR, None) == (guard.right, opened.trigger, opened.proof)


def test_off__host_that_lives__is_refused_without_saying_so() -> None:
    """A sign of life stops a hand that does not know of it."""
    said, decision = answered(OFF, a_host())

    assert (RequestState.REFUSED, "--even-alive" in said.advice) == (said.state, True)
    assert None is state_written(decision, HOST)


def test_off__host_that_lives_and_that_is_known__is_fenced_and_written_down() -> None:
    """What was passed over is in the incident."""
    _, decision = answered(OFF_ALIVE, a_host())

    assert HostState.FENCING is state_written(decision, HOST)
    opened = writes(*changes_of(decision))[incident_of(OPENED)]
    assert isinstance(opened, IncidentRecord)
    assert any(text.startswith("alive: alive_by_session") for text in opened.overridden)


@pytest.mark.parametrize(
    ("case", "request_", "world"),
    [
        ("disarmed", OFF_ALIVE, {"is_armed": False}),
        ("shadow", OFF_ALIVE, {"mode": Mode.SHADOW}),
        ("another boot", a_request(RequestKind.FENCE_OFF, HOST, boot_id=NEXT_BOOT, force=True), {}),
        ("not enrolled", a_request(RequestKind.FENCE_OFF, None), {}),
    ],
)
def test_off__guard_that_nobody_passes__is_refused(
    case: str,
    request_: Versioned[Request],
    world: dict[str, Any],
) -> None:
    """Force passes a sign of life, and nothing else."""
    said, decision = answered(request_, a_host(), **world)

    assert RequestState.REFUSED is said.state, case
    assert None is state_written(decision, HOST), case


def test_off__fencing_had_failed__climbs_once_more() -> None:
    """Nobody has to wait for the next attempt."""
    host = a_host(HOST, HostState.FENCE_FAILED, state_since_s=NOW_S)
    said, decision = answered(OFF, host, incidents=[an_incident()])

    assert RequestState.ACCEPTED is said.state
    assert HostState.FENCING is state_written(decision, HOST)


def test_off__shut_out_already__is_refused() -> None:
    """There is nothing left to do."""
    said, _ = answered(OFF, a_host(HOST, HostState.EVACUATED), incidents=[an_incident()])

    assert (RequestState.REFUSED, True) == (said.state, "shut out already" in said.answer)


# -- on -------------------------------------------------------------------------------------------


def test_on__evacuated_host__orders_each_feed_of_the_lowest_level() -> None:
    """A host with two feeds has power when both are on; the answer goes with the first order."""
    host = a_host(HOST, HostState.EVACUATED, fence=TWO_FEEDS)

    said, decision = answered(ON, host, incidents=[an_incident()])

    assert RequestState.ACCEPTED is said.state
    assert ["left", "right"] == ordered(decision)


@pytest.mark.parametrize(
    "state",
    [HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING],
)
def test_on__proof_is_made_or_needed__is_refused(state: HostState) -> None:
    """Power that comes back voids the proof that guests are moved on."""
    said, decision = answered(ON, a_host(HOST, state), incidents=[an_incident()])

    assert (RequestState.REFUSED, []) == (said.state, ordered(decision))


@pytest.mark.parametrize(
    ("case", "host", "world"),
    [
        ("disarmed", a_host(HOST, HostState.EVACUATED), {"is_armed": False}),
        ("shadow", a_host(HOST, HostState.EVACUATED), {"mode": Mode.SHADOW}),
        ("no switch", a_host(fence=(a_device("hook", kind="storage"),)), {}),
    ],
)
def test_on__nothing_may_or_can_be_ordered__is_refused(
    case: str, host: HostView, world: dict[str, Any]
) -> None:
    """Hamon powers a host on only by command, and only where it may act."""
    said, decision = answered(ON, host, incidents=[an_incident()], **world)

    assert (RequestState.REFUSED, []) == (said.state, ordered(decision)), case


# -- storage that was taken away ------------------------------------------------------------------


def test_returning__its_storage_was_taken__is_given_back_before_it_serves() -> None:
    """Nothing starts there before its stale copies are gone, and none can before its storage."""
    fence = (a_device("hook", kind="storage"),)
    incident = an_incident(shots=(a_shot("hook"),))

    def thought(**others: Any) -> Decision:  # noqa: ANN401 - any field of the view
        host = a_host(
            HOST,
            HostState.RETURNING,
            boot_id=NEXT_BOOT,
            is_here=True,
            domains={},
            fence=fence,
            state_since_s=NOW_S - 5.0,
            **others,
        )
        return decide(a_view(host, a_host(SPARE), incidents=[incident]), Policy(), NOW_S)

    revoked, granted = (
        (a_reading(power, age_s=1.0, device="hook"),) for power in (Power.OFF, Power.ON)
    )
    assert ["hook"] == ordered(thought(readings=revoked))
    assert None is state_written(thought(readings=revoked), HOST)
    assert ["hook"] == ordered(thought())
    done = thought(readings=granted)
    assert [] == ordered(done)
    assert HostState.UP is state_written(done, HOST)
