"""A venv of its own for what shares no versions with hamon: from a lock with hashes, and kept."""

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import names
from lab.names import PROJECT, LabError
from lab.processes import run

INSTALL_TIMEOUT_S = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVenv:
    """A venv that is installed once and kept between labs.

    Attributes:
        name: of the lock, `requirements/<name>.txt`.
    """

    name: str

    def cached(self) -> Path:
        """The venv; installed if the cache has none of this very lock.

        Raises:
            LabError: the installation failed.
        """
        done = self._done()
        if self.is_cached():
            return self.path()
        self.folder().mkdir(parents=True, exist_ok=True)
        # The programs in it begin with their own path: that of the cache, however it is reached.
        venv = self.path().resolve()
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(venv)], deadline_s=60.0)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        try:
            for lock in self._locks():
                # Built without isolation, hence from locked hashes only.
                argv = [*pip, "--no-build-isolation", "-r", str(lock)]
                run(argv, deadline_s=INSTALL_TIMEOUT_S)
        except LabError as error:
            raise LabError(f"{self.name} could not be installed: {error}") from error
        done.touch()
        return self.path()

    def is_cached(self) -> bool:
        """Whether the cache has it."""
        return self._done().exists()

    def _done(self) -> Path:
        return self.folder() / "venv.done"

    def path(self) -> Path:
        """Where the venv is, or will be."""
        return self.folder() / "venv"

    def folder(self) -> Path:
        """What is kept of this very set of versions."""
        digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in self._locks())).hexdigest()
        return names.CACHE / f"{self.name}-{digest[:12]}"

    def _locks(self) -> tuple[Path, ...]:
        # First what builds the others.
        return tuple(PROJECT / "requirements" / f"{name}.txt" for name in ("build", self.name))
