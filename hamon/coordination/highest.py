"""The highest epoch and generation this machine has seen, kept on its own disk.

An ensemble restored from an old snapshot counts from lower numbers again. Whoever remembers higher
ones can tell, writes nothing, and pages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hamon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    epoch: int = 0
    generation: int = 0


class HighestSeen:
    """Remembers across restarts. One process keeps one file.

    Args:
        path: the file; its folder exists.

    Raises:
        ConfigError: the file holds something else. It is never replaced by guesswork: whoever
            removes it says that no rollback happened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _read(path)

    @property
    def epoch(self) -> int:
        """The highest epoch seen."""
        return self._seen.epoch

    @property
    def generation(self) -> int:
        """The highest generation of any guest seen."""
        return self._seen.generation

    def observe_epoch(self, epoch: int) -> bool:
        """Remember an epoch, durably; False: it is lower than one seen before."""
        if epoch > self._seen.epoch:
            self._write(_Seen(epoch=epoch, generation=self._seen.generation))
        return epoch == self._seen.epoch

    def observe_generation(self, highest: int) -> bool:
        """Remember the highest generation among all guests; False: it is lower than before."""
        if highest > self._seen.generation:
            self._write(_Seen(epoch=self._seen.epoch, generation=highest))
        return highest == self._seen.generation

    def _write(self, seen: _Seen) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(seen))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._seen = seen


def _read(path: Path) -> _Seen:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Seen)
    except FileNotFoundError:
        return _Seen()
    except msgspec.MsgspecError as error:
        why = f"not readable ({error}); remove it only if ZooKeeper was not rolled back"
        raise ConfigError(str(path), "", why) from error
