"""The tick: one round over the whole cluster, and what is true of every round."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamon.decide.tick import decide, fresh_proofs
from hamon.model.action import PowerOn, Shoot
from hamon.model.change import (
    CONTROL,
    Check,
    Create,
    Decision,
    NodeKind,
    guard_of,
    self_of,
)
from hamon.model.control import RequestKind
from hamon.model.guest import GrantState
from hamon.model.host import HostState, Leaving
from hamon.model.incident import MigrationStatus
from hamon.model.names import HostName, IncidentId
from hamon.model.policy import Policy
from hamon.model.proof import Power
from hamon.model.view import ClusterView, HostView, IncidentView
from tests.builders import (
    BOOT,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    THIRD,
    a_grant,
    a_guest,
    a_host,
    a_lost_host,
    a_migration,
    a_power_word,
    a_reading,
    a_request,
    a_shot,
    a_view,
    an_entry,
    an_incident,
    an_operators_word,
    an_own,
    echoes,
    off_twice,
    owned_by,
    silence,
)
from tests.decisions import assert_sound, changes_of, checks, codes, offered, state_written, writes

POLICY = Policy()
GUEST = a_guest()


# -- one round ------------------------------------------------------------------------------------


def test_decide__well_cluster__does_nothing() -> None:
    """A round over a well cluster has nothing to say."""
    host = a_host(entries=[an_entry()], grants={GUEST: a_grant()})

    assert Decision() == decide(a_view(host, a_host(SPARE)), POLICY, NOW_S)


def test_decide__empty_cluster__does_nothing() -> None:
    """Without hosts there is nothing to think about."""
    assert Decision() == decide(a_view(), POLICY, NOW_S)


def test_decide__one_guest_without_a_host__the_others_go() -> None:
    """A guest that cannot be placed blocks nobody (L2)."""
    host = a_host(
        HOST,
        HostState.EVACUATING,
        entries=[an_entry(1, ram_mib=99_999), an_entry(2)],
        readings=off_twice(),
    )
    incident = an_incident(a_migration(1), a_migration(2), proof=a_power_word())
    owned = {a_guest(n): owned_by(HOST, n, migration=INCIDENT) for n in (1, 2)}

    decision = decide(
        a_view(host, a_host(SPARE), guests=owned, incidents=[incident]), POLICY, NOW_S
    )

    assert {a_guest(2): SPARE} == offered(decision)


def test_decide__request_and_detector_convict_at_once__one_conviction() -> None:
    """A host that a request just changed is thought about again when it has been read."""
    request = a_request(RequestKind.EVACUATE_HOST, HOST)
    view = a_view(a_lost_host(HOST, HostState.SUSPECT), a_host(SPARE), requests=[request])

    decision = decide(view, POLICY, NOW_S)

    assert_sound(view, decision)
    convictions = [c for c in decision.transitions if guard_of(HOST) in writes(c)]
    assert 1 == len(convictions)
    assert any(key.kind is NodeKind.REQUEST for key in writes(*convictions))


def test_decide__two_incidents__do_not_overfill_a_host() -> None:
    """What one incident was given counts for the next one in the same round."""
    names = (HOST, HostName("host-9"))
    hosts = [
        a_host(
            name,
            HostState.EVACUATING,
            entries=[an_entry(number, ram_mib=5000)],
            readings=off_twice(name),
        )
        for number, name in enumerate(names, start=1)
    ]
    incidents = [
        an_incident(
            a_migration(number, incident=IncidentId(f"{name}-{GUARD_VERSION}"), source=name),
            host=name,
            proof=a_power_word(),
        )
        for number, name in enumerate(names, start=1)
    ]
    owned = {
        a_guest(number): owned_by(name, number, migration=IncidentId(f"{name}-{GUARD_VERSION}"))
        for number, name in enumerate(names, start=1)
    }

    decision = decide(
        a_view(*hosts, a_host(SPARE), guests=owned, incidents=incidents), POLICY, NOW_S
    )

    assert {a_guest(1): SPARE} == offered(decision)


def test_decide__stand_alone__thinks_about_its_host_only() -> None:
    """A controller started by hand for one host leaves every other host alone."""
    lost = [a_lost_host(name) for name in (HOST, THIRD)]
    view = a_view(*lost, *(a_host(HostName(f"well-{n}")) for n in range(8)))
    alone = replace(view, own=an_own(only_host=HOST))

    assert (HostState.FENCING, None) == (
        state_written(decide(alone, POLICY, NOW_S), HOST),
        state_written(decide(alone, POLICY, NOW_S), THIRD),
    )


def test_decide__held__says_so_and_when_to_look_again() -> None:
    """Every hold in force is among the reasons, and its end wakes the loop."""
    view = a_view(a_host(), own=an_own(lagged_s=NOW_S - 1.0))

    decision = decide(view, POLICY, NOW_S)

    assert {"hold"} == codes(decision)
    assert NOW_S + 4.0 == decision.wake_at_s


# -- proofs of a round ----------------------------------------------------------------------------


def test_fresh_proofs__by_state__only_of_hosts_proven_dead() -> None:
    """A host that is only being fenced has no proof, whatever its power reads."""
    expected = {HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED}

    proven = {
        state
        for state in HostState
        if fresh_proofs(
            a_view(
                a_host(HOST, state, is_here=False, readings=off_twice()),
                incidents=[an_incident(proof=a_power_word())],
            ),
            POLICY,
            NOW_S,
        )
    }

    assert expected == proven


def test_fresh_proofs__incident_not_read__is_none() -> None:
    """Without its incident nothing is proven of a host."""
    host = a_host(HOST, HostState.FENCED, readings=off_twice())

    assert {} == fresh_proofs(a_view(host), POLICY, NOW_S)


@pytest.mark.fault("F33")
def test_decide__destination_died_too__its_claims_end_by_its_own_proof() -> None:
    """Cascade: the guest waits again only when the second host is proven dead as well (F33)."""
    source = a_host(HOST, HostState.EVACUATING, entries=[an_entry()], readings=off_twice())
    claim = a_grant(GrantState.CLAIMED, generation=2, boot_id=BOOT)
    second = IncidentId(f"{SPARE}-{GUARD_VERSION}")
    incidents = [
        an_incident(
            a_migration(1, MigrationStatus.PRE_MIGRATING, dest_compute=SPARE, generation=2),
            proof=a_power_word(),
        ),
        an_incident(host=SPARE, proof=a_power_word()),
    ]

    def step(state: HostState) -> set[str]:
        dest = a_host(SPARE, state, readings=off_twice(SPARE), grants={GUEST: claim})
        owned = {GUEST: owned_by(HOST, generation=2, migration=INCIDENT)}
        view = a_view(source, dest, guests=owned, incidents=incidents)
        assert second in view.incidents
        return codes(decide(view, POLICY, NOW_S))

    assert "destination_died" not in step(HostState.FENCING)
    assert "destination_died" in step(HostState.FENCED)


# -- every round ----------------------------------------------------------------------------------

_STATES = [None, *HostState]


@st.composite
def worlds(draw: st.DrawFn) -> ClusterView:
    """Clusters in any state: also torn, contradictory and half-read ones."""
    numbers = count(1)
    hosts: list[HostView] = []
    incidents: list[IncidentView] = []
    guests = {}
    for index in range(draw(st.integers(1, 4))):
        name = HostName(f"host-{index}")
        incident = IncidentId(f"{name}-{GUARD_VERSION}")
        entries, grants, migrations = [], {}, []
        for number in (next(numbers) for _ in range(draw(st.integers(0, 2)))):
            guest = a_guest(number)
            status = draw(st.sampled_from([None, *MigrationStatus]))
            entries.append(an_entry(number, ram_mib=draw(st.sampled_from([256, 99_999]))))
            moving = status in {
                MigrationStatus.WAITING,
                MigrationStatus.ACCEPTED,
                MigrationStatus.PRE_MIGRATING,
            }
            # One open grant per guest: at home, or nowhere once it is on its way.
            closed = [None, GrantState.RELEASED, GrantState.REVOKED]
            kept = draw(st.sampled_from(closed if moving else [*closed, *GrantState]))
            if kept is not None:
                grants[guest] = a_grant(kept, boot_id=draw(st.sampled_from([BOOT, NEXT_BOOT])))
            if status is not None:
                migrations.append(
                    a_migration(
                        number,
                        status,
                        incident=incident,
                        source=name,
                        dest_compute=draw(st.sampled_from([None, HostName("host-0")])),
                        generation=draw(st.sampled_from([0, 1])),
                    )
                )
            guests[guest] = owned_by(name, number, migration=incident if moving else None)
        hosts.append(
            a_host(
                name,
                draw(st.sampled_from(_STATES)),
                boot_id=draw(st.sampled_from([BOOT, NEXT_BOOT])),
                is_here=draw(st.booleans()),
                leaving=draw(st.sampled_from([None, None, *Leaving])),
                state_since_s=NOW_S - draw(st.sampled_from([0.5, 20.0, 4000.0])),
                returns=draw(st.integers(0, 3)),
                evidence=draw(st.sampled_from([(), silence(), echoes(BOOT), echoes(NEXT_BOOT)])),
                readings=draw(
                    st.sampled_from(
                        [
                            (),
                            off_twice(name),
                            (a_reading(Power.ON, age_s=0.5, host=name),),
                            (a_reading(Power.UNKNOWN, age_s=0.5, host=name),),
                        ]
                    )
                ),
                shot_settled_s=draw(st.sampled_from([None, NOW_S - 5.0, NOW_S - 50.0])),
                entries=entries,
                grants=grants,
            )
        )
        if draw(st.booleans()):
            incidents.append(
                an_incident(
                    *migrations,
                    host=name,
                    level=draw(st.integers(0, 2)),
                    shots=draw(st.sampled_from([(), (a_shot(),)])),
                    proof=draw(st.sampled_from([None, a_power_word(), an_operators_word()])),
                )
            )
    requests = draw(
        st.lists(
            st.builds(
                a_request,
                st.sampled_from(RequestKind),
                st.sampled_from([HostName("host-0"), HostName("host-1")]),
                boot_id=st.sampled_from([None, BOOT]),
            ),
            max_size=2,
        )
    )
    return a_view(
        *hosts,
        guests=guests,
        incidents=incidents,
        requests=requests,
        is_armed=draw(st.sampled_from([True, True, False])),
    )


@settings(max_examples=60)
@given(worlds())
def test_decide__any_world__is_sound(view: ClusterView) -> None:
    """Exact versions, lawful steps, no znode written twice, no second open grant: always."""
    assert_sound(view, decide(view, POLICY, NOW_S))


@settings(max_examples=30)
@given(worlds())
def test_decide__any_world__is_the_same_every_time(view: ClusterView) -> None:
    """Deciding has no clock and no dice: the same view gives the same decision."""
    first = decide(view, POLICY, NOW_S)
    shuffled = replace(
        view,
        hosts=dict(reversed(list(view.hosts.items()))),
        guests=dict(reversed(list(view.guests.items()))),
        incidents=dict(reversed(list(view.incidents.items()))),
    )

    assert first == decide(view, POLICY, NOW_S)
    assert first == decide(shuffled, POLICY, NOW_S)


@settings(max_examples=30)
@given(worlds())
def test_decide__any_world__destructive_changes_carry_their_guards(view: ClusterView) -> None:
    """Convictions, shots and offers check `control`, and the guards of everybody concerned."""
    decision = decide(view, POLICY, NOW_S)

    for change in changes_of(decision):
        guarded = checks(change)
        match change.reason.code:
            case "host_convicted":
                assert {CONTROL, guard_of(HostName(change.subject)), self_of(
                    HostName(change.subject))} <= set(guarded)  # fmt: skip
            case "fence_shot":
                assert {CONTROL, guard_of(HostName(change.subject))} <= set(guarded)
            case "guest_scheduled":
                held = [op.key for op in change.operations if isinstance(op, Check)]
                assert CONTROL in held
                assert 2 == sum(key.kind is NodeKind.GUARD for key in held)
            case _:
                pass
    if not view.control.value.is_armed:
        assert () == decision.intents
        assert {} == _moved_by_leader(decision)


def _moved_by_leader(decision: Decision) -> dict[object, object]:
    """Offers that travel with a definition: moves, not adoptions or stays."""
    return {
        op.key: op.value
        for change in decision.transitions
        if change.reason.code == "guest_scheduled"
        for op in change.operations
        if isinstance(op, Create)
    }


@settings(max_examples=30)
@given(worlds())
def test_decide__any_world__moves_and_shots_need_what_they_need(view: ClusterView) -> None:
    """Offers only from hosts proven dead now; shots only at hosts that lost their right to live."""
    decision = decide(view, POLICY, NOW_S)
    proofs = fresh_proofs(view, POLICY, NOW_S)

    for guest in offered(decision):
        if any(
            c.subject == guest and c.reason.code == "guest_scheduled" for c in decision.transitions
        ):
            owner = view.guests[guest].value.owner
            assert owner in proofs
    for intent in decision.intents:
        if isinstance(intent.action, PowerOn):
            assert intent.change.reason.code in {"powered_on_by_hand", "power_on_for_return"}
            continue
        assert isinstance(intent.action, Shoot)
        record = view.hosts[intent.action.host].record.value
        assert record is not None
        assert HostState.FENCING is record.state
