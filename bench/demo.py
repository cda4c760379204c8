"""`make bench-demo`: the figures of the demonstration, measured over many power cuts.

RUNS (10) power cuts of a host with eight guests, TAKEOVERS (4) more in which the leader is killed
or paused midway, then IDLE=1 (the default) a lab of ten hosts without guests for what hamon takes
when nothing happens. Exit 0 only if every target was reached.
"""

import os
import sys
from dataclasses import dataclass, field

from bench import footprint, report
from bench.footprint import Footprint
from bench.measured import Measured
from bench.power_cuts import LOSSES, PowerCuts
from lab import interruption, records
from lab.event_log import EventLog
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import LabError

NAME = "bench"
IDLE_NAME = "benchidle"


@dataclass(slots=True, kw_only=True)
class _Results:
    """What there is so far, also after an interruption."""

    accelerator: str = ""
    runs: list[Measured] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    footprints: dict[str, Footprint] = field(default_factory=dict)


def main() -> None:
    """Run the benchmark."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for namespaces and libvirt")
    for name in (NAME, IDLE_NAME):
        if name in records.names():
            sys.exit(f"bench: the lab {name!r} is still up: `python -m lab --name {name} down`")
    results = _Results()
    status = _run(results)
    if results.runs or results.footprints:
        is_reached = report.print_report(
            results.runs, results.strays, results.footprints, results.accelerator
        )
        status = status or (0 if is_reached else 1)
        print(f"\nkept in {report.keep(results.runs, results.strays, results.footprints)}")
    sys.exit(status)


def _run(results: _Results) -> int:
    try:
        try:
            interruption.listen()
            _measure_power_cuts(results)
            if _number("IDLE", 1):
                _measure_idle(results)
        finally:
            interruption.ignore()
    except Interrupted as interrupted:
        print(f"\nbench: {interrupted}: tidying up", file=sys.stderr, flush=True)
        return interrupted.exit_status
    except LabError as error:
        print(f"\nbench: FAILED: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        records.remove(NAME)
        records.remove(IDLE_NAME)
    return 0


def _measure_power_cuts(results: _Results) -> None:
    runs, takeovers = _number("RUNS", 10), _number("TAKEOVERS", len(LOSSES))
    if runs + takeovers == 0:
        return
    print(f"bench: {runs} power cuts, {takeovers} with the leader lost midway", flush=True)
    lab = Lab.create(NAME)
    results.accelerator = lab.guests.accelerator
    report.print_heads()
    with lab.observer() as watching:
        cuts = PowerCuts(lab=lab, watching=watching, log=EventLog(lab), strays=results.strays)
        for number in range(1, runs + takeovers + 1):
            loss = None if number <= runs else LOSSES[(number - runs - 1) % len(LOSSES)]
            results.runs.append(cuts.run(number, loss))
            print(report.row(results.runs[-1]), flush=True)
        results.footprints["after the power cuts"] = footprint.memory(lab)
    records.remove(NAME)


def _measure_idle(results: _Results) -> None:
    print(f"bench: {footprint.IDLE_HOSTS} hosts, nothing happens", flush=True)
    lab = Lab.create(IDLE_NAME, hosts=footprint.IDLE_HOSTS)
    results.footprints["idle"] = footprint.idle(lab)
    records.remove(IDLE_NAME)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal():
        sys.exit(f"bench: {variable}={text!r} is no number")
    return int(text)


if __name__ == "__main__":
    main()
