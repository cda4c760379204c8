"""Login, metrics and watchdog of ``agent.toml``; config/agent.toml explains every key."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from hamon.agent.config_keys import ConfigKeys
from hamon.agent.guarded_heartbeat import WatchdogSettings, beat_period_s
from hamon.errors import ConfigError
from hamon.settings.metrics import MetricsSettings

PORT_MAX = 65535
_DIGEST = re.compile(r"controllers:[A-Za-z0-9+/]{27}=")
_WATCHDOG = re.compile(r"/dev/watchdog[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogConfig:
    """Which watchdog is used, and how; see config/agent.toml."""

    device: Path
    settings: WatchdogSettings
    allow_soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginConfig:
    """As whom ZooKeeper knows this host, and whom else it lets read; see config/agent.toml.

    By a password (``password_file``) or by a certificate (``subject``); the controllers likewise.
    ``ca_file``: None: nothing is encrypted.
    """

    password_file: Path
    controllers_digest: str = ""
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    subject: str = ""
    controllers_subject: str = ""


def login_of(keys: ConfigKeys) -> LoginConfig:
    """Read as whom this host logs in to ZooKeeper.

    Raises:
        ConfigError: a key is missing or wrong, or others may read the private key.
    """
    ca_file, certificate_file, key_file = (
        Path(text) if (text := keys.text(f"zookeeper.{key}", "", may_be_empty=True)) else None
        for key in ("ca_file", "certificate_file", "key_file")
    )
    subject = keys.text("zookeeper.subject", "", may_be_empty=True)
    by_certificate = {
        "certificate_file": certificate_file,
        "key_file": key_file,
        "subject": subject,
    }
    for key, value in {**by_certificate, "ca_file": ca_file}.items():
        if any(by_certificate.values()) and not value:
            raise keys.error(f"zookeeper.{key}", "is missing: a login by certificate needs it")
    if key_file is not None and _is_open_to_others(key_file):
        raise ConfigError(str(key_file), "", "others may read this key: chmod 0600")
    controllers_subject = keys.text("zookeeper.controllers_subject", "", may_be_empty=True)
    return LoginConfig(
        password_file=keys.path("zookeeper.password_file", "/etc/hamon/zookeeper.password"),
        controllers_digest="" if controllers_subject else _controllers_digest(keys),
        ca_file=ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
        subject=subject,
        controllers_subject=controllers_subject,
    )


def _is_open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        # Told with its reason when it is read.
        return False


def _controllers_digest(keys: ConfigKeys) -> str:
    digest = keys.text("zookeeper.controllers_digest")
    if not _DIGEST.fullmatch(digest):
        raise keys.error(
            "zookeeper.controllers_digest",
            "is not controllers:<base64 of a SHA-1>; `hamon bootstrap` prints it",
        )
    return digest


def watchdog_of(keys: ConfigKeys) -> WatchdogConfig | None:
    """Read which watchdog this host has; None: none.

    Raises:
        ConfigError: a key is wrong.
    """
    device = keys.text("watchdog.device", "", may_be_empty=True)
    timeout_s = keys.number("watchdog.timeout_s", 15.0, at_least=2.0, at_most=120.0)
    r_max_s = keys.number("watchdog.r_max_s", 2.0, at_least=0.1, at_most=60.0)
    allow_soft = keys.flag("watchdog.allow_soft", default=False)
    if not device:
        return None
    if not _WATCHDOG.fullmatch(device):
        raise keys.error("watchdog.device", f'{device!r} is not like "/dev/watchdog0"')
    if not timeout_s.is_integer():
        raise keys.error("watchdog.timeout_s", f"{timeout_s} is no whole number of seconds")
    return WatchdogConfig(
        device=Path(device),
        settings=WatchdogSettings(timeout_s=int(timeout_s), r_max_s=r_max_s),
        allow_soft=allow_soft,
    )


def metrics_of(keys: ConfigKeys) -> MetricsSettings:
    """Read where the metrics are served, and to whom.

    Raises:
        ConfigError: a key is missing or wrong.
    """
    listen = keys.text("metrics.listen", "127.0.0.1:9732", may_be_empty=True)
    address, _, port = listen.rpartition(":")
    try:
        place = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        place = None
    is_port = port.isdecimal() and 1 <= int(port) <= PORT_MAX
    if listen and (place is None or not is_port):
        raise keys.error("metrics.listen", f"{listen!r} is not address:port")
    files = {
        name: Path(text) if (text := keys.text(f"metrics.{name}", "", may_be_empty=True)) else None
        for name in ("certificate_file", "key_file", "password_file")
    }
    username = keys.text("metrics.username", "", may_be_empty=True)
    for one, other in (("certificate_file", "key_file"), ("username", "password_file")):
        has = {name: bool(username if name == "username" else files[name]) for name in (one, other)}
        if has[one] != has[other]:
            missing, there = (other, one) if has[one] else (one, other)
            raise keys.error(f"metrics.{missing}", f"is missing: {there} needs it")
    if ":" in username:
        raise keys.error("metrics.username", "a colon would end it where it is sent")
    if username and place is not None and not (place.is_loopback or files["certificate_file"]):
        why = "is missing: without encryption everybody on the way reads the password"
        raise keys.error("metrics.certificate_file", why)
    return MetricsSettings(
        address=str(place) if listen else "",
        port=int(port) if listen else 0,
        certificate_file=files["certificate_file"],
        key_file=files["key_file"],
        username=username,
        password_file=files["password_file"],
    )


def check_watchdog(keys: ConfigKeys, settings: WatchdogSettings, session_timeout_s: float) -> None:
    """Refuse a watchdog that would reset the host while ZooKeeper replaces its own leader.

    A session time-out is made to outlast that; so must be what is left of the device's after a
    pause and a heartbeat as slow as is allowed.

    Raises:
        ConfigError: it would.
    """
    period_s = beat_period_s(settings.timeout_s)
    left_s = settings.timeout_s - period_s - settings.r_max_s
    if left_s < session_timeout_s:
        raise keys.error(
            "watchdog.timeout_s",
            f"{settings.timeout_s} - {period_s:g} (the pause, a quarter of it) - r_max_s"
            f" {settings.r_max_s:g} = {left_s:g} < session_timeout_s {session_timeout_s:g}: the"
            " host would be reset while ZooKeeper chooses another leader",
        )
