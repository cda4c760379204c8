"""Which tests meet which fault: ``python -m tests.fault_table > docs/faults.md``.

A test says so itself, by ``@pytest.mark.fault("F7")``, a scenario by its key ``faults``. Marked is
only what really meets the fault and fails if hamon takes it badly. A test holds the page to that.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
MARKER = "fault"


class Row(NamedTuple):
    """A fault, and what must hold all the same."""

    number: str
    fault: str
    holds: str


GROUPS: Mapping[str, tuple[Row, ...]] = {
    "Compute host and agent": (
        Row("F1", "a host loses its power; its BMC answers", "fenced with proof, all guests moved"),
        Row("F2", "host and BMC lose their power together",
            "no proof by silence; the next level or an operator proves, or it pages"),
        Row("F3", "a kernel panics and dumps its memory for minutes",
            "proven by its notice where policy says so, else by power; nobody waits for the dump"),
        Row("F4", "the agent is killed and back before its session ends", "nothing happens"),
        Row("F5", "the agent is killed and stays away; the host is well",
            "suspected, and not fenced: other signs say that it lives"),
        Row("F6", "the agent stands still for longer than its session, then goes on",
            "not fenced; it registers again"),
        Row("F7", "the agent gets no processor time: a busy loop, a load of hundreds",
            "no false verdict"),
        Row("F8", "a host's management network is cut, its storage is not",
            "PARTITIONED or SUSPECT; fenced, if ever, before anything moves"),
        Row("F9", "a host's storage network is cut, its management is not",
            "DEGRADED, never taken for dead"),
        Row("F10", "only the network of a host's guests is down", "DEGRADED, never taken for dead"),
        Row("F11", "packets get lost one way only, between agent and ZooKeeper",
            "no conviction of a host that is heard elsewhere"),
        Row("F12", "one packet in five is lost and half a second is added", "no false verdict"),
    ),
    "ZooKeeper": (
        Row("F13", "a follower is killed, stands still or swallows packets",
            "clients find another in time; no call hangs"),
        Row("F14", "its leader is killed", "no session is lost, nobody is convicted"),
        Row("F15", "its leader stands still, for less and for more than the sync limit",
            "sessions outlast an election"),
        Row("F16", "the quorum is lost for a while, and everybody returns at once",
            "nothing destructive meanwhile; then it goes on"),
        Row("F17", "a follower is cut off from the leader only",
            "whoever is connected to it is neither convicted nor acts on an old lease"),
        Row("F18", "a full disk, an fsync of seconds, a broken snapshot",
            "slow is not dead: nothing destructive on stale knowledge"),
        Row("F19", "the ensemble is restored from an old snapshot",
            "lower numbers are seen: read-only, and it pages"),
        Row("F20", "an ephemeral node outlives its session", "a dead host is moved all the same"),
        Row("F21", "the session is over, and its heartbeat node is still there",
            "the agent registers again, and takes nobody else's node away"),
    ),
    "The daemon": (
        Row("F22", "the leader is killed after any step of the journal",
            "its successor goes on there; nothing twice, nothing forgotten"),
        Row("F23", "the leader stands still for a minute, then goes on",
            "deposed: it writes nothing and shoots at nothing"),
        Row("F24", "no daemon runs for an hour, and a host dies meanwhile",
            "found out and handled by whoever leads first"),
        Row("F25", "the leader reaches ZooKeeper but not the hosts, or the hosts but not ZooKeeper",
            "it acts no more, and another does"),
    ),
    "Fencing": (
        Row("F26", "a BMC is silent, slow, refuses the login, is in an odd state, or lies",
            "never a proof; the next level within its time; life contradicts it"),
        Row("F27", "a fence program hangs, succeeds without effect, or leaves children behind",
            "killed whole at its deadline; only what is read back counts"),
        Row("F28", "power is off, and comes back on by itself", "the proof is void: fenced again"),
    ),
    "Nova and what it stands on": (
        Row("F29", "nova-api answers 500 or 503 for minutes in mid-evacuation",
            "it goes on afterwards; nothing is asked for twice"),
        Row("F30", "the answer to an evacuation is lost, and it was accepted",
            "found by its record, and not asked for again"),
        Row("F31", "Nova refuses: the service is up, or the server has a task left",
            "the reason is removed, or waited for; no request is lost"),
        Row("F32", "there is no valid host, then there is", "guests wait visibly, then move"),
        Row("F33", "the destination dies in mid-rebuild",
            "moved on by the proof of the destination's own death, and once"),
        Row("F34", "a message is lost, and a record stays accepted for ever",
            "asked again only when nobody can carry it out any more"),
        Row("F35", "keystone is away, a token or a certificate is over",
            "a new login; nothing is sent twice"),
        Row("F36", "a list by Nova lacks a guest after its database failed over",
            "the guest is not forgotten"),
        Row("F37", "its owner deletes, moves or resizes a guest meanwhile",
            "the owner's wish wins, and nobody waits"),
        Row("F38", "a live migration is under way when either end dies",
            "it runs in one place in the end"),
    ),
    "Many at once, and the return": (
        Row("F39", "some hosts, or most of them, vanish at once",
            "few are handled; many are held, with one page"),
        Row("F40", "one host after another is lost, slowly", "the rate holds what no storm does"),
        Row("F41", "a host dies and returns again and again", "each return waits longer"),
        Row("F42", "somebody switches a fenced host on while its guests move",
            "no guest runs twice; the host stays shut until it is clean"),
        Row("F43", "a host returns and something starts its guests; nova-compute is broken",
            "no stale copy starts; no service before it is clean"),
        Row("F44", "another machine returns under a host's name", "it stays shut, and is told of"),
    ),
    "Storage": (
        Row("F45", "a dead client holds an RBD lock", "the guest starts elsewhere"),
        Row("F46", "a stale NFS lock or lease", "the guest starts elsewhere, others do not wait"),
        Row("F47", "a blocklist entry ends while the old host hangs", "no second writer"),
        Row("F48", "a guest is made to run twice", "the tests themselves see it"),
    ),
    "Time and resources": (
        Row("F49", "the clock on the wall jumps, or a machine was suspended",
            "no decision changes; after a gap nothing destructive"),
        Row("F50", "a full disk, no file descriptors, no threads", "bounded, and it resumes"),
    ),
    "Configuration, security, change": (
        Row("F51", "a wrong BMC address: two hosts have each other's",
            "refused or found beforehand, and never a proof"),
        Row("F52", "a host that was broken into forges or deletes nodes",
            "ZooKeeper refuses all but its own"),
        Row("F53", "access rules are removed, or a login fails on reconnect",
            "nothing destructive, and it is said"),
        Row("F54", "a certificate ends or is changed under load", "no verdict from it"),
        Row("F55", "a host dies in mid-upgrade", "old and new understand each other"),
        Row("F56", "maintenance begins or ends just as a host is being found dead",
            "never fenced in maintenance, handled right after it"),
    ),
}  # fmt: skip
"""Every row of the fault matrix."""

ROWS: Mapping[str, Row] = {row.number: row for rows in GROUPS.values() for row in rows}

MUST_BE_TESTED = tuple(f"F{n}" for n in (*range(1, 29), *range(39, 45), 51, 56))
"""What has to have a test already."""


class Place(StrEnum):
    """Where a test runs; the words are the table's."""

    LIBVIRT = "lab, libvirt"
    NOVA = "lab, Nova"
    REAL = "real parts"
    SCENARIO = "scenario"
    WALKS = "walks"
    UNIT = "unit"


