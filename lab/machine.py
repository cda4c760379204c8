"""A virtual machine of the lab: a set of namespaces that lives and dies with its init."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import network
from lab.init import CONTROL_SOCKET, OVERLAYS
from lab.names import (
    HEARTBEATS,
    PLANES_OF_ROLE,
    PREFIX_LENGTH,
    PROJECT,
    SHARED_STORAGE,
    LabError,
    Layout,
    MachineName,
)
from lab.processes import (
    Process,
    children_of,
    read_record,
    run,
    start_recorded,
    wait_until,
    write_record,
)
from lab.services import log_of, services_of

POWER_ON_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A controller or a compute host.

    Its power is a PID namespace: on means that its init lives, off that nothing in it does.
    """

    layout: Layout
    name: MachineName

    @property
    def folder(self) -> Path:
        """What the machine keeps over a power cut, and its logs."""
        return self.layout.machine_folder(self.name)

    @property
    def _outer_record(self) -> Path:
        return self.layout.processes / f"{self.name}-unshare"

    @property
    def _init_record(self) -> Path:
        return self.layout.processes / f"{self.name}-init"

    def prepare(self) -> None:
        """Make the machine's folders and configuration, before its first power-on."""
        self.layout.heartbeats.mkdir(exist_ok=True)
        for name in (*OVERLAYS.values(), "log"):
            (self.folder / name / "upper").mkdir(parents=True, exist_ok=True)
            (self.folder / name / "work").mkdir(exist_ok=True)
        etc = self.folder / "etc" / "upper"
        (etc / "hostname").write_text(f"{self.name}\n")
        # Where systemd keeps a machine's identity; there may be no /sys/class/dmi.
        (etc / "machine-id").write_text(f"{self.layout.product_uuid(self.name).hex}\n")
        (etc / "hamon").mkdir(exist_ok=True)
        (self.folder / "var-lib" / "upper" / "hamon").mkdir(exist_ok=True)

    def init_process(self) -> Process | None:
        """The machine's PID 1 as seen from outside, or None while it is off."""
        process = read_record(self._init_record)
        return process if process is not None and process.alive() else None

    def powered(self) -> bool:
        """Whether anything of the machine lives.

        PID 1 of a namespace ends only after everything else in it, so it answers for all of it.
        """
        outer = read_record(self._outer_record)
        return self.init_process() is not None or (outer is not None and outer.alive())

    def power_on(self) -> None:
        """Start the machine, if it is off, and return when its init serves.

        Raises:
            LabError: it did not come up; the message names the log.
        """
        with self._power_switch():
            if self.powered():
                return
            if self.layout.closing.exists():
                raise LabError(f"lab {self.layout.lab} is being taken down")
            spec = self.folder / "machine.json"
            spec.write_text(json.dumps(self._spec(), indent=2))
            namespaces = ("--mount", "--pid", "--uts", "--net")
            unshare = ["unshare", *namespaces, "--fork", "--mount-proc", "--kill-child"]
            self._init_record.unlink(missing_ok=True)
            outer = start_recorded(
                [*unshare, sys.executable, "-m", "lab.init", str(spec)],
                record=self._outer_record,
                log=log_of(self.layout, self.name, "init"),
                environment=dict(os.environ) | {"PYTHONPATH": str(PROJECT)},
            )
            init = self._find_init(outer)
            write_record(self._init_record, init)
            for plane in PLANES_OF_ROLE[self.name.role]:
                network.plug(self.layout, self.name, plane, str(init.pid))
        wait_until(
            lambda: not init.alive() or self._control_socket(init).exists(),
            f"{self.name} booted (see {log_of(self.layout, self.name, 'init')})",
            POWER_ON_TIMEOUT_S,
        )
        if not init.alive():
            raise LabError(f"{self.name} died at boot: {log_of(self.layout, self.name, 'init')}")

    def power_cut(self) -> None:
        """Kill everything in the machine at once and return when nothing of it is left.

        Idempotent.

        Raises:
            LabError: something would not die.
        """
        with self._power_switch():
            for record in (self._outer_record, self._init_record):
                process = read_record(record)
                if process is not None:
                    # Only after a half-made power-on is there a child that has no record.
                    unrecorded = children_of(process.pid) if process.alive() else []
                    process.kill()
                    for child in unrecorded:
                        child.kill()

    def shut_down(self) -> None:
        """Stop everything in order and switch off, as an operator's `shutdown` does.

        Raises:
            LabError: the machine is off, or did not end within `SHUTDOWN_TIMEOUT_S`.
        """
        self.control({"do": "shutdown"}, timeout_s=SHUTDOWN_TIMEOUT_S)
        wait_until(lambda: not self.powered(), f"{self.name} off", 10.0)

    def boot_id(self) -> str:
        """The boot id that the machine's own processes read."""
        return self.run(["cat", "/proc/sys/kernel/random/boot_id"]).strip()

    def path(self, inside: str | Path) -> Path:
        """Where a path of the running machine is for a process outside.

        Raises:
            LabError: the machine is off.
        """
        return Path(f"/proc/{self._running().pid}/root{inside}")

    def exec_argv(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another one in all namespaces of the machine.

        Raises:
            LabError: the machine is off.
        """
        pid = self._running().pid
        return ["nsenter", "-t", str(pid), "-m", "-u", "-n", "-p", "--", *argv]

    def run(self, argv: Sequence[str], *, text: str | None = None, deadline_s: float = 30.0) -> str:
        """Run a command in the machine to its end and return what it printed.

        Raises:
            LabError: the machine is off, the command failed, or it took too long.
        """
        return run(self.exec_argv(argv), text=text, deadline_s=deadline_s)

    def call(self, argv: Sequence[str]) -> int:
        """Run a command in the machine with this process's terminal; return its exit status."""
        return subprocess.run(self.exec_argv(argv), check=False).returncode

    def cut_storage(self, *, is_cut: bool) -> None:
        """Have the storage of the heartbeats refuse what this machine writes, or take it again.

        Its mount becomes read-only, as one does whose storage is in trouble. A power cut mends it.
        Idempotent.

        Raises:
            LabError: the machine is off.
        """
        how = "ro" if is_cut else "rw"
        self.run(["mount", "-o", f"remount,bind,{how}", str(HEARTBEATS)])

    def processes(self) -> dict[str, dict[str, Any]]:
        """Name, pid (inside) and state of each service and each `qemu:<guest>`."""
        if not self.powered():
            return {}
        listed: dict[str, dict[str, Any]] = self.control({"do": "list"})["processes"]
        return listed

    def signal_process(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a service or a guest's QEMU.

        Raises:
            LabError: the machine is off or the process does not run.
        """
        self.control({"do": "signal", "service": name, "number": int(number)})

    def start_service(self, name: str) -> None:
        """Start a service. Idempotent.

        Raises:
            LabError: the machine is off or has no such service.
        """
        self.control({"do": "start", "service": name})

    def stop_service(self, name: str) -> None:
        """End a service with SIGTERM, and SIGKILL when it takes too long. Idempotent.

        Raises:
            LabError: the machine is off or has no such service.
        """
        self.control({"do": "stop", "service": name}, timeout_s=70.0)

    def control(self, request: dict[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
        """Ask the machine's init.

        Raises:
            LabError: the machine is off, its init does not answer, or it refuses.
        """
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self._control_socket(self._running())))
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer: dict[str, Any] = json.loads(connection.makefile().readline() or "{}")
        except OSError as error:
            raise LabError(f"{self.name}: its init does not answer: {error}") from error
        if "error" in answer:
            raise LabError(f"{self.name}: {answer['error']}")
        return answer

    def forget(self) -> None:
        """Remove what the machine kept; it must be off."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _running(self) -> Process:
        init = self.init_process()
        if init is None:
            raise LabError(f"{self.name} is off")
        return init

    def _control_socket(self, init: Process) -> Path:
        return Path(f"/proc/{init.pid}/root{CONTROL_SOCKET}")

    def _find_init(self, outer: Process) -> Process:
        log = log_of(self.layout, self.name, "init")
        wait_until(
            lambda: not outer.alive() or bool(_first_of_namespace(outer)),
            f"{self.name} forked (see {log})",
            POWER_ON_TIMEOUT_S,
        )
        init = _first_of_namespace(outer)
        if init is None:
            raise LabError(f"{self.name} did not start: {log.read_text()[-500:]}")
        return init

    @contextmanager
    def _power_switch(self) -> Iterator[None]:
        """One hand on the switch at a time: the tool's, or that of a command to the BMC."""
        with self.layout.power_switch(self.name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _spec(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "project": str(PROJECT),
            "role": self.name.role,
            "is_image_locked": not (self.folder / "etc" / "upper" / "nova").exists(),
            "hostname": str(self.name),
            "shared_storage": str(self.layout.shared_storage),
            "shared_storage_target": str(SHARED_STORAGE),
            "heartbeats": str(self.layout.heartbeats),
            "heartbeats_target": str(HEARTBEATS),
            "addresses": {
                plane: f"{self.layout.address(self.name, plane)}/{PREFIX_LENGTH}"
                for plane in PLANES_OF_ROLE[self.name.role]
            },
            "services": [
                asdict(service) | {"log": str(log_of(self.layout, self.name, service.name))}
                for service in services_of(self.layout, self.name)
            ],
        }


def _first_of_namespace(outer: Process) -> Process | None:
    # The shell that records and then becomes `unshare` has children too, in this namespace.
    here = Path("/proc/self/ns/pid").readlink()
    for child in children_of(outer.pid):
        try:
            there = Path(f"/proc/{child.pid}/ns/pid").readlink()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if there != here:
            return child
    return None
