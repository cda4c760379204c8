"""RedfishDevice against what BMCs do wrong, and against the emulator that OpenStack tests with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from hamon.ports.fencing import FenceDevice, ShotResult
from tests.contract.fence_worlds import CLOCK, a_redfish, build, open_redfish
from tests.contract.redfish_emulator import NODES, Emulator
from tests.contract.redfish_rig import ALIAS, PRODUCT_UUID, RedfishRig

pytestmark = pytest.mark.contract

WITHIN_S = 20.0

Opened = tuple[RedfishRig, FenceDevice]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """A service with a machine that is on, and its device."""
    async with open_redfish(tmp_path) as both:
        yield both


async def shoot(device: FenceDevice, deadline_s: float = WITHIN_S) -> ShotResult:
    """Order power off now."""
    return await device.cut_power(CLOCK.now_s() + WITHIN_S, deadline_s)


# -- what is settled -----------------------------------------------------------------------------


@pytest.mark.fault("F26")
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Off", Power.OFF),
        ("On", Power.ON),
        ("PoweringOff", Power.TRANSITION),
        ("PoweringOn", Power.TRANSITION),
        ("Paused", Power.TRANSITION),
        ("off", Power.UNKNOWN),
        ("Sleeping", Power.UNKNOWN),
    ],
)
async def test_read__power_state__only_a_settled_off_is_off(
    opened: Opened, told: str, expected: Power
) -> None:
    """A machine on its way to Off may still write (fence-agents.md 3)."""
    rig, device = opened
    rig.told_power = told

    reading = await device.read(WITHIN_S)

    assert (expected, PRODUCT_UUID) == (reading.power, reading.identity)


async def test_order__another_machine_answers__orders_nothing(opened: Opened) -> None:
    """Two BMCs whose addresses were swapped: the host at the other one is well (S12)."""
    rig, device = opened
    rig.told_uuid = NODES["node-2"]

    shot = await shoot(device)
    switched = await device.power_on(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert (ShotOutcome.NOT_DONE, ShotOutcome.NOT_DONE) == (shot.outcome, switched.outcome)
    assert "another machine" in shot.detail
    assert rig.is_on


@pytest.mark.parametrize("told", [None, "0" * 32, PRODUCT_UUID.upper()])
async def test_order__right_machine_or_none_is_named__is_given(
    opened: Opened, told: str | None
) -> None:
    """A BMC that cannot say whom it answers for is the operator's word."""
    rig, device = opened
    rig.told_uuid = told

    assert ShotOutcome.DONE is (await shoot(device)).outcome
    assert not rig.is_on


@pytest.mark.parametrize("told", [None, "", "none", "0" * 32, "f" * 32])
async def test_read__no_uuid__names_nobody(opened: Opened, told: str | None) -> None:
    """A board that was never given a UUID answers for no machine (S12)."""
    rig, device = opened
    rig.told_uuid = told

    reading = await device.read(WITHIN_S)

    assert (Power.ON, "") == (reading.power, reading.identity)
    assert "names no system" in reading.detail


async def test_read__uuid_spelt_otherwise__is_canonical(opened: Opened) -> None:
    """What is compared has one spelling."""
    rig, device = opened
    rig.told_uuid = PRODUCT_UUID.upper().replace("-", "")

    assert PRODUCT_UUID == (await device.read(WITHIN_S)).identity


async def test_device__system_under_another_path__is_followed(
    opened: Opened, tmp_path: Path
) -> None:
    """A read may be sent on; the order goes where the system itself says."""
    rig, _ = opened
    spec = a_redfish(rig.port, rig.certificate, tmp_path / "rig")
    device = await build(replace(spec, system=ALIAS))

    assert Power.ON is (await device.read(WITHIN_S)).power
    assert ShotOutcome.DONE is (await shoot(device)).outcome
    assert not rig.is_on


# -- orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_cut_power__accepted__is_done(opened: Opened, status: int) -> None:
    """Each of them says that the order was taken; vendors differ."""
    rig, device = opened
    rig.reset_status = status

    assert ShotOutcome.DONE is (await shoot(device)).outcome
    assert ["ForceOff"] == rig.orders


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Off", ShotOutcome.DONE),
        ("On", ShotOutcome.UNKNOWN),
        ("PoweringOff", ShotOutcome.UNKNOWN),
    ],
)
async def test_cut_power__already_off_as_an_error__is_done_only_if_it_reads_off(
    opened: Opened, status: int, told: str, expected: ShotOutcome
) -> None:
    """So iLO (400) and iDRAC (409) answer; so they answer for other reasons too."""
    rig, device = opened
    rig.reset_status, rig.told_power, rig.obeys = status, told, False

    assert expected is (await shoot(device)).outcome
    assert ["ForceOff"] == rig.orders


async def test_power_on__already_on_as_an_error__is_done(opened: Opened) -> None:
    """The same the other way round."""
    rig, device = opened
    rig.reset_status = 409

    ordered = await device.power_on(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert ShotOutcome.DONE is ordered.outcome


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ShotOutcome.NOT_DONE),
        (403, ShotOutcome.NOT_DONE),
        (303, ShotOutcome.UNKNOWN),
        (307, ShotOutcome.UNKNOWN),
        (404, ShotOutcome.UNKNOWN),
        (500, ShotOutcome.UNKNOWN),
        (503, ShotOutcome.UNKNOWN),
    ],
)
async def test_cut_power__answered_with_an_error__is_told_and_not_repeated(
    opened: Opened, status: int, expected: ShotOutcome
) -> None:
    """Only a refused login surely did nothing; nothing is sent again."""
    rig, device = opened
    rig.reset_status = status

    result = await shoot(device)

    assert expected is result.outcome
    assert result.detail
    assert ["ForceOff"] == rig.orders


