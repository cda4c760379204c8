"""The lab as a test of hamon sees it: guests that count, faults that are owned up to, waiting.

What a test does to a host's power or planes it does through a :class:`World`, so that at the end
the world can say whether hamon fenced a host that nobody had taken down.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab import deployment
from lab.deployment import DAEMON, GUESTS, HEARTBEAT
from lab.lab import Lab
from lab.machine import Machine
from lab.names import PROJECT, LabError, Plane, Role
from lab.observer import Observer
from lab.processes import wait_until
from lab.services import HAMON, log_of

DEADLINE_S = 90.0
"""For what hamon does: several session time-outs, on a machine that may be busy."""

GUEST_BOOT_S = 120.0
"""For guests to boot without KVM, several at once, on a machine that may be busy."""

POLL_S = 0.1
"""Between two questions to a daemon: asking must not keep it from its work."""

_LOGGED_SERVICES = (DAEMON, HEARTBEAT, GUESTS)
_OPEN = frozenset({"WAITING", "accepted", "pre-migrating"})


class World:
    """One test's view of the shared lab.

    Args:
        lab: repaired and without guests.
        watching: observes the guests' disks.
        prefix: of this test's guests, so that no two tests share one.
    """

    def __init__(self, lab: Lab, watching: Observer, prefix: str) -> None:
        self.lab = lab
        self.watching = watching
        self.guests: list[str] = []
        self.taken_down: set[str] = set()
        self._prefix = prefix
        self._made = 0
        self._read_from = {file: _size(file) for file in self._logs()}
        self._old_incidents = self._incidents_so_far()

    # -- guests -----------------------------------------------------------------------------------

    def run_guests(
        self, host: str, count: int = 1, *, xml: Callable[[str], str] | None = None
    ) -> list[str]:
        """Define and start guests on a host; return when hamon holds them and they write.

        Args:
            host: where.
            count: how many.
            xml: makes a guest's definition of its name; the lab's own by default.
        """
        names = [self.define_guest(host, xml=xml) for _ in range(count)]
        for name in names:
            self.lab.guests.start(name, self.lab.host(host))
        self.wait_owned(host, names)
        self.guests += names
        self.wait_writing(names)
        return names

    def define_guest(self, host: str, *, xml: Callable[[str], str] | None = None) -> str:
        """Define a guest that is off; return its name."""
        self._made += 1
        name = f"{self._prefix}-{self._made}"
        make = xml if xml is not None else self.lab.guests.xml
        self.lab.guests.define(name, self.lab.host(host), make(name))
        return name

    def fill(self, host: str) -> str:
        """Take all vCPUs of a host with a guest that is paused from its start; return its name."""
        name = self.define_guest(host, xml=lambda name: self.lab.guests.xml(name, vcpus=8))
        self.lab.host(host).run(["virsh", "-q", "start", "--paused", name])
        self.wait_owned(host, [name])
        return name

    def wait_owned(self, host: str, names: list[str]) -> None:
        """Wait until hamon has settled the guests on a host: from now on it looks after them."""

        def are_owned() -> bool:
            shown = {guest["name"]: guest for guest in self.ask("host", host=host)["guests"]}
            return all(
                name in shown
                and (shown[name]["owner"], shown[name]["grant"]) == (host, "running")
                and shown[name]["migration"] is None
                for name in names
            )

        self.wait(are_owned, f"{', '.join(names)} owned by {host}")

    def wait_writing(self, names: list[str]) -> None:
        """Wait until each of the guests writes to its disk."""
        found = self.watching.wait_for(lambda o: all(map(o.writing, names)), GUEST_BOOT_S)
        assert found, f"not writing: {[n for n in names if not self.watching.writing(n)]}"

    def wait_moved(self, names: list[str], boots: int = 2) -> None:
        """Wait until each of the guests has booted so many times in all, and writes."""

        def have_moved(observer: Observer) -> bool:
            return all(len(observer.boots(n)) >= boots and observer.writing(n) for n in names)

        found = self.watching.wait_for(have_moved, DEADLINE_S + GUEST_BOOT_S)
        assert found, {name: self.watching.boots(name) for name in names}

    def owner(self, guest: str) -> str:
        """The host that owns a guest by hamon's records."""
        return str(self.ask("guest", guest=guest)["owner"])

    def wait_owner(self, guest: str, host: str) -> None:
        """Wait until a guest is a host's by hamon's records: it may write a moment earlier."""
        self.wait(lambda: self.owner(guest) == host, f"{guest} owned by {host}")

    def domains(self, host: str) -> dict[str, str]:
        """Name and state of each domain that libvirt has on a host."""
        return self.lab.guests.on_host(self.lab.host(host))

    # -- asking -----------------------------------------------------------------------------------

    def leader(self) -> Machine:
        """The controller that leads; waits for one."""
        found: list[Machine] = []

        def is_there() -> bool:
            leading = deployment.leader(self.lab.daemons)
            if leading is not None:
                found.append(leading)
            return bool(found)

        self.wait(is_there, "a leading daemon")
        return found[0]

    def standby(self) -> Machine:
        """The controller with a daemon that does not lead."""
        leading = self.leader()
        return next(c for c in self.lab.daemons if c.name != leading.name)

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask any daemon that answers; a standby sees what the leader sees."""
        why = ""
        for controller in self.lab.daemons:
            if not _runs(controller, DAEMON):
                continue
            try:
                return deployment.ask(controller, verb, **arguments)
            except LabError as error:
                why = str(error)
        raise LabError(why or "no daemon runs")

    def ask_leader(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask the leader: only it looks at power, and only it decides."""
        return deployment.ask(self.leader(), verb, **arguments)

    def state(self, host: str) -> str:
        """A host's state."""
        lines = self.ask("hosts")["hosts"]
        return next(str(line["state"]) for line in lines if line["host"] == host)

    def all_incidents(self) -> list[dict[str, Any]]:
        """A line for each incident of any host, also of closed ones."""
        hosts = [str(host.name) for host in self.lab.hosts]
        return [line for host in hosts for line in self.ask("explain", host=host)["incidents"]]

    def _incidents_so_far(self) -> set[str]:
        found: set[str] = set()

        def are_known() -> bool:
            found.update(line["incident"] for line in self.all_incidents())
            return True

        self.wait(are_known, "the incidents so far")
        return found

    def incidents(self) -> list[dict[str, Any]]:
        """Each incident that opened in this test, whole."""
        new = [i for i in self.all_incidents() if i["incident"] not in self._old_incidents]
        return [self.ask("incident", incident=line["incident"]) for line in new]

    def incident(self, host: str) -> dict[str, Any]:
        """The one incident of a host that opened in this test."""
        found = [incident for incident in self.incidents() if incident["host"] == host]
        assert len(found) == 1, found
        return found[0]

    def migration(self, host: str, guest: str) -> dict[str, Any]:
        """The migration of a guest in the one incident of a host."""
        found = [m for m in self.incident(host)["migrations"] if m["name"] == guest]
        assert len(found) == 1, found
        return dict(found[0])

    def reasons(self, host: str) -> set[str]:
        """The codes of the reasons that are about a host or its guests now, by the leader."""
        said = self.ask_leader("explain", host=host)
        return {line["code"] for line in said["reasons"]}

    def holds(self) -> set[str]:
        """The kinds of the holds in force."""
        return {hold["kind"] for hold in self.ask_leader("status")["holds"]}

    def hamon(
        self, *arguments: str, on: str = "c1", deadline_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run hamon's command line on a machine."""
        return subprocess.run(
            self.hamon_argv(*arguments, on=on),
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def hamon_argv(self, *arguments: str, on: str = "c1") -> list[str]:
        """The command that runs hamon's command line on a machine."""
        return self.lab.machine(on).exec_argv(
            # Whoever gives up waiting ends the command, too, not only what entered the namespaces.
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "env",
                f"PYTHONPATH={PROJECT}",
                "COLUMNS=200",
                *HAMON,
                *arguments,
            ]
        )

    # -- faults -----------------------------------------------------------------------------------

    def power_cut(self, host: str) -> None:
        """Cut a host's power."""
        self.taken_down.add(host)
        self.lab.host(host).power_cut()

    def power_cut_in_maintenance(self, host: str) -> None:
        """Cut a host's power while it is in maintenance, so that a command is first."""
        said = self.hamon("maintenance", "on", host, "--reason", "the command is to be first")
        assert said.returncode == 0, said.stderr
        self.power_cut(host)
        self.wait_reason(host, "conviction_held")
        self.wait(lambda: not self.ask("host", host=host)["session"], f"the session of {host} ends")

    def isolate(self, host: str) -> None:
        """Cut a host from storage and every plane but its BMC's: nobody can tell that it lives."""
        self.taken_down.add(host)
        self.lab.cut_storage(host)
        self.lab.cut(host, Plane.MANAGEMENT)
        self.lab.cut(host, Plane.STORAGE)

    def mend(self, host: str) -> None:
        """Mend every plane of a machine; a power cut mends its storage."""
        for plane in (Plane.MANAGEMENT, Plane.STORAGE):
            self.lab.restore(host, plane)
        if self.lab.host(host).powered():
            self.lab.restore_storage(host)

    def bring_back(self) -> None:
        """Do what an operator does after an accident, until every host is in service."""
        deployment.bring_into_service(self.lab.daemons, self.lab.hosts)

    # -- waiting ----------------------------------------------------------------------------------

    def wait(
        self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S
    ) -> None:
        """Wait until a condition holds; a daemon that cannot answer just now is asked again.

        Raises:
            LabError: it does not in time.
        """
        until_s = time.monotonic() + deadline_s
        while True:
            trouble = ""
            try:
                if condition():
                    return
            except LabError as error:
                trouble = str(error)
            if time.monotonic() > until_s:
                raise LabError(f"waited {deadline_s:g} s in vain for: {what} {trouble}".rstrip())
            time.sleep(POLL_S)

    def wait_state(self, host: str, *states: str) -> None:
        """Wait until a host is in one of the states."""
        self.wait(lambda: self.state(host) in states, f"{host} {' or '.join(states)}")

    def wait_reason(self, host: str, code: str) -> None:
        """Wait until the leader gives this reason about a host or its guests."""
        self.wait(lambda: code in self.reasons(host), f"reason {code} about {host}")

    def wait_told(self, event: str) -> tuple[Machine, dict[str, Any]]:
        """Wait until a daemon logs an event in this test; return who it was, and the line.

        Any of them: on a busy machine the leader may change at any time.
        """
        found: list[tuple[Machine, dict[str, Any]]] = []

        def is_told() -> bool:
            for daemon in self.lab.daemons:
                found.extend((daemon, line) for line in self.logged(event, on=daemon))
            return bool(found)

        wait_until(is_told, f"{event} in the log of a daemon", DEADLINE_S)
        return found[0]

    def told(self) -> list[dict[str, Any]]:
        """Every line that the daemons have logged in this test, in the order of time."""
        lines = [line for daemon in self.lab.daemons for line in self.logged("", on=daemon)]
        return sorted(lines, key=lambda line: str(line.get("timestamp", "")))

    def logged(self, event: str, *, on: Machine, service: str = DAEMON) -> list[dict[str, Any]]:
        """The lines of an event that a service has logged in this test; "" for all lines."""
        file = log_of(self.lab.layout, on.name, service)
        return [line for line in _lines(self._new(file), event) if event in {"", line.get("event")}]

    def stay(self, for_s: float) -> None:
        """Let a fault last; nothing may be concluded from the time itself."""
        self.watching.wait_for(lambda _: False, for_s)

    # -- at the end -------------------------------------------------------------------------------

    def check(self) -> None:
        """Say what must hold at the end of every test, whatever happened in it."""
        assert self.watching.double_writers() == {}, "two writers on one disk"
        self.wait(
            lambda: all(self.ask("guest", guest=name)["migration"] is None for name in self.guests),
            "no guest in a migration",
        )
        self.wait_writing(self.guests)
        fenced = {incident["host"] for incident in self.incidents()}
        assert fenced <= self.taken_down, f"hosts convicted while alive: {fenced - self.taken_down}"
        assert self.tracebacks() == []

    def tracebacks(self) -> list[str]:
        """What hamon's processes could not cope with in this test."""
        return [
            f"{file.parent.parent.name} {file.name}: {line[-1500:]}"
            for file in self._logs()
            for line in self._new(file).splitlines()
            if "Traceback (most recent" in line
        ]

    def describe(self) -> str:
        """How things stand and what was logged, for a test that failed."""
        parts = []
        with contextlib.suppress(LabError):
            parts.append("status: " + json.dumps(self.ask("status")))
            parts += [f"incident: {json.dumps(incident)}" for incident in self.incidents()]
            for host in self.lab.hosts:
                parts.append("explain: " + json.dumps(self.ask("explain", host=str(host.name))))
        for file in self._logs():
            name = f"{file.parent.parent.name} {file.stem}"
            parts += [f"{name}: {line}" for line in self._new(file).splitlines()[-80:]]
        return "\n".join(parts)

    def _logs(self) -> Iterator[Path]:
        for machine in self.lab.machines:
            is_host = machine.name.role is Role.HOST
            for service in _LOGGED_SERVICES:
                if (service == DAEMON) is not is_host:
                    yield log_of(self.lab.layout, machine.name, service)

    def _new(self, file: Path) -> str:
        with contextlib.suppress(FileNotFoundError), file.open("rb") as log:
            log.seek(self._read_from.get(file, 0))
            return log.read().decode(errors="replace")
        return ""


def _runs(machine: Machine, service: str) -> bool:
    """Whether a service runs and is not paused: a paused daemon would keep a question waiting."""
    try:
        return bool(machine.processes().get(service, {}).get("state") == "running")
    except LabError:
        return False


def _lines(text: str, word: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if word in line and line.startswith("{"):
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def open_migrations(incident: dict[str, Any]) -> list[str]:
    """Names of the guests whose migration is not over."""
    return [m["name"] for m in incident["migrations"] if m["status"] in _OPEN]
