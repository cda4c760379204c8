"""hamon on the lab's machines: configuration, secrets, services, and a way to ask its daemons.

The files are those a real installation has, in each machine's own /etc/hamon: hamon.toml, hosts.d
and secrets on a controller, agent.toml on a compute host.
"""

import contextlib
import json
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from hamon.coordination.access import CONTROLLERS_USER, digest_of, host_user
from hamon.model.names import HostName
from lab import bmc, zookeeper
from lab.bmc import Bmc
from lab.machine import Machine
from lab.names import PLANES_OF_ROLE, SHARED_STORAGE, LabError, Layout, MachineName, Plane, Role
from lab.processes import wait_until
from lab.services import HAMON

CLUSTER = "lab"
DAEMON = "hamon"
HEARTBEAT = "hamon-agent"
GUESTS = "hamon-agent-guests"
CONFIG = Path("/etc/hamon")
SOCKET = Path("/run/hamon/control.sock")
METRICS_PORT = 9731
ZOOKEEPER_PORT = 2181
SESSION_TICKS = 8
SESSION_TIMEOUT_S = SESSION_TICKS * zookeeper.TICK_S
READY_TIMEOUT_S = 60.0
BOOTSTRAP_TRIES = 5
BOOTSTRAP_PAUSE_S = 0.5
SERVICE_TIMEOUT_S = 120.0
_BEING_FENCED = frozenset({"FENCING", "FENCE_FAILED"})
_NEEDS_A_NEW_BOOT = frozenset({"FENCED", "EVACUATING", "EVACUATED"})

# The lab's ensemble: sync limit 4, session 8 ticks (zookeeper.md 3.6, "fast"). Storms: a
# lab of three hosts must bear two deaths in a row. Fencing: an emulated BMC answers in a blink.
_HAMON_TOML = """\
[cluster]
name = "{cluster}"
controller = "{controller}"

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

[detection]
boot_grace_s = 4.0
look_timeout_s = 2.5
leaving_wait_s = 20.0

[holds]
storm_hosts_max = 2
storm_share_max = 0.67
storm_window_s = 20.0

[fencing]
shot_deadline_s = 5.0
confirm_timeout_s = 6.0
retry_after_s = 3.0

[evacuation]
retry_after_s = 1.0
retry_after_max_s = 4.0

[recovery]
quarantine_s = 2.0
quarantine_max_s = 4.0
forget_after_s = 60.0
"""

_HOST_TOML = """\
[host.{host}]
product_uuid = "{product_uuid}"
zookeeper_digest = "{digest}"
labels = {{ rack = "lab" }}
accept_bmc_only = true
planes.management.address = "{management}"
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

[zookeeper]
servers = {servers}
session_timeout_s = {session_timeout_s}
connect_timeout_s = 0.5
password_file = "/etc/hamon/zookeeper.password"
controllers_digest = "{controllers_digest}"

[planes]
management = "{management}"
storage = "{storage}"

[libvirt]
call_timeout_s = 4.0
start_timeout_s = 15.0

[storage]
shared_paths = ["{shared}"]
shared_pools = ["shared"]
"""


def make_secrets(layout: Layout, machines: tuple[MachineName, ...]) -> None:
    """Make the ZooKeeper passwords of the controllers and of each host, once."""
    users = [CONTROLLERS_USER, *(str(m) for m in machines if m.role is Role.HOST)]
    for user in users:
        file = layout.secrets / f"zookeeper-{user}"
        if not file.exists():
            _write_secret(file, secrets.token_hex(16))


def configure(
    layout: Layout, machine: MachineName, machines: tuple[MachineName, ...], tick_s: float
) -> None:
    """Write a machine's hamon configuration, before its first power-on; BMC passwords exist."""
    etc = layout.machine_folder(machine) / "etc" / "upper" / "hamon"
    etc.mkdir(parents=True, exist_ok=True)
    servers = json.dumps(
        [
            f"{layout.address(m, Plane.MANAGEMENT)}:{ZOOKEEPER_PORT}"
            for m in machines
            if m.role is Role.CONTROLLER
        ]
    )
    if machine.role is Role.CONTROLLER:
        _configure_controller(layout, machine, machines, etc, servers, tick_s)
    else:
        _configure_host(layout, machine, etc, servers, tick_s)


