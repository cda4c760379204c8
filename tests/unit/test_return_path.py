"""The return: who comes back, what stays, what is waited for, and what opening the door writes."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.model.change import (
    Versioned,
    grant_of,
    guard_of,
    guest_of,
    incident_of,
    migration_of,
    record_of,
    self_of,
)
from hamon.model.guest import Grant, GrantState, GuestRecord, PowerState
from hamon.model.host import (
    DomainState,
    Heartbeat,
    HostGuard,
    HostRecord,
    HostState,
    Right,
)
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus, Shot, ShotOutcome
from hamon.model.policy import FencingPolicy, ReturnPolicy
from hamon.model.view import ClusterView, HostView, IncidentView
from hamon.recovery.return_path import ReturnStep, bring_back, is_back, quarantine_s, stale_guests
from tests.builders import (
    BOOT,
    EPOCH,
    GRANT_VERSION,
    GUARD_VERSION,
    GUEST_VERSION,
    HOST,
    INCIDENT,
    INCIDENT_VERSION,
    MIGRATION_VERSION,
    NEXT_BOOT,
    NOW_S,
    RECORD_VERSION,
    SELF_VERSION,
    SPARE,
    a_grant,
    a_guest,
    a_host,
    a_migration,
    a_shot,
    a_view,
    an_entry,
    an_incident,
    an_own,
    owned_by,
)
from tests.decisions import checks, writes

RECOVERY = ReturnPolicy()
FENCING = FencingPolicy()
GUEST = a_guest()


def returning(**others: Any) -> HostView:  # noqa: ANN401
    """The host in its next boot, registered, shut out, libvirt empty."""
    others.setdefault("boot_id", NEXT_BOOT)
    others.setdefault("domains", {})
    others.setdefault("is_here", True)
    others.setdefault("entries", [an_entry()])
    return a_host(HOST, HostState.RETURNING, **others)


def world(host: HostView, incident: IncidentView | None = None, **others: Any) -> ClusterView:  # noqa: ANN401
    """The returning host, its incident, and the guest owned as the incident's migration says."""
    incident = incident or an_incident()
    migration = incident.migrations.get(GUEST)
    is_away = migration is not None and migration.record.value.status is MigrationStatus.DONE
    owned = owned_by(SPARE, generation=2) if is_away else owned_by(HOST, migration=INCIDENT)
    return a_view(host, a_host(SPARE), guests={GUEST: owned}, incidents=[incident], **others)


def brought(view: ClusterView, recovery: ReturnPolicy = RECOVERY) -> ReturnStep:
    """What is done next."""
    return bring_back(view, view.hosts[HOST], recovery, FENCING, NOW_S)


def waits_for(step: ReturnStep) -> list[str]:
    """Why the host stays shut; empty: it does not."""
    assert not (step.changes and step.reasons)
    return [reason.code for reason in step.reasons]


# -- who is back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "host", "expected"),
    [
        ("another boot", returning(), True),
        ("the very boot", returning(boot_id=BOOT), False),
        ("no heartbeat", returning(is_here=False), False),
        ("heartbeat of another boot than self",
         replace(returning(), heartbeat=Heartbeat(boot_id=BOOT)), False),
        ("never shut out", a_host(HOST, boot_id=NEXT_BOOT), False),
        ("no boot was known", returning(shut_out_boot=None), True),
    ],
)  # fmt: skip
def test_is_back__by_table__is_another_boot_registered(
    case: str, host: HostView, *, expected: bool
) -> None:
    """Only a boot other than the one that was shut out returns."""
    assert expected is is_back(host), case


# -- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grant", "is_offered_again"),
    [
        (a_grant(GrantState.REVOKED), True),
        (a_grant(GrantState.RELEASED), True),
        (a_grant(GrantState.RUNNING), False),
        (a_grant(GrantState.CLAIMED), False),
        (None, False),
    ],
)
def test_waiting__host_comes_back__the_guest_stays(grant: Any, *, is_offered_again: bool) -> None:  # noqa: ANN401
    """What no destination holds is closed as `stays`, and its right goes to the new boot."""
    grants = {} if grant is None else {GUEST: grant}

    (change,) = brought(world(returning(grants=grants), an_incident(a_migration()))).changes

    written = writes(change)
    closed, owned = written[migration_of(INCIDENT, GUEST)], written[guest_of(GUEST)]
    assert isinstance(closed, MigrationRecord)
    assert isinstance(owned, GuestRecord)
    assert (MigrationStatus.STAYS, HOST, None) == (closed.status, owned.owner, owned.migration)
    assert (2 if is_offered_again else 1) == owned.generation
    assert is_offered_again == (grant_of(HOST, GUEST) in written)
    if is_offered_again:
        again = written[grant_of(HOST, GUEST)]
        assert isinstance(again, Grant)
        assert (GrantState.OFFERED, 2, NEXT_BOOT) == (again.state, again.generation, again.boot_id)


