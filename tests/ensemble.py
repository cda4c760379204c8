"""Real ZooKeeper servers for tests: on free loopback ports, in a folder of their own.

They end with this process, whatever becomes of it, and only what answers from that very folder is
taken for them.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from lab.authority import Authority

JARS = ("zookeeper", "netty-codec", "netty-all")
"""ZooKeeper's, and what its Debian package leaves out of the class path that TLS needs."""

CLASSPATH = ":".join(["/etc/zookeeper/conf_example", *(f"/usr/share/java/{j}.jar" for j in JARS)])
JAVA_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
READY_WITHIN_S = 60.0
LOOPBACK = "127.0.0.1"


class Server:
    """One server process."""

    def __init__(self, folder: Path, client_port: int, secure_port: int) -> None:
        self.folder = folder
        self.address = f"{LOOPBACK}:{client_port}"
        self.secure_address = f"{LOOPBACK}:{secure_port}"
        self._port = client_port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; :meth:`mode` tells when it serves."""
        command = ["java", *JAVA_OPTIONS, "-cp", CLASSPATH]
        command += ["org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def mode(self) -> str:
        """Tell ``leader``, ``follower``, ``standalone``, or "" while it does not serve."""
        with contextlib.suppress(OSError):
            if f"user.dir={self.folder}\n" not in self._ask(b"envi"):
                return ""
            for line in self._ask(b"srvr").splitlines():
                if line.startswith("Mode: "):
                    return line.removeprefix("Mode: ")
        return ""

    def _ask(self, word: bytes) -> str:
        with socket.create_connection((LOOPBACK, self._port), timeout=1.0) as connection:
            connection.sendall(word)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer.decode()


class Ensemble:
    """One server, or several that elect a leader.

    Args:
        size: number of servers; 1 is a standalone one.
        tick_ms: ``tickTime``; sessions last between 2 and 20 of them.
        sync_limit: ticks that a follower may lag behind.
        authority: issues the servers' certificates; they then serve TLS as well, to clients that
            have one of its own. None: they do not.
    """

    def __init__(
        self, size: int, tick_ms: int, sync_limit: int = 4, authority: Authority | None = None
    ) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="hamon-zookeeper-"))
        ports = _free_ports(4 * size)
        peers = "".join(
            f"server.{number + 1}={LOOPBACK}:{ports[size + number]}:{ports[2 * size + number]}\n"
            for number in range(size)
        )
        self.servers: list[Server] = []
        for number in range(size):
            folder = self._root / str(number + 1)
            folder.mkdir()
            (folder / "myid").write_text(f"{number + 1}\n")
            (folder / "zoo.cfg").write_text(
                f"tickTime={tick_ms}\ninitLimit=20\nsyncLimit={sync_limit}\n"
                f"dataDir={folder}\nclientPort={ports[number]}\nclientPortAddress={LOOPBACK}\n"
                "4lw.commands.whitelist=*\nadmin.enableServer=false\nmaxClientCnxns=0\n"
                "forceSync=no\n" + (peers if size > 1 else "")
            )
            if authority is not None:
                _secure(folder, authority, ports[3 * size + number])
            self.servers.append(Server(folder, ports[number], ports[3 * size + number]))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients connect to."""
        return tuple(server.address for server in self.servers)

    def start(self) -> None:
        """Start all servers and wait until a leader serves and the others follow."""
        for server in self.servers:
            server.start()
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not all(server.mode() for server in self.servers):
            assert time.monotonic() < deadline_s, f"no quorum; logs are in {self._root}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill all servers and remove their folder."""
        for server in self.servers:
            server.stop()
        shutil.rmtree(self._root)


def _secure(folder: Path, authority: Authority, port: int) -> None:
    """Have a server serve TLS to clients that show a certificate."""
    certificate, key = authority.issue(f"zookeeper-{folder.name}", LOOPBACK)
    keystore = folder / "keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    with (folder / "zoo.cfg").open("a") as config:
        config.write(
            f"secureClientPort={port}\nsecureClientPortAddress={LOOPBACK}\n"
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n"
            "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n"
            f"ssl.keyStore.location={keystore}\nssl.keyStore.type=PEM\n"
            f"ssl.trustStore.location={authority.certificate}\nssl.trustStore.type=PEM\n"
            "ssl.clientAuth=need\n"
        )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has now; who takes one in between is found out by :meth:`Server.mode`."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
