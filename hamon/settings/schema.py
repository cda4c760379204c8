"""What may stand in hamon.toml and in a file of hosts.d: keys, types, ranges, defaults.

Only this package sees pydantic. What is wrong with one key alone is found here; what several add up
to, in ``arithmetic`` and ``fleet``. The tables of the policy are its own dataclasses, so that a
number is declared in one place. Units are in the names: ``_s`` is seconds, ``_mib`` is MiB.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hamon.logs import LogFormat, LogLevel
from hamon.model.host import Carried
from hamon.model.names import is_name
from hamon.model.notice import NoticeEvent
from hamon.model.policy import (
    Backend,
    DetectionPolicy,
    EvacuationPolicy,
    FencingPolicy,
    HoldPolicy,
    HostPolicy,
    Mode,
    ReturnPolicy,
)

PORT_MAX = 65535
ECHO_PORT = 7420
"""Where heartbeat processes answer unless told otherwise."""
IPMI_PORT = 623
REDFISH_PORT = 443
_SYSTEMS = "/redfish/v1/Systems/"
_SYSTEM = re.compile(r"/redfish(/[A-Za-z0-9._~:@%+-]+)+/?")


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(
            "not a name: lower-case letters, digits, '.' and '-', at most 63, "
            "a letter or digit at both ends"
        )
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds line breaks or control characters")
    return text


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= PORT_MAX:
        raise ValueError("write host:port, for example 192.0.2.11:2181")
    bare = host.removeprefix("[").removesuffix("]")
    if not is_name(bare) and ipaddress.ip_address(bare).version != 6:  # noqa: PLR2004 - IPv6
        raise ValueError("write host:port, for example 192.0.2.11:2181")
    return text


def _listen(text: str) -> str:
    if not text:
        return text
    host, _, _ = _server(text).rpartition(":")
    ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    return text


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("write a whole URL, for example https://192.0.2.10:5000/v3")
    return _one_line(text)


def _system(text: str) -> str:
    path = text if text.startswith("/") else _SYSTEMS + text
    steps = path.rstrip("/").split("/")
    # The collection of all systems is none of them.
    if _SYSTEM.fullmatch(path) is None or {".", ".."} & set(steps) or steps[-1] == "Systems":
        raise ValueError(
            "write the id or the path of the host's ComputerSystem, for example "
            f"System.Embedded.1 or {_SYSTEMS}1 (the BMC lists them at {_SYSTEMS})"
        )
    return path.rstrip("/")


def _program(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("write the program's whole path, from / on")
    return _one_line(text)


def _absolute(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("write an absolute path: the folder where this machine has it mounted")
    return str(path)


def _uuid(text: str) -> str:
    return str(UUID(text)) if text else ""


Name = Annotated[str, AfterValidator(_name)]
Line = Annotated[str, AfterValidator(_one_line)]
Word = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
Url = Annotated[str, AfterValidator(_url)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=1, le=PORT_MAX)]
Seconds = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """A table of the configuration: unknown keys are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClusterTable(Table):
    """``[cluster]``."""

    name: Name
    controller: Name | Literal[""] = ""
    backend: Backend = Backend.LIBVIRT
    # A new installation first shows what it would do.
    mode: Mode = Mode.SHADOW
    hosts_dir: FilePath = "hosts.d"
    state_dir: FilePath = "/var/lib/hamon"
    run_dir: FilePath = "/run/hamon"


class ZooKeeperTable(Table):
    """``[zookeeper]``."""

    servers: Annotated[tuple[Annotated[str, AfterValidator(_server)], ...], Field(min_length=1)]
    password_file: Line = ""
    ca_file: Line = ""
    certificate_file: Line = ""
    key_file: Line = ""
    controllers_subject: Line = ""
    session_timeout_s: Seconds = DetectionPolicy().session_timeout_s
    connect_timeout_s: Seconds = 0.5
    tick_time_s: Seconds = 1.0
    sync_limit: Annotated[int, Field(ge=1)] = 3


class NovaTable(Table):
    """``[nova]``; which keys may stand together, ``nova`` knows."""

    cloud: Line = ""
    clouds_file: FilePath = "/etc/openstack/clouds.yaml"
    auth_url: Url = ""
    username: Line = ""
    password_file: Line = ""
    project: Line = ""
    user_domain: Word = "Default"
    project_domain: Word = "Default"
    application_credential_id: Line = ""
    application_credential_secret_file: Line = ""
    region: Line = ""
    interface: Literal["public", "internal", "admin"] = "internal"
    endpoint_override: Url = ""
    ca_file: Line = ""
    request_timeout_s: Seconds = 30.0
    call_timeout_s: Seconds = 60.0
    threads: Annotated[int, Field(ge=1, le=256)] = 16


class HeartbeatTable(Table):
    """One of ``storage.heartbeats``."""

    name: Name
    path: Annotated[str, AfterValidator(_absolute)]


class StorageTable(Table):
    """``[storage]``; what the heartbeats add up to, ``arithmetic`` knows."""

    heartbeat_period_s: Seconds = 1.0
    heartbeats: tuple[HeartbeatTable, ...] = ()


