"""The session that the next heartbeat process goes on with, and the lock against twins."""

from __future__ import annotations

import base64
import fcntl
import json
import os
from pathlib import Path

from hamon.coordination.session import SessionCredentials
from hamon.errors import ConfigError
from hamon.model.names import BootId


class SessionFile:
    """``session.json`` (mode 0600), held by one process at a time.

    Args:
        run_dir: folder on tmpfs.
        boot_id: a session of another boot is not gone on with.

    Raises:
        ConfigError: another process of this host holds it, or the folder cannot be written.
    """

    def __init__(self, run_dir: Path, boot_id: BootId) -> None:
        self._path = run_dir / "session.json"
        self._boot_id = boot_id
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            # Kept open: the lock goes with the process, however it ends.
            self._lock = (run_dir / ".session.lock").open("w")
            fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "another heartbeat process of this host is running"
            raise ConfigError(str(self._path), "", why) from error
        except OSError as error:
            raise ConfigError(str(self._path), "", str(error)) from error

    def read(self) -> SessionCredentials | None:
        """Read the session that a former process of this boot left; None: there is none."""
        try:
            content = json.loads(self._path.read_text())
            if content["boot_id"] != self._boot_id:
                return None
            return SessionCredentials(
                session_id=int(content["session_id"]),
                password=base64.b64decode(content["password"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            # Without it a new session is opened, and registers when the old one has expired.
            return None

    def write(self, session: SessionCredentials) -> None:
        """Leave a session to the next process.

        Raises:
            OSError: it could not be written.
        """
        content = {
            "boot_id": self._boot_id,
            "session_id": session.session_id,
            "password": base64.b64encode(session.password).decode(),
        }
        fresh = self._path.with_name(".session.json.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(content))
        fresh.replace(self._path)

    def remove(self) -> None:
        """Leave no session behind: it was closed."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let a successor have the lock; the session stays. Idempotent."""
        self._lock.close()
