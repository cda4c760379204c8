"""Files that the configuration names and hamon hands on: programs it runs, certificates it trusts.

No pydantic here: what builds the devices checks again, right before a file is used.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from hamon.errors import ConfigError

_WRITABLE_BY_OTHERS = 0o022


def check_program(path: str) -> None:
    """Refuse a program that cannot be run, or that somebody else may change.

    Whoever may write to it decides what hamon believes, with hamon's rights.

    Args:
        path: where it is.

    Raises:
        ConfigError: the path is not absolute, no file that can be executed is there, it belongs to
            neither root nor this user, or its group or others may write to it.
    """
    if not Path(path).is_absolute():
        raise ConfigError(path, "", "a program is named with its whole path, from / on")
    try:
        status = Path(path).stat()
    except OSError as error:
        raise ConfigError(path, "", f"the program cannot be found: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        raise ConfigError(path, "", f"is no program; run: chmod 0755 {Path(path).name}")
    if status.st_uid not in {0, os.geteuid()}:
        why = f"belongs to user id {status.st_uid}; it must belong to root or to hamon's user"
        raise ConfigError(path, "", why)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        why = f"others may change this program; run: chmod go-w {Path(path).name}"
        raise ConfigError(path, "", why)


def check_authorities(path: str) -> None:
    """Refuse a file that no certificate can be checked with.

    Args:
        path: a file of certificates in PEM.

    Raises:
        ConfigError: it cannot be read, or holds no certificate.
    """
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        why = "holds no certificate in PEM; name that of the authority, or of the BMC itself"
        raise ConfigError(path, "", why) from error
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read: {error.strerror}") from error
