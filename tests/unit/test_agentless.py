"""Hosts without an agent while they may live: told of, and given up only by a person."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.model.change import (
    CONTROL,
    Decision,
    Versioned,
    guard_of,
    incident_of,
    record_of,
    request_of,
    self_of,
)
from hamon.model.cloud import CloudView, ComputeService
from hamon.model.control import HoldKind, Request, RequestKind, RequestState
from hamon.model.host import Heartbeat, HostGuard, HostRecord, HostState, Right
from hamon.model.incident import IncidentRecord, MigrationStatus, Trigger
from hamon.model.names import HostName, IncidentId
from hamon.model.proof import Evidence, Power, ProofMethod, Vote
from hamon.model.view import ClusterView, HostView
from tests.agentless_builders import (
    CELL_DOWN,
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
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NOW_S,
    RECORD_VERSION,
    SELF_VERSION,
    SPARE,
    a_host,
    a_lost_host,
    a_migration,
    a_reading,
    a_request,
    a_view,
    a_vote,
    off_twice,
    silence,
)
from tests.decisions import changes_of, checks, codes, state_written, writes

FIRST = "r-0000000000"
OPENED = IncidentId(f"{HOST}-{GUARD_VERSION + 1}")
EVACUATE_HOST = a_request(RequestKind.EVACUATE_HOST, HOST)
CONFIRM = a_request(RequestKind.CONFIRM_DOWN, HOST, reason="plugs pulled")


# -- while it may live ----------------------------------------------------------------------------


def test_never_seen__service_up__is_up() -> None:
    """Nobody registers there: Nova's word is what makes it known."""
    decision = decided(world(an_agentless_host(None), UP))

    record = writes(*decision.transitions)[record_of(HOST)]
    assert isinstance(record, HostRecord)
    assert (HostState.UP, None, "agentless_seen") == (record.state, record.boot_id, record.reason)


TOLD = [
    ("up", UP, set()),
    ("down", DOWN, {"agentless_down"}),
    ("forced down by an operator", FORCED, {"agentless_forced_down"}),
    ("its cell is down", CELL_DOWN, {"agentless_unknown"}),
    ("not in Nova", None, {"agentless_unknown"}),
]


@pytest.mark.parametrize(("case", "service", "told"), TOLD[1:])
def test_never_seen__service_not_up__stays_unknown(
    case: str, service: ComputeService | None, told: set[str]
) -> None:
    """What was never up is told of, and has no state."""
    decision = decided(world(an_agentless_host(None), service))

    assert () == decision.transitions, case
    assert told == codes(decision), case


@pytest.mark.parametrize(("case", "service", "told"), TOLD)
@pytest.mark.parametrize("state", [HostState.UP, HostState.QUARANTINED])
def test_live__by_novas_word__is_told_and_never_convicted(
    case: str, service: ComputeService | None, told: set[str], state: HostState
) -> None:
    """Silent, and power read Off twice: what convicts every other host does nothing here."""
    host = an_agentless_host(state, readings=off_twice(), returns=2, state_since_s=NOW_S - 1.0)

    decision = decided(world(host, service))

    assert ((), ()) == (decision.transitions, decision.intents), case
    assert told == codes(decision) - {"quarantined"}, case
    assert HOST not in {getattr(look, "host", "") for look in decision.looks}, case


def test_live__nova_not_read_for_long__is_unknown() -> None:
    """An old word is not shown as if it held."""
    view = world(an_agentless_host(), cloud=cloud_with(UP, age_s=31.0))

    assert "agentless_unknown" in codes(decided(view))


def test_live__in_maintenance__is_not_told_of() -> None:
    """Whoever works on it knows that it is down."""
    assert "agentless_down" not in codes(decided(world(an_agentless_host(), maintenance=[HOST])))


def test_records_left_open__after_a_return__are_told_of() -> None:
    """They could destroy a guest that comes back, agent or not."""
    host = an_agentless_host()
    assert host.record.value is not None
    returned = replace(host.record, value=replace(host.record.value, left_open=(41,)))

    assert "records_left_open" in codes(decided(world(replace(host, record=returned), UP)))


def test_quarantine__over__is_up() -> None:
    """A host that flaps waits as long as any other."""
    waits_s = POLICY.recovery.quarantine_s
    host = an_agentless_host(HostState.QUARANTINED, returns=2, state_since_s=NOW_S - waits_s)

    assert HostState.UP is state_written(decided(world(host, UP)), HOST)


@pytest.mark.parametrize("state", [HostState.SUSPECT, HostState.LEAVING, HostState.RESTARTED])
def test_state_of_a_former_agent__service_up__is_up(state: HostState) -> None:
    """A host whose agent was taken away is not stuck in what only an agent can end."""
    host = an_agentless_host(state)

    assert HostState.UP is state_written(decided(world(host, UP)), HOST)
    assert state_written(decided(world(host, DOWN)), HOST) is None