_WITHOUT_REAL_PARTS = {
    "scenarios": Place.SCENARIO,
    "sim": Place.WALKS,
    "unit": Place.UNIT,
}


class Pace(StrEnum):
    """Which cases of a test are run by ``make test``; the words are the table's."""

    USUAL = ""
    PARTLY = "more cases in `make test-all`"
    SLOW = "in `make test-all`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """A test that meets a fault."""

    row: str
    place: Place
    test: str
    pace: Pace


class CollectionError(Exception):
    """The tests cannot be collected, or a mark names no fault."""


# -- what the tests say ---------------------------------------------------------------------------


class _Collector:
    """A plugin of pytest's that keeps what was collected."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []
        self.errors: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what went wrong."""
        if report.failed:
            self.errors.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the items."""
        self.items = list(session.items)


def collected() -> tuple[Meeting, ...]:
    """Have pytest collect the tests with marks, as it would run them; needs no lab.

    To be called once in a process of its own: pytest imports the tests anew.

    Raises:
        CollectionError: a test cannot be collected, or a mark names no fault.
    """
    # Collecting all of them takes much longer.
    files = [str(path) for path in TESTS.rglob("test_*.py") if f"mark.{MARKER}" in path.read_text()]
    collector = _Collector()
    quiet = ("-p", "no:terminal", "-p", "no:cacheprovider")
    with contextlib.redirect_stdout(sys.stderr):
        ended = pytest.main(["--collect-only", *quiet, *sorted(files)], [collector])
    if collector.errors or ended != pytest.ExitCode.OK:
        raise CollectionError("\n".join((f"pytest ended with {ended!r}", *collector.errors)))
    return meetings(collector.items)


