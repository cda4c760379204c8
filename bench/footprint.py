"""How much memory and processor hamon's processes take, read from /proc."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import deployment
from lab.lab import Lab
from lab.machine import Machine
from lab.names import LabError
from lab.services import log_of

HEARTBEAT_LIMIT_MIB = 30.0
GUESTS_LIMIT_MIB = 60.0
DAEMON_LIMIT_MIB = 120.0
DAEMON_LIMIT_PERCENT = 2.0
IDLE_HOSTS = 10
SETTLE_S = 30.0
MEASURE_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The largest resident set of each kind of process, in MiB; the daemon's share of a core.

    Attributes:
        heartbeat_mib: heartbeat process of a compute host.
        guests_mib: guests process.
        daemon_mib: a controller's daemon.
        leader_percent: of one core, with the children it waited for; None: not measured.
        standby_percent: that of the daemon which does not lead.
    """

    heartbeat_mib: float
    guests_mib: float
    daemon_mib: float
    leader_percent: float | None = None
    standby_percent: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether every figure is within its limit."""
        shares = [p for p in (self.leader_percent, self.standby_percent) if p is not None]
        return (
            self.heartbeat_mib <= HEARTBEAT_LIMIT_MIB
            and self.guests_mib <= GUESTS_LIMIT_MIB
            and self.daemon_mib <= DAEMON_LIMIT_MIB
            and all(share < DAEMON_LIMIT_PERCENT for share in shares)
        )


def memory(lab: Lab) -> Footprint:
    """Measure the memory of all that runs in a lab now."""
    return Footprint(
        heartbeat_mib=_largest_mib(lab.hosts, deployment.HEARTBEAT),
        guests_mib=_largest_mib(lab.hosts, deployment.GUESTS),
        daemon_mib=_largest_mib(lab.daemons, deployment.DAEMON),
    )


def leader_mib(lab: Lab) -> float:
    """The resident memory of the daemon that leads.

    Raises:
        LabError: none does.
    """
    leader = deployment.leader(lab.daemons)
    if leader is None:
        raise LabError("no daemon leads")
    return _rss_mib(_proc(leader, deployment.DAEMON))


def idle(lab: Lab) -> Footprint:
    """Let a lab without guests settle, and measure memory and processor for a minute."""
    time.sleep(SETTLE_S)
    leader = deployment.leader(lab.daemons)
    before = {str(c.name): _cpu_s(c) for c in lab.daemons}
    began_s = time.monotonic()
    time.sleep(MEASURE_S)
    took_s = time.monotonic() - began_s
    used = {str(c.name): 100.0 * (_cpu_s(c) - before[str(c.name)]) / took_s for c in lab.daemons}
    leading = str(leader.name) if leader is not None else ""
    found = memory(lab)
    return Footprint(
        heartbeat_mib=found.heartbeat_mib,
        guests_mib=found.guests_mib,
        daemon_mib=found.daemon_mib,
        leader_percent=used.get(leading),
        standby_percent=max((p for name, p in used.items() if name != leading), default=None),
    )


def _largest_mib(machines: Iterable[Machine], service: str) -> float:
    return max(_rss_mib(_proc(machine, service)) for machine in machines)


def _proc(machine: Machine, service: str) -> Path:
    """A service's folder in its machine's own /proc, which has the pids of that machine.

    Raises:
        LabError: it does not run, though nobody stopped it; with the end of its log.
    """
    process = machine.processes()[service]
    if process["state"] != "running":
        log = log_of(machine.layout, machine.name, service).read_text(errors="replace")
        raise LabError(
            f"{service} on {machine.name} is {process['state']}; its log ends:\n{log[-2000:]}"
        )
    return machine.path(f"/proc/{process['pid']}")


def _rss_mib(process: Path) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("a process without VmRSS")


def _cpu_s(controller: Machine) -> float:
    """Seconds of processor of the daemon and of the children it waited for (power looks)."""
    stat = (_proc(controller, deployment.DAEMON) / "stat").read_text()
    fields = stat.rpartition(") ")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S