def agentless_fleet(state: HostState) -> list[HostView]:
    """Four hosts without agents."""
    one = an_agentless_host(state, state_since_s=NOW_S - 1.0)
    return [
        replace(one, spec=replace(one.spec, name=HostName(f"bare-{number}"))) for number in range(4)
    ]


@pytest.mark.parametrize("state", [HostState.UP, HostState.FENCING])
def test_storm__of_hosts_without_agents__holds_nobody(state: HostState) -> None:
    """They have no session to lose, and a person gives them up one by one."""
    view = a_view(a_lost_host(), a_host(SPARE), *agentless_fleet(state))

    decision = decided(replace(view, cloud=cloud_with(DOWN)))

    assert HoldKind.STORM not in {r.facts.get("kind") for r in decision.reasons}
    assert HostState.FENCING is state_written(decision, HOST)


def test_storm_limit__hosts_without_agents__do_not_raise_it() -> None:
    """A share of those that can be lost at all: two lost of eight is a storm, whoever else is."""
    lost = [a_lost_host(HostName(f"lost-{n}")) for n in range(2)]
    well = [a_host(HostName(f"well-{n}")) for n in range(2)]
    view = a_view(*lost, *well, *agentless_fleet(HostState.UP))

    decision = decided(replace(view, cloud=cloud_with(UP)))

    assert HoldKind.STORM in {r.facts.get("kind") for r in decision.reasons}


# -- given up by a person -------------------------------------------------------------------------


def answered(view: ClusterView) -> tuple[Request, Decision]:
    """The answer to the first request of a view."""
    decision = decided(view)
    written = writes(*changes_of(decision))[request_of(FIRST)]
    assert isinstance(written, Request)
    return written, decision


def opened_in(decision: Decision) -> IncidentRecord:
    """The incident that was opened."""
    record = writes(*changes_of(decision))[incident_of(OPENED)]
    assert isinstance(record, IncidentRecord)
    return record


@pytest.mark.parametrize("state", [None, HostState.UP, HostState.QUARANTINED])
@pytest.mark.parametrize("service", [DOWN, FORCED])
def test_evacuate_host__down_and_silent__opens_an_incident_of_no_boot(
    service: ComputeService, state: HostState | None
) -> None:
    """The same incident as for others; also where hamon never saw the host up."""
    request, decision = answered(world(an_agentless_host(state), service, requests=[EVACUATE_HOST]))

    assert (RequestState.ACCEPTED, OPENED) == (request.state, request.incident)
    opened = opened_in(decision)
    assert (Trigger.OPERATOR, "ada", None, None) == (
        opened.trigger,
        opened.who,
        opened.boot_id,
        opened.proof,
    )
    assert opened.evidence[0].startswith("Nova: nova-compute")
    assert any("silent" in line for line in opened.evidence)
    (change,) = [c for c in decision.transitions if request_of(FIRST) in writes(c)]
    guard = HostGuard(right=Right.SHUT_OUT, boot_id=None, incident=OPENED)
    assert (HostState.FENCING, guard) == (
        state_written(decision, HOST),
        writes(change)[guard_of(HOST)],
    )
    guarded = checks(change)
    assert (CONTROL_VERSION, SELF_VERSION, GUARD_VERSION, RECORD_VERSION) == (
        guarded[CONTROL],
        guarded[self_of(HOST)],
        guarded[guard_of(HOST)],
        guarded[record_of(HOST)],
    )


def test_evacuate_host__had_an_agent_once__names_no_boot() -> None:
    """What an agent registered long ago says nothing of the boot that is given up."""
    former = an_agentless_host()
    former = replace(former, self_=a_host().self_)

    _, decision = answered(world(former, requests=[EVACUATE_HOST]))

    assert opened_in(decision).boot_id is None


def heard(vote: Vote, **others: Any) -> HostView:  # noqa: ANN401
    """A host of which one plane tells this, and the other is silent."""
    votes = (*silence()[1:], a_vote(vote, **others))
    return an_agentless_host(evidence=votes)


REFUSED = [
    ("Nova calls it up", an_agentless_host(), cloud_with(UP), "still in use"),
    ("a kernel answers", heard(Vote.ALIVE_WEAK), cloud_with(DOWN), "alive by plane management"),
    ("an agent answers", heard(Vote.ALIVE_STRONG, boot_id=BOOT), cloud_with(DOWN), "is alive"),
    ("answered three seconds ago", heard(Vote.ALIVE_WEAK, age_s=2.9), cloud_with(DOWN), "is alive"),
    ("a session", replace(an_agentless_host(), heartbeat=Heartbeat(boot_id=BOOT)),
     cloud_with(DOWN), "alive by a session"),
    ("forced down, and sends heartbeats", an_agentless_host(),
     cloud_with(FORCED, beats_s={HOST: NOW_S - 44.0}), "a heartbeat of its nova-compute"),
    ("its cell is down", an_agentless_host(), cloud_with(CELL_DOWN), "its cell is down"),
    ("not in Nova", an_agentless_host(), cloud_with(None), "no nova-compute host-1"),
    ("Nova not read lately", an_agentless_host(), cloud_with(DOWN, age_s=31.0), "31 s ago"),
    ("Nova never read", an_agentless_host(), cloud_with(DOWN, services_s=None), "not been read"),
    ("no probe", an_agentless_host(evidence=()), cloud_with(DOWN), "no probe"),
    ("no fresh probe", an_agentless_host(evidence=silence(age_s=3.1)), cloud_with(DOWN),
     "no probe"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "host", "cloud", "why"), REFUSED)
