"""Flow: recording a host's evacuations, and following them to their end."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.evacuator.flow import candidates, follow, is_finished, record_migrations
from hamon.evacuator.migration import step
from hamon.model.change import (
    CONTROL,
    Change,
    Versioned,
    grant_of,
    guard_of,
    guest_of,
    migration_of,
)
from hamon.model.guest import Grant, GrantState, GuestRecord, InventoryEntry, NotMovable, PowerState
from hamon.model.guest_policy import EVACUATE, PRIORITY, RESTART
from hamon.model.host import DomainState, HostState
from hamon.model.incident import (
    MIGRATION_TRANSITIONS,
    OPEN_MIGRATIONS,
    MigrationRecord,
    MigrationStatus,
)
from hamon.model.names import BootId, Epoch, HostName, IncidentId
from hamon.model.policy import EvacuationPolicy, GuestsPolicy
from hamon.model.proof import FenceProof, ProofMethod
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    CONTROL_VERSION,
    EPOCH,
    GUARD_VERSION,
    GUEST_VERSION,
    HOST,
    INCIDENT,
    MIGRATION_VERSION,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    WALL,
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

GUEST = a_guest()
DEAD = a_host(HOST, HostState.EVACUATING, entries=[an_entry()])


# -- recording ------------------------------------------------------------------------------------


def test_record__guest_of_the_dead_host__opens_its_migration() -> None:
    """The record names source, guest, wanted state and incident, before the first attempt."""
    view = a_view(DEAD, incidents=[an_incident(target=SPARE)])

    (change,) = record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy()).changes

    assert writes(change)[migration_of(INCIDENT, GUEST)] == MigrationRecord(
        guest=GUEST,
        name="guest-1",
        incident=INCIDENT,
        status=MigrationStatus.WAITING,
        source_compute=HOST,
        source_node=HOST,
        wanted=PowerState.RUNNING,
        dest_compute=SPARE,
        target=SPARE,
        generation=1,
        stamps={"recorded": WALL},
    )
    owned = writes(change)[guest_of(GUEST)]
    assert isinstance(owned, GuestRecord)
    assert (HOST, INCIDENT) == (owned.owner, owned.migration)


def test_record__its_transaction__checks_control_guard_and_the_guests_version() -> None:
    """Opening a migration is a conditional write on the guest: only one can (rule 3)."""
    view = a_view(DEAD, incidents=[an_incident()])

    (change,) = record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy()).changes

    assert {
        CONTROL: CONTROL_VERSION,
        guard_of(HOST): GUARD_VERSION,
        guest_of(GUEST): GUEST_VERSION + 100,
    } == checks(change)


def test_record__opted_out__stays_and_is_told_unless_named_by_hand() -> None:
    """A person who names a guest knows more than what is said of it."""
    entry = an_entry(choices={EVACUATE: "false"})
    host = a_host(HOST, HostState.EVACUATING, entries=[entry])
    policy = EvacuationPolicy()
    view = a_view(host, incidents=[an_incident()])
    by_hand = a_view(host, incidents=[an_incident(only=(GUEST,))])

    stays = record_migrations(view, view.incidents[INCIDENT], policy)
    moves = record_migrations(by_hand, by_hand.incidents[INCIDENT], policy)

    assert () == stays.changes
    assert ["guest_opted_out"] == [told.code for told in stays.reasons]
    assert is_finished(view, view.incidents[INCIDENT], policy)
    record = writes(*moves.changes)[migration_of(INCIDENT, GUEST)]
    assert isinstance(record, MigrationRecord)
    assert record.by_hand


def test_record__only_tagged__others_stay() -> None:
    """Nothing is said of the guest, and that is enough to leave it."""
    view = a_view(DEAD, incidents=[an_incident()])
    policy = EvacuationPolicy(guests=GuestsPolicy.TAGGED)

    assert () == record_migrations(view, view.incidents[INCIDENT], policy).changes


def test_record__restart_never__is_rebuilt_off_and_wanted_here_as_before() -> None:
    """If its host comes back first, the guest runs there again as it did."""
    entry = an_entry(choices={RESTART: "never", PRIORITY: "7"})
    host = a_host(HOST, HostState.EVACUATING, entries=[entry])
    view = a_view(host, incidents=[an_incident()])

    written = writes(*record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy()).changes)

    migration, owned = written[migration_of(INCIDENT, GUEST)], written[guest_of(GUEST)]
    assert isinstance(migration, MigrationRecord)
    assert isinstance(owned, GuestRecord)
    assert (PowerState.SHUTOFF, 7) == (migration.wanted, migration.policy.priority)
    assert PowerState.RUNNING is owned.wanted


def test_record__wanted_off__stays_off() -> None:
    """The wanted power state is taken from what the owner wrote last (S16)."""
    off = a_host(HOST, HostState.EVACUATING, entries=[an_entry(wanted=PowerState.SHUTOFF)])
    view = a_view(off, incidents=[an_incident()])

    written = writes(*record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy()).changes)

    for key in (migration_of(INCIDENT, GUEST), guest_of(GUEST)):
        value = written[key]
        assert isinstance(value, MigrationRecord | GuestRecord)
        assert PowerState.SHUTOFF is value.wanted


@pytest.mark.parametrize(
    ("case", "entry", "guests", "code"),
    [
        ("not movable", an_entry(not_movable=(NotMovable.LOCAL_DISK,)), {GUEST: owned_by(HOST)},
         "guest_not_movable"),
        ("never adopted", an_entry(), {}, "guest_never_adopted"),
        ("in another migration", an_entry(),
         {GUEST: owned_by(HOST, migration=IncidentId("other-1"))}, "guest_in_other_migration"),
        ("lives elsewhere", an_entry(), {GUEST: owned_by(SPARE)}, None),
        ("retired", an_entry(), {GUEST: owned_by(None)}, None),
    ],
)  # fmt: skip
def test_record__guest_that_does_not_move__says_why(
    case: str,
    entry: InventoryEntry,
    guests: dict[Any, Versioned[GuestRecord]],
    code: str | None,
) -> None:
    """What cannot move is said per guest; what is not here is not this incident's matter."""
    host = a_host(HOST, HostState.EVACUATING, entries=[entry])
    view = a_view(host, guests=guests, incidents=[an_incident()])

    step_ = record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy())

    assert () == step_.changes, case
    assert ([code] if code else []) == [reason.code for reason in step_.reasons]


