"""Making and unmaking a cluster and its hosts, and the leader's journal, on both stores."""

from dataclasses import replace

import pytest

from hamon.clock import SystemClock
from hamon.coordination.access import host_user, identities_of, verify_access
from hamon.coordination.bootstrap import bootstrap, enrol, remove_host
from hamon.coordination.codec import decode
from hamon.coordination.journal import Journal
from hamon.coordination.paths import path_of
from hamon.errors import DeposedError, RequestRefusedError, WriteConflictError
from hamon.model.change import (
    CONTROL,
    Change,
    Check,
    Create,
    Delete,
    Update,
    grant_of,
    guard_of,
    guest_of,
    incident_of,
    migration_of,
)
from hamon.model.control import Control, StormRecord
from hamon.model.guest import GuestRecord, PowerState
from hamon.model.host import HostGuard, HostSpec, Right
from hamon.model.incident import IncidentRecord, MigrationRecord, MigrationStatus, Trigger
from hamon.model.names import Epoch, GuestId, HostName, IncidentId
from hamon.model.proof import ProofMethod, ProofRecord
from hamon.model.reason import reason
from hamon.ports.store import DeleteNode, SetData, Store
from tests.contract.cluster import (
    CONTROLLERS,
    GRANT,
    GUEST,
    HOST,
    IDENTITIES,
    OTHER,
    create,
    register,
    spec,
)
from tests.contract.store_world import StoreWorld

pytestmark = pytest.mark.contract


# -- making and unmaking ----------------------------------------------------------------------


async def test_enrol__again__makes_only_what_is_missing(leader: Store) -> None:
    """Enrolling is idempotent and mends a host that is there in part."""
    await leader.commit([DeleteNode(path=f"/hosts/{OTHER}/capacity", version=0)])
    before = await leader.get(f"/hosts/{OTHER}/state")

    assert await enrol(leader, [spec(HOST), spec(OTHER)], CONTROLLERS) == (OTHER,)
    assert await enrol(leader, [spec(HOST), spec(OTHER)], CONTROLLERS) == ()

    assert before == await leader.get(f"/hosts/{OTHER}/state")
    assert (await leader.get(f"/hosts/{OTHER}/capacity")).data == b""


async def test_enrol__cluster_of_an_earlier_hamon__gets_what_it_lacks(leader: Store) -> None:
    """An upgrade needs no new bootstrap; what was written there since is left as it is."""
    await leader.commit([DeleteNode(path="/storms", version=0)])

    assert await enrol(leader, [spec(HOST)], CONTROLLERS, Epoch(0)) == ()
    made = await leader.get("/storms")
    assert await enrol(leader, [spec(HOST)], CONTROLLERS, Epoch(0)) == ()

    assert StormRecord() == decode("/storms", made.data)
    assert made == await leader.get("/storms")
    assert await verify_access(leader, IDENTITIES) == ()


async def test_enrol__by_a_deposed_leader__makes_nothing(leader: Store) -> None:
    """Enrolment by the daemon is a leader's write as any other."""
    new = HostName("compute-3")

    with pytest.raises(DeposedError):
        await enrol(leader, [spec(new)], CONTROLLERS, Epoch(7))

    assert not await leader.exists(f"/hosts/{new}")


async def test_enrol__agentless_host__is_the_controllers_alone(leader: Store) -> None:
    """No identity of the host has a part in it; it can be looked at and removed like any other."""
    bare = HostSpec(name=HostName("compute-3"), planes=(), fence=(), agentless=True)
    identities = identities_of(CONTROLLERS, [spec(HOST), spec(OTHER), bare])

    assert await enrol(leader, [bare], CONTROLLERS) == (bare.name,)
    assert await enrol(leader, [bare], CONTROLLERS) == ()

    for name in ("", "/state", "/self", "/alive", "/grants"):
        rules = await leader.access(f"/hosts/{bare.name}{name}")
        assert [CONTROLLERS] == [rule.identity for rule in rules]
    assert await verify_access(leader, identities) == ()
    await remove_host(leader, bare.name)
    assert not await leader.exists(f"/hosts/{bare.name}")


async def test_enrol__identity_forgotten__is_no_agentless_host(leader: Store) -> None:
    """Only what is said to have no agent does without an identity."""
    with pytest.raises(ValueError, match="has no identity"):
        await enrol(leader, [HostSpec(name=HostName("x"), planes=(), fence=())], CONTROLLERS)