def _configure_controller(
    layout: Layout,
    machine: MachineName,
    machines: tuple[MachineName, ...],
    etc: Path,
    servers: str,
    tick_s: float,
) -> None:
    (etc / "secrets").mkdir(exist_ok=True)
    (etc / "hosts.d").mkdir(exist_ok=True)
    (etc / "hamon.toml").write_text(
        _HAMON_TOML.format(
            cluster=CLUSTER,
            controller=machine,
            servers=servers,
            session_timeout_s=SESSION_TICKS * tick_s,
            tick_s=tick_s,
            metrics=f"{layout.address(machine, Plane.MANAGEMENT)}:{METRICS_PORT}",
        )
    )
    _copy_secret(
        layout.secrets / f"zookeeper-{CONTROLLERS_USER}",
        etc / "secrets" / f"zookeeper-{CONTROLLERS_USER}",
    )
    for host in machines:
        if host.role is not Role.HOST:
            continue
        device = Bmc(layout=layout, host=host)
        _copy_secret(device.password_file, etc / "secrets" / f"{host}-bmc")
        (etc / "hosts.d" / f"{host}.toml").write_text(
            _HOST_TOML.format(
                host=host,
                product_uuid=layout.product_uuid(host),
                digest=digest_of(
                    host_user(HostName(str(host))), _secret(layout.secrets / f"zookeeper-{host}")
                ),
                management=layout.address(host, Plane.MANAGEMENT),
                storage=layout.address(host, Plane.STORAGE),
                bmc=device.address,
                user=bmc.USER,
                cipher=bmc.CIPHER_SUITE,
            )
        )


def _configure_host(
    layout: Layout, machine: MachineName, etc: Path, servers: str, tick_s: float
) -> None:
    controllers = _secret(layout.secrets / f"zookeeper-{CONTROLLERS_USER}")
    planes = {plane: layout.address(machine, plane) for plane in PLANES_OF_ROLE[machine.role]}
    (etc / "agent.toml").write_text(
        _AGENT_TOML.format(
            host=machine,
            cluster=CLUSTER,
            product_uuid=layout.product_uuid(machine),
            servers=servers,
            session_timeout_s=SESSION_TICKS * tick_s,
            controllers_digest=digest_of(CONTROLLERS_USER, controllers),
            management=planes[Plane.MANAGEMENT],
            storage=planes[Plane.STORAGE],
            shared=SHARED_STORAGE,
        )
    )
    _copy_secret(layout.secrets / f"zookeeper-{machine}", etc / "zookeeper.password")


def is_controller(layout: Layout, machine: MachineName) -> bool:
    """Whether the machine was given a daemon's configuration."""
    return (layout.machine_folder(machine) / "etc" / "upper" / "hamon" / "hamon.toml").exists()


def bootstrap(controller: Machine) -> None:
    """Make the cluster's chroot. Idempotent, so a lost connection is answered by another try.

    Raises:
        LabError: ZooKeeper refused, or did not answer, each time.
    """
    argv = [*HAMON, "bootstrap", "--config", str(CONFIG / "hamon.toml")]
    for _ in range(BOOTSTRAP_TRIES - 1):
        # A young ensemble on a busy machine can lose a connection in the middle.
        with contextlib.suppress(LabError):
            controller.run(argv, deadline_s=60.0)
            return
        time.sleep(BOOTSTRAP_PAUSE_S)
    controller.run(argv, deadline_s=60.0)