@pytest.mark.parametrize("status", list(MigrationStatus))
def test_record__has_a_migration_in_this_incident__not_another(status: MigrationStatus) -> None:
    """Each guest gets one migration an incident, whatever became of it (S6)."""
    view = a_view(DEAD, incidents=[an_incident(a_migration(1, status))])

    assert () == record_migrations(view, view.incidents[INCIDENT], EvacuationPolicy()).changes


def test_candidates__only_some_asked_for__are_those() -> None:
    """An operator who names one guest moves one guest."""
    host = a_host(HOST, HostState.EVACUATING, entries=[an_entry(1), an_entry(2)])
    view = a_view(host, incidents=[an_incident(only=(a_guest(2),))])

    movable, _ = candidates(view, view.incidents[INCIDENT].record.value, EvacuationPolicy())

    assert [a_guest(2)] == list(movable)


# -- following ------------------------------------------------------------------------------------


def destination(grant: Versioned[Grant], **others: Any) -> HostView:  # noqa: ANN401
    """The destination, in its own boot."""
    return a_host(SPARE, boot_id=NEXT_BOOT, grants={GUEST: grant}, **others)


def of_dest(state: GrantState, **others: Any) -> Versioned[Grant]:  # noqa: ANN401
    """The grant that the destination holds, of generation 2."""
    others.setdefault("generation", 2)
    others.setdefault("boot_id", NEXT_BOOT)
    return a_grant(state, version=41, **others)


def dead(host: HostName = SPARE, boot_id: BootId = NEXT_BOOT) -> dict[HostName, FenceProof]:
    """A proof of a host's death."""
    proof = FenceProof(
        host=host,
        boot_id=boot_id,
        method=ProofMethod.POWER,
        epoch=Epoch(EPOCH),
        observed_s=NOW_S,
        detail="",
    )
    return {host: proof}


def world(dest: HostView, status: MigrationStatus, source_grant: GrantState) -> ClusterView:
    """A migration from the dead host to the destination."""
    source = replace(DEAD, grants={GUEST: a_grant(source_grant)})
    migration = a_migration(1, status, dest_compute=SPARE, generation=2)
    return a_view(
        source,
        dest,
        guests={GUEST: owned_by(HOST, generation=2, migration=INCIDENT)},
        incidents=[an_incident(migration)],
    )


def followed(
    dest: HostView,
    status: MigrationStatus = MigrationStatus.PRE_MIGRATING,
    proofs: dict[HostName, FenceProof] | None = None,
    source_grant: GrantState = GrantState.REVOKED,
) -> Change | None:
    """What is written about the one migration."""
    view = world(dest, status, source_grant)
    changes = follow(view, view.incidents[INCIDENT], proofs or {}).changes
    assert len(changes) <= 1
    return changes[0] if changes else None


def status_written(change: Change | None) -> MigrationStatus | None:
    """The migration's next status, None: nothing is written."""
    if change is None:
        return None
    record = writes(change)[migration_of(INCIDENT, GUEST)]
    assert isinstance(record, MigrationRecord)
    return record.status


