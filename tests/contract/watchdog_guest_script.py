"""What runs in the guest: the real device, petted, let go, and watched until it fires.

Every line is ``<boot seconds> <event> [<more>]``; the last word of the kernel's command line says
what is done.
"""

import os
import signal
import sys
import time
from pathlib import Path

from hamon.agent.watchdog_device import WatchdogDevice
from hamon.errors import WatchdogError

TIMEOUT_S = 4
STEP_S = 0.25


def tell(event: str, *more: object) -> None:
    """Tell the test outside."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    sys.stdout.write(" ".join([f"{now_s:.2f}", event, *map(str, more)]) + "\n")
    sys.stdout.flush()


def live(duration_s: float) -> None:
    """Show for a while that the machine runs."""
    until_s = time.monotonic() + duration_s
    while time.monotonic() < until_s:
        tell("alive")
        time.sleep(STEP_S)


def armed() -> WatchdogDevice:
    """Open the device, and try what its contract says on the way."""
    device = WatchdogDevice(Path("/dev/watchdog0"))
    kind = device.kind()
    tell("kind", kind.identity.replace(" ", "_"), kind.is_soft, kind.nowayout)
    tell("timeout", device.open(TIMEOUT_S), device.is_open)
    try:
        WatchdogDevice(Path("/dev/watchdog0")).open(TIMEOUT_S)
    except WatchdogError as error:
        tell("second", error.outcome, error.why.split("(")[0].strip().replace(" ", "_"))
    return device


def pet_then_die() -> None:
    """Pet for more than two time-outs; then, in a child that is killed right before it fires."""
    child = os.fork()
    if child == 0:
        device = armed()
        for _ in range(int(2.5 * TIMEOUT_S / STEP_S)):
            device.pet()
            tell("petted")
            time.sleep(STEP_S)
        device.pet()
        tell("last_pet")
        live(0.75 * TIMEOUT_S)
        tell("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    live(10 * TIMEOUT_S)


def disarm() -> None:
    """Let go of it in order; go on for longer than it would have waited."""
    device = armed()
    device.close(disarm=True)
    tell("closed", device.is_open)
    live(2.5 * TIMEOUT_S)


def nothing_there() -> None:
    """Ask for a device that does not exist."""
    device = WatchdogDevice(Path("/dev/watchdog7"))
    for call in (device.kind, lambda: device.open(TIMEOUT_S)):
        try:
            call()
        except WatchdogError as error:
            tell("refused", error.operation, error.outcome)
    try:
        device.pet()
    except WatchdogError as error:
        tell("refused", error.operation, error.outcome)
    device.close(disarm=True)


def main() -> None:
    """Do what the command line says, and power off if the machine still runs."""
    words = Path("/proc/cmdline").read_text().split()
    {"die": pet_then_die, "disarm": disarm, "nothing": nothing_there}[words[-1]]()
    tell("outlived")
    os.sync()
    Path("/proc/sysrq-trigger").write_text("o")
    time.sleep(60)


main()