def test_stays__its_transaction__checks_the_boot_and_exact_versions() -> None:
    """Another boot, or another writer, meanwhile: nothing is given."""
    host = returning(grants={GUEST: a_grant(GrantState.REVOKED)})

    (change,) = brought(world(host, an_incident(a_migration()))).changes

    assert {
        self_of(HOST): SELF_VERSION,
        guard_of(HOST): GUARD_VERSION,
        migration_of(INCIDENT, GUEST): MIGRATION_VERSION + 100,
        grant_of(HOST, GUEST): GRANT_VERSION,
        guest_of(GUEST): GUEST_VERSION + 100,
    } == checks(change)


# -- what is waited for ---------------------------------------------------------------------------


def test_waiting__was_to_end_off_elsewhere__runs_here_again() -> None:
    """`restart = never` is about a rebuild; a guest that stays is as it was."""
    waiting = an_incident(a_migration(wanted=PowerState.SHUTOFF))
    view = world(returning(grants={GUEST: a_grant(GrantState.REVOKED)}), waiting)

    (change,) = brought(view).changes

    offered = writes(change)[grant_of(HOST, GUEST)]
    assert isinstance(offered, Grant)
    assert PowerState.RUNNING is offered.wanted


@pytest.mark.parametrize("status", [MigrationStatus.ACCEPTED, MigrationStatus.PRE_MIGRATING])
def test_return__guest_in_flight__is_waited_for(status: MigrationStatus) -> None:
    """What a destination holds finishes first; nothing is taken from it."""
    incident = an_incident(a_migration(1, status, dest_compute=SPARE))

    assert ["return_waits_for_migrations"] == waits_for(brought(world(returning(), incident)))


@pytest.mark.parametrize(
    ("shot", "host", "is_waited_for"),
    [
        (a_shot(outcome=ShotOutcome.DONE), returning(), False),
        (a_shot(outcome=ShotOutcome.PENDING), returning(is_shot_running=True), True),
        (a_shot(outcome=ShotOutcome.PENDING), returning(), False),
        (a_shot(outcome=ShotOutcome.PENDING, epoch=EPOCH - 1), returning(), True),
        (a_shot(outcome=ShotOutcome.UNKNOWN, epoch=EPOCH - 1), returning(), True),
    ],
)
def test_return__shot_that_may_still_act__is_waited_for(
    shot: Shot,
    host: HostView,
    *,
    is_waited_for: bool,
) -> None:
    """A late order must not cut the power of a host that serves again (rule 4)."""
    own = an_own(took_office_s=NOW_S - 5.0)

    step = brought(world(host, an_incident(shots=(shot,)), own=own))

    assert (["return_waits_for_shot"] if is_waited_for else []) == waits_for(step)
    assert not is_waited_for or step.wake_at_s == NOW_S - 5.0 + 20.0 + FENCING.lease_s


@pytest.mark.parametrize(
    ("case", "grant", "domains", "expected"),
    [
        ("moved away, not cleaned yet", a_grant(GrantState.REVOKED, moved_to=SPARE), {}, [GUEST]),
        ("revoked, migration still open", a_grant(GrantState.REVOKED), {}, [GUEST]),
        ("said to be gone, but runs", a_grant(GrantState.RELEASED),
         {GUEST: DomainState.RUNNING}, [GUEST]),
        ("said to be gone, but paused", a_grant(GrantState.RELEASED),
         {GUEST: DomainState.PAUSED}, [GUEST]),
        ("only its definition is left", a_grant(GrantState.RELEASED),
         {GUEST: DomainState.SHUTOFF}, []),
        ("gone", a_grant(GrantState.RELEASED), {}, []),
        ("not moved", a_grant(GrantState.RUNNING), {GUEST: DomainState.RUNNING}, []),
    ],
)  # fmt: skip
def test_return__stale_copies__are_waited_for(
    case: str,
    grant: Versioned[Grant],
    domains: dict[Any, DomainState],
    expected: list[str],
) -> None:
    """No stale guest is left when the host may start guests again (S13)."""
    host = returning(grants={GUEST: grant}, domains=domains)
    view = world(host, an_incident(a_migration(1, MigrationStatus.DONE, dest_compute=SPARE)))

    assert expected == list(stale_guests(view, host)), case
    assert (["return_waits_for_stale_guests"] if expected else []) == waits_for(brought(view))


def test_stale__runs_and_is_its_own__is_not_stale() -> None:
    """A guest that lives here may run here."""
    host = returning(
        grants={GUEST: a_grant(GrantState.RELEASED)}, domains={GUEST: DomainState.RUNNING}
    )

    assert () == stale_guests(world(host), host)


def test_stale__listed_by_the_former_boot__tells_nothing() -> None:
    """What ran before the host came back runs no more; the new boot's own listing is waited for."""
    host = returning(grants={GUEST: a_grant(GrantState.RELEASED)})
    former = replace(host, domains=a_host(HOST, domains={GUEST: DomainState.RUNNING}).domains)
    view = world(former, an_incident(a_migration(1, MigrationStatus.DONE, dest_compute=SPARE)))

    assert () == stale_guests(view, former)
    assert ["return_waits_for_libvirt"] == waits_for(brought(view))


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("no listing", replace(returning(), domains=None)),
        ("listing of the former boot", replace(returning(), domains=a_host(HOST).domains)),
        ("libvirt does not answer", returning(is_libvirt_healthy=False)),
    ],
)
def test_return__no_sound_listing__is_waited_for(case: str, host: HostView) -> None:
    """Nothing is concluded from what an old or sick listing lacks."""
    assert ["return_waits_for_libvirt"] == waits_for(brought(world(host))), case


