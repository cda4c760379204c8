"""OpenStack's own venv, installed once from a lock with hashes and kept between labs."""

import hashlib
import shutil
import sys
from pathlib import Path

from lab.names import CACHE, PROJECT, LabError
from lab.processes import run

_LOCKS = tuple(PROJECT / "requirements" / name for name in ("build.txt", "openstack.txt"))
INSTALL_TIMEOUT_S = 1200.0


def cached_venv() -> Path:
    """The venv with the locked OpenStack; installed if the cache has none.

    Raises:
        LabError: the installation failed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    venv = path()
    done = folder() / "venv.done"
    if done.exists():
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(venv)], deadline_s=60.0)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    try:
        for lock in _LOCKS:
            # Built without isolation, hence from locked hashes only.
            argv = [*pip, "--no-build-isolation", "-r", str(lock)]
            run(argv, deadline_s=INSTALL_TIMEOUT_S)
    except LabError as error:
        raise LabError(f"OpenStack could not be installed: {error}") from error
    done.touch()
    return venv


def path() -> Path:
    """Where the venv is, or will be."""
    return folder() / "venv"


def folder() -> Path:
    """What is kept of this very set of versions."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in _LOCKS)).hexdigest()
    return CACHE / f"openstack-{digest[:12]}"
