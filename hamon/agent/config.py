"""``agent.toml``: read by hand, because the heartbeat process has no room for a schema library.

config/agent.toml explains every key. A wrong or unknown key is refused at start.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hamon.agent.config_keys import ConfigKeys
from hamon.agent.config_tables import (
    PORT_MAX,
    LoginConfig,
    WatchdogConfig,
    check_watchdog,
    login_of,
    metrics_of,
    watchdog_of,
)
from hamon.agent.permits import HostFolders
from hamon.errors import ConfigError
from hamon.model.names import BootId, HostName, host_name, is_name
from hamon.model.policy import Backend
from hamon.settings.metrics import MetricsSettings

HEARTBEAT_PERIODS_MIN = 3
"""A storage that took no heartbeat for less is not late: one write may just be slow."""

HEARTBEAT_PERIOD_MAX_S = 10.0
"""No controller would call a host alive by a rarer one, and its writer would be taken for stuck."""

PRODUCT_UUID_FILE = Path("/sys/class/dmi/id/product_uuid")
_SERVER = re.compile(r"\[?[A-Za-z0-9.:-]+\]?:[0-9]{1,5}")
_LINK = re.compile(r"[^/\s]{1,15}")
"""What Linux takes for the name of a network interface."""
_HOST_UUID = re.compile(r'^\s*host_uuid\s*=\s*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What both processes on a compute host are told. Times in seconds; see config/agent.toml.

    ``path``: the file it came from. ``watchdog``: None: none is used.
    """

    path: Path = field(compare=False)
    host: HostName
    cluster: str
    backend: Backend
    servers: tuple[str, ...]
    session_timeout_s: float
    connect_timeout_s: float
    login: LoginConfig
    echo_port: int
    planes: Mapping[str, str]
    libvirt_uri: str
    libvirt_run_dir: Path
    libvirt_hooks_dir: Path
    libvirtd_conf: Path
    call_timeout_s: float
    start_timeout_s: float
    shared_paths: tuple[str, ...]
    shared_pools: tuple[str, ...]
    heartbeats: Mapping[str, Path]
    heartbeat_period_s: float
    heartbeat_late_s: float
    checks_period_s: float
    links: tuple[str, ...]
    folders: HostFolders
    boot_id_file: Path
    product_uuid: str
    watchdog: WatchdogConfig | None
    metrics: MetricsSettings

    def error(self, key: str, why: str) -> ConfigError:
        """Build the complaint about a key."""
        return ConfigError(str(self.path), key, why)

    def boot_id(self) -> BootId:
        """Read the id of this life of the host.

        Raises:
            ConfigError: the file cannot be read.
        """
        return BootId(_file_text(self.boot_id_file, "paths.boot_id_file"))

    def password(self) -> str:
        """Read the password of this host's ZooKeeper identity.

        Raises:
            ConfigError: the file cannot be read, is empty, or others may read it.
        """
        path = self.login.password_file
        text = _file_text(path, "zookeeper.password_file")
        if path.stat().st_mode & 0o077:
            raise ConfigError(str(path), "", "others may read this password: chmod 0600")
        return text

    def machine_uuid(self) -> str:
        """Find the identity that the host's BMC must answer for: configured, firmware's, libvirt's.

        Empty when nobody knows it: the leader then takes the one of hosts.d.
        """
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        files = [PRODUCT_UUID_FILE]
        if credentials:
            # The firmware's is readable by root alone; systemd hands it to the heartbeat.
            files.insert(0, Path(credentials) / "product-uuid")
        candidates = [self.product_uuid, *map(_text_if_readable, files)]
        if match := _HOST_UUID.search(_text_if_readable(self.libvirtd_conf)):
            candidates.append(match.group(1))
        return next(filter(None, map(_uuid, candidates)), "")