@pytest.mark.parametrize("request_", [EVACUATE_HOST, CONFIRM])
def test_given_up__alive_or_not_known__is_refused(
    case: str,
    host: HostView,
    cloud: CloudView,
    why: str,
    request_: Versioned[Request],
) -> None:
    """Neither command passes a sign of life, or a lack of knowledge."""
    request, decision = answered(world(host, cloud=cloud, requests=[request_]))

    assert RequestState.REFUSED is request.state, case
    assert why in request.answer, case
    assert request.advice, case
    assert state_written(decision, HOST) is None, case


@pytest.mark.parametrize(
    ("case", "host", "beats_s"),
    [
        ("a heartbeat long ago", an_agentless_host(), {HOST: NOW_S - 46.0}),
        ("a heartbeat of another", an_agentless_host(), {SPARE: NOW_S}),
        ("an answer long ago", heard(Vote.ALIVE_WEAK, age_s=3.1), {}),
    ],
)
def test_given_up__life_is_old__is_accepted(
    case: str, host: HostView, beats_s: dict[str, float]
) -> None:
    """What was alive may have died."""
    request, _ = answered(
        world(host, cloud=cloud_with(FORCED, beats_s=beats_s), requests=[EVACUATE_HOST])
    )

    assert RequestState.ACCEPTED is request.state, case


def test_evacuate_host__held__passes_what_may_be_passed_and_writes_it_down() -> None:
    """Holds are those of any other host."""
    view = world(an_agentless_host(), requests=[EVACUATE_HOST], maintenance=[HOST])

    assert ("maintenance: new disks",) == opened_in(answered(view)[1]).overridden
    assert (
        "held by disarmed"
        in answered(world(an_agentless_host(), requests=[EVACUATE_HOST], is_armed=False))[0].answer
    )


def test_confirm_down__silent__opens_an_incident_with_the_word() -> None:
    """The word is for a host that names no boot."""
    _, decision = answered(world(an_agentless_host(), requests=[CONFIRM]))

    proof = opened_in(decision).proof
    assert proof is not None
    assert (ProofMethod.OPERATOR, None, "ada") == (proof.method, proof.boot_id, proof.operator)


def test_confirm_down__power_on__is_refused() -> None:
    """Nobody's word stands against a device that reads On."""
    host = an_agentless_host(readings=(a_reading(Power.ON, age_s=1.0),))

    request, _ = answered(world(host, requests=[CONFIRM]))

    assert "reads power On" in request.answer


def test_confirm_down__fencing_failed__is_proof_of_the_open_incident() -> None:
    """When its devices do not answer, an operator's word ends the wait."""
    host = an_agentless_host(HostState.FENCE_FAILED)

    view = world(host, incidents=[of_no_boot()], requests=[CONFIRM])

    request, decision = answered(view)
    assert RequestState.ACCEPTED is request.state
    written = writes(*changes_of(decision))[incident_of(INCIDENT)]
    assert isinstance(written, IncidentRecord)
    assert written.proof is not None


def test_evacuate_host__coming_back_and_lost_again__opens_another_incident() -> None:
    """Nothing convicts it by itself, and the guests that stayed there are down."""
    host = an_agentless_host(HostState.RETURNING)
    stays = of_no_boot(a_migration(1, MigrationStatus.STAYS))

    request, decision = answered(world(host, FORCED, incidents=[stays], requests=[EVACUATE_HOST]))

    assert (RequestState.ACCEPTED, OPENED) == (request.state, request.incident)
    assert HostState.FENCING is state_written(decision, HOST)


@pytest.mark.parametrize(
    ("case", "status", "evidence"),
    [
        ("guests on their way", MigrationStatus.ACCEPTED, silence()),
        ("heard", MigrationStatus.DONE, (a_vote(Vote.ALIVE_WEAK),)),
    ],
)
def test_evacuate_host__coming_back__is_refused(
    case: str, status: MigrationStatus, evidence: tuple[Evidence, ...]
) -> None:
    """Not while it is seen to live, and not while its former incident still moves guests."""
    host = an_agentless_host(HostState.RETURNING, evidence=evidence)

    request, _ = answered(
        world(
            host, FORCED, incidents=[of_no_boot(a_migration(1, status))], requests=[EVACUATE_HOST]
        )
    )

    assert RequestState.REFUSED is request.state, case
