"""The contract of ``ports.Watchdog``, kept by the one in memory and by Linux' in a guest of QEMU.

Both worlds tell what happened in the same lines, with the seconds of their own clock; the last line
is told right before the machine was reset, or it says that the machine outlived it all.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from hamon.errors import WatchdogError
from hamon.ports.watchdog import WatchdogKind
from hamon.sim.watchdog_device import InMemoryWatchdog, SimulatedWatchdog
from tests.contract.watchdog_guest import Line, is_possible, play, told_lines

pytestmark = pytest.mark.contract

TIMEOUT_S = 4
STEP_S = 0.25
IDENTITY = "i6300ESB_timer"


class World(Protocol):
    """A machine with a watchdog."""

    def play(self, what: str, *, nowayout: bool) -> list[Line]:
        """Do something with it: ``die``, ``disarm`` or ``nothing``."""
        ...


class MemoryWorld:
    """The simulator's device on a clock of the test's own."""

    def play(self, what: str, *, nowayout: bool) -> list[Line]:
        """See :class:`World`."""
        kind = WatchdogKind(identity=IDENTITY.replace("_", " "), is_soft=False, nowayout=nowayout)
        self._now_s = 0.0
        self._lines: list[Line] = []
        self._device = SimulatedWatchdog(lambda: self._now_s, kind)
        stories: dict[str, Callable[[], Iterator[None]]] = {
            "die": self._die,
            "disarm": self._disarm,
        }
        for _ in stories[what]():
            self._now_s += STEP_S
            deadline_s = self._device.deadline_s
            if deadline_s is not None and deadline_s <= self._now_s:
                return self._lines
        self._tell("outlived")
        return self._lines

    def _tell(self, event: str, *more: object) -> None:
        self._lines.append(Line(at_s=self._now_s, event=event, more=tuple(map(str, more))))

    def _live(self, duration_s: float) -> Iterator[None]:
        for _ in range(int(duration_s / STEP_S)):
            self._tell("alive")
            yield

    def _armed(self) -> InMemoryWatchdog:
        watchdog = InMemoryWatchdog(self._device)
        kind = watchdog.kind()
        self._tell("kind", kind.identity.replace(" ", "_"), kind.is_soft, kind.nowayout)
        self._tell("timeout", watchdog.open(TIMEOUT_S), watchdog.is_open)
        try:
            InMemoryWatchdog(self._device).open(TIMEOUT_S)
        except WatchdogError as error:
            self._tell("second", error.outcome)
        return watchdog

    def _die(self) -> Iterator[None]:
        watchdog = self._armed()
        for _ in range(int(2.5 * TIMEOUT_S / STEP_S)):
            watchdog.pet()
            self._tell("petted")
            yield
        watchdog.pet()
        self._tell("last_pet")
        yield from self._live(0.75 * TIMEOUT_S)
        self._tell("killed")
        watchdog.close(disarm=False)
        yield from self._live(10 * TIMEOUT_S)

    def _disarm(self) -> Iterator[None]:
        watchdog = self._armed()
        watchdog.close(disarm=True)
        self._tell("closed", watchdog.is_open)
        yield from self._live(2.5 * TIMEOUT_S)


class GuestWorld:
    """A guest of QEMU with an emulated Intel 6300ESB, under Debian's kernel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def play(self, what: str, *, nowayout: bool) -> list[Line]:
        """See :class:`World`."""
        return play(self._folder, what, nowayout=nowayout)


GUEST = pytest.param(
    "guest",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not is_possible(), reason="needs QEMU, gcc, cpio and Python 3.11"),
    ],
)


@pytest.fixture(params=["memory", GUEST])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A machine of each kind."""
    return MemoryWorld() if request.param == "memory" else GuestWorld(tmp_path)


def only(lines: list[Line], event: str) -> Line:
    """Return the one line of an event."""
    [line] = [line for line in lines if line.event == event]
    return line


def test_watchdog__petted_then_its_process_killed__fires_one_timeout_after_the_close(
    world: World,
) -> None:
    """It holds while it is petted; the kernel pets it at the close, and then nobody does."""
    lines = world.play("die", nowayout=True)

    assert only(lines, "kind").more == (IDENTITY, "False", "True")
    assert only(lines, "timeout").more == ("4.0", "True")
    assert only(lines, "second").more[0] == "not_done"
    last_pet_s, killed_s = only(lines, "last_pet").at_s, only(lines, "killed").at_s
    assert last_pet_s - only(lines, "timeout").at_s > 2 * TIMEOUT_S
    assert lines[-1].event == "alive"
    # Without the kernel's pet it would have been reset a second after the kill.
    assert TIMEOUT_S - 1 <= lines[-1].at_s - killed_s < TIMEOUT_S + 1
    assert lines[-1].at_s > last_pet_s + TIMEOUT_S + 1


@pytest.mark.parametrize("nowayout", [False, True])
def test_watchdog__disarmed__goes_on_for_ever_unless_nowayout(
    world: World, *, nowayout: bool
) -> None:
    """An announced leave can let go of the device only where its driver lets that be."""
    lines = world.play("disarm", nowayout=nowayout)

    assert only(lines, "kind").more == (IDENTITY, "False", str(nowayout))
    assert only(lines, "closed").more == ("False",)
    assert lines[-1].event == ("alive" if nowayout else "outlived")


@pytest.mark.parametrize("world", [GUEST], indirect=True)
def test_watchdog_device__that_is_not_there__is_refused(world: World) -> None:
    """A wrong name is told before anything is opened; what is not open cannot be petted."""
    lines = world.play("nothing", nowayout=True)

    assert [line.more for line in lines if line.event == "refused"] == [
        ("kind", "not_done"),
        ("kind", "not_done"),
        ("pet", "unknown"),
    ]


def test_guest__reset_in_the_middle_of_a_line__has_told_only_whole_ones() -> None:
    """A watchdog waits for no line to end."""
    for cut in ("1.7", "1.75", "1.75 ", "1.75 ali"):
        told = told_lines(f"SeaBIOS\r\n1.50 alive\r\n{cut}")

        assert [(line.at_s, line.event) for line in told] == [(1.5, "alive")]