def meetings(items: Iterable[pytest.Item]) -> tuple[Meeting, ...]:
    """Tell which tests meet which faults; cases of a test are one, scenarios are their own.

    Contracts count where a real part keeps them.

    Raises:
        CollectionError: a mark names no fault.
    """
    cases: dict[tuple[str, Place, str], list[bool]] = defaultdict(list)
    for item in filter(_is_real, items):
        place, test = _place_of(item), _name_of(item)
        for number in _numbers(item):
            cases[number, place, test].append(item.get_closest_marker("slow") is not None)
    return tuple(
        Meeting(row=number, place=place, test=test, pace=_pace(are_slow))
        for (number, place, test), are_slow in cases.items()
    )


def _is_real(item: pytest.Item) -> bool:
    """Say whether it is no contract kept by what stands in memory for a real part."""
    case = getattr(item, "callspec", None)
    return case is None or "memory" not in case.params.values()


def _numbers(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers(MARKER):
        for number in mark.args:
            if number not in ROWS:
                raise CollectionError(f"{item.nodeid}: {number!r} is no row of the fault matrix")
            yield number


def _place_of(item: pytest.Item) -> Place:
    folder = item.path.relative_to(TESTS).parts[0]
    if folder in _WITHOUT_REAL_PARTS:
        return _WITHOUT_REAL_PARTS[folder]
    if item.get_closest_marker("openstack") is not None:
        return Place.NOVA
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    has_lab = any(name == "lab" or name.endswith("_lab") for name in fixtures)
    return Place.LIBVIRT if has_lab else Place.REAL


def _name_of(item: pytest.Item) -> str:
    name, _, case = item.nodeid.partition("[")
    is_scenario = _place_of(item) is Place.SCENARIO
    return f"tests/scenarios/{case.removesuffix(']')}" if is_scenario else name


def _pace(are_slow: Sequence[bool]) -> Pace:
    if all(are_slow):
        return Pace.SLOW
    return Pace.PARTLY if any(are_slow) else Pace.USUAL


def gaps(met: Iterable[Meeting]) -> Iterator[str]:
    """Tell which rows that must be tested are not."""
    tested = {meeting.row for meeting in met}
    for number in MUST_BE_TESTED:
        if number not in tested:
            yield f"{number} ({ROWS[number].fault}): no test is marked with it"


# -- the page -------------------------------------------------------------------------------------

_HEAD = f"""\
# Faults

What goes wrong in the tests, and where. Written from the tests' own marks (`pytest.mark.{MARKER}`;
of scenarios the key `faults`) by `python -m tests.fault_table`; a test compares. A test is marked
if it really meets the fault and fails when hamon takes it badly.

- **{Place.LIBVIRT}**, **{Place.NOVA}**: the whole of hamon on a lab of virtual hosts (`lab/`)
- **{Place.REAL}**: a part of hamon against real programs (ZooKeeper, BMCs, fence agents, QEMU),
  or what stands for them
- **{Place.SCENARIO}**: a story in the simulator, with its events written down
- **{Place.WALKS}**: faults at random in the simulator, and crashes at every step
- **{Place.UNIT}**: the decision itself

Numbers are tests of `make test`; those in brackets are run by `make test-all` only.
"""


def rendered(met: Sequence[Meeting]) -> str:
    """Return the page."""
    by_row = {number: [each for each in met if each.row == number] for number in ROWS}
    parts = [_HEAD]
    for title, rows in GROUPS.items():
        parts += [f"\n## {title}\n\n", _table(rows, by_row)]
        parts += [_tests_of(row, by_row[row.number]) for row in rows]
    return "".join(parts)


def _table(rows: Sequence[Row], by_row: Mapping[str, Sequence[Meeting]]) -> str:
    head = ("row", "fault", "what must hold", *Place)
    lines = [_line(head), _line("---" for _ in head)]
    for row in rows:
        counts = (_count([m for m in by_row[row.number] if m.place is place]) for place in Place)
        lines.append(_line((row.number, row.fault, row.holds, *counts)))
    return "".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _count(met: Sequence[Meeting]) -> str:
    slow = sum(meeting.pace is Pace.SLOW for meeting in met)
    usual = len(met) - slow
    return " ".join((*([str(usual)] if usual else []), *([f"({slow})"] if slow else [])))


def _tests_of(row: Row, met: Sequence[Meeting]) -> str:
    if not met:
        return f"\n{row.number}: not tested yet\n"
    order = list(Place)
    lines = [
        f"- {m.place}: `{m.test}`{f' ({m.pace})' if m.pace else ''}\n"
        for m in sorted(met, key=lambda m: (order.index(m.place), m.test))
    ]
    return "".join((f"\n{row.number}: {row.fault}\n\n", *lines))


def main() -> int:
    """Print the page, and on stderr what is wrong with the marks; return 1 if anything is."""
    met = collected()
    sys.stdout.write(rendered(met))
    wrong = list(gaps(met))
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
