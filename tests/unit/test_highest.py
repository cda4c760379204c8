"""A machine remembers how far the epoch and the generations had come."""

from pathlib import Path

import pytest

from hamon.coordination.highest import HighestSeen
from hamon.errors import ConfigError


def test_highest__lower_number_after_a_restart__is_told(tmp_path: Path) -> None:
    """An ensemble that counts from lower numbers again is recognised, whoever restarts."""
    file = tmp_path / "highest.json"
    seen = HighestSeen(file)
    assert seen.observe_epoch(7)
    assert seen.observe_generation(40)

    again = HighestSeen(file)

    assert (again.epoch, again.generation) == (7, 40)
    assert again.observe_epoch(7)
    assert not again.observe_epoch(6)
    assert not again.observe_generation(39)
    assert again.observe_epoch(8)
    assert (again.epoch, again.generation) == (8, 40)


def test_highest__never_written__starts_from_nothing(tmp_path: Path) -> None:
    """A new machine has seen nothing yet."""
    assert HighestSeen(tmp_path / "highest.json").observe_epoch(0)


@pytest.mark.parametrize("content", [b"", b"rubbish", b'{"epoch": "seven"}', b"[]"])
def test_highest__file_is_rubbish__is_refused(tmp_path: Path, content: bytes) -> None:
    """What was remembered is not replaced by guesswork."""
    file = tmp_path / "highest.json"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match="highest"):
        HighestSeen(file)


def test_highest__power_cut_while_writing__keeps_the_old(tmp_path: Path) -> None:
    """A half-written successor does not count."""
    file = tmp_path / "highest.json"
    HighestSeen(file).observe_epoch(3)
    file.with_suffix(".new").write_bytes(b'{"epoch": 9')

    assert HighestSeen(file).epoch == 3
