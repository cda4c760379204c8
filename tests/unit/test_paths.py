"""Every znode has one path, and no name can reach another's znode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.coordination.paths import (
    SHARDS,
    Place,
    PlaceKind,
    child,
    parent,
    parse,
    path_of,
    to_path,
)
from hamon.model.change import STORMS, guard_of, guest_of, migration_of, mode_of, request_of
from hamon.model.names import GuestId, HostName, incident_id

GUEST = GuestId("7c1d2ab0-52c5-4c3a-9a55-0d6c0bb0f1aa")
HOST = HostName("compute-1.example")


def test_path_of__keys_of_the_core__are_the_protocol_s() -> None:
    """The paths are those of docs/protocol.md."""
    assert path_of(guard_of(HOST)) == "/hosts/compute-1.example/state"
    assert path_of(mode_of(HOST)) == "/hosts/compute-1.example/mode"
    assert path_of(guest_of(GUEST)) == f"/guests/7c/{GUEST}"
    incident = incident_id(HOST, 7)
    expected = f"/incidents/compute-1.example-7/migrations/{GUEST}"
    assert expected == path_of(migration_of(incident, GUEST))
    assert path_of(request_of("0000000012")) == "/requests/r-0000000012"
    assert path_of(STORMS) == "/storms"


@pytest.mark.parametrize("kind", list(PlaceKind))
def test_parse__any_path__gives_back_its_place(kind: PlaceKind) -> None:
    """Reading a path is the inverse of writing it, for every kind."""
    path = kind.format(
        host=HOST,
        guest=GUEST,
        incident="compute-1-7",
        controller="c1",
        shard="7c",
        sequence="0000000007",
    )

    place = parse(path)

    assert place is not None
    assert kind is place.kind
    assert path == to_path(place)


@given(name=st.one_of(st.text(), st.sampled_from(["..", ".", "", "a/b", "A", "a..b", "x" * 64])))
def test_to_path__name_that_is_none__is_refused(name: str) -> None:
    """A name from outside never makes a path with more levels than meant."""
    try:
        path = path_of(guard_of(HostName(name)))
    except ValueError:
        return

    place = parse(path)
    assert place is not None
    assert name == place.host


@pytest.mark.parametrize(
    "path",
    [
        "",
        "hosts",
        "/hosts/",
        "/hosts//state",
        "/hosts/A/state",
        "/hosts/a/state/x",
        f"/guests/7d/{GUEST}",
        f"/guests/7c/{GUEST.upper()}",
        "/requests/r-1",
        "/incidents/compute/record",
        "/elsewhere",
    ],
)
def test_parse__path_that_is_not_hamon_s__is_none(path: str) -> None:
    """What somebody else put there is not taken for one of ours."""
    assert parse(path) is None


def test_to_path__missing_name__is_refused() -> None:
    """A kind that needs a name does not do without."""
    with pytest.raises(ValueError, match="not a valid host"):
        to_path(Place(kind=PlaceKind.GUARD))


def test_child__of_parent__is_the_path_again() -> None:
    """Going up and down a level are inverse, also at the root."""
    assert parent("/hosts") == "/"
    assert child("/", "hosts") == "/hosts"
    assert child(parent("/hosts/a/state"), "state") == "/hosts/a/state"


def test_shards__all__are_two_hexadecimal_digits() -> None:
    """Every guest finds its shard made."""
    assert len(set(SHARDS)) == 256
    assert parse(f"/guests/{GUEST[:2]}") is not None
