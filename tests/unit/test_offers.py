"""Offers: what a guest is moved with, in which order, and when it has to wait."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.evacuator.moves import Moves
from hamon.evacuator.offers import offer, offer_waiting
from hamon.evacuator.scheduler import Scheduler
from hamon.model.change import (
    CONTROL,
    Create,
    Update,
    grant_of,
    guard_of,
    guest_of,
    migration_of,
)
from hamon.model.guest import Grant, GrantState, GuestRecord, PowerState
from hamon.model.guest_policy import GuestPolicy
from hamon.model.host import HostState
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.names import Epoch, HostName
from hamon.model.policy import EvacuationPolicy
from hamon.model.proof import FenceProof, ProofMethod
from hamon.model.view import ClusterView, HostView, IncidentView, MigrationView
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    EPOCH,
    GRANT_VERSION,
    GUARD_VERSION,
    GUEST_VERSION,
    HOST,
    INCIDENT,
    MIGRATION_VERSION,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    THIRD,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_view,
    an_entry,
    an_incident,
    owned_by,
)
from tests.decisions import checks, writes

POLICY = EvacuationPolicy()
GUEST = a_guest()
SPARE_GUARD = 31


def a_proof(host: HostName = HOST, epoch: int = EPOCH) -> FenceProof:
    """A proof as the ladder builds it."""
    return FenceProof(
        host=host,
        boot_id=BOOT,
        method=ProofMethod.POWER,
        epoch=Epoch(epoch),
        observed_s=NOW_S,
        detail="",
    )


def a_source(*numbers: int, **others: Any) -> HostView:  # noqa: ANN401
    """The dead host, with these guests running."""
    guests = numbers or (1,)
    others.setdefault("grants", {a_guest(n): a_grant() for n in guests})
    others.setdefault("entries", [an_entry(n) for n in guests])
    return a_host(HOST, HostState.EVACUATING, **others)


def a_spare(**others: Any) -> HostView:  # noqa: ANN401
    """A host with room, in another boot than the dead one, its guard at a version of its own."""
    host = a_host(SPARE, boot_id=NEXT_BOOT, **others)
    return replace(host, guard=replace(host.guard, version=SPARE_GUARD))


def world(
    *migrations: MigrationView, source: HostView | None = None, spare: HostView | None = None
) -> ClusterView:
    """The dead host's incident and one host with room."""
    source = source or a_source(*(int(m.record.value.name[6:]) for m in migrations))
    owned = {
        guest: owned_by(HOST, number, migration=INCIDENT)
        for number, guest in ((int(e.name[6:]), g) for g, e in source.inventory.items())
    }
    return a_view(source, spare or a_spare(), guests=owned, incidents=[an_incident(*migrations)])


def offers(
    view: ClusterView,
    *,
    proof: FenceProof | None = None,
    is_proven: bool = True,
    policy: EvacuationPolicy = POLICY,
    in_flight: int = 0,
) -> Moves:
    """What becomes of the waiting guests."""
    return offer_waiting(
        view,
        view.incidents[INCIDENT],
        (proof or a_proof()) if is_proven else None,
        Scheduler(view, policy, ()),
        policy,
        held={},
        in_flight=in_flight,
        now_s=NOW_S,
    )


def taken(found: Moves) -> list[str]:
    """Guests that are offered, in their order."""
    return [c.reason.facts["name"] for c in found.changes if c.reason.code == "guest_scheduled"]


# -- the transaction ------------------------------------------------------------------------------


def test_offer__its_transaction__checks_control_both_guards_and_exact_versions() -> None:
    """A disarm, a return of the source, or a death of the destination stops the move (rule 4)."""
    (change,) = offers(world(a_migration())).changes

    assert {
        CONTROL: CONTROL_VERSION,
        guard_of(HOST): GUARD_VERSION,
        guard_of(SPARE): SPARE_GUARD,
        guest_of(GUEST): GUEST_VERSION + 100,
        grant_of(HOST, GUEST): GRANT_VERSION,
        migration_of(INCIDENT, GUEST): MIGRATION_VERSION + 100,
    } == checks(change)


