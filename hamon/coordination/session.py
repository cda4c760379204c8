"""How a session with ZooKeeper is made: where, as whom, and how it is encrypted."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hamon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCredentials:
    """What resumes a session. A secret: whoever has it holds the session's ephemerals."""

    session_id: int
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What a connection is encrypted with; PEM.

    ``ca_file``: the authorities that sign the servers' certificates; no other is believed.
    ``certificate_file``, ``key_file``: by which the servers know this client, None: by a password.
    """

    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files. The name of a server is checked, and TLS is 1.2 or newer.

        Raises:
            ConfigError: one of them cannot be used; names it.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(self.ca_file, "ca_file", lambda: context.load_verify_locations(self.ca_file))
        certificate, key = self.certificate_file, self.key_file
        if certificate is not None and key is not None:
            _load(key, "key_file", lambda: None)
            _load(
                certificate,
                "certificate_file",
                lambda: context.load_cert_chain(certificate, key, password=_no_password),
            )
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where and as whom to connect.

    ``servers``: ``address:port`` each. ``chroot``: absolute path, "/" for none.
    ``session_timeout_s``: must be granted exactly. ``user``: whose password it is, "": there is
    none, and the certificate tells who this is. ``tls``: None: nothing is encrypted.
    ``call_timeout_s``: deadline of every call, None: half the session time-out. ``resume``: a
    session to go on with if it still lives.
    """

    servers: tuple[str, ...]
    chroot: str
    session_timeout_s: float
    user: str = ""
    password: str = field(default="", repr=False)
    tls: TlsFiles | None = None
    call_timeout_s: float | None = None
    resume: SessionCredentials | None = None


def _load(path: Path, key: str, read: Callable[[], object]) -> None:
    try:
        path.read_bytes()
        read()
    except ssl.SSLError as error:
        why = f"is no PEM that can be used: {error.reason or error}"
        raise ConfigError(str(path), f"zookeeper.{key}", why) from error
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        raise ConfigError(str(path), f"zookeeper.{key}", why) from error
    except ValueError as error:
        raise ConfigError(str(path), f"zookeeper.{key}", str(error)) from error


def _no_password() -> str:
    # Else OpenSSL would ask whoever sits at the terminal.
    raise ValueError("its key has a password; nobody is there to type it")
