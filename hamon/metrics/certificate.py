"""The certificate that metrics are served with, read again when its file changes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from hamon.errors import ConfigError


class Certificate:
    """A server's certificate and key.

    One that is rotated counts from the next connection on. While the new files cannot be used, the
    last good ones are, and that is told once for each change.

    Args:
        chain: PEM, the server's certificate first.
        key: PEM, without a password.
        on_trouble: told why new files cannot be used.

    Raises:
        ConfigError: the files cannot be used now; names the one.
    """

    def __init__(self, chain: Path, key: Path, on_trouble: Callable[[str], None]) -> None:
        self._chain = chain
        self._key = key
        self._on_trouble = on_trouble
        self._read_from = self._stamps()
        self._context = _context(chain, key)

    def context(self) -> ssl.SSLContext:
        """Return what the next connection is served with."""
        stamps = self._stamps()
        if stamps != self._read_from:
            self._read_from = stamps
            try:
                self._context = _context(self._chain, self._key)
            except ConfigError as error:
                self._on_trouble(str(error))
        return self._context

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in (self._chain, self._key))


def _context(chain: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path, name in ((chain, "metrics.certificate_file"), (key, "metrics.key_file")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(str(path), name, f"cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(chain, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        why = f"is no PEM certificate that goes with {key}: {error}"
        raise ConfigError(str(chain), "metrics.certificate_file", why) from error
    return context


def _no_password() -> str:
    # Else OpenSSL would ask whoever sits at the terminal.
    raise ValueError("the key has a password; nobody is there to type it")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