class MetricsTable(Table):
    """``[metrics]``."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9731"
    certificate_file: Line = ""
    key_file: Line = ""
    # A colon would end it where it is sent.
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]{0,128}$")] = ""
    password_file: Line = ""


class WebhookTable(Table):
    """``[webhook]``."""

    url: Url = ""
    url_file: Line = ""
    token_file: Line = ""
    ca_file: Line = ""
    events: tuple[NoticeEvent, ...] = tuple(NoticeEvent)


class KdumpTable(Table):
    """``[kdump]``."""

    listen: Annotated[str, AfterValidator(_listen)] = ""


class LogTable(Table):
    """``[log]``."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class OverridesTable(Table):
    """``[overrides]``: unsafe things, each accepted by its name."""

    allow_loopback: bool = False


class MainFile(Table):
    """``hamon.toml``."""

    cluster: ClusterTable
    zookeeper: ZooKeeperTable
    nova: NovaTable | None = None
    storage: StorageTable = StorageTable()
    metrics: MetricsTable = MetricsTable()
    webhook: WebhookTable = WebhookTable()
    kdump: KdumpTable = KdumpTable()
    log: LogTable = LogTable()
    detection: DetectionPolicy = DetectionPolicy()
    holds: HoldPolicy = HoldPolicy()
    fencing: FencingPolicy = FencingPolicy()
    evacuation: EvacuationPolicy = EvacuationPolicy()
    recovery: ReturnPolicy = ReturnPolicy()
    overrides: OverridesTable = OverridesTable()


class PlaneTable(Table):
    """``planes.<plane>`` of a host."""

    address: Address
    port: Port = ECHO_PORT


class FenceTable(Table):
    """What ``fence.<device>`` has for every kind."""

    level: Annotated[int, Field(ge=1, le=9)] = 1
    delay_s: Annotated[float, Field(ge=0)] = 0.0


class IpmiTable(FenceTable):
    """``fence.<device>`` with ``kind = "ipmi"``."""

    kind: Literal["ipmi"]
    address: Address
    port: Port = IPMI_PORT
    username: Line
    password_file: FilePath
    # Cipher suite 0 asks for no password at all.
    cipher: Annotated[int, Field(ge=1, le=17)] = 17


class RedfishTable(FenceTable):
    """``fence.<device>`` with ``kind = "redfish"``."""

    kind: Literal["redfish"]
    address: Address
    port: Port = REDFISH_PORT
    username: Word
    password_file: FilePath
    system: Annotated[str, AfterValidator(_system)]
    ca_file: Line = ""
    allow_insecure_tls: bool = False


class RevocationTable(FenceTable):
    """``fence.<device>`` with ``kind = "storage"``: a program of the site's own."""

    kind: Literal["storage"]
    program: Annotated[str, AfterValidator(_program)]
    arguments: tuple[Line, ...] = ()


class AgentTable(FenceTable):
    """``fence.<device>`` with ``kind = "agent"``: a program of the fence-agents collection."""

    kind: Literal["agent"]
    agent: Annotated[str, Field(pattern=r"^fence_[a-z0-9_]+$")]
    address: Address | Literal[""] = ""
    port: Annotated[int, Field(ge=0, le=PORT_MAX)] = 0
    username: Line = ""
    password_file: Line = ""
    allow_insecure_tls: bool = False
    options: dict[str, bool | int | Line] = Field(default_factory=dict)


class WatchdogTable(Table):
    """``fence.<device>`` with ``kind = "watchdog"``: the host resets itself (agent.toml)."""

    kind: Literal["watchdog"]
    level: Annotated[int, Field(ge=1, le=9)] = 1
    reset_latency_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    margin_s: Annotated[float, Field(ge=1, le=600)] = 5.0


class KindTable(BaseModel):
    """Just enough of ``fence.<device>`` to know which schema it follows."""

    model_config = ConfigDict(extra="ignore", strict=True)

    kind: Literal["ipmi", "redfish", "agent", "storage", "watchdog"]


class HostTable(Table):
    """``[host."<name>"]``, after defaults and pattern were merged in; devices are checked apart."""

    planes: Annotated[dict[Name, PlaneTable], Field(min_length=1)]
    fence: dict[Name, dict[str, object]] = Field(default_factory=dict)
    labels: dict[Name, Line] = Field(default_factory=dict)
    product_uuid: Annotated[str, AfterValidator(_uuid)] = ""
    zookeeper_digest: Line = ""
    zookeeper_password_file: Line = ""
    zookeeper_subject: Line = ""
    accept_bmc_only: bool = False
    # What Nova itself takes for a host's name.
    service_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,255}$")] = ""
    agentless: bool = False
    policy: HostPolicy = HostPolicy()
    carries: tuple[Carried, ...] = ()
    kdump_addresses: tuple[Address, ...] = ()
    reserved: bool = False


class HostsFile(Table):
    """One file of ``hosts.d``."""

    defaults: dict[str, object] = Field(default_factory=dict)
    host: dict[str, dict[str, object]]