RUNS = {GUEST: DomainState.RUNNING}


@pytest.mark.parametrize(
    ("case", "status", "grant", "domains", "expected"),
    [
        ("offered", MigrationStatus.ACCEPTED, of_dest(GrantState.OFFERED), {}, None),
        ("claimed", MigrationStatus.ACCEPTED, of_dest(GrantState.CLAIMED), {},
         MigrationStatus.PRE_MIGRATING),
        ("rebuilding", MigrationStatus.PRE_MIGRATING, of_dest(GrantState.CLAIMED), RUNS, None),
        ("settled, not seen yet", MigrationStatus.PRE_MIGRATING, of_dest(GrantState.RUNNING), {},
         None),
        ("settled, seen off", MigrationStatus.PRE_MIGRATING, of_dest(GrantState.RUNNING),
         {GUEST: DomainState.SHUTOFF}, None),
        ("settled and seen", MigrationStatus.PRE_MIGRATING, of_dest(GrantState.RUNNING), RUNS,
         MigrationStatus.DONE),
        ("settled and seen at once", MigrationStatus.ACCEPTED, of_dest(GrantState.RUNNING), RUNS,
         MigrationStatus.DONE),
        ("wanted off and defined", MigrationStatus.PRE_MIGRATING,
         of_dest(GrantState.RUNNING, wanted=PowerState.SHUTOFF), {GUEST: DomainState.SHUTOFF},
         MigrationStatus.DONE),
        ("wanted off, not defined", MigrationStatus.PRE_MIGRATING,
         of_dest(GrantState.RUNNING, wanted=PowerState.SHUTOFF), {}, None),
        ("released", MigrationStatus.PRE_MIGRATING, of_dest(GrantState.RELEASED, reason="no"), {},
         MigrationStatus.WAITING),
        ("refused", MigrationStatus.ACCEPTED, of_dest(GrantState.RELEASED, reason="no"), {},
         MigrationStatus.WAITING),
        ("revoked", MigrationStatus.ACCEPTED, of_dest(GrantState.REVOKED), {}, None),
        ("of an older offer", MigrationStatus.ACCEPTED, of_dest(GrantState.RUNNING, generation=1),
         RUNS, None),
    ],
)  # fmt: skip
def test_follow__by_table__is_what_the_destination_did(
    case: str,
    status: MigrationStatus,
    grant: Versioned[Grant],
    domains: dict[Any, DomainState],
    expected: MigrationStatus | None,
) -> None:
    """The migration's record follows the destination's own words, and nothing else."""
    change = followed(destination(grant, domains=domains), status)

    assert expected is status_written(change), case


def test_follow__seen_in_another_boot__is_not_done() -> None:
    """A listing from before the claim's boot shows nothing of the claim."""
    dest = destination(of_dest(GrantState.RUNNING), domains=RUNS)
    other = replace(dest, domains=a_host(SPARE, boot_id=BOOT, domains=RUNS).domains)

    assert followed(other) is None


def test_follow__done__gives_the_guest_to_its_destination() -> None:
    """Owner, migration and the stale copy's mark change in one transaction."""
    dest = destination(of_dest(GrantState.RUNNING), domains=RUNS)

    change = followed(dest)

    assert change is not None
    owned = writes(change)[guest_of(GUEST)]
    assert isinstance(owned, GuestRecord)
    assert (SPARE, None) == (owned.owner, owned.migration)
    stale = writes(change)[grant_of(HOST, GUEST)]
    assert isinstance(stale, Grant)
    assert (GrantState.REVOKED, SPARE, 2) == (stale.state, stale.moved_to, stale.generation)
    assert {
        guest_of(GUEST): GUEST_VERSION + 100,
        migration_of(INCIDENT, GUEST): MIGRATION_VERSION + 100,
        grant_of(HOST, GUEST): 11,
    } == checks(change)


def test_follow__released__remembers_who_and_why() -> None:
    """The next offer goes elsewhere, and an operator reads what the host said."""
    change = followed(destination(of_dest(GrantState.RELEASED, reason="no network")))

    assert change is not None
    record = writes(change)[migration_of(INCIDENT, GUEST)]
    assert isinstance(record, MigrationRecord)
    assert ((SPARE,), f"{SPARE}: no network") == (record.tried, record.reason)


