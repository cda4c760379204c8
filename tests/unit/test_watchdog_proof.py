"""How long a convicted boot with a watchdog may still run, and which watchdogs prove nothing."""

from dataclasses import replace

import pytest

from hamon.clock import SystemClock
from hamon.fencing.devices import DeviceBuilder
from hamon.fencing.watchdog import proof_time_s, unfit
from hamon.model.host import FenceDeviceSpec, HostSpec, WatchdogFacts
from hamon.model.names import HostName

FACTS = WatchdogFacts(
    timeout_s=10.0, r_max_s=2.0, is_soft=False, nowayout=True, identity="iTCO_wdt"
)


@pytest.mark.parametrize(("timeout_s", "proof_s"), [(5.0, 25.15), (10.0, 40.3), (60.0, 191.8)])
def test_proof_time__by_time_out__is_three_of_them_and_what_is_configured(
    timeout_s: float, proof_s: float
) -> None:
    """3·W·(1 + 1 %) + 5 + 5; what the device really has counts, not what was asked for."""
    facts = replace(FACTS, timeout_s=timeout_s)

    assert proof_time_s(facts, margin_s=5.0, reset_latency_s=5.0) == pytest.approx(proof_s)


def test_unfit__hardware_that_cannot_be_stopped__is_fit() -> None:
    """Soft or not: what its host accepted by name was accepted."""
    assert unfit(FACTS) == ""
    assert unfit(replace(FACTS, is_soft=True)) == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(FACTS, nowayout=False), "nowayout=1"),
        (replace(FACTS, timeout_s=0.0), "makes no sense"),
        (replace(FACTS, r_max_s=10.0), "may take 10 s"),
        (replace(FACTS, r_max_s=0.0), "may take 0 s"),
    ],
)
def test_unfit__facts_that_cannot_be_right__prove_nothing(facts: WatchdogFacts, words: str) -> None:
    """A host says this of itself; nonsense is not waited for."""
    assert words in unfit(facts)


async def test_builder__watchdog__builds_no_device() -> None:
    """There is nothing to shoot with, so nothing can be shot with it by mistake."""
    dog = FenceDeviceSpec(name="dog", level=3, kind="watchdog", address="")
    host = HostSpec(name=HostName("compute-1"), planes=(), fence=(dog,))

    assert await DeviceBuilder(SystemClock()).build(host) == ()
