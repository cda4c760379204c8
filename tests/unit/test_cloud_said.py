"""What is said of a server in Nova and glance: which place wins, and what cannot be read."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.judge import Call, judge
from hamon.evacuator.cloud.looks import AGGREGATES_PERIOD_S, IMAGE_AGAIN_S, choices_due
from hamon.evacuator.cloud.pacing import Pace
from hamon.evacuator.cloud.record import record_guests
from hamon.evacuator.cloud.said import READ_WITHIN_S, policy_of
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.change import migration_of
from hamon.model.cloud import Aggregate, CloudView, Image
from hamon.model.guest import PowerState
from hamon.model.guest_policy import Restart
from hamon.model.incident import MigrationRecord, MigrationStatus
from hamon.model.policy import EvacuationPolicy, GuestsPolicy, InstanceDisks
from hamon.model.view import ClusterView
from tests.builders import HOST, INCIDENT, NOW_S, SPARE, a_guest, an_incident
from tests.cloud_builders import a_cloud, a_cloud_view, a_server
from tests.decisions import writes

POLICY = EvacuationPolicy(instance_disks=InstanceDisks.SHARED)
TAGGED = replace(POLICY, guests=GuestsPolicy.TAGGED)
IMAGE = "0af1"


def aggregates(**metadata: str) -> tuple[Aggregate, ...]:
    """One aggregate of the dead host's."""
    return (Aggregate(name="gold", hosts=frozenset({HOST}), metadata=metadata),)


def said_of_image(**properties: str) -> dict[str, Image]:
    """The image of the guest."""
    return {IMAGE: Image(id=IMAGE, properties=properties)}


def recorded(
    view: ClusterView, policy: EvacuationPolicy = POLICY
) -> tuple[Moves, MigrationRecord | None]:
    """What recording comes to, and the first guest's record if there is one."""
    [incident] = view.incidents.values()
    moves = record_guests(view, incident, policy, NOW_S)
    record = writes(*moves.changes).get(migration_of(INCIDENT, a_guest()))
    assert record is None or isinstance(record, MigrationRecord)
    return moves, record


def test_policy__four_places__the_more_exact_wins() -> None:
    """Server, flavor, image, and the aggregates of the host that died."""
    server = a_server(
        image=IMAGE, metadata={"hamon:priority": "1"}, extra_specs={"hamon:restart": "never"}
    )
    words = {"hamon:priority": "9", "hamon:restart": "always"}
    cloud = a_cloud(
        [server],
        images=said_of_image(**words, **{"hamon:evacuate": "true"}),
        aggregates=aggregates(**words, **{"hamon:evacuate": "false"}),
    )

    known = policy_of(cloud, server, HOST, POLICY)

    assert (1, Restart.NEVER, "", ()) == (
        known.priority,
        known.restart,
        known.opted_out,
        known.refused,
    )


def test_policy__aggregate_of_another_host__says_nothing_here() -> None:
    """Those of the host that died count, and not those of where a guest may go."""
    elsewhere = Aggregate(
        name="elsewhere", hosts=frozenset({SPARE}), metadata={"hamon:priority": "1"}
    )
    cloud = a_cloud([a_server()], aggregates=(elsewhere,))

    assert 100 == policy_of(cloud, a_server(), HOST, POLICY).priority


def test_policy__aggregates_disagree__neither_counts_and_that_is_told() -> None:
    """Nobody could say which holds; other keys of them may differ."""
    two = tuple(
        Aggregate(
            name=name,
            hosts=frozenset({HOST}),
            metadata={"hamon:priority": priority, "hamon:restart": "never", "rack": name},
        )
        for name, priority in (("gold", "1"), ("silver", "50"), ("tin", "50"))
    )

    known = policy_of(a_cloud([a_server()], aggregates=two), a_server(), HOST, POLICY)

    assert (100, Restart.NEVER) == (known.priority, known.restart)
    assert ("aggregates gold and silver disagree about hamon:priority",) == known.refused


def both_say(key: str, one: str, other: str) -> CloudView:
    """Two aggregates of the dead host's that say something of the same key."""
    pairs = (("gold", one), ("silver", other))
    two = tuple(Aggregate(name=n, hosts=frozenset({HOST}), metadata={key: v}) for n, v in pairs)
    return a_cloud([a_server()], aggregates=two)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("evacuable", "true", "True"),
        ("HA_Enabled", "yes", " 1"),
        ("trait:evacuable", "on", "TRUE"),
        ("hamon:priority", "5", "05"),
        ("hamon:restart", "never", "Never "),
        ("hamon:ready_timeout_s", "60", "60.0"),
    ],
)
def test_policy__aggregates_write_the_same_otherwise__agree(key: str, one: str, other: str) -> None:
    """What was understood is compared, not how it was written."""
    told = policy_of(both_say(key, one, other), a_server(), HOST, POLICY)

    assert policy_of(both_say(key, one, one), a_server(), HOST, POLICY) == told
    assert () == told.refused


@pytest.mark.parametrize("key", ["evacuable", "trait:evacuable", "HA_Enabled"])
def test_policy__aggregates_disagree_whether_to_evacuate__is_told(key: str) -> None:
    """Whatever the key is called by which they say it, neither counts."""
    for values in (("true", "false"), ("no", "yes"), ("true", "maybe")):
        known = policy_of(both_say(key, *values), a_server(), HOST, POLICY)

        assert (f"aggregates gold and silver disagree about {key.lower()}",) == known.refused
        assert "" == known.opted_out


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("HA_Enabled", ("image tag evacuable: ha_enabled says otherwise, and wins",)),
        ("hamon:evacuate", ()),
    ],
)
def test_policy__tag_against_a_key_of_the_same_place__is_told(
    key: str, told: tuple[str, ...]
) -> None:
    """That hamon's own key is above the rest is in the book; of others nobody need know."""
    image = Image(id=IMAGE, properties={key: "false"}, tags=frozenset({"evacuable"}))
    server = a_server(image=IMAGE)
    cloud = a_cloud([server], images={IMAGE: image})

    known = policy_of(cloud, server, HOST, POLICY)

    assert f"image {key.lower()}=false" == known.opted_out
    assert told == known.refused