async def test_bootstrap__foreign_format__is_refused(leader: Store) -> None:
    """A newer hamon's cluster is not touched by an older one."""
    await leader.commit([SetData(path="/format", data=b'{"schema":2}', version=0)])

    # Seen from its own session the chroot is the root.
    with pytest.raises(RequestRefusedError, match="schema 2 is newer"):
        await bootstrap(leader, "/", IDENTITIES)


async def test_bootstrap__again__changes_nothing(leader: Store) -> None:
    """Bootstrap may be repeated over a cluster that works."""
    before = await leader.get("/control")

    await bootstrap(leader, "/", IDENTITIES)

    assert before == await leader.get("/control")


async def test_bootstrap__something_else_there__is_refused(leader: Store) -> None:
    """A chroot that somebody else uses is left alone."""
    await leader.commit([DeleteNode(path="/format", version=0)])

    with pytest.raises(RequestRefusedError, match="not hamon's"):
        await bootstrap(leader, "/", IDENTITIES)


async def test_remove_host__alive__is_refused(zookeeper: StoreWorld, leader: Store) -> None:
    """A host that lives cannot be forgotten."""
    host = await zookeeper.connect(host_user(OTHER))
    await register(host, OTHER)

    with pytest.raises(RequestRefusedError, match="is alive"):
        await remove_host(leader, OTHER)


async def test_remove_host__may_run_a_guest__is_refused(leader: Store) -> None:
    """A right to run a guest is not lost by forgetting its host."""
    with pytest.raises(RequestRefusedError, match=GUEST):
        await remove_host(leader, HOST)


async def test_remove_host__idle__goes_with_its_history(leader: Store) -> None:
    """After removal nothing names the host, and it can be enrolled anew."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    await journal.commit(change(Create(key=incident_of(INCIDENT), value=record(closed=True))))

    await remove_host(leader, OTHER)
    await remove_host(leader, OTHER)

    assert await leader.children("/hosts") == (HOST,)
    assert await leader.children("/incidents") == ()
    assert await enrol(leader, [spec(OTHER)], CONTROLLERS) == (OTHER,)


async def test_remove_host__fencing_or_evacuation_under_way__is_refused(leader: Store) -> None:
    """An incident is seen through as far as hamon can."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    await journal.commit(change(Create(key=incident_of(INCIDENT), value=record(closed=False))))

    with pytest.raises(RequestRefusedError, match="is not over"):
        await remove_host(leader, OTHER)


async def test_remove_host__guest_still_to_move__is_refused(leader: Store) -> None:
    """It has nowhere else to be known from."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    await journal.commit(
        change(
            Create(key=incident_of(INCIDENT), value=EVACUATED),
            Create(key=migration_of(INCIDENT, GUEST), value=a_migration(MigrationStatus.WAITING)),
        )
    )

    with pytest.raises(RequestRefusedError, match="still to move"):
        await remove_host(leader, OTHER)


async def test_remove_host__scrapped_after_its_evacuation__goes_with_its_incident(
    leader: Store,
) -> None:
    """A machine that never comes back is not waited for; what could not move is retired."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    entry = f"/hosts/{OTHER}/inventory/{LOST}"
    lost = GuestRecord(name="lost", owner=OTHER, generation=3, wanted=PowerState.RUNNING)
    moved = replace(lost, name="moved", owner=HOST)
    await journal.commit(
        change(
            Create(key=incident_of(INCIDENT), value=EVACUATED),
            Create(key=migration_of(INCIDENT, GUEST), value=a_migration(MigrationStatus.DONE)),
            Create(key=guest_of(LOST), value=lost),
            Create(key=guest_of(GUEST), value=moved),
        )
    )
    await leader.commit([create(entry, b"{}"), create(entry.replace(LOST, GUEST), b"{}")])

    await remove_host(leader, OTHER)

    assert await leader.children("/hosts") == (HOST,)
    assert await leader.children("/incidents") == ()
    owners = [decode(path, (await leader.get(path)).data) for path in map(path_of, GUEST_KEYS)]
    assert owners == [replace(lost, owner=None), moved]


# -- the journal ------------------------------------------------------------------------------

INCIDENT = IncidentId(f"{OTHER}-1")
LOST = GuestId("7c1d2ab0-52c5-4c3a-9a55-0d6c0bb0f1bb")
GUEST_KEYS = (guest_of(LOST), guest_of(GUEST))


def record(*, closed: bool) -> IncidentRecord:
    """An incident of the other host."""
    return IncidentRecord(
        incident=INCIDENT,
        host=OTHER,
        boot_id=None,
        trigger=Trigger.DETECTOR,
        reason="",
        closed=closed,
    )