def load_config(path: Path) -> AgentConfig:
    """Read ``agent.toml``.

    Raises:
        ConfigError: it cannot be read, or a key is missing, unknown, or wrong.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), "", str(error)) from error
    keys = ConfigKeys(str(path), content)
    config = AgentConfig(
        path=path,
        host=_host(keys),
        cluster=_cluster(keys),
        backend=_backend(keys),
        servers=_servers(keys),
        session_timeout_s=keys.number("zookeeper.session_timeout_s", 6.0, at_least=1.0),
        connect_timeout_s=keys.number("zookeeper.connect_timeout_s", 1.0, at_least=0.1),
        login=login_of(keys),
        echo_port=int(keys.number("echo.port", 7420, at_least=1, at_most=PORT_MAX)),
        planes=_planes(keys),
        libvirt_uri=keys.text("libvirt.uri", "qemu:///system"),
        libvirt_run_dir=keys.path("libvirt.run_dir", "/run/libvirt"),
        libvirt_hooks_dir=keys.path("libvirt.hooks_dir", "/etc/libvirt/hooks"),
        libvirtd_conf=keys.path("libvirt.libvirtd_conf", "/etc/libvirt/libvirtd.conf"),
        call_timeout_s=keys.number("libvirt.call_timeout_s", 5.0, at_least=0.5),
        start_timeout_s=keys.number("libvirt.start_timeout_s", 20.0, at_least=1.0),
        shared_paths=_shared_paths(keys),
        shared_pools=keys.texts("storage.shared_pools"),
        heartbeats=_heartbeats(keys),
        heartbeat_period_s=keys.number(
            "storage.heartbeat_period_s", 1.0, at_least=0.1, at_most=HEARTBEAT_PERIOD_MAX_S
        ),
        heartbeat_late_s=keys.number("storage.heartbeat_late_s", 5.0, at_least=0.1),
        checks_period_s=keys.number("checks.period_s", 2.0, at_least=0.5),
        links=_links(keys),
        folders=HostFolders(
            run_dir=keys.path("paths.run_dir", "/run/hamon"),
            state_dir=keys.path("paths.state_dir", "/var/lib/hamon"),
        ),
        boot_id_file=keys.path("paths.boot_id_file", "/proc/sys/kernel/random/boot_id"),
        product_uuid=_product_uuid(keys),
        watchdog=watchdog_of(keys),
        metrics=metrics_of(keys),
    )
    keys.refuse_unknown()
    least_s = HEARTBEAT_PERIODS_MIN * config.heartbeat_period_s
    if config.heartbeat_late_s < least_s:
        raise keys.error(
            "storage.heartbeat_late_s",
            f"{config.heartbeat_late_s:g} < {HEARTBEAT_PERIODS_MIN} × heartbeat_period_s"
            f" {config.heartbeat_period_s:g} = {least_s:g}: one slow write would count as a fault",
        )
    if config.connect_timeout_s >= config.session_timeout_s / 2:
        raise keys.error(
            "zookeeper.connect_timeout_s",
            f"{config.connect_timeout_s} is not less than half of session_timeout_s ="
            f" {config.session_timeout_s}: with one server dead the session would be lost before"
            " the next is tried",
        )
    if config.watchdog is not None:
        check_watchdog(keys, config.watchdog.settings, config.session_timeout_s)
    return config


def _host(keys: ConfigKeys) -> HostName:
    try:
        return host_name(keys.text("host"))
    except ValueError as error:
        raise keys.error("host", str(error)) from error


def _cluster(keys: ConfigKeys) -> str:
    cluster = keys.text("cluster", "default")
    if not is_name(cluster):
        raise keys.error("cluster", f"{cluster!r} is no name (lower-case letters, digits, . and -)")
    return cluster


def _backend(keys: ConfigKeys) -> Backend:
    text = keys.text("backend", Backend.LIBVIRT)
    try:
        return Backend(text)
    except ValueError:
        known = " or ".join(f'"{backend}"' for backend in Backend)
        raise keys.error("backend", f"{text!r} is neither {known}") from None


def _servers(keys: ConfigKeys) -> tuple[str, ...]:
    servers = keys.texts("zookeeper.servers")
    if not servers:
        raise keys.error("zookeeper.servers", 'name at least one, such as ["192.0.2.1:2181"]')
    for server in servers:
        if not _SERVER.fullmatch(server):
            raise keys.error("zookeeper.servers", f"{server!r} is not host:port")
    return servers


def _planes(keys: ConfigKeys) -> Mapping[str, str]:
    planes: dict[str, str] = {}
    for name, address in keys.table("planes").items():
        key = f"planes.{name}"
        if not is_name(name):
            raise keys.error(key, f"{name!r} is no name of a plane")
        try:
            planes[name] = str(ipaddress.ip_address(address))
        except ValueError as error:
            raise keys.error(key, str(error)) from error
    if not planes:
        raise keys.error("planes", "name at least one plane and this host's address there")
    return planes


def _shared_paths(keys: ConfigKeys) -> tuple[str, ...]:
    paths = keys.texts("storage.shared_paths")
    for path in paths:
        if not path.startswith("/") or ".." in path.split("/") or path.strip("/") == "":
            raise keys.error("storage.shared_paths", f"{path!r} is no folder below /")
    return paths


def _heartbeats(keys: ConfigKeys) -> Mapping[str, Path]:
    folders: dict[str, Path] = {}
    for table in keys.tables("storage.heartbeats"):
        if table.keys() != {"name", "path"}:
            raise keys.error("storage.heartbeats", "each has a name and a path, and nothing else")
        name, path = table["name"], Path(table["path"])
        if not is_name(name):
            raise keys.error("storage.heartbeats", f"{name!r} is no name of a storage")
        if not path.is_absolute() or ".." in path.parts:
            raise keys.error("storage.heartbeats", f"{path} is no absolute path")
        if name in folders or path in folders.values():
            raise keys.error("storage.heartbeats", f"{name} at {path}: each storage once")
        folders[name] = path
    return folders


def _links(keys: ConfigKeys) -> tuple[str, ...]:
    links = keys.texts("checks.links")
    for link in links:
        if not _LINK.fullmatch(link) or link in {".", ".."}:
            raise keys.error("checks.links", f"{link!r} is no name of a network link")
    return links


def _product_uuid(keys: ConfigKeys) -> str:
    text = keys.text("product_uuid", "firmware")
    if text == "firmware":
        return ""
    if not _uuid(text):
        raise keys.error("product_uuid", f'{text!r} is neither a UUID nor "firmware"')
    return text


def _uuid(text: str) -> str:
    try:
        return str(UUID(text.strip()))
    except ValueError:
        return ""


def _text_if_readable(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _file_text(path: Path, key: str) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), key, str(error)) from error
    if not text:
        raise ConfigError(str(path), key, "the file is empty")
    return text