@pytest.mark.parametrize(
    ("facts", "by"),
    [
        ({"aggregates": aggregates(evacuable="true")}, ""),
        ({"images": {IMAGE: Image(id=IMAGE, tags=frozenset({"evacuable"}))}}, ""),
        ({}, "not marked evacuable"),
    ],
)
def test_judge__only_tagged__stays_unless_some_place_marks_it(
    facts: dict[str, Any], by: str
) -> None:
    """As instanceha does it: image tags, flavors, aggregates."""
    server = a_server(image=IMAGE)
    view = a_cloud_view(a_cloud([server], **({"images": said_of_image()} | facts)))

    judgement = judge(view, an_incident().record.value, server, TAGGED)

    assert (Call.STAYS if by else Call.MOVES) is judgement.call
    assert by in judgement.why


def test_judge__opted_out__moves_only_by_hand() -> None:
    """A person who names the guest knows what it said."""
    server = a_server(metadata={"hamon:evacuate": "false"})
    view = a_cloud_view(a_cloud([server]))
    incident = an_incident().record.value
    alone = replace(incident, only=(a_guest(),))

    assert Call.STAYS is judge(view, incident, server, POLICY).call
    assert Call.MOVES is judge(view, alone, server, POLICY).call
    assert Call.MOVES is judge(view, incident, server, POLICY, by_hand=True).call


def test_record__restart_always__is_to_run_though_it_was_off() -> None:
    """The wanted state is recorded before the first attempt."""
    server = a_server(vm_state="stopped", metadata={"hamon:restart": "always"})

    _, record = recorded(a_cloud_view(a_cloud([server])))

    assert record is not None
    assert (PowerState.RUNNING, Restart.ALWAYS) == (record.wanted, record.policy.restart)


@pytest.mark.parametrize("age_s", [0.5, READ_WITHIN_S])
def test_record__image_not_read_yet__waits_a_moment_and_no_longer(age_s: float) -> None:
    """Then the other places hold, and what could not be read is told."""
    server = a_server(image=IMAGE, metadata={"hamon:priority": "3"})
    cloud = a_cloud([server], age_s=age_s, images={}, images_s={})

    moves, record = recorded(a_cloud_view(cloud))

    if age_s < READ_WITHIN_S:
        assert record is None
        assert ["waits_for_choices"] == [told.code for told in moves.reasons]
        assert NOW_S - age_s + READ_WITHIN_S == moves.wake_at_s
    else:
        assert record is not None
        assert (MigrationStatus.WAITING, 3) == (record.status, record.policy.priority)
        assert (f"image {IMAGE}: its properties could not be read",) == record.policy.refused


def test_record__image_cannot_be_read__waits_only_where_it_might_be_marked() -> None:
    """An opt-out that cannot be read keeps nobody down; a mark that cannot be read may come yet."""
    server = a_server(image=IMAGE)
    cloud = a_cloud([server], images={}, images_s={IMAGE: NOW_S})

    _, moved = recorded(a_cloud_view(cloud))
    _, unsure = recorded(a_cloud_view(cloud), TAGGED)

    assert moved is not None
    assert (MigrationStatus.WAITING, "") == (moved.status, moved.reason)
    assert unsure is not None
    assert MigrationStatus.WAITING is unsure.status
    assert "not marked evacuable" in unsure.reason


def test_choices__of_hosts_whose_guests_move__each_image_is_read_once() -> None:
    """And aggregates once in a while; one that failed is asked for again later."""
    servers = [a_server(1, image="a"), a_server(2, image="a"), a_server(3, image="b"), a_server(4)]
    cloud = a_cloud(
        servers, aggregates_s=NOW_S - AGGREGATES_PERIOD_S, images={}, images_s={"b": NOW_S - 1.0}
    )

    def due(cloud: CloudView, now_s: float = NOW_S) -> list[CloudLook]:
        return choices_due(cloud, {HOST}, now_s)

    assert [
        CloudLook(kind=CloudLookKind.AGGREGATES),
        CloudLook(kind=CloudLookKind.IMAGE, image="a"),
    ] == due(cloud)
    both = {"a": Image(id="a"), "b": Image(id="b")}
    read = replace(cloud, aggregates_s=NOW_S, images=both)
    assert [] == due(read)
    failed = replace(read, images={"a": Image(id="a")})
    assert [CloudLook(kind=CloudLookKind.IMAGE, image="b")] == due(failed, NOW_S + IMAGE_AGAIN_S)
    assert [] == choices_due(cloud, frozenset(), NOW_S)


def test_picture__image_unread_then_read__is_known_until_the_incident_is_over() -> None:
    """What failed is known to have been asked for."""
    picture = CloudPicture(Pace(window=8.0, limit=32))

    picture.saw_image(IMAGE, None, 1.0)
    unread = picture.view()
    picture.saw_image(IMAGE, Image(id=IMAGE), 2.0)
    picture.saw_aggregates(aggregates(), 3.0)
    read = picture.view()
    picture.forget()

    assert ({}, {IMAGE: 1.0}) == (unread.images, unread.images_s)
    assert ({IMAGE: Image(id=IMAGE)}, {IMAGE: 2.0}) == (read.images, read.images_s)
    assert ({}, {}) == (picture.view().images, picture.view().images_s)
    assert aggregates() == picture.view().aggregates