async def test_cut_power__answer_lost__is_unknown_and_not_repeated(opened: Opened) -> None:
    """The order arrived, and nobody knows; sushy's own connector would send it three times."""
    rig, device = opened
    rig.hangs_up = True

    result = await shoot(device)

    assert ShotOutcome.UNKNOWN is result.outcome
    assert ["ForceOff"] == rig.orders


async def test_cut_power__nobody_listens__is_not_done(opened: Opened) -> None:
    """Nothing was sent."""
    rig, device = opened
    rig.stop()

    assert ShotOutcome.NOT_DONE is (await shoot(device)).outcome


@pytest.mark.fault("F26")
async def test_cut_power__tarpit__ends_at_the_deadline_and_leaves_nothing(opened: Opened) -> None:
    """What the kernel still held of the order is thrown away with the child that sent it."""
    rig, device = opened
    rig.hangs = True

    result = await asyncio.wait_for(shoot(device, deadline_s=2.0), WITHIN_S)

    assert (ShotOutcome.UNKNOWN, ["ForceOff"]) == (result.outcome, rig.orders)
    async with asyncio.timeout(WITHIN_S):
        while not rig.endings:  # noqa: ASYNC110  the rig works in a thread
            await asyncio.sleep(0.01)
    assert ["reset"] == rig.endings


@pytest.mark.fault("F26")
async def test_read__tarpit__is_unknown_within_the_patience(opened: Opened) -> None:
    """A BMC that accepts and never answers holds nobody up."""
    rig, device = opened
    rig.delay_s = 60.0

    reading = await asyncio.wait_for(device.read(1.0), WITHIN_S)

    assert Power.UNKNOWN is reading.power


# -- whom it believes ----------------------------------------------------------------------------


async def test_read__certificate_of_nobody_known__is_unknown(
    opened: Opened, tmp_path: Path
) -> None:
    """Without ca_file the machine's authorities count, and they do not know this one."""
    rig, _ = opened
    device = await build(
        replace(a_redfish(rig.port, rig.certificate, tmp_path / "rig"), ca_file="")
    )

    reading = await device.read(WITHIN_S)
    ordered = await shoot(device)

    assert (Power.UNKNOWN, ShotOutcome.NOT_DONE) == (reading.power, ordered.outcome)
    assert "certificate" in reading.detail
    assert rig.is_on


async def test_read__certificate_known_to_the_machine__is_believed(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own authorities, not those that a library brings along."""
    rig, _ = opened
    monkeypatch.setenv("SSL_CERT_FILE", str(rig.certificate))
    device = await build(
        replace(a_redfish(rig.port, rig.certificate, tmp_path / "rig"), ca_file="")
    )

    assert Power.ON is (await device.read(WITHIN_S)).power


async def test_read__certificate_of_another_address__is_unknown(
    opened: Opened, tmp_path: Path
) -> None:
    """A trusted BMC does not answer for its neighbour."""
    rig, _ = opened
    device = await build(
        replace(a_redfish(rig.port, rig.certificate, tmp_path / "rig"), address="127.0.0.2")
    )

    assert Power.UNKNOWN is (await device.read(WITHIN_S)).power


async def test_read__allow_insecure_tls__believes_anybody(opened: Opened, tmp_path: Path) -> None:
    """Accepted by its name, and in no other way."""
    rig, _ = opened
    spec = replace(
        a_redfish(rig.port, rig.certificate, tmp_path / "rig"), ca_file="", allow_insecure_tls=True
    )

    assert Power.ON is (await (await build(spec)).read(WITHIN_S)).power


async def test_device__password_that_is_no_latin__is_sent_whole(
    opened: Opened, tmp_path: Path
) -> None:
    """Operators write passwords in their own language, and quotes in them."""
    rig, _ = opened
    rig.accepts = 'пароль "x" \\ y'
    (tmp_path / "other").write_text(rig.accepts)
    (tmp_path / "other").chmod(0o400)
    spec = replace(
        a_redfish(rig.port, rig.certificate, tmp_path / "rig"),
        password_file=str(tmp_path / "other"),
    )

    assert Power.ON is (await (await build(spec)).read(WITHIN_S)).power


# -- sushy-emulator ------------------------------------------------------------------------------


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """A sushy-emulator."""
    folder = tmp_path / "emulator"
    folder.mkdir()
    started = Emulator(folder)
    try:
        yield started
    finally:
        started.stop()


async def reads(device: FenceDevice, power: Power) -> str:
    """Wait until the device reads this; return who answered."""
    async with asyncio.timeout(WITHIN_S):
        while (reading := await device.read(WITHIN_S)).power is not power:  # noqa: ASYNC110  a BMC tells nobody
            await asyncio.sleep(0.1)
    return reading.identity


@pytest.mark.integration
async def test_sushy_emulator__one_of_two_systems_ordered_off__only_that_one_goes(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A service of OpenStack's own tests: two systems, a login, and Off that takes its time."""
    spec = a_redfish(emulator.port, emulator.certificate, tmp_path)
    devices = {
        name: await build(replace(spec, system=f"/redfish/v1/Systems/{uuid}"))
        for name, uuid in NODES.items()
    }
    assert NODES["node-1"] == await reads(devices["node-1"], Power.ON)

    ordered = await shoot(devices["node-1"])

    assert ShotOutcome.DONE is ordered.outcome
    assert NODES["node-1"] == await reads(devices["node-1"], Power.OFF)
    assert NODES["node-2"] == await reads(devices["node-2"], Power.ON)
    again = await shoot(devices["node-1"])
    assert ShotOutcome.DONE is again.outcome