def test_offer__its_transaction__revokes_raises_and_offers_at_once() -> None:
    """The source's right ends, the generation grows and the destination's right begins together."""
    (change,) = offers(world(a_migration())).changes

    written = writes(change)

    revoked, offered = written[grant_of(HOST, GUEST)], written[grant_of(SPARE, GUEST)]
    assert isinstance(revoked, Grant)
    assert (GrantState.REVOKED, 1, None) == (revoked.state, revoked.generation, revoked.moved_to)
    assert offered == Grant(
        state=GrantState.OFFERED,
        generation=2,
        wanted=PowerState.RUNNING,
        boot_id=NEXT_BOOT,
        incident=INCIDENT,
        definition="<domain>1</domain>",
    )
    owned, migration = written[guest_of(GUEST)], written[migration_of(INCIDENT, GUEST)]
    assert isinstance(owned, GuestRecord)
    assert (HOST, 2, INCIDENT) == (owned.owner, owned.generation, owned.migration)
    assert isinstance(migration, MigrationRecord)
    assert (MigrationStatus.ACCEPTED, SPARE, 2, 1) == (
        migration.status,
        migration.dest_compute,
        migration.generation,
        migration.attempts,
    )


@pytest.mark.parametrize(
    ("proof", "why"),
    [(a_proof(SPARE), "another host"), (a_proof(epoch=EPOCH - 1), "another term")],
)
def test_offer__proof_of_another_host_or_term__cannot_be_built(proof: FenceProof, why: str) -> None:
    """No move is built without a proof of this source in this term (S2)."""
    view = world(a_migration())

    with pytest.raises(AssertionError, match=why):
        offers(view, proof=proof)


def test_offer__without_proof__nothing_moves_but_it_is_known_that_it_could() -> None:
    """Whether a guest could be placed says whether a fresh proof is worth fighting for."""
    found = offers(world(a_migration()), is_proven=False)

    assert ((), True) == (found.changes, found.can_place)
    assert ["proof_not_fresh"] == [reason.code for reason in found.reasons]


def test_offer__source_revoked_already__is_revoked_once() -> None:
    """A second offer of a guest leaves the source's grant as it is."""
    source = a_source(grants={GUEST: a_grant(GrantState.REVOKED)})

    (change,) = offers(world(a_migration(), source=source)).changes

    assert grant_of(HOST, GUEST) not in writes(change)


@pytest.mark.parametrize("state", [GrantState.RELEASED, GrantState.REVOKED])
def test_offer__destination_had_the_guest_before__writes_the_same_grant(state: GrantState) -> None:
    """Grants are never deleted: the exact version of the old one is what is written over."""
    spare = a_spare(grants={GUEST: a_grant(state, version=77)})

    (change,) = offers(world(a_migration(), spare=spare)).changes

    assert 77 == checks(change)[grant_of(SPARE, GUEST)]


@pytest.mark.parametrize("state", [GrantState.OFFERED, GrantState.CLAIMED, GrantState.RUNNING])
def test_offer__destination_holds_an_open_grant__cannot_be_built(state: GrantState) -> None:
    """One open grant per guest: whoever would open a second one ends instead (S1)."""
    spare = a_spare(grants={GUEST: a_grant(state)})
    view = world(a_migration(), spare=spare)
    migration = view.incidents[INCIDENT].migrations[GUEST]

    with pytest.raises(AssertionError, match="one open grant"):
        offer(view, migration, an_entry(), spare, a_proof())


def test_offer__first_of_a_guest__creates_the_grant() -> None:
    """A destination that never had the guest must still not have it."""
    (change,) = offers(world(a_migration())).changes

    made = [op.key for op in change.operations if isinstance(op, Create)]
    assert [grant_of(SPARE, GUEST)] == made
    assert all(op.version is not None for op in change.operations if isinstance(op, Update))


# -- order and limits -----------------------------------------------------------------------------


def test_offers__several__go_by_priority_then_size() -> None:
    """The most important first; among equals the largest, because it is hardest to place."""
    entries = [
        an_entry(1, ram_mib=100),
        an_entry(2, ram_mib=300),
        an_entry(3, ram_mib=50),
    ]
    source = a_source(1, 2, 3, entries=entries)
    first = a_migration(3, policy=GuestPolicy(priority=10))
    view = world(*(a_migration(n) for n in (1, 2)), first, source=source)

    assert ["guest-3", "guest-2", "guest-1"] == taken(offers(view))


@pytest.mark.parametrize(
    ("in_flight_max", "in_flight", "expected"),
    [(32, 0, 3), (2, 0, 2), (2, 1, 1), (2, 2, 1), (2, 99, 1)],
)
def test_offers__beyond_the_global_limit__one_slot_an_incident_is_kept(
    in_flight_max: int, in_flight: int, expected: int
) -> None:
    """Another incident's crowd does not starve this one (B1, L6)."""
    view = world(*(a_migration(n) for n in (1, 2, 3)))
    policy = replace(POLICY, in_flight_max=in_flight_max)

    found = offers(view, policy=policy, in_flight=in_flight)

    assert expected == len(taken(found))
    slots = [r.code for r in found.reasons]
    assert ["guest_waits_for_slot"] * (3 - expected) == slots


