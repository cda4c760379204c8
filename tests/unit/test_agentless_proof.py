"""Hosts without an agent that were given up: the ladder, and any life after the proof."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.evacuator.cloud.places import is_seen
from hamon.model.change import (
    guard_of,
    incident_of,
)
from hamon.model.guest import PowerState
from hamon.model.host import Heartbeat, HostState
from hamon.model.incident import IncidentRecord, MigrationStatus, ShotOutcome
from hamon.model.proof import Evidence, Power, PowerReading, Vote
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView
from tests.agentless_builders import (
    FORCED,
    an_agentless_host,
    cloud_with,
    decided,
    of_no_boot,
    world,
)
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    a_device,
    a_host,
    a_migration,
    a_power_word,
    a_reading,
    a_shot,
    a_vote,
    an_incident,
    an_operators_word,
    an_own,
    off_twice,
    silence,
)
from tests.cloud_builders import a_server
from tests.decisions import changes_of, codes, state_written, writes

# -- the ladder -----------------------------------------------------------------------------------


def fencing(state: HostState = HostState.FENCING, **others: Any) -> HostView:  # noqa: ANN401
    """The host while it is fenced; its shot settled ten seconds ago, and power reads Off twice."""
    others.setdefault("readings", off_twice())
    return an_agentless_host(
        state,
        shot_settled_s=NOW_S - 10.0,
        last_shot=ShotOutcome.DONE,
        state_since_s=NOW_S - 11.0,
        **others,
    )


SHOT = of_no_boot(shots=(a_shot(),), level=1)


def test_fencing__not_ordered_yet__orders() -> None:
    """A person asked, so its power may be cut."""
    decision = decided(world(fencing(), incidents=[of_no_boot()]))

    assert "fence_shot" in codes(decision)


@pytest.mark.parametrize(
    ("case", "evidence", "is_proven"),
    [
        ("silent", silence(), True),
        ("answered long ago", (a_vote(Vote.ALIVE_WEAK, age_s=3.1),), True),
        ("a kernel answers", (*silence(), a_vote(Vote.ALIVE_WEAK)), False),
        ("an agent of any boot answers", (a_vote(Vote.ALIVE_STRONG, boot_id=BOOT),), False),
    ],
)
def test_fencing__off_twice__is_proven_only_where_nothing_answers(
    case: str,
    evidence: tuple[Evidence, ...],
    *,
    is_proven: bool,
) -> None:
    """It names no boot: whatever answers may be the one that is to be dead."""
    decision = decided(world(fencing(evidence=evidence), incidents=[SHOT]))

    assert is_proven is (state_written(decision, HOST) is HostState.FENCED), case
    assert is_proven is ("agentless_alive" not in codes(decision)), case


def test_fencing__a_session_of_a_forgotten_agent__is_no_proof() -> None:
    """Somebody runs an agent there after all."""
    host = replace(fencing(), heartbeat=Heartbeat(boot_id=BOOT))

    assert state_written(decided(world(host, incidents=[SHOT])), HOST) is None


def test_fencing__operators_word_and_a_kernel__is_no_proof() -> None:
    """A word counts only while nothing shows life."""
    incident = of_no_boot(proof=an_operators_word(None))
    silent, answers = (
        fencing(evidence=votes, readings=()) for votes in (silence(), (a_vote(Vote.ALIVE_WEAK),))
    )

    assert HostState.FENCED is state_written(decided(world(silent, incidents=[incident])), HOST)
    assert HostState.FENCED is not state_written(
        decided(world(answers, incidents=[incident])), HOST
    )


def test_fencing_failed__its_nova_compute_works__stays_shut_out() -> None:
    """No boot tells that the one that was to die is over: only a proof ends this."""
    host = fencing(HostState.FENCE_FAILED, readings=(a_reading(Power.ON, age_s=1.0),))
    cloud = cloud_with(FORCED, beats_s={HOST: NOW_S - 1.0})

    decision = decided(world(host, cloud=cloud, incidents=[SHOT]))

    assert HostState.RETURNING is not state_written(decision, HOST)
    assert "agentless_alive" in codes(decision)


# -- after the proof ------------------------------------------------------------------------------

PROVEN_S = NOW_S - 20.0


def proven(state: HostState = HostState.EVACUATING, **others: Any) -> HostView:  # noqa: ANN401
    """The host after its proof, 20 seconds ago, still read Off."""
    others.setdefault("readings", off_twice())
    others.setdefault("state_since_s", PROVEN_S)
    return an_agentless_host(state, **others)


def incident(*migrations: MigrationView, **others: Any) -> IncidentView:  # noqa: ANN401
    """Its incident, proven by power."""
    others.setdefault("proof", a_power_word(None))
    return of_no_boot(*migrations, shots=(a_shot(),), level=1, **others)


def after_proof(
    host: HostView,
    *migrations: MigrationView,
    beat_s: float | None = None,
    **others: Any,  # noqa: ANN401
) -> ClusterView:
    """The world after the proof; ``beat_s``: after which a heartbeat came."""
    beats = {} if beat_s is None else {HOST: beat_s}
    cloud = cloud_with(FORCED, beats_s=beats)
    return world(host, cloud=cloud, incidents=[incident(*migrations)], **others)


ALIVE = a_vote(Vote.ALIVE_WEAK, for_s=10.0)
ON = (a_reading(Power.ON, age_s=1.0),)
UNKNOWN = (a_reading(Power.UNKNOWN, age_s=1.0),)


@pytest.mark.parametrize("state", [HostState.FENCED, HostState.EVACUATING])
@pytest.mark.parametrize("readings", [off_twice(), UNKNOWN, ()])
@pytest.mark.parametrize(
    ("case", "evidence", "beat_s"),
    [
        ("a kernel answers", (ALIVE,), None),
        ("an agent answers", (a_vote(Vote.ALIVE_STRONG, boot_id=BOOT),), None),
        ("a heartbeat in Nova", silence(), NOW_S - 5.0),
    ],
)
def test_evacuating__any_life_without_power_on__contradicts_the_proof(
    case: str,
    evidence: tuple[Evidence, ...],
    beat_s: float | None,
    readings: tuple[PowerReading, ...],
    state: HostState,
) -> None:
    """As for others: nothing more moves, the level that lied is distrusted, and it pages."""
    host = proven(state, evidence=evidence, readings=readings)

    decision = decided(after_proof(host, a_migration(), beat_s=beat_s))

    assert HostState.FENCING is state_written(decision, HOST), case
    assert "proof_contradicted" in codes(decision), case
    written = writes(*decision.transitions)[incident_of(INCIDENT)]
    assert isinstance(written, IncidentRecord)
    assert (None, 2, 2) == (written.proof, written.floor, written.attempt)


@pytest.mark.parametrize(
    ("case", "evidence", "beat_s", "own"),
    [
        ("silent", silence(), None, {}),
        ("an answer that is old by now", (a_vote(Vote.ALIVE_WEAK, age_s=3.1),), None, {}),
        ("a heartbeat that may be from before the proof", silence(), PROVEN_S, {}),
        ("a heartbeat that came before this leader took office", silence(), NOW_S - 9.0,
         {"took_office_s": NOW_S - 9.0}),
    ],
)  # fmt: skip
def test_evacuating__no_life_since_the_proof__goes_on(
    case: str,
    evidence: tuple[Evidence, ...],
    beat_s: float | None,
    own: dict[str, Any],
) -> None:
    """What it did while it may have lived is no contradiction."""
    view = after_proof(proven(evidence=evidence), a_migration(), beat_s=beat_s, own=an_own(**own))

    assert state_written(decided(view), HOST) is None, case


@pytest.mark.parametrize(
    ("case", "state", "migrations", "listed_s"),
    [
        ("guests not listed yet", HostState.FENCED, (), {}),
        ("a guest still to move", HostState.EVACUATED, (a_migration(),), {HOST: NOW_S}),
    ],
)
def test_proven__it_is_needed_and_any_life__contradicts_at_once(
    case: str,
    state: HostState,
    migrations: tuple[MigrationView, ...],
    listed_s: dict[str, float],
) -> None:
    """Power is not waited for while something could move on the proof."""
    view = after_proof(proven(state, evidence=(ALIVE,), readings=()), *migrations)
    assert view.cloud is not None
    view = replace(view, cloud=replace(view.cloud, listed_s=listed_s))

    assert HostState.FENCING is state_written(decided(view), HOST), case


def test_evacuating__answered_just_before_the_proof__goes_on() -> None:
    """The last answer of the boot that was switched off is no life after it."""
    host = proven(evidence=(a_vote(Vote.ALIVE_WEAK, age_s=2.0),), state_since_s=NOW_S - 1.0)

    assert state_written(decided(after_proof(host, a_migration())), HOST) is None


def test_evacuating__held__does_not_fence_again() -> None:
    """A disarm stops also this."""
    view = after_proof(proven(evidence=(ALIVE,)), a_migration(), is_armed=False)

    assert state_written(decided(view), HOST) is None


def test_evacuating__switched_on_and_a_guest_could_move__is_fenced_again() -> None:
    """As for others: the guest goes where it would have gone; no device is distrusted."""
    decision = decided(after_proof(proven(evidence=(ALIVE,), readings=ON), a_migration()))

    assert "power_on_again" in codes(decision)
    assert "proof_contradicted" not in codes(decision)


def test_evacuated__switched_on__waits_for_its_nova_compute() -> None:
    """A host that boots is no contradiction, and not back before Nova hears of it."""
    host = proven(HostState.EVACUATED, evidence=(ALIVE,), readings=ON)

    decision = decided(after_proof(host, a_migration(1, MigrationStatus.DONE)))

    assert state_written(decision, HOST) is None
    assert "agentless_powered_on" in codes(decision)


@pytest.mark.parametrize("state", [HostState.EVACUATING, HostState.EVACUATED])
@pytest.mark.parametrize("evidence", [silence(), (ALIVE,)])
def test_switched_on__its_nova_compute_sends_a_heartbeat__is_returning(
    state: HostState,
    evidence: tuple[Evidence, ...],
) -> None:
    """Off was proven, On was read since: what works there now is a later boot."""
    view = after_proof(
        proven(state, evidence=evidence, readings=ON), a_migration(), beat_s=NOW_S - 5.0
    )

    decision = decided(view)

    assert HostState.RETURNING is state_written(decision, HOST)
    assert guard_of(HOST) not in writes(*changes_of(decision))


def test_switched_on__every_level_is_distrusted__any_device_tells() -> None:
    """What is proven by a person's word alone comes back too, once a device is mended."""
    view = after_proof(proven(HostState.EVACUATED, readings=ON), beat_s=NOW_S - 5.0)
    distrusted = incident(proof=an_operators_word(None))
    distrusted = replace(
        distrusted,
        record=replace(distrusted.record, value=replace(distrusted.record.value, level=9)),
    )

    decision = decided(replace(view, incidents={INCIDENT: distrusted}))

    assert HostState.RETURNING is state_written(decision, HOST)


