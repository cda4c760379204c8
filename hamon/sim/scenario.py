"""Scenarios: folders with what a world begins with, what is done to it, and the events to expect.

``scenario.toml``::

    backend = "libvirt"              # or "nova"
    controllers = 2                  # how many; so many by default
    host_ram_mib = 16384
    storage = ["nfs1"]               # optional: storages with the hosts' heartbeats
    checks = true                    # optional: hosts check their storages, libvirt and links
    until_s = 120                    # virtual seconds; commands begin at 40 at the earliest
    faults = ["F2"]                  # optional: rows of docs/faults.md that it plays
    reserved = ["compute-3"]         # hosts that are kept free; none by default
    no_channel = ["web"]             # guests without the channel that an agent needs
    watchdog_s = 15                  # optional: every host has a watchdog with that time-out
    [policy.holds]                   # optional: keys of a table of hamon.toml
    storm_hosts_max = 1
    [labels]                         # optional, by host
    compute-1 = { rack = "a1" }
    [fence]                          # optional: every host's devices, and their levels
    ipmi = 1
    [hosts]                          # RAM of a host, 0: as all
    compute-1 = 0
    [guests]                         # host of each guest; "host:RAM" or "host:RAM:shutoff"
    web = "compute-1"
    [said.web]                       # of a guest, by key without "hamon:"
    priority = "1"
    [[at]]
    s = 60
    do = ["power compute-1 off"]     # verbs of hamon/sim/faults.py
    [[crash]]                        # optional: when the leader commits for the n-th time from
    commit = 3                       # the first command on, and before it learns of it
    do = ["controller leader kill"]

``log.expect`` holds the events from the first command on, one JSON object a line.
"""

from __future__ import annotations

import difflib
import random
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.model.guest import PowerState
from hamon.model.policy import Backend, Mode, Policy
from hamon.sim.ensemble import Commit
from hamon.sim.events import Event
from hamon.sim.faults import do
from hamon.sim.guest_plan import GuestPlan
from hamon.sim.invariants import Violation
from hamon.sim.liveness import unfinished
from hamon.sim.loop import run_virtual
from hamon.sim.plan import Plan
from hamon.sim.world import SETTLED_S, InvariantError, World

GOLDEN = "log.expect"

_FAULT = re.compile(r"F[1-9][0-9]*")

_INCIDENTAL = frozenset(
    {
        "hypervisor_found",
        "inventory_published",
        "inventory_removed",
        "change_conflicted",
        "change_outcome_unknown",
        "guest_work_interrupted",
        "registration_delayed",
        "registration_waits",
        "grants_not_read",
        "shot_started",
        "cloud_call_ended",
        "cloud_not_read",
        "cloud_reached",
        "gate_waits",
        "check_failed",
        "check_passed",
        "incident_noted",
    }
)
"""Events that say how, not what: left out of golden logs so that they do not tie the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Verbs to carry out at a virtual second."""

    at_s: float
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """Verbs to carry out right when the leader's n-th commit took effect."""

    commit: int
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario as read from its folder."""

    folder: Path
    plan: Plan
    commands: tuple[Command, ...]
    until_s: float
    crashes: tuple[Crash, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @classmethod
    def read(cls, folder: Path) -> Scenario:
        """Read a scenario.

        Raises:
            ValueError: the file does not say what a scenario needs.
        """
        content = tomllib.loads((folder / "scenario.toml").read_text())
        hosts: dict[str, int] = content["hosts"]
        plan = Plan(
            hosts=tuple(hosts),
            controllers=tuple(
                f"controller-{number}" for number in range(1, content.get("controllers", 2) + 1)
            ),
            guests=tuple(
                replace(
                    _guest(name, text, content.get("said", {}).get(name, {})),
                    has_channel=name not in content.get("no_channel", ()),
                )
                for name, text in content["guests"].items()
            ),
            host_ram_mib=content.get("host_ram_mib", 16384),
            reserved=tuple(content.get("reserved", ())),
            ram_mib={name: ram_mib for name, ram_mib in hosts.items() if ram_mib},
            backend=Backend(content.get("backend", "libvirt")),
            storage=tuple(content.get("storage", ())),
            has_checks=content.get("checks", False),
            labels=content.get("labels", {}),
            fence=content.get("fence", {"ipmi": 1}),
            policy=_policy(content.get("policy", {})),
            watchdog=_watchdog(content.get("watchdog_s")),
        )
        return cls(
            folder=folder,
            plan=plan,
            commands=tuple(_commands(content["at"])),
            until_s=float(content["until_s"]),
            crashes=tuple(
                Crash(commit=crash["commit"], verbs=tuple(crash["do"]))
                for crash in content.get("crash", ())
            ),
            faults=tuple(_faults(folder, content.get("faults", []))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of a scenario. ``commits``: the leader's, from the first command on."""

    golden: tuple[str, ...]
    digest: str
    commits: int
    violation: Violation | None = None

    def difference(self, other: tuple[str, ...]) -> Iterator[str]:
        """Tell line by line where these events differ from others."""
        yield from difflib.unified_diff(other, self.golden, "expected", "actual", lineterm="", n=2)


