"""hamon on the lab's machines: its services, a way to ask its daemons, what an operator does.

What it is configured with: `lab.hamon_files`.
"""

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

from lab.machine import Machine
from lab.names import LabError
from lab.processes import wait_until
from lab.services import HAMON

DAEMON = "hamon"
HEARTBEAT = "hamon-agent"
GUESTS = "hamon-agent-guests"
CONFIG = Path("/etc/hamon")
SOCKET = Path("/run/hamon/control.sock")
READY_TIMEOUT_S = 120.0
BOOTSTRAP_TRIES = 5
BOOTSTRAP_PAUSE_S = 0.5
SERVICE_TIMEOUT_S = 180.0
_BEING_FENCED = frozenset({"FENCING", "FENCE_FAILED"})
_NEEDS_A_NEW_BOOT = frozenset({"FENCED", "EVACUATING", "EVACUATED"})


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
    is_heard = bool(line.get("session")) or bool(line.get("agentless"))
    return line.get("state") == "UP" and is_heard