def test_heartbeat__on_was_read_long_ago__is_not_returning() -> None:
    """It may have been switched off since."""
    host = proven(
        HostState.EVACUATED,
        readings=(a_reading(Power.ON, age_s=31.0),),
        state_since_s=NOW_S - 100.0,
    )

    assert state_written(decided(after_proof(host, beat_s=NOW_S - 5.0)), HOST) is None


@pytest.mark.parametrize(
    ("case", "readings"),
    [
        ("Off", off_twice()),
        ("On of another level", (*off_twice(), a_reading(Power.ON, age_s=0.1, device="pdu"))),
        ("On from before the proof", (a_reading(Power.ON, age_s=21.0),)),
        ("On of another machine", (a_reading(Power.ON, age_s=1.0, identity="ff" * 16),)),
    ],
)
def test_heartbeat__its_device_does_not_read_on__is_not_returning(
    case: str,
    readings: tuple[PowerReading, ...],
) -> None:
    """An outlet reads On when the BMC switched the machine off: that is nobody's return."""
    host = proven(
        HostState.EVACUATED, readings=readings, fence=(a_device(), a_device("pdu", level=2))
    )

    decision = decided(after_proof(host, beat_s=NOW_S - 5.0))

    assert HostState.RETURNING is not state_written(decision, HOST), case