@pytest.mark.parametrize("state", [GrantState.OFFERED, GrantState.CLAIMED, GrantState.RUNNING])
def test_follow__destination_proven_dead__is_taken_back(state: GrantState) -> None:
    """A claim ends by proof of that boot's death: revoked, and the guest waits again (rule 3)."""
    change = followed(destination(of_dest(state), domains=RUNS), proofs=dead())

    assert MigrationStatus.WAITING is status_written(change)
    assert change is not None
    grant = writes(change)[grant_of(SPARE, GUEST)]
    assert isinstance(grant, Grant)
    assert (GrantState.REVOKED, HOST, "") == (grant.state, grant.moved_to, grant.definition)
    assert {
        guard_of(SPARE): GUARD_VERSION,
        guest_of(GUEST): GUEST_VERSION + 100,
        grant_of(SPARE, GUEST): 41,
        migration_of(INCIDENT, GUEST): MIGRATION_VERSION + 100,
    } == checks(change)


def test_follow__taken_back__the_leftover_is_stale_at_once() -> None:
    """The generation grows with it, so that a destination that returns removes what it defined."""
    change = followed(destination(of_dest(GrantState.CLAIMED)), proofs=dead())

    assert change is not None
    grant, guest = writes(change)[grant_of(SPARE, GUEST)], writes(change)[guest_of(GUEST)]
    assert isinstance(grant, Grant)
    assert isinstance(guest, GuestRecord)
    assert grant.generation == guest.generation
    assert grant.generation > of_dest(GrantState.CLAIMED).value.generation


@pytest.mark.parametrize(
    ("state", "expected"),
    [(GrantState.OFFERED, MigrationStatus.WAITING), (GrantState.CLAIMED, None)],
)
def test_follow__destination_rebooted_by_itself__only_an_offer_is_taken_back(
    state: GrantState, expected: MigrationStatus | None
) -> None:
    """Nobody can claim an offer that was bound to a boot that is over; a claim goes on there."""
    bound = of_dest(state, boot_id=BootId("an-earlier-boot"))
    status = {
        GrantState.OFFERED: MigrationStatus.ACCEPTED,
        GrantState.CLAIMED: MigrationStatus.PRE_MIGRATING,
    }[state]

    assert expected == status_written(followed(destination(bound), status))


@pytest.mark.parametrize(
    ("case", "proofs"),
    [
        ("only suspected", {}),
        ("another boot is dead", dead(boot_id=BOOT)),
        ("another host is dead", dead(HOST)),
    ],
)
@pytest.mark.parametrize("state", [GrantState.OFFERED, GrantState.CLAIMED])
def test_follow__destination_not_proven_dead__nothing_is_taken_back(
    case: str, proofs: dict[HostName, FenceProof], state: GrantState
) -> None:
    """No time-out ends a claim: while the destination is only suspected, nothing happens (S1)."""
    dest = destination(of_dest(state))
    suspect = a_host(SPARE, HostState.SUSPECT, is_here=False, boot_id=NEXT_BOOT)
    dest = replace(suspect, grants=dest.grants, state_since_s=0.0)

    assert followed(dest, proofs=proofs) is None, case


@pytest.mark.parametrize(
    "status", sorted(set(MigrationStatus) - {MigrationStatus.ACCEPTED,
                                             MigrationStatus.PRE_MIGRATING})
)  # fmt: skip
def test_follow__migration_not_under_way__is_left_alone(status: MigrationStatus) -> None:
    """What is closed stays closed, and what waits has no destination to follow."""
    dest = destination(of_dest(GrantState.RUNNING), domains=RUNS)

    assert followed(dest, status) is None


def test_follow__destination_gone_from_the_view__is_left_alone() -> None:
    """Nothing is concluded from a host or a grant that has not been read."""
    assert followed(replace(destination(of_dest(GrantState.RUNNING)), grants={})) is None


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(MigrationStatus))
def test_is_finished__by_status__is_when_nothing_is_open(status: MigrationStatus) -> None:
    """An evacuation is over when every guest has a migration and none is open."""
    view = a_view(DEAD, incidents=[an_incident(a_migration(1, status))])

    assert (status not in OPEN_MIGRATIONS) == is_finished(
        view, view.incidents[INCIDENT], EvacuationPolicy()
    )


def test_is_finished__guest_not_recorded_yet__is_not() -> None:
    """A host is not evacuated before its guests were even recorded."""
    view = a_view(DEAD, incidents=[an_incident()])

    assert not is_finished(view, view.incidents[INCIDENT], EvacuationPolicy())


@pytest.mark.parametrize("old", list(MigrationStatus))
@pytest.mark.parametrize("new", list(MigrationStatus))
def test_step__unlawful__is_refused(old: MigrationStatus, new: MigrationStatus) -> None:
    """A migration takes only the steps of its table; anything else ends the process."""
    record = a_migration(1, old).record.value
    view = a_view(DEAD)

    if new in MIGRATION_TRANSITIONS[old]:
        assert new is step(record, view, "now", status=new).status
    else:
        with pytest.raises(AssertionError, match="->"):
            step(record, view, "now", status=new)
