"""What hamon is given on the lab's machines: configuration and secrets.

The files are those a real installation has, in each machine's own /etc/hamon: hamon.toml, hosts.d
and secrets on a controller, agent.toml on a compute host.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from hamon.coordination.access import CONTROLLERS_USER, digest_of, host_user
from hamon.model.names import HostName
from lab import bmc, zookeeper
from lab.bmc import Bmc
from lab.names import HEARTBEATS, PLANES_OF_ROLE, SHARED_STORAGE, Layout, MachineName, Plane, Role
from lab.openstack import configuration, identity, seed
from lab.topology import Driver, Topology

CLUSTER = "lab"
METRICS_PORT = 9731
AGENT_METRICS_PORT = 9732
ZOOKEEPER_PORT = 2181
SESSION_TICKS = 8
SESSION_TIMEOUT_S = SESSION_TICKS * zookeeper.TICK_S
INCIDENTS_KEPT = 5
_NOVA_SECRET = "nova"

# The lab's ensemble: sync limit 4, session 8 ticks (zookeeper.md 3.6, "fast"). Storms: a
# lab of three hosts must bear two deaths in a row. Fencing: an emulated BMC answers in a blink.
_HAMON_TOML = """\
[cluster]
mode = "active"
name = "{cluster}"
controller = "{controller}"
{backend}
[zookeeper]
servers = {servers}
password_file = "/etc/hamon/secrets/zookeeper-controllers"
session_timeout_s = {session_timeout_s}
connect_timeout_s = 0.5
tick_time_s = {tick_s}
sync_limit = 4

[metrics]
listen = "{metrics}"

[log]
format = "json"

[[storage.heartbeats]]
name = "shared"
path = "{heartbeats}"

[detection]
boot_grace_s = 4.0
look_timeout_s = 2.5
leaving_wait_s = 20.0

[holds]
storm_hosts_max = 2
storm_share_max = 0.67
storm_window_s = 20.0
storm_cooldown_s = 0.0
# A lab loses more hosts in an hour than a site in its life.
rate_hosts_max = 1000

[fencing]
shot_deadline_s = 5.0
confirm_timeout_s = 6.0
retry_after_s = 3.0

[evacuation]
retry_after_s = 1.0
retry_after_max_s = 4.0
instance_disks = "shared"
{patience}
[recovery]
quarantine_s = 2.0
quarantine_max_s = 4.0
forget_after_s = 60.0
stale_watch_s = 60.0
incidents_kept = {incidents_kept}
"""

# Shorter than anywhere else: what is lost in a lab is lost at once, and a test waits for it. Not
# where many guests of the fake driver wait for one compute for as long as elsewhere.
_PATIENCE_TOML = """\
unknown_after_s = 35.0
stuck_after_s = 40.0
"""

# As short for the same reason.
_NOVA_TOML = """
[nova]
auth_url = "{auth_url}"
username = "{user}"
password_file = "/etc/hamon/secrets/{secret}"
project = "{project}"
region = "{region}"
interface = "internal"
request_timeout_s = 10.0
call_timeout_s = 20.0
"""

_HOST_TOML = """\
[host.{host}]
product_uuid = "{product_uuid}"
{identity}
labels = {{ rack = "lab" }}
accept_bmc_only = true
{service_host}planes.management.address = "{management}"
planes.storage.address = "{storage}"

[host.{host}.fence.bmc]
kind = "ipmi"
address = "{bmc}"
username = "{user}"
password_file = "/etc/hamon/secrets/{host}-bmc"
cipher = {cipher}
"""

_AGENT_TOML = """\
host = "{host}"
cluster = "{cluster}"
product_uuid = "{product_uuid}"
{backend}
[zookeeper]
servers = {servers}
session_timeout_s = {session_timeout_s}
connect_timeout_s = 0.5
password_file = "/etc/hamon/zookeeper.password"
controllers_digest = "{controllers_digest}"

[planes]
management = "{management}"
storage = "{storage}"

[metrics]
listen = "{management}:{metrics_port}"

[libvirt]
call_timeout_s = 4.0
start_timeout_s = 15.0
"""

_HEARTBEATS_TOML = """
[[storage.heartbeats]]
name = "shared"
path = "{heartbeats}"
"""

# Nova knows for itself which disks are shared.
_STORAGE_TOML = """
[storage]
shared_paths = ["{shared}"]
shared_pools = ["shared"]
"""

_BACKEND_TOML = 'backend = "{backend}"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One lab's hamon: what the files of all its machines have in common.

    Attributes:
        layout: names of the lab.
        machines: all of them.
        topology: what they are for.
        tick_s: ZooKeeper's tick.
    """

    layout: Layout
    machines: tuple[MachineName, ...]
    topology: Topology
    tick_s: float

    def of_role(self, role: Role) -> tuple[MachineName, ...]:
        """The machines of a role."""
        return tuple(machine for machine in self.machines if machine.role is role)

    @property
    def servers(self) -> str:
        """The ZooKeeper servers, as a list in TOML."""
        return json.dumps(
            [
                f"{self.layout.address(controller, Plane.MANAGEMENT)}:{ZOOKEEPER_PORT}"
                for controller in self.of_role(Role.CONTROLLER)
            ]
        )

    @property
    def backend(self) -> str:
        """The line that names the backend; none is needed for the default."""
        return _BACKEND_TOML.format(backend=self.topology.backend) if self.has_cloud else ""

    @property
    def has_cloud(self) -> bool:
        """Whether hamon works with Nova."""
        return self.topology.has_cloud


