"""The ZooKeeper server of each controller."""

import socket
from collections.abc import Sequence
from pathlib import Path

from lab.names import LabError, Layout, MachineName, Plane
from lab.network import inside

CLIENT_PORT = 2181
TICK_S = 0.5
SYNC_LIMIT_TICKS = 4
INIT_LIMIT_TICKS = 20
MAX_SESSION_MS = 40_000


def folder(layout: Layout, machine: MachineName) -> Path:
    """Configuration and data of one server; both outlive a power cut."""
    return layout.machine_folder(machine) / "zookeeper"


def java_argv(layout: Layout, machine: MachineName) -> tuple[str, ...]:
    """The command that runs a server in the foreground."""
    return (
        "/usr/bin/java",
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dlogback.configurationFile=/dev/null",
        "-cp",
        "/etc/zookeeper/conf_example:/usr/share/java/zookeeper.jar",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        str(folder(layout, machine) / "zoo.cfg"),
    )


def connect_string(layout: Layout, controllers: Sequence[MachineName]) -> str:
    """What a ZooKeeper client on the management plane connects to."""
    return ",".join(f"{layout.address(c, Plane.MANAGEMENT)}:{CLIENT_PORT}" for c in controllers)


def prepare(
    layout: Layout, machine: MachineName, controllers: Sequence[MachineName], tick_s: float
) -> None:
    """Write a server's configuration and identity."""
    home = folder(layout, machine)
    (home / "data").mkdir(parents=True, exist_ok=True)
    (home / "data" / "myid").write_text(f"{machine.number}\n")
    lines = [
        f"tickTime={round(tick_s * 1000)}",
        f"syncLimit={SYNC_LIMIT_TICKS}",
        f"initLimit={INIT_LIMIT_TICKS}",
        f"maxSessionTimeout={MAX_SESSION_MS}",
        f"dataDir={home / 'data'}",
        f"clientPort={CLIENT_PORT}",
        f"clientPortAddress={layout.address(machine, Plane.MANAGEMENT)}",
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "4lw.commands.whitelist=*",
    ]
    if len(controllers) > 1:
        lines += [
            f"server.{c.number}={layout.address(c, Plane.MANAGEMENT)}:2888:3888"
            for c in controllers
        ]
    (home / "zoo.cfg").write_text("\n".join(lines) + "\n")


def server_mode(layout: Layout, machine: MachineName, init_pid: int) -> str | None:
    """What a server says it is: `leader`, `follower`, `standalone`, or None if it serves nobody.

    Args:
        layout: names of the lab.
        machine: the controller that is asked, from inside its own network.
        init_pid: a process of that controller.

    Raises:
        LabError: another lab's server answers.
    """
    # `conf` says whose data the answering server keeps: the check that it is this lab's.
    home = _ask(layout, machine, init_pid, "conf")
    if home is None or "dataDir=" not in home:
        return None
    if f"dataDir={folder(layout, machine) / 'data'}" not in home:
        raise LabError(f"the ZooKeeper that answers for {machine} is not of lab {layout.lab}")
    for line in (_ask(layout, machine, init_pid, "srvr") or "").splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ")
    return None


def counters(layout: Layout, machine: MachineName, init_pid: int) -> dict[str, str]:
    """What a server counts, by ZooKeeper's own names; empty: it does not answer.

    Args:
        layout: names of the lab.
        machine: the controller that is asked, from inside its own network.
        init_pid: a process of that controller.
    """
    lines = (_ask(layout, machine, init_pid, "mntr") or "").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def _ask(layout: Layout, machine: MachineName, init_pid: int, word: str) -> str | None:
    try:
        with inside(Path(f"/proc/{init_pid}/ns/net")):
            address = (layout.address(machine, Plane.MANAGEMENT), CLIENT_PORT)
            connection = socket.create_connection(address, timeout=1.0)
        with connection:
            connection.sendall(word.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except OSError:
        return None
    return answer.decode(errors="replace")
