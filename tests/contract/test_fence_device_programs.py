"""Fence devices against the programs that Debian ships, and what other users of the machine see."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hamon.clock import SystemClock
from hamon.errors import ConfigError
from hamon.fencing.devices import agent_path
from hamon.fencing.fence_agent import FenceAgentDevice, read_metadata
from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from hamon.ports.fencing import FenceDevice
from tests.contract import redfish_rig
from tests.contract.fence_worlds import build, open_world, write_password
from tests.contract.ipmi_rig import CIPHER, PASSWORD, USERNAME, IpmiRig, is_installed

CLOCK = SystemClock()
WITHIN_S = 20.0
DUMMY, IPMILAN = Path("/usr/sbin/fence_dummy"), Path("/usr/sbin/fence_ipmilan")

pytestmark = pytest.mark.contract
needs_fence_agents = pytest.mark.skipif(not DUMMY.exists(), reason="needs the package fence-agents")
needs_ipmi = pytest.mark.skipif(not is_installed(), reason="needs openipmi and ipmitool")


def a_dummy(folder: Path, **options: str) -> FenceDeviceSpec:
    """fence_dummy on a machine that is a file, switched on."""
    (folder / "power").write_text("on")
    return FenceDeviceSpec(
        name="dummy",
        level=1,
        kind="agent",
        address="",
        port=0,
        agent="fence_dummy",
        options={"status_file": str(folder / "power"), **options},
    )


@needs_fence_agents
async def test_fence_dummy__ordered_off__reads_off(tmp_path: Path) -> None:
    """A program of the collection cuts power and reads it back."""
    device = await build(a_dummy(tmp_path))

    before = await device.read(WITHIN_S)
    shot = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)
    after = await device.read(WITHIN_S)

    assert (Power.ON, ShotOutcome.DONE, Power.OFF) == (before.power, shot.outcome, after.power)
    assert "off" == (tmp_path / "power").read_text()


@needs_fence_agents
async def test_fence_dummy__that_fails__is_unknown(tmp_path: Path) -> None:
    """Exit code 1 means failed or not verified: nothing is known."""
    device = await build(a_dummy(tmp_path, type="fail", power_timeout="1"))

    shot = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert ShotOutcome.UNKNOWN == shot.outcome


@needs_ipmi
async def test_ipmi__another_machine_answers__orders_nothing(tmp_path: Path) -> None:
    """Two BMCs whose addresses were swapped: the host at the other one is well (S12)."""
    rig = IpmiRig(tmp_path / "rig")
    try:
        spec = FenceDeviceSpec(
            name="bmc",
            level=1,
            kind="ipmi",
            address="127.0.0.1",
            port=rig.port,
            username=USERNAME,
            password_file=write_password(tmp_path, PASSWORD),
            cipher=CIPHER,
        )
        device = await build(spec, "11111111-2222-4333-8444-555555555552")

        result = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

        assert (ShotOutcome.NOT_DONE, True) == (result.outcome, rig.is_on)
        assert "another machine" in result.detail
    finally:
        rig.stop()


@needs_ipmi
@pytest.mark.skipif(not IPMILAN.exists(), reason="needs the package fence-agents")
async def test_fence_ipmilan__against_a_bmc__cuts_power(tmp_path: Path) -> None:
    """The options reach the program as it expects them: names, port, a true boolean."""
    rig = IpmiRig(tmp_path / "rig")
    try:
        spec = FenceDeviceSpec(
            name="bmc",
            level=1,
            kind="agent",
            address="127.0.0.1",
            port=rig.port,
            username=USERNAME,
            password_file="given apart",
            agent="fence_ipmilan",
            options={"lanplus": "true", "cipher": str(CIPHER), "power_wait": "0"},
        )
        metadata = await read_metadata(str(IPMILAN), CLOCK)
        device = FenceAgentDevice(spec, str(IPMILAN), metadata, lambda: PASSWORD, CLOCK)

        shot = await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

        assert (ShotOutcome.DONE, False) == (shot.outcome, rig.is_on)
        assert Power.OFF == (await device.read(WITHIN_S)).power
    finally:
        rig.stop()


@pytest.mark.parametrize(
    "kind", [pytest.param("ipmi", marks=needs_ipmi), "redfish", "agent", "storage"]
)
async def test_device__while_it_acts__shows_no_password_to_others(
    kind: str, tmp_path: Path
) -> None:
    """No process has the password among its arguments at any moment (S18)."""
    async with open_world(kind, tmp_path) as world:
        world.delay(0.3)

        async def act(device: FenceDevice) -> None:
            await device.read(WITHIN_S)
            await device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

        acting = asyncio.create_task(act(world.device))
        seen: set[bytes] = set()
        while not acting.done():
            seen |= arguments_of_all_processes()
            await asyncio.wait({acting}, timeout=0.01)
        await acting

    marks = {
        "ipmi": b"ipmitool",
        "redfish": b"redfish_request.py",
        "agent": b"fence_rig",
        "storage": b"hook",
    }
    assert any(marks[kind] in arguments for arguments in seen), "nothing was caught in the act"
    passwords = (PASSWORD.encode(), redfish_rig.PASSWORD.encode())
    assert not [said for said in seen if any(password in said for password in passwords)]


@needs_fence_agents
@pytest.mark.parametrize(
    ("agent", "address", "options"),
    [
        ("fence_dummy", "", {"status_file": "/nonexistent/power"}),
        ("fence_redfish", "192.0.2.7", {"systems_uri": "/redfish/v1/Systems/1"}),
        ("fence_apc_snmp", "192.0.2.7", {"plug": "4", "snmp_version": "2c"}),
        ("fence_virsh", "192.0.2.7", {"plug": "vm-1"}),
    ],
)
async def test_installed_agent__well_configured__is_accepted_by_itself(
    tmp_path: Path, agent: str, address: str, options: dict[str, str]
) -> None:
    """What passes hamon's checks passes the program's own, which contacts no device for it."""
    device = await built(tmp_path, agent, address, options)

    assert await device.validate()


@needs_fence_agents
async def test_fence_ipmilan__well_configured__is_accepted_by_itself(tmp_path: Path) -> None:
    """Refused for its arguments, but of one family with many that are not."""
    program = "/usr/sbin/fence_ipmilan"
    device = await built(tmp_path, program, "192.0.2.7", {"lanplus": "1", "privlvl": "Operator"})

    assert await device.validate()


@needs_fence_agents
@pytest.mark.parametrize(
    ("agent", "address", "options", "words"),
    [
        ("fence_apc_snmp", "192.0.2.7", {}, "does not work without options.plug"),
        ("fence_apc_snmp", "", {"plug": "4"}, "does not work without address"),
        ("fence_apc_snmp", "192.0.2.7", {"plug": "4", "snmp_version": "7"}, "may be 1, 2c, 3"),
        ("fence_virsh", "192.0.2.7", {"plug": "vm-1", "identity_file": "/nonexistent"},
         "identity file /nonexistent does not exist"),
        ("fence_virsh", "192.0.2.7", {"plug": "vm-1", "login_timeout": "soon"},
         "not a valid"),
        ("fence_kdump", "", {}, "no action status"),
        ("fence_heuristics_ping", "", {"ping_targets": "192.0.2.7"}, "no action status"),
    ],
)  # fmt: skip
async def test_installed_agent__badly_configured__is_a_configuration_error(
    tmp_path: Path, agent: str, address: str, options: dict[str, str], words: str
) -> None:
    """Found at start, in words that say what to do."""
    spec = an_agent(tmp_path, agent, address, options)
    if agent in {"fence_kdump", "fence_heuristics_ping"}:
        spec = replace(spec, username="", password_file="")

    with pytest.raises(ConfigError, match=f"(?i){re.escape(words)}"):
        await build(spec)


def an_agent(folder: Path, agent: str, address: str, options: dict[str, str]) -> FenceDeviceSpec:
    """A device of an installed program; a login where there is an address."""
    return FenceDeviceSpec(
        name="device",
        level=1,
        kind="agent",
        address=address,
        port=0,
        username="hamon" if address else "",
        password_file=write_password(folder, PASSWORD) if address else "",
        agent=agent,
        options=options,
    )


async def built(
    folder: Path, agent: str, address: str, options: dict[str, str]
) -> FenceAgentDevice:
    """The adapter alone, without its turns."""
    program = agent if agent.startswith("/") else agent_path(agent)
    metadata = await read_metadata(program, CLOCK)
    spec = an_agent(folder, agent, address, options)
    return FenceAgentDevice(spec, program, metadata, lambda: PASSWORD if address else "", CLOCK)


def arguments_of_all_processes() -> set[bytes]:
    """What every user of this machine can see."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_agent_path__fence_ipmilan__is_refused() -> None:
    """A program that shows the password to everyone is not used (S18)."""
    with pytest.raises(ValueError, match="password"):
        agent_path("fence_ipmilan")