# -- the door opens -------------------------------------------------------------------------------

DONE = an_incident(a_migration(1, MigrationStatus.DONE, dest_compute=SPARE))


def test_return__nothing_in_the_way__gives_the_right_back_and_closes_the_books() -> None:
    """Guard, record, incident and migrations change in one transaction."""
    (change,) = brought(world(returning(), DONE)).changes

    written = writes(change)

    assert written[guard_of(HOST)] == HostGuard(right=Right.LIVE)
    record, incident = written[record_of(HOST)], written[incident_of(INCIDENT)]
    assert isinstance(record, HostRecord)
    assert (HostState.UP, NEXT_BOOT, None, 1) == (
        record.state,
        record.boot_id,
        record.incident,
        record.returns,
    )
    assert isinstance(incident, IncidentRecord)
    assert incident.closed
    migration = written[migration_of(INCIDENT, GUEST)]
    assert isinstance(migration, MigrationRecord)
    assert MigrationStatus.COMPLETED is migration.status


def test_return__its_transaction__checks_the_boot_and_exact_versions() -> None:
    """A host that reboots once more in the same moment stays shut (S14)."""
    (change,) = brought(world(returning(), DONE)).changes

    assert {
        self_of(HOST): SELF_VERSION,
        guard_of(HOST): GUARD_VERSION,
        record_of(HOST): RECORD_VERSION,
        incident_of(INCIDENT): INCIDENT_VERSION,
        migration_of(INCIDENT, GUEST): MIGRATION_VERSION + 100,
    } == checks(change)


@pytest.mark.parametrize(
    "status", sorted(set(MigrationStatus) - {MigrationStatus.DONE, MigrationStatus.WAITING,
                                             MigrationStatus.ACCEPTED,
                                             MigrationStatus.PRE_MIGRATING})
)  # fmt: skip
def test_return__migration_closed_already__is_left_as_it_is(status: MigrationStatus) -> None:
    """Only what was done is completed."""
    (change,) = brought(world(returning(), an_incident(a_migration(1, status)))).changes

    assert migration_of(INCIDENT, GUEST) not in writes(change)


def test_return__closed_incidents__are_not_touched() -> None:
    """History is not written again."""
    view = world(returning(), an_incident(closed=True))

    (change,) = brought(view).changes

    assert incident_of(INCIDENT) not in writes(change)


@pytest.mark.parametrize(("earlier", "expected"), [(0, HostState.UP), (1, HostState.QUARANTINED)])
def test_return__again_and_again__is_quarantined(earlier: int, expected: HostState) -> None:
    """The first return in a row serves at once, the next ones wait (S14)."""
    (change,) = brought(world(returning(returns=earlier))).changes

    record = writes(change)[record_of(HOST)]
    assert isinstance(record, HostRecord)
    assert (expected, earlier + 1) == (record.state, record.returns)


@pytest.mark.parametrize(
    ("returns", "expected"),
    [(0, 0.0), (1, 0.0), (2, 300.0), (3, 600.0), (4, 1200.0), (10, 76_800.0), (11, 86_400.0),
     (10_000, 86_400.0)],
)  # fmt: skip
def test_quarantine__by_table__doubles_to_its_limit(returns: int, expected: float) -> None:
    """Flapping is answered with exponentially longer waits."""
    assert expected == quarantine_s(returns, RECOVERY)


# -- it goes away again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "host", "is_gone"),
    [
        ("its session is gone again", returning(is_here=False), True),
        ("it is the boot that was shut out", returning(boot_id=BOOT), False),
    ],
)
def test_return__host_is_not_there__does_not_get_its_right_back(
    case: str, host: HostView, *, is_gone: bool
) -> None:
    """The door opens only for a boot that is present; one that is gone may be convicted anew."""
    step = brought(world(host, DONE))

    assert ["return_waits_for_host"] == waits_for(step), case
    assert is_gone is step.is_gone


def test_return__gone_with_guests_in_flight__is_not_convicted_yet() -> None:
    """What is open in the former incident is settled first, so that no guest is in two."""
    incident = an_incident(a_migration(1, MigrationStatus.ACCEPTED, dest_compute=SPARE))

    step = brought(world(returning(is_here=False), incident))

    assert (["return_waits_for_migrations"], False) == (waits_for(step), step.is_gone)


@pytest.mark.fault("F44")
def test_return__another_machine_under_the_name__stays_shut_and_is_told() -> None:
    """A new board behind an old name: its fence devices would shoot something else (F44)."""
    stranger = returning(product_uuid="6f1c2d34-5e67-489a-8bcd-ef0123456789")

    step = bring_back(world(stranger), stranger, ReturnPolicy(), FencingPolicy(), NOW_S)

    assert () == step.changes
    assert "host_is_another_machine" in {why.code for why in step.reasons}