def test_evacuated__life_and_power_not_read__power_is_looked_at() -> None:
    """Nobody reads the power of a host that is done with: it is read before anything is said."""
    host = proven(HostState.EVACUATED, evidence=(ALIVE,), readings=())

    decision = decided(after_proof(host, a_migration(1, MigrationStatus.DONE)))

    assert state_written(decision, HOST) is None
    assert "agentless_stirs" in codes(decision)
    assert ["bmc"] == [look.device for look in decision.looks if hasattr(look, "device")]


@pytest.mark.parametrize(
    ("case", "vote", "off_age_s", "is_contradicted"),
    [
        ("Off while it answers", a_vote(Vote.ALIVE_WEAK, for_s=10.0), 3.0, True),
        ("Off before it answered", a_vote(Vote.ALIVE_WEAK, for_s=2.0), 3.0, False),
        ("Off after it answered last", a_vote(Vote.ALIVE_WEAK, age_s=2.0, for_s=10.0), 1.0, False),
    ],
)
def test_evacuated__life_and_power_off__contradicts_only_when_both_at_once(
    case: str,
    vote: Evidence,
    off_age_s: float,
    *,
    is_contradicted: bool,
) -> None:
    """Off before it was switched on, and after it was switched off again, is no lie."""
    host = proven(
        HostState.EVACUATED, evidence=(vote,), readings=(a_reading(Power.OFF, age_s=off_age_s),)
    )

    decision = decided(after_proof(host, a_migration(1, MigrationStatus.DONE)))

    assert is_contradicted is (state_written(decision, HOST) is HostState.FENCING), case
    assert is_contradicted is ("proof_contradicted" in codes(decision)), case