def make_secrets(installation: Installation) -> None:
    """Make the ZooKeeper passwords of the controllers and of each host, once; keep Nova's too."""
    folder = installation.layout.secrets
    for user in (CONTROLLERS_USER, *map(str, installation.of_role(Role.HOST))):
        file = folder / f"zookeeper-{user}"
        if not file.exists():
            _write_secret(file, secrets.token_hex(16))
    if installation.has_cloud:
        _write_secret(folder / _NOVA_SECRET, seed.password())


def configure(installation: Installation, machine: MachineName) -> None:
    """Write a machine's hamon configuration, before its first power-on; BMC passwords exist.

    A host without an agent has none.
    """
    if machine.role is Role.HOST and installation.topology.is_agentless(machine):
        return
    etc = installation.layout.machine_folder(machine) / "etc" / "upper" / "hamon"
    etc.mkdir(parents=True, exist_ok=True)
    if machine.role is Role.CONTROLLER:
        _configure_controller(installation, machine, etc)
    else:
        _configure_host(installation, machine, etc)


def _configure_controller(installation: Installation, machine: MachineName, etc: Path) -> None:
    layout = installation.layout
    (etc / "secrets").mkdir(exist_ok=True)
    (etc / "hosts.d").mkdir(exist_ok=True)
    main = _HAMON_TOML.format(
        incidents_kept=INCIDENTS_KEPT,
        cluster=CLUSTER,
        controller=machine,
        backend=installation.backend,
        servers=installation.servers,
        session_timeout_s=SESSION_TICKS * installation.tick_s,
        patience="" if installation.topology.computes.driver is Driver.FAKE else _PATIENCE_TOML,
        tick_s=installation.tick_s,
        heartbeats=HEARTBEATS,
        metrics=f"{layout.address(machine, Plane.MANAGEMENT)}:{METRICS_PORT}",
    )
    (etc / "hamon.toml").write_text(main + _nova(installation, etc))
    users = f"zookeeper-{CONTROLLERS_USER}"
    _copy_secret(layout.secrets / users, etc / "secrets" / users)
    for host in installation.of_role(Role.HOST):
        device = Bmc(layout=layout, host=host)
        _copy_secret(device.password_file, etc / "secrets" / f"{host}-bmc")
        (etc / "hosts.d" / f"{host}.toml").write_text(_host(installation, host, device))


def _nova(installation: Installation, etc: Path) -> str:
    """How a controller reaches Nova; nothing when there is none."""
    if not installation.has_cloud:
        return ""
    [cloud] = installation.of_role(Role.CLOUD)
    configuration.write_names(etc.parent, installation.layout, cloud)
    _copy_secret(installation.layout.secrets / _NOVA_SECRET, etc / "secrets" / _NOVA_SECRET)
    # The catalogue leads to the proxy, in which tests put their faults.
    return _NOVA_TOML.format(
        auth_url=configuration.AUTH_URL,
        user=identity.ADMIN,
        project=identity.ADMIN,
        region=identity.REGION,
        secret=_NOVA_SECRET,
    )


def _host(installation: Installation, host: MachineName, device: Bmc) -> str:
    layout, computes = installation.layout, installation.topology.computes
    password = _secret(layout.secrets / f"zookeeper-{host}")
    digest = digest_of(host_user(HostName(str(host))), password)
    has_agent = not installation.topology.is_agentless(host)
    named = f'service_host = "{computes.service_host(host)}"\n'
    return _HOST_TOML.format(
        host=host,
        product_uuid=layout.product_uuid(host),
        identity=f'zookeeper_digest = "{digest}"' if has_agent else "agentless = true",
        service_host=named if computes.has_service_names else "",
        management=layout.address(host, Plane.MANAGEMENT),
        storage=layout.address(host, Plane.STORAGE),
        bmc=device.address,
        user=bmc.USER,
        cipher=bmc.CIPHER_SUITE,
    )


def _configure_host(installation: Installation, machine: MachineName, etc: Path) -> None:
    layout = installation.layout
    controllers = _secret(layout.secrets / f"zookeeper-{CONTROLLERS_USER}")
    planes = {plane: layout.address(machine, plane) for plane in PLANES_OF_ROLE[machine.role]}
    main = _AGENT_TOML.format(
        host=machine,
        cluster=CLUSTER,
        product_uuid=layout.product_uuid(machine),
        backend=installation.backend,
        servers=installation.servers,
        session_timeout_s=SESSION_TICKS * installation.tick_s,
        controllers_digest=digest_of(CONTROLLERS_USER, controllers),
        management=planes[Plane.MANAGEMENT],
        storage=planes[Plane.STORAGE],
        metrics_port=AGENT_METRICS_PORT,
    )
    storage = "" if installation.has_cloud else _STORAGE_TOML.format(shared=SHARED_STORAGE)
    beats = _HEARTBEATS_TOML.format(heartbeats=HEARTBEATS)
    (etc / "agent.toml").write_text(main + storage + beats)
    _copy_secret(layout.secrets / f"zookeeper-{machine}", etc / "zookeeper.password")


def is_controller(layout: Layout, machine: MachineName) -> bool:
    """Whether the machine was given a daemon's configuration."""
    return (layout.machine_folder(machine) / "etc" / "upper" / "hamon" / "hamon.toml").exists()


def _secret(file: Path) -> str:
    return file.read_text().strip()


def _copy_secret(source: Path, target: Path) -> None:
    _write_secret(target, _secret(source))


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o400)
    file.write_text(text + "\n")
