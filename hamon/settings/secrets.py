"""Secrets: files that only hamon reads. No pydantic here, so that agents can use it too."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from hamon.errors import ConfigError
from hamon.logs import REDACTOR

_SIZE_MAX = 4096
_TOO_OPEN = 0o037
"""Write or execute for the group, anything for others. The group may read: that is how a file looks
that systemd's LoadCredential gave to one user through an access list."""


def read_secret(path: str) -> str:
    """Read a secret and have it taken out of every log line from now on.

    One line break at the end is dropped. Idempotent; read it again to pick up a rotated secret.

    Args:
        path: the file.

    Raises:
        ConfigError: it is missing or unreadable, no plain file, open to others, empty, shorter than
            4 characters, or no single line of UTF-8 text. The message never shows the content.
    """
    with _opened(path) as file:
        # Asked of the open file, so that nobody swaps it in between.
        _check_access(path, os.fstat(file.fileno()))
        content = file.read(_SIZE_MAX + 1)
    value = _text_of(path, content)
    keep_out_of_logs(path, value)
    return value


class Password:
    """A password read from its file at each use, so that a rotated one counts at once (S22).

    While the file cannot be used, the last good value is; a rotation that went wrong must not leave
    hamon without its fence devices, or Prometheus without its metrics.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._last = ""

    def __call__(self) -> str:
        """Return the password, "" if the device has none.

        Raises:
            ConfigError: it has never been readable.
        """
        if not self._path:
            return ""
        try:
            self._last = read_secret(self._path)
        except ConfigError:
            if not self._last:
                raise
        return self._last


def keep_out_of_logs(path: str, value: str) -> None:
    """Have a secret taken out of every log line from now on. Idempotent.

    Args:
        path: the file it was read from.
        value: the secret.

    Raises:
        ConfigError: it is too short to be recognised.
    """
    try:
        REDACTOR.add(value)
    except ValueError as error:
        raise ConfigError(path, "", f"{error}; set a longer one") from error


def check_secret_file(path: str) -> None:
    """Refuse a file with a secret somewhere in it that others can get at.

    Args:
        path: the file.

    Raises:
        ConfigError: it is missing or unreadable, no plain file, or open to others.
    """
    with _opened(path) as file:
        _check_access(path, os.fstat(file.fileno()))


def zookeeper_digest(user: str, password: str) -> str:
    """Return the digest identity that ZooKeeper's ACLs name: it tells who, without the password.

    Args:
        user: ``controllers`` or ``host-<name>``.
        password: its password.

    Returns:
        ``user:base64(sha1(user:password))``.
    """
    # ZooKeeper's digest scheme is SHA-1; the password is long and random, so that this holds.
    digest = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(digest).decode()}"


def _opened(path: str) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(path, "", f"the secret cannot be read: {error.strerror}") from error
    return os.fdopen(descriptor, "rb")


def _check_access(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(path, "", "a secret must be a plain file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & _TOO_OPEN:
        why = f"mode {mode:04o} lets others at this secret; run: chmod 0400 {Path(path).name}"
        raise ConfigError(path, "", why)
    if status.st_uid not in {0, os.geteuid()}:
        why = f"belongs to user id {status.st_uid}; it must belong to root or to hamon's user"
        raise ConfigError(path, "", why)


def _text_of(path: str, content: bytes) -> str:
    if len(content) > _SIZE_MAX:
        raise ConfigError(path, "", f"longer than {_SIZE_MAX} bytes: this is no password file")
    try:
        value = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        # `from None`: the error would carry the content into a traceback.
        why = f"byte {error.start} is not UTF-8 text; write the password as one line"
        raise ConfigError(path, "", why) from None
    if not value:
        raise ConfigError(path, "", "the file is empty; write the password as one line")
    if not value.isprintable():
        raise ConfigError(path, "", "holds line breaks or control characters; write one line")
    return value
