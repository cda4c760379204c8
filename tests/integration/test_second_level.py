"""Ladders with more than one way to the power, and proofs that are no power reading."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import bmc
from lab.bmc import Bmc, Fault
from tests.integration.reconfigured import Edit, added, reconfigured, replaced
from tests.integration.world import World

pytestmark = pytest.mark.integration

KDUMP_PORT = 7410
SEND_KDUMP = "/usr/libexec/fence-agents/fence_kdump_send"

_SECOND = """
[host.{host}.fence.strip]
kind = "ipmi"
level = 2
address = "{address}"
username = "{user}"
password_file = "/etc/hamon/secrets/{host}-strip"
cipher = {cipher}
"""
_KDUMP = f"""
[kdump]
listen = "0.0.0.0:{KDUMP_PORT}"
"""


@pytest.mark.fault("F2", "F26")
def test_bmc__takes_orders_and_never_answers__next_level_proves_and_others_do_not_wait(
    world: World,
) -> None:
    """A BMC that swallows orders costs its host a deadline, and no other host anything."""
    [held_up] = world.run_guests("h1")
    [other] = world.run_guests("h2")

    with second_level(world, "h1") as edits, reconfigured(world, edits):
        world.lab.bmc("h1").behave(Fault.MUTE)
        world.power_cut("h1")
        world.power_cut("h2")
        world.wait_moved([held_up, other])

    assert [shot["device"] for shot in shots(world, "h1")][-1] == "strip"
    assert {shot["device"] for shot in shots(world, "h2")} == {"bmc"}
    assert world.incident("h1")["proof"]["method"] == "power"
    assert fenced_at(world, "h2") < fenced_at(world, "h1")


@pytest.mark.slow
@pytest.mark.fault("F2")
def test_bmc__dies_with_its_isolated_host__next_level_cuts_its_power(world: World) -> None:
    """The second way shoots a host that lives, and that its first way can no longer reach."""
    [guest] = world.run_guests("h1")

    with second_level(world, "h1") as edits, reconfigured(world, edits):
        world.lab.bmc("h1").behave(Fault.DEAD)
        world.isolate("h1")
        world.wait_moved([guest])

    assert not world.lab.host("h1").powered()
    assert world.incident("h1")["proof"]["method"] == "power"
    world.mend("h1")


@pytest.mark.slow
@pytest.mark.fault("F3")
def test_crash_kernel__tells_of_its_host__is_proof_where_policy_takes_it(world: World) -> None:
    """A crashed host that dumps its memory is not shot: its crash kernel's word is the proof."""
    [guest] = world.run_guests("h1")
    edits = {
        "hamon.toml": lambda whole: (
            replaced("[fencing]\n", "[fencing]\nkdump_is_proof = true\n")(whole) + _KDUMP
        )
    }

    with reconfigured(world, edits):
        # Nothing else could prove it: the BMC is dead.
        world.lab.bmc("h1").behave(Fault.DEAD)
        world.power_cut("h1")
        with crash_kernel(world, "h1"):
            world.wait_moved([guest])
        assert world.incident("h1")["proof"]["method"] == "kdump"


@pytest.mark.slow
@pytest.mark.fault("F3")
def test_crash_notice__of_a_host_that_lives__is_not_believed(world: World) -> None:
    """Whoever can forge a datagram can fence nobody with it."""
    [guest] = world.run_guests("h1")

    with reconfigured(world, {"hamon.toml": added(_KDUMP)}):
        said = [*notices(), "-c", "5"]
        world.lab.host("h1").run([*said, *controllers(world)])
        world.wait_told("kdump_heard")
        world.stay(10.0)
        assert world.state("h1") == "UP"

    assert world.incidents() == []
    assert len(world.watching.boots(guest)) == 1


@contextmanager
def second_level(world: World, host: str) -> Iterator[dict[str, Edit]]:
    """Give a host another way to its power; what the daemons' files have to say of it."""
    machine = world.lab.host(host)
    strip = Bmc(layout=world.lab.layout, host=machine.name, unit=2)
    strip.add()
    table = _SECOND.format(host=host, address=strip.address, user=bmc.USER, cipher=bmc.CIPHER_SUITE)
    try:
        yield {
            f"hosts.d/{host}.toml": added(table),
            f"secrets/{host}-strip": lambda _: strip.password(),
        }
    finally:
        strip.kill()


@contextmanager
def crash_kernel(world: World, host: str) -> Iterator[None]:
    """Have a host's crash kernel up, which tells the controllers of the crash again and again."""
    with world.lab.crash_kernel(host) as enter:
        argv = ["setpriv", "--pdeathsig", "KILL", *notices(), "-c", "0", *controllers(world)]
        sender = subprocess.Popen([*enter, *argv])
        try:
            yield
        finally:
            assert sender.poll() is None, "the crash kernel's notices ended"
            sender.kill()
            sender.wait()


def notices() -> list[str]:
    """The program that a crash kernel runs."""
    return [SEND_KDUMP, "-p", str(KDUMP_PORT), "-i", "1"]


def controllers(world: World) -> list[str]:
    """Where the controllers listen."""
    return [world.lab.address(str(daemon.name)) for daemon in world.lab.daemons]


def shots(world: World, host: str) -> list[dict[str, str]]:
    """The orders to the devices of a host."""
    return list(world.incident(host)["shots"])


def fenced_at(world: World, host: str) -> str:
    """When a host was proven dead, by the controllers' clock."""
    [at] = [
        str(line["timestamp"])
        for line in world.told()
        if line["event"] == "host_fenced" and line["subject"] == host
    ]
    return at
