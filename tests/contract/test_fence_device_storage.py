"""RevocationDevice: what it tells the hook, and what it takes for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from tests.contract.fence_worlds import CLOCK, build, open_storage

pytestmark = pytest.mark.contract

WITHIN_S = 10.0


def a_hook(folder: Path, body: str) -> FenceDeviceSpec:
    """A hook that is this shell script."""
    program = folder / "hook"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return FenceDeviceSpec(
        name="hook", level=3, kind="storage", address="", program=str(program), arguments=("a b",)
    )


async def test_hook__asked__knows_the_host_and_nothing_else(tmp_path: Path) -> None:
    """Its environment is the host, its addresses and no secret; docs/fencing.md promises it."""
    world = await open_storage(tmp_path)

    await world.device.read(WITHIN_S)

    assert [
        "HAMON_ADDRESSES=192.0.2.11,198.51.100.11",
        "HAMON_HOST=host-1",
        "LC_ALL=C",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    ] == (tmp_path / "environment").read_text().splitlines()


async def test_hook__called__gets_arguments_and_then_one_word(tmp_path: Path) -> None:
    """An argument with a blank stays one, and nothing is on standard input."""
    hook = a_hook(tmp_path, f'printf "%s|" "$@" >> {tmp_path}/called; cat >> {tmp_path}/called')
    device = await build(hook)
    start_by_s = CLOCK.now_s() + WITHIN_S

    await device.read(WITHIN_S)
    await device.cut_power(start_by_s, WITHIN_S)
    await device.power_on(start_by_s, WITHIN_S)

    assert "a b|status|a b|revoke|a b|restore|" == (tmp_path / "called").read_text()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo revoked", Power.OFF),
        ("printf revoked", Power.OFF),
        ("echo warning >&2; echo revoked", Power.OFF),
        ("echo granted", Power.ON),
        ("echo revoked; exit 1", Power.UNKNOWN),
        ("echo revoked; kill -KILL $$", Power.UNKNOWN),
        ("echo Revoked", Power.UNKNOWN),
        ("echo not revoked", Power.UNKNOWN),
        ("echo revoked; echo granted", Power.UNKNOWN),
        ("echo ' revoked'", Power.UNKNOWN),
        ("echo revoked >&2", Power.UNKNOWN),
        ("true", Power.UNKNOWN),
        ("if", Power.UNKNOWN),
    ],
)
async def test_read__status__only_the_exact_word_counts(
    tmp_path: Path, body: str, expected: Power
) -> None:
    """A hook that is not sure must not prove a host shut out (S3)."""
    device = await build(a_hook(tmp_path, body))

    reading = await device.read(WITHIN_S)

    assert (expected, "") == (reading.power, reading.identity)


async def test_cut_power__hook_fails__is_unknown(tmp_path: Path) -> None:
    """Half of it may be done."""
    device = await build(a_hook(tmp_path, "echo half >&2; exit 3"))

    result = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert (ShotOutcome.UNKNOWN, "exit 3: half") == (result.outcome, result.detail)


async def test_cut_power__hook_gone__is_not_done(tmp_path: Path) -> None:
    """What cannot be started did nothing."""
    device = await build(a_hook(tmp_path, "true"))
    (tmp_path / "hook").unlink()

    result = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert ShotOutcome.NOT_DONE is result.outcome