def ask(controller: Machine, verb: str, **arguments: object) -> dict[str, Any]:
    """Ask the daemon of a controller, as hamon's command line does.

    Raises:
        LabError: the daemon does not answer, or refuses; says why.
    """
    # A Unix socket is found by its path alone, also from outside of the namespaces.
    path = controller.path(SOCKET)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(40.0)
            connection.connect(str(path))
            question = {"verb": verb, "arguments": arguments}
            connection.sendall(json.dumps(question).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline() or "{}")
    except OSError as error:
        raise LabError(f"{controller.name}: its daemon does not answer: {error}") from error
    if not answer.get("ok"):
        raise LabError(f"{controller.name}: {answer.get('why')} {answer.get('advice')}".strip())
    found: dict[str, Any] = answer["answer"]
    return found


def leader(controllers: tuple[Machine, ...]) -> Machine | None:
    """The controller whose daemon leads now, None: there is none."""
    for controller in controllers:
        try:
            if controller.powered() and ask(controller, "status")["is_leading"]:
                return controller
        except LabError:
            continue
    return None


def wait_in_service(controllers: tuple[Machine, ...], hosts: tuple[Machine, ...]) -> None:
    """Wait until a daemon leads and every host is UP with its libvirt known.

    Raises:
        LabError: not within `READY_TIMEOUT_S`.
    """

    def is_ready() -> bool:
        leading = leader(controllers)
        if leading is None:
            return False
        lines = {line["host"]: line for line in ask(leading, "hosts")["hosts"]}
        return all(lines.get(str(host.name), {}).get("state") == "UP" for host in hosts)

    wait_until(is_ready, "a leading daemon and every host UP", READY_TIMEOUT_S)


def bring_into_service(controllers: tuple[Machine, ...], hosts: tuple[Machine, ...]) -> None:
    """Do what an operator does until all is well: arm, end maintenance, power dead hosts on.

    Incidents that are open are carried through by hamon itself. Idempotent.

    Raises:
        LabError: not within `SERVICE_TIMEOUT_S`; names the hosts and their states.
    """
    lines: dict[str, dict[str, Any]] = {}

    def is_in_service() -> bool:
        leading = leader(controllers)
        return leading is not None and _do_what_is_left(leading, hosts, lines)

    try:
        wait_until(is_in_service, "every host in service", SERVICE_TIMEOUT_S)
    except LabError as error:
        states = {name: f"{line['state']} ({line['reason']})" for name, line in lines.items()}
        raise LabError(f"{error}; {states}") from error


def _do_what_is_left(
    leading: Machine, hosts: tuple[Machine, ...], lines: dict[str, dict[str, Any]]
) -> bool:
    """Do what an operator can do now; say whether every host serves."""
    try:
        if not ask(leading, "status")["armed"]:
            ask(leading, "request", kind="arm")
        lines.update({line["host"]: line for line in ask(leading, "hosts")["hosts"]})
        serving = [_is_serving(leading, host, lines.get(str(host.name), {})) for host in hosts]
    except LabError:
        # The leader may change at any time; the next one is asked.
        return False
    return all(serving)


def _is_serving(leading: Machine, host: Machine, line: dict[str, Any]) -> bool:
    """Say whether a host serves; if it does not, do what is left to an operator."""
    if line.get("maintenance"):
        ask(leading, "request", kind="maintenance_off", host=str(host.name))
    if line.get("state") in _NEEDS_A_NEW_BOOT:
        guard = ask(leading, "host", host=str(host.name))["guard"]
        if host.powered() and host.boot_id() == guard["boot_id"]:
            # A boot that was given up for dead is never let in again.
            host.power_cut()
    # While it is being fenced, power that comes back would only be cut again.
    if not host.powered() and line.get("state") not in _BEING_FENCED:
        host.power_on()
    return line.get("state") == "UP" and bool(line.get("session"))


def _secret(file: Path) -> str:
    return file.read_text().strip()


def _copy_secret(source: Path, target: Path) -> None:
    _write_secret(target, _secret(source))


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o400)
    file.write_text(text + "\n")