def test_offers__limit_reached_by_own_guests__waits() -> None:
    """The reserved slot is for an incident that has nothing under way."""
    view = world(
        a_migration(1),
        a_migration(2, MigrationStatus.ACCEPTED, dest_compute=SPARE),
    )
    policy = replace(POLICY, in_flight_max=1)

    assert [] == taken(offers(view, policy=policy, in_flight=1))


@pytest.mark.parametrize("status", sorted(set(MigrationStatus) - {MigrationStatus.WAITING}))
def test_offers__migration_not_waiting__is_left_alone(status: MigrationStatus) -> None:
    """Only a guest that no destination holds may be offered (S6)."""
    assert () == offers(world(a_migration(1, status))).changes


def test_offers__source_is_up_and_has_the_most_room__is_not_its_destination() -> None:
    """A guest is never offered to the host it is taken from, whatever its record says (S15)."""
    source = replace(a_host(HOST, ram_mib=65_536, entries=[an_entry()]), grants={GUEST: a_grant()})

    (change,) = offers(world(a_migration(), source=source)).changes

    assert grant_of(SPARE, GUEST) in writes(change)


# -- no valid host --------------------------------------------------------------------------------


def test_no_valid_host__waits_and_says_why() -> None:
    """NoValidHost is WAITING: written down once a back-off round, and blocking nobody."""
    entries = [an_entry(1, ram_mib=99_999), an_entry(2)]
    view = world(a_migration(1), a_migration(2), source=a_source(1, 2, entries=entries))

    found = offers(view)

    written = writes(*found.changes)[migration_of(INCIDENT, GUEST)]
    assert isinstance(written, MigrationRecord)
    assert (MigrationStatus.WAITING, 1) == (written.status, written.attempts)
    assert written.reason.startswith("NoValidHost: ")
    assert "RAM" in written.reason
    assert ["guest-2"] == taken(found)


@pytest.mark.parametrize(
    ("attempts", "since_s", "is_due"),
    [(1, 3.9, False), (1, 4.0, True), (3, 15.9, False), (3, 16.0, True), (50, 59.9, False),
     (50, 60.0, True)],
)  # fmt: skip
def test_back_off__after_a_refusal__doubles_to_its_limit(
    attempts: int, since_s: float, *, is_due: bool
) -> None:
    """A guest without a host is tried again after 2 s, 4 s … 60 s, for ever."""
    waiting = a_migration(1, reason="NoValidHost", attempts=attempts, since_s=NOW_S - since_s)

    found = offers(world(waiting))

    assert is_due == bool(taken(found))
    assert is_due or found.wake_at_s == pytest.approx(
        NOW_S - since_s + min(60.0, 2.0 * 2.0**attempts)
    )


def test_offers__released_by_a_destination__goes_elsewhere_next() -> None:
    """The host that just gave a guest back is not asked again at once."""
    tried = a_migration(1, tried=(SPARE,), reason=f"{SPARE}: no network", attempts=1)
    view = world(tried)
    wider = replace(view, hosts={**view.hosts, THIRD: a_host(THIRD, ram_mib=1024)})

    assert f"{SPARE}: just tried" in str(offers(view).reasons[0].facts)
    (change,) = offers(wider).changes
    assert grant_of(THIRD, GUEST) in writes(change)


def test_offers__no_host_left_but_the_one_tried__it_is_asked_again_later() -> None:
    """What was tried is forgotten after a round without a host, so that it gets another chance."""
    view = world(a_migration(1, tried=(SPARE,), reason="x", attempts=1))

    written = writes(*offers(view).changes)[migration_of(INCIDENT, GUEST)]

    assert isinstance(written, MigrationRecord)
    assert () == written.tried


def test_offers__given_target__is_asked_again_although_just_tried() -> None:
    """An operator's target is not replaced by another host."""
    view = world(a_migration(1, target=SPARE, tried=(SPARE,), reason="x", attempts=1))

    assert ["guest-1"] == taken(offers(view))


def test_offers__definition_not_read__waits() -> None:
    """Without a definition there is nothing to offer."""
    view = world(a_migration(), source=a_source(entries=[]))
    incident: IncidentView = view.incidents[INCIDENT]

    assert incident.migrations
    assert () == offers(view).changes
