"""Which watchdogs the heartbeat process uses; what it would not use it does not open."""

import subprocess
import sys
from pathlib import Path

import pytest

from hamon.agent.config import AgentConfig, load_config
from hamon.agent.heartbeat import refuse_unaccepted
from hamon.agent.service import CONFIG_ERROR_STATUS
from hamon.agent.watchdog_device import WatchdogDevice
from hamon.errors import ConfigError, Outcome, WatchdogError
from hamon.ports.watchdog import WatchdogKind
from hamon.sim.watchdog_device import HARDWARE, InMemoryWatchdog, SimulatedWatchdog
from tests.unit.test_agent_config import LEAST, written

SOFT = WatchdogKind(identity="Software Watchdog", is_soft=True, nowayout=True)


def a_config(folder: Path, extra: str = "", device: str = "/dev/watchdog0") -> AgentConfig:
    """A host that uses a watchdog."""
    return load_config(written(folder, f'{LEAST}[watchdog]\ndevice = "{device}"\n{extra}'))


def a_device(kind: WatchdogKind) -> SimulatedWatchdog:
    """A device that nobody has opened."""
    return SimulatedWatchdog(lambda: 0.0, kind)


def test_refuse_unaccepted__hardware__is_used(tmp_path: Path) -> None:
    """A real one needs no word."""
    refuse_unaccepted(InMemoryWatchdog(a_device(HARDWARE)), a_config(tmp_path))


def test_refuse_unaccepted__software__only_by_name(tmp_path: Path) -> None:
    """It is no proof unless somebody says so; and it is not armed to find that out."""
    device = a_device(SOFT)
    with pytest.raises(ConfigError, match=r"watchdog.device: it is a software watchdog"):
        refuse_unaccepted(InMemoryWatchdog(device), a_config(tmp_path))

    refuse_unaccepted(InMemoryWatchdog(device), a_config(tmp_path, "allow_soft = true\n"))

    assert device.pets == []


def test_heartbeat__device_not_there__refuses_to_start(tmp_path: Path) -> None:
    """The host would be taken for a guarded one by whoever configured it."""
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    servers = 'servers = ["192.0.2.1:2181"]'
    text = LEAST.replace(servers, f'{servers}\npassword_file = "{tmp_path}/password"')
    paths = f'[paths]\nrun_dir = "{tmp_path}/run"\nstate_dir = "{tmp_path}/state"\n'
    path = written(tmp_path, f'{text}[watchdog]\ndevice = "/dev/watchdog987"\n{paths}')

    ended = subprocess.run(
        [sys.executable, "-m", "hamon.agent.heartbeat", "--config", str(path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert ended.returncode == CONFIG_ERROR_STATUS
    assert "watchdog.device: /sys/class/watchdog/watchdog987/identity: No such" in ended.stderr


def a_sysfs(folder: Path, **attributes: str) -> WatchdogDevice:
    """A device as the kernel describes it in sysfs, and whose file is none."""
    (folder / "watchdog0").mkdir()
    for name, text in attributes.items():
        (folder / "watchdog0" / name).write_text(f"{text}\n")
    return WatchdogDevice(folder / "dev" / "watchdog0", sysfs=folder)


def test_kind__as_sysfs_says__is_told_without_opening(tmp_path: Path) -> None:
    """The driver's name decides what is soft, and nowayout what can be disarmed."""
    device = a_sysfs(tmp_path, identity="Software Watchdog", nowayout="1")

    assert device.kind() == SOFT
    assert not device.is_open
    with pytest.raises(WatchdogError, match="No such file") as caught:
        device.open(10)
    assert caught.value.outcome is Outcome.NOT_DONE


def test_kind__kernel_says_too_little__is_refused(tmp_path: Path) -> None:
    """Without nowayout nobody knows whether it can be disarmed."""
    device = a_sysfs(tmp_path, identity="iTCO_wdt")

    with pytest.raises(WatchdogError, match="nowayout"):
        device.kind()


def test_open__a_file_that_is_no_watchdog__is_refused_and_closed(tmp_path: Path) -> None:
    """A wrong device answers no question that a watchdog answers."""
    device = a_sysfs(tmp_path, identity="iTCO_wdt", nowayout="1")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "watchdog0").write_text("")

    with pytest.raises(WatchdogError) as caught:
        device.open(10)

    assert caught.value.outcome is Outcome.UNKNOWN
    assert not device.is_open
