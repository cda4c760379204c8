"""What goes into a znode comes out again, and what nobody understands is never guessed at."""

import json
import zlib
from collections.abc import Mapping
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hamon.coordination.codec import (
    COMPRESSED,
    MAY_BE_EMPTY,
    SIZE_MAX,
    VALUE_TYPES,
    NodeValue,
    decode,
    encode,
)
from hamon.coordination.paths import DIRECTORIES, PlaceKind
from hamon.errors import StoreError, UnreadableNodeError
from hamon.model.control import Control, Maintenance, StormRecord
from hamon.model.guest import Grant, GrantState, PowerState
from hamon.model.host import HostGuard, HostMode, Right
from hamon.model.names import HostName

GUEST = "7c1d2ab0-52c5-4c3a-9a55-0d6c0bb0f1aa"
NAMES = {
    "host": "compute-1",
    "guest": GUEST,
    "incident": "compute-1-7",
    "controller": "c1",
    "shard": "7c",
    "sequence": "0000000007",
}

# What JSON cannot carry, no znode holds.
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**53), 2**53))
st.register_type_strategy(str, st.text(max_size=8))


def dictionaries(mapping: type) -> st.SearchStrategy[object]:
    """Small dictionaries: a Mapping can be any mapping, and reading gives dictionaries."""
    keys, values = get_args(mapping)
    return st.dictionaries(st.from_type(keys), st.from_type(values), max_size=3)


st.register_type_strategy(Mapping, dictionaries)


def sample(kind: PlaceKind) -> str:
    """A path of the kind."""
    return kind.format(**NAMES)


@pytest.mark.parametrize("kind", sorted(VALUE_TYPES))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_codec__any_value__comes_back_equal(kind: PlaceKind, data: st.DataObject) -> None:
    """Reading gives exactly what was written, for every znode type."""
    value: NodeValue = data.draw(st.from_type(VALUE_TYPES[kind]))

    assert value == decode(sample(kind), encode(sample(kind), value))


def test_codec__every_kind__is_a_directory_or_has_a_type() -> None:
    """No znode is left without a rule how to read it."""
    assert frozenset(PlaceKind) == frozenset(VALUE_TYPES) | DIRECTORIES
    assert frozenset() == frozenset(VALUE_TYPES) & DIRECTORIES


@pytest.mark.parametrize("kind", sorted(VALUE_TYPES))
@settings(max_examples=60)
@given(data=st.binary(min_size=1))
def test_codec__random_bytes__are_unreadable(kind: PlaceKind, data: bytes) -> None:
    """Rubbish is told with its path, whatever it is."""
    with pytest.raises(UnreadableNodeError) as caught:
        decode(sample(kind), data)

    assert sample(kind) == caught.value.path


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"schema": 2, "right": "live"}, "schema 2 is newer"),
        ({"right": "live"}, "no schema"),
        ({"schema": True, "right": "live"}, "no schema"),
        ({"schema": 0, "right": "live"}, "no schema"),
        ({"schema": 1, "right": "live", "colour": "red"}, "unknown field colour"),
        ({"schema": 1, "right": "perhaps"}, "perhaps"),
        ({"schema": 1}, "right"),
        ([1], "incorrect header"),
    ],
)
def test_codec__content_of_another_hamon__is_unreadable(content: object, why: str) -> None:
    """A newer schema or an unknown field is a hold, never half understood (S21)."""
    with pytest.raises(UnreadableNodeError, match=why):
        decode("/hosts/a/state", json.dumps(content).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/storms", StormRecord()),
        ("/control", Control()),
        ("/hosts/a/mode", HostMode()),
    ],
)
def test_codec__field_that_an_earlier_hamon_did_not_know__has_its_default(
    path: str, value: NodeValue
) -> None:
    """What it wrote is read: nothing that came later is asked of it."""
    assert value == decode(path, b'{"schema": 1}')


def test_codec__unknown_field_deep_inside__is_unreadable() -> None:
    """An unknown field is found at any depth."""
    maintenance = Maintenance(reason="disk", who="root", since="2024-01-01T00:00:00.000Z")
    data = encode("/control", Control(maintenance={HostName("a"): maintenance}))

    with pytest.raises(UnreadableNodeError, match=r"maintenance\.a\.forced"):
        decode("/control", data.replace(b'"reason":"disk"', b'"reason":"disk","forced":1'))


@pytest.mark.parametrize("kind", sorted(VALUE_TYPES))
def test_codec__empty_znode__is_none_only_where_it_is_made_empty(kind: PlaceKind) -> None:
    """Nobody has written it yet is not the same as rubbish."""
    if kind in MAY_BE_EMPTY:
        assert decode(sample(kind), b"") is None
    else:
        with pytest.raises(UnreadableNodeError):
            decode(sample(kind), b"")


def test_codec__compressed_kind_written_plain__is_read() -> None:
    """A reader accepts both forms."""
    grant = Grant(state=GrantState.OFFERED, generation=1, wanted=PowerState.RUNNING)
    path = sample(PlaceKind.GRANT)
    data = encode(path, grant)

    assert PlaceKind.GRANT in COMPRESSED
    assert grant == decode(path, data)
    assert grant == decode(path, zlib.decompress(data))


def test_codec__bomb__is_unreadable() -> None:
    """A host cannot eat up a controller's memory with a small znode."""
    bomb = zlib.compress(b'{"schema":1,"boot_id":"' + b" " * 64_000_000)

    with pytest.raises(UnreadableNodeError, match="larger than"):
        decode(sample(PlaceKind.DOMAINS), bomb)


def test_codec__too_large__is_refused_before_it_is_sent() -> None:
    """What ZooKeeper would answer with a closed connection is refused here."""
    control = Control(reason="x" * SIZE_MAX)

    with pytest.raises(StoreError, match="bytes are more than"):
        encode("/control", control)


@pytest.mark.parametrize("path", ["/hosts/a/record", "/hosts", "/nowhere", "/hosts/../state"])
def test_codec__value_of_another_znode__is_refused(path: str) -> None:
    """A value can only be written where it belongs."""
    with pytest.raises(ValueError, match=path):
        encode(path, HostGuard(right=Right.LIVE))
