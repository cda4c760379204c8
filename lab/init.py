"""PID 1 of a virtual machine of the lab; only the standard library, only Linux.

It runs as `python -m lab.init SPEC` under `unshare`: it makes the machine's own view of the file
system, waits for its network cables, starts the services, reaps, and obeys a control socket.
SPEC is a JSON file, written by `lab.machine`, that describes the machine.

Control socket: one JSON object a connection, `{"do": ..., "service": ..., ...}`; one JSON object
back, with `error` if it could not be done.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

RUN = Path("/run/lab")
CONTROL_SOCKET = RUN / "init.sock"
# Present from the moment an orderly shutdown begins: what `systemctl is-system-running` would say.
STOPPING = RUN / "stopping"
QEMU = Path("/usr/bin/qemu-system-x86_64")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
NETWORK_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 5.0
SERVICE_GROUP_NICENESS = -10
# Folders of which a machine has its own version; what it changes is kept over a power cut.
OVERLAYS = {
    "/etc": "etc",
    "/var/lib": "var-lib",
    "/var/cache": "var-cache",
    "/var/log": "var-log",
}
HIDDEN = (*OVERLAYS, "/run", "/srv")


class Init:
    """The services of one machine."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.services: dict[str, dict[str, Any]] = {s["name"]: s for s in spec["services"]}
        self.pids: dict[str, int] = {}
        self.stop = False

    def start(self, name: str) -> None:
        """Start a service unless it runs."""
        if name in self.pids:
            return
        service = self.services[name]
        with Path(service["log"]).open("ab") as log:
            # Not Popen.wait: the init reaps everything itself, in one place.
            process = subprocess.Popen(
                service["argv"],
                env=ENVIRONMENT | service["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process.returncode = 0
        self.pids[name] = process.pid
        put_before_guests(process.pid)

    def reap(self) -> None:
        """Collect every child that has ended; PID 1 inherits all orphans."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.pids = {name: known for name, known in self.pids.items() if known != pid}

    def pid_of(self, name: str) -> int:
        """The pid of a service, or of a guest's QEMU as `qemu:<guest>`."""
        if name.startswith("qemu:"):
            guest = name.removeprefix("qemu:")
            pid = int(Path(f"/run/libvirt/qemu/{guest}.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if not any(word.startswith(f"guest={guest},".encode()) for word in command):
                raise KeyError(name)
            return pid
        if name not in self.services:
            raise KeyError(name)
        return self.pids[name]

    def guests(self) -> list[str]:
        """The guests whose QEMU runs here."""
        names = []
        for file in Path("/run/libvirt/qemu").glob("*.pid"):
            try:
                self.pid_of(f"qemu:{file.stem}")
            except (KeyError, OSError, ValueError):
                continue
            names.append(file.stem)
        return names

    def end(self, pid: int, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL for what does not end in time."""
        for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, KILL_TIMEOUT_S)):
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, number)
            except ProcessLookupError:
                return
            if self.is_gone(pid, patience_s):
                return

    def is_gone(self, pid: int, patience_s: float) -> bool:
        """Wait for a process to end; say whether it did."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            self.reap()
            if not Path(f"/proc/{pid}").exists():
                return True
            time.sleep(0.01)
        return False

    def send_signal(self, pid: int, number: int) -> None:
        """Send a signal; who was killed is gone afterwards, so that a start is one."""
        os.kill(pid, number)
        if number == signal.SIGKILL:
            self.is_gone(pid, KILL_TIMEOUT_S)

    def shut_down(self) -> None:
        """Stop everything in order: services last to first, then guests that still run."""
        STOPPING.touch()
        for name in reversed(list(self.services)):
            if name in self.pids:
                self.end(self.pids[name], self.services[name]["stop_timeout_s"])
        for guest in self.guests():
            self.end(self.pid_of(f"qemu:{guest}"), 5.0)
        self.stop = True

    def obey(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what the control socket asks."""
        match request["do"]:
            case "list":
                processes = {name: self.pids.get(name) for name in self.services}
                processes |= {f"qemu:{g}": self.pid_of(f"qemu:{g}") for g in self.guests()}
                return {"processes": {name: _described(pid) for name, pid in processes.items()}}
            case "start":
                self.start(request["service"])
            case "signal":
                self.send_signal(self.pid_of(request["service"]), request["number"])
            case "stop":
                service = self.services[request["service"]]
                if service["name"] in self.pids:
                    self.end(self.pids[service["name"]], service["stop_timeout_s"])
            case "shutdown":
                self.shut_down()
            case unknown:
                return {"error": f"no such request: {unknown}"}
        return {}

    def serve(self) -> None:
        """Reap and obey until shut down."""
        wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(CONTROL_SOCKET))
            server.listen()
            for name in self.services:
                self.start(name)
            while not self.stop:
                readable, _, _ = select.select([server.fileno(), wake_reader], [], [])
                if wake_reader in readable:
                    os.read(wake_reader, 4096)
                self.reap()
                if server.fileno() in readable:
                    self.answer(server)

    def answer(self, server: socket.socket) -> None:
        """Serve one connection; a broken one must not end PID 1."""
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5.0)
            try:
                request = json.loads(connection.makefile().readline())
                try:
                    response = self.obey(request)
                except (KeyError, FileNotFoundError, ProcessLookupError) as error:
                    response = {"error": f"not running here: {error}"}
                connection.sendall(json.dumps(response).encode())
            except (OSError, ValueError) as error:
                print("control socket:", error, file=sys.stderr)


def _described(pid: int | None) -> dict[str, Any]:
    if pid is None:
        return {"pid": None, "state": "dead"}
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return {"pid": None, "state": "dead"}
    return {"pid": pid, "state": "paused" if state == "T" else "running"}


def _command(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT)


def make_file_system(spec: dict[str, Any]) -> None:
    """Give the machine its own /etc, /run, /srv and parts of /var, and its own boot id."""
    folder, project = Path(spec["folder"]), spec["project"]
    _command("mount", "--make-rprivate", "/")
    # A handle on the checkout: it may lie in a folder that is hidden next.
    checkout = os.open(project, os.O_PATH | os.O_DIRECTORY)
    shared = os.open(spec["shared_storage"], os.O_PATH | os.O_DIRECTORY)
    beats = os.open(spec["heartbeats"], os.O_PATH | os.O_DIRECTORY)
    for target, name in OVERLAYS.items():
        upper, work = folder / name / "upper", folder / name / "work"
        layers = f"lowerdir={target},upperdir={upper},workdir={work}"
        _command("mount", "-t", "overlay", "-o", layers, "overlay", target)
    _command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/srv")
    # The sysfs of this network namespace: libvirt reads links and bridges from it.
    _command("mount", "-t", "sysfs", "sysfs", "/sys")
    me = os.getpid()
    if any(Path(project).is_relative_to(hidden) for hidden in HIDDEN):
        Path(project).mkdir(parents=True, exist_ok=True)
        _command("mount", "--rbind", f"/proc/{me}/fd/{checkout}", project)
    if spec["role"] == "host":
        target = spec["shared_storage_target"]
        Path(target).mkdir(parents=True)
        _command("mount", "--bind", f"/proc/{me}/fd/{shared}", target)
    if spec["role"] != "cloud":
        target = spec["heartbeats_target"]
        Path(target).mkdir(parents=True)
        _command("mount", "--bind", f"/proc/{me}/fd/{beats}", target)
    for handle in (checkout, shared, beats):
        os.close(handle)
    RUN.mkdir()
    boot_id = RUN / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    _command("mount", "--bind", str(boot_id), "/proc/sys/kernel/random/boot_id")


# Nova's disks are not <shareable/>, and QEMU would take this machine's locks on them: shared block
# storage has none, so that a double start would go unseen here and not there.
UNLOCK = """
for word in "$@"; do
    shift
    case "$word" in
        '{"driver":"file",'*) word="{\\"locking\\":\\"off\\",${word#?}" ;;
    esac
    set -- "$@" "$word"
done
"""


def slow_down_guests(*, is_image_locked: bool) -> None:
    """Let every QEMU run at nice 19, whoever starts it: TCG guests must not starve the rest.

    Args:
        is_image_locked: leave it to QEMU and the definition whether an image is locked.
    """
    # QEMU finds its modules and firmware beside the folder that it runs from.
    prefix = RUN / "usr"
    (prefix / "bin").mkdir(parents=True)
    for name in ("lib", "share"):
        (prefix / name).symlink_to(f"/usr/{name}")
    real, wrapper = prefix / "bin" / QEMU.name, RUN / "qemu-at-nice-19"
    real.touch()
    _command("mount", "--bind", str(QEMU), str(real))
    unlock = "" if is_image_locked else UNLOCK
    wrapper.write_text(f'#!/bin/sh\n{unlock}exec nice -n 19 {real} "$@"\n')
    wrapper.chmod(0o755)
    _command("mount", "--bind", str(wrapper), str(QEMU))


def put_before_guests(pid: int) -> None:
    """Give a service's session more of the processor than a guest's.

    Where the kernel groups tasks by session (autogroup), the niceness of a guest counts only
    within its own group, and eight guests would take eight times what ZooKeeper gets.
    """
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(SERVICE_GROUP_NICENESS))


def bring_up_network(addresses: dict[str, str]) -> None:
    """Wait for the cable of each plane and give it its address.

    Raises:
        TimeoutError: a cable was not plugged in within `NETWORK_TIMEOUT_S`.
    """
    _command("ip", "link", "set", "lo", "up")
    deadline = time.monotonic() + NETWORK_TIMEOUT_S
    for plane, address in addresses.items():
        while not Path(f"/sys/class/net/{plane}").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no cable to the plane {plane}")
            time.sleep(0.01)
        _command("ip", "address", "add", address, "dev", plane)
        _command("ip", "link", "set", "dev", plane, "up")


def main() -> None:
    """Be the init of the machine that the file in the first argument describes."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    socket.sethostname(spec["hostname"])
    make_file_system(spec)
    if spec["role"] == "host":
        slow_down_guests(is_image_locked=spec["is_image_locked"])
    bring_up_network(spec["addresses"])
    Init(spec).serve()


if __name__ == "__main__":
    main()
