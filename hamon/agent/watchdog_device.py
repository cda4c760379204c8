"""A Linux watchdog device, as Documentation/watchdog/watchdog-api.rst of the kernel has it.

What must be known before the device is opened (which driver it is, and whether it can be disarmed)
is read from sysfs: opening arms it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from hamon.errors import Outcome, WatchdogError
from hamon.ports.watchdog import WatchdogKind

SYSFS = Path("/sys/class/watchdog")
SOFT_IDENTITY = "Software Watchdog"
"""What the kernel's softdog calls itself."""

# _IOR('W', 0, struct watchdog_info), _IOR('W', 5, int), _IOWR('W', 6, int), _IOR('W', 7, int) of
# the generic encoding, which x86, Arm, RISC-V and s390 use.
_GET_SUPPORT = 0x80285700
_KEEP_ALIVE = 0x80045705
_SET_TIMEOUT = 0xC0045706
_GET_TIMEOUT = 0x80045707

_INFO = struct.Struct("II32s")
_NUMBER = struct.Struct("i")
_MAGIC = b"V"
"""Written right before it is closed, it disarms the device, unless nowayout is set."""


class WatchdogDevice:
    """One device (implements ``ports.Watchdog``).

    Args:
        path: such as ``/dev/watchdog0``.
        sysfs: where the kernel describes its watchdogs.
    """

    def __init__(self, path: Path, sysfs: Path = SYSFS) -> None:
        self._path = path
        self._folder = sysfs / path.name
        self._file: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether this process holds the device."""
        return self._file is not None

    def kind(self) -> WatchdogKind:
        """Tell what it is, from sysfs. See ``ports.Watchdog``."""
        identity = self._attribute("identity")
        return WatchdogKind(
            identity=identity,
            is_soft=identity == SOFT_IDENTITY,
            nowayout=self._attribute("nowayout") == "1",
        )

    def open(self, timeout_s: int) -> float:
        """Take, arm and pet it; return its real time-out. See ``ports.Watchdog``."""
        said = self.kind().identity
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            why = error.strerror or ""
            if error.errno == errno.EBUSY:
                why = "another process holds it (systemd's RuntimeWatchdogSec, sanlock, sbd)"
            raise self._error("open", Outcome.NOT_DONE, why) from error
        try:
            self._refuse_another(said)
            try:
                self._control(_SET_TIMEOUT, timeout_s)
            except OSError as error:
                # Not every driver can change it; which one counts is read back.
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                    raise
            return float(self._control(_GET_TIMEOUT))
        except OSError as error:
            self.close(disarm=True)
            raise self._error("open", Outcome.UNKNOWN, error.strerror or "") from error

    def pet(self) -> None:
        """Put the reset off. See ``ports.Watchdog``."""
        try:
            self._control(_KEEP_ALIVE)
        except OSError as error:
            raise self._error("pet", Outcome.UNKNOWN, error.strerror or "") from error

    def close(self, *, disarm: bool) -> None:
        """Let go of it. See ``ports.Watchdog``."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if disarm:
                os.write(file, _MAGIC)
        except OSError:
            # It stays armed, which is the careful side.
            pass
        finally:
            os.close(file)

    def _refuse_another(self, said: str) -> None:
        """Compare the device with what sysfs said of it: two names may have been mixed up.

        Raises:
            WatchdogError: it is another one.
        """
        data = fcntl.ioctl(self._descriptor(), _GET_SUPPORT, bytes(_INFO.size))
        identity = _INFO.unpack(data)[2].split(b"\0")[0].decode(errors="replace")
        if identity != said:
            self.close(disarm=True)
            why = f"it says {identity!r}, and {self._folder} says {said!r}"
            raise self._error("open", Outcome.UNKNOWN, why)

    def _control(self, request: int, number: int = 0) -> int:
        answer = fcntl.ioctl(self._descriptor(), request, _NUMBER.pack(number))
        value: int = _NUMBER.unpack(answer)[0]
        return value

    def _descriptor(self) -> int:
        if self._file is None:
            raise OSError(errno.EBADF, "it is not open")
        return self._file

    def _attribute(self, name: str) -> str:
        try:
            return (self._folder / name).read_text().strip()
        except OSError as error:
            why = f"{self._folder / name}: {error.strerror}"
            raise self._error("kind", Outcome.NOT_DONE, why) from error

    def _error(self, operation: str, outcome: Outcome, why: str) -> WatchdogError:
        return WatchdogError("watchdog", operation, str(self._path), outcome, why)
