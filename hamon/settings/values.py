"""The configuration as plain frozen values: all that the rest of hamon sees of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hamon.logs import LogFormat, LogLevel
from hamon.model.host import HostSpec
from hamon.model.names import ControllerId
from hamon.model.notice import NoticeEvent
from hamon.model.policy import Policy
from hamon.settings.metrics import MetricsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperSettings:
    """How this controller reaches the ensemble, and what it knows of its timing.

    ``servers``: ``host:port`` each. ``tick_time_s``, ``sync_limit``: as the ensemble is configured;
    the session time-out must outlast one synchronisation of it. The controllers are known by a
    password (``password_file``, read it with ``hamon.settings.secrets.read_secret``) or by a
    certificate of ``controllers_subject``; ``ca_file`` None: nothing is encrypted.
    """

    servers: tuple[str, ...]
    session_timeout_s: float
    connect_timeout_s: float
    tick_time_s: float
    sync_limit: int
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    controllers_subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """A user of keystone, in a project. ``password_file``: read it with ``read_secret``."""

    auth_url: str
    username: str
    password_file: Path
    project: str
    user_domain: str = "Default"
    project_domain: str = "Default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationCredential:
    """A credential of keystone that names user and project by itself, and may do less than they.

    ``secret_file``: read it with ``read_secret``.
    """

    auth_url: str
    id: str
    secret_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEntry:
    """An entry of a clouds.yaml; read it with ``hamon.settings.clouds.access_of``."""

    name: str
    clouds_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaSettings:
    """How Nova is reached, and as whom.

    ``region``, ``interface``, ``endpoint_override``: "": what a cloud's entry says, or else what
    the catalog has. ``ca_file``: None: what the entry says, or else the machine's own authorities.
    ``request_timeout_s``: of one HTTP request. ``call_timeout_s``: of one call of the port, with
    the wait for a thread and every page. ``threads``: calls at the same time.
    """

    login: PasswordLogin | ApplicationCredential | CloudEntry
    region: str = ""
    interface: str = ""
    endpoint_override: str = ""
    ca_file: Path | None = None
    request_timeout_s: float = 30.0
    call_timeout_s: float = 60.0
    threads: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where this controller finds the hosts' heartbeats on shared storage.

    ``heartbeats``: the folder of each storage, by its name. ``heartbeat_period_s``: how often the
    hosts beat.
    """

    heartbeat_period_s: float = 1.0
    heartbeats: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Whom the leader tells what happens.

    ``url``, or ``url_file`` where the address is a secret, and ``token_file``: read them with
    ``hamon.settings.secrets.Password``. ``ca_file``: None: the machine's own authorities.
    """

    url: str = ""
    url_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    events: frozenset[NoticeEvent] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class KdumpSettings:
    """Where crash notices are listened for (UDP); ``address`` is empty when they are not."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged, and how a line looks."""

    level: LogLevel
    format: LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One controller's whole configuration, checked.

    ``path``: the file it came from. All paths are absolute. ``hosts`` are sorted by name.
    ``nova``: None in a cluster of plain libvirt. ``webhook``: None: nobody is told.
    ``digest``: equal on two controllers exactly if they would decide alike: made from the cluster's
    name, the policy and the hosts, not from what is each machine's own matter (addresses of this
    controller, folders, where password files lie, how it reaches Nova, what it has mounted).
    """

    path: Path
    cluster: str
    controller: ControllerId
    hosts_dir: Path
    state_dir: Path
    run_dir: Path
    zookeeper: ZooKeeperSettings
    nova: NovaSettings | None
    storage: StorageSettings
    metrics: MetricsSettings
    webhook: WebhookSettings | None
    kdump: KdumpSettings
    log: LogSettings
    policy: Policy
    hosts: tuple[HostSpec, ...]
    digest: str


def digest_of(cluster: str, policy: Policy, hosts: tuple[HostSpec, ...]) -> str:
    """Return the hexadecimal SHA-256 that controllers compare (``policy_hash``)."""
    content = {
        "cluster": cluster,
        "policy": dataclasses.asdict(policy),
        "hosts": [_without_paths(host) for host in hosts],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _without_paths(host: HostSpec) -> dict[str, object]:
    fence = tuple(
        dataclasses.replace(device, password_file="", ca_file="") for device in host.fence
    )
    return dataclasses.asdict(dataclasses.replace(host, fence=fence))