@pytest.mark.parametrize("state", [HostState.FENCED, HostState.EVACUATING])
def test_services__while_its_proof_is_needed__are_read_often(state: HostState) -> None:
    """Its heartbeat would be the sign: it is not looked for only every ten seconds."""
    view = after_proof(proven(state), a_migration())
    assert view.cloud is not None
    view = replace(view, cloud=replace(view.cloud, services_s=NOW_S - 1.5))

    kinds = {getattr(look, "kind", "") for look in decided(view).looks}

    assert "services" in kinds


def test_agent_host__a_kernel_answers_after_the_proof__is_no_contradiction() -> None:
    """With an agent the boot id decides; a kernel names none."""
    host = a_host(
        HOST, HostState.EVACUATING, evidence=(ALIVE,), readings=off_twice(), state_since_s=PROVEN_S
    )
    view = world(host, FORCED, incidents=[an_incident(a_migration(), proof=a_power_word())])

    assert state_written(decided(view), HOST) is None


def test_destination__without_an_agent__is_confirmed_by_novas_word() -> None:
    """Nobody there could say more: a leftover of a former agent's listing has no say."""
    former = a_host(SPARE)
    bare = replace(former, spec=replace(former.spec, agentless=True))
    guest = a_server().guest

    assert is_seen(former, guest, PowerState.RUNNING) is False
    assert is_seen(bare, guest, PowerState.RUNNING) is None