EVACUATED = replace(
    record(closed=False),
    stamps={"convicted": "", "fenced": "", "evacuated": ""},
    proof=ProofRecord(method=ProofMethod.POWER, boot_id=None, epoch=0, at="", detail=""),
)


def change(*operations: Check | Create | Update | Delete) -> Change:
    """A change with these operations."""
    return Change(subject=OTHER, reason=reason("test", OTHER), operations=operations)


def a_migration(status: MigrationStatus) -> MigrationRecord:
    """The migration of the guest within the incident."""
    return MigrationRecord(
        guest=GUEST,
        name="vm",
        incident=INCIDENT,
        status=status,
        source_compute=OTHER,
        source_node=OTHER,
        wanted=PowerState.RUNNING,
    )


async def test_journal__conviction_and_migration__are_written_whole(leader: Store) -> None:
    """A change makes the directories of an incident, and nothing else is missing."""
    clock = SystemClock()
    journal = Journal(leader, Epoch(0), IDENTITIES, clock)
    before_s = clock.now_s()
    guard = HostGuard(right=Right.SHUT_OUT, incident=INCIDENT)
    migration = a_migration(MigrationStatus.WAITING)
    guest = GuestRecord(name="vm", owner=OTHER, generation=1, wanted=PowerState.RUNNING)

    sent_s = await journal.commit(
        change(
            Check(key=CONTROL, version=0),
            Update(key=guard_of(OTHER), version=0, value=guard),
            Create(key=incident_of(INCIDENT), value=record(closed=False)),
        )
    )
    await journal.commit(
        change(
            Create(key=guest_of(GUEST), value=guest),
            Create(key=migration_of(INCIDENT, GUEST), value=migration),
            Create(key=grant_of(OTHER, GUEST), value=GRANT),
        )
    )

    assert before_s <= sent_s <= clock.now_s()
    node = await leader.get(path_of(guard_of(OTHER)))
    assert guard == decode(node.path, node.data)
    node = await leader.get(path_of(migration_of(INCIDENT, GUEST)))
    assert migration == decode(node.path, node.data)
    assert await verify_access(leader, IDENTITIES) == ()


async def test_journal__incident_forgotten__leaves_nothing_and_can_come_again(
    leader: Store,
) -> None:
    """Its folders go with its record, unless a migration is left there."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    migration = a_migration(MigrationStatus.COMPLETED)
    made = Create(key=incident_of(INCIDENT), value=record(closed=True))
    await journal.commit(change(made, Create(key=migration_of(INCIDENT, GUEST), value=migration)))
    forgotten = Delete(key=incident_of(INCIDENT), version=0)

    with pytest.raises(WriteConflictError):
        await journal.commit(change(forgotten))
    assert await leader.exists(path_of(incident_of(INCIDENT)))

    await journal.commit(change(Delete(key=migration_of(INCIDENT, GUEST), version=0), forgotten))
    assert await leader.children("/incidents") == ()
    await journal.commit(change(made))


async def test_journal__epoch_moved_on__is_deposed_for_good(leader: Store) -> None:
    """A deposed leader's write fails, and no later one is even sent."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())
    update = change(Update(key=CONTROL, version=0, value=Control(is_armed=False)))
    await leader.commit([SetData(path="/epoch", data=b"", version=0)])

    with pytest.raises(DeposedError):
        await journal.commit(update)
    with pytest.raises(DeposedError):
        await journal.commit(change())

    assert (await leader.get("/control")).version == 0


@pytest.mark.parametrize(
    "operation",
    [
        Check(key=CONTROL, version=3),
        Update(key=CONTROL, version=3, value=Control()),
        Update(
            key=guest_of(GUEST),
            version=0,
            value=GuestRecord(name="vm", owner=HOST, generation=1, wanted=PowerState.RUNNING),
        ),
        Create(key=grant_of(HOST, GUEST), value=GRANT),
        Delete(key=grant_of(HOST, GUEST), version=3),
    ],
    ids=lambda operation: type(operation).__name__,
)
async def test_journal__decided_on_something_old__conflicts(
    leader: Store, operation: Check | Create | Update | Delete
) -> None:
    """Whatever is not as it was decided on is a conflict, and the office goes on."""
    journal = Journal(leader, Epoch(0), IDENTITIES, SystemClock())

    with pytest.raises(WriteConflictError):
        await journal.commit(change(operation))

    await journal.commit(change(Update(key=CONTROL, version=0, value=Control(is_armed=False))))