def run(scenario: Scenario, echo: Callable[[Event], None] | None = None) -> Played:
    """Play a scenario; invariants at every step, liveness at its end."""
    random.seed(scenario.plan.seed)
    return run_virtual(lambda: _run(scenario, echo))


async def _run(scenario: Scenario, echo: Callable[[Event], None] | None) -> Played:
    world = World(scenario.plan, echo)
    trap = _Trap(world, scenario.crashes)
    violation: Violation | None = None
    first_s = min(command.at_s for command in scenario.commands)
    with world.events.capture():
        try:
            await world.begin()
            for command in scenario.commands:
                await world.until(command.at_s)
                world.on_commit = [trap]
                for verb in command.verbs:
                    do(world, *verb.split())
            await world.until(scenario.until_s)
            violation = next(iter(unfinished(world)), None)
        except InvariantError as error:
            violation = error.violation
        golden = tuple(
            event.golden()
            for event in world.events.all
            if event.at_s >= first_s and event.event not in _INCIDENTAL
        )
        digest = world.events.digest()
        await world.end()
    return Played(golden=golden, digest=digest, commits=trap.commits, violation=violation)


@dataclass(slots=True)
class _Trap:
    """Counts the leader's commits, and springs at some."""

    world: World
    crashes: tuple[Crash, ...]
    commits: int = 0
    sprung: set[int] = field(default_factory=set)

    def __call__(self, commit: Commit) -> None:
        if commit.process.name not in self.world.controllers or not _is_leaders(commit):
            return
        self.commits += 1
        for crash in self.crashes:
            if crash.commit == self.commits and crash.commit not in self.sprung:
                self.sprung.add(crash.commit)
                for verb in crash.verbs:
                    do(self.world, *verb.split())


def _is_leaders(commit: Commit) -> bool:
    """Say whether a commit is a step of the journal, not a report or a candidacy."""
    return any(
        operation.path.startswith(("/hosts/", "/guests/", "/incidents/"))
        for operation in commit.operations
    )


def expected(scenario: Scenario) -> tuple[str, ...]:
    """Return the golden events; none before they were first written."""
    path = scenario.folder / GOLDEN
    return tuple(path.read_text().splitlines()) if path.exists() else ()


def rewrite(scenario: Scenario, played: Played) -> None:
    """Take the events of a run for the right ones."""
    (scenario.folder / GOLDEN).write_text("".join(f"{line}\n" for line in played.golden))


def _commands(content: list[dict[str, Any]]) -> Iterator[Command]:
    for entry in sorted(content, key=lambda command: float(command["s"])):
        if entry["s"] < SETTLED_S:
            raise ValueError(f"nothing can be done before {SETTLED_S} s")
        yield Command(at_s=float(entry["s"]), verbs=tuple(entry["do"]))


def _faults(folder: Path, rows: list[str]) -> Iterator[str]:
    for row in rows:
        if not _FAULT.fullmatch(row):
            raise ValueError(f"{folder.name}: faults are numbered F1, F2 ..., not {row}")
        yield row


def _policy(changed: dict[str, Any]) -> Policy:
    """Return the default policy with some of its tables' keys, and its mode, changed."""
    policy = Policy(mode=Mode(changed.pop("mode", Mode.ACTIVE)))
    tables = {
        name: msgspec.convert(
            {**msgspec.to_builtins(getattr(policy, name)), **keys}, type(getattr(policy, name))
        )
        for name, keys in changed.items()
    }
    return replace(policy, **tables)


def _watchdog(timeout_s: int | None) -> WatchdogSettings | None:
    return None if timeout_s is None else WatchdogSettings(timeout_s=timeout_s, r_max_s=2.0)


def _guest(name: str, text: str, said: dict[str, str]) -> GuestPlan:
    host, _, rest = text.partition(":")
    ram, _, wanted = rest.partition(":")
    return GuestPlan(
        name=name,
        host=host,
        ram_mib=int(ram or 1024),
        wanted=PowerState(wanted or "running"),
        said={f"hamon:{key}": value for key, value in said.items()},
    )
