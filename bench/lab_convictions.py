"""``python -m bench.lab_convictions``: how soon a dead host is convicted, on the lab.

Real ZooKeeper, agents, planes and BMCs, without guests. RUNS (6) power cuts of each kind:

* its BMC answers: from its first Off to the conviction (target 3 s, or the end of its session);
* its BMC is dead too: from the end of its session to the conviction (target 0.5 s).

Both are read from the timeline of the incident, by the leader's clock. Exit 0 only if every target
was reached.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from lab import deployment, interruption, records
from lab.bmc import Fault
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import LabError
from lab.processes import wait_until

NAME = "benchconvict"
OFF_TARGET_S, EXPIRY_TARGET_S = 3.0, 0.5
CONVICTION_TIMEOUT_S = 60.0


def main() -> None:
    """Measure, print, and end with 1 if a target was missed."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for namespaces and libvirt")
    if NAME in records.names():
        sys.exit(f"bench: the lab {NAME!r} is still up: `python -m lab --name {NAME} down`")
    runs = int(os.environ.get("RUNS", "6"))
    try:
        interruption.listen()
        try:
            by_power, by_session = _measured(runs)
        finally:
            interruption.ignore()
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_status)
    except LabError as error:
        sys.exit(f"bench: FAILED: {error}")
    finally:
        records.remove(NAME)
    is_reached = [
        _told("first Off to conviction", by_power, OFF_TARGET_S),
        _told("end of session to conviction", by_session, EXPIRY_TARGET_S),
    ]
    sys.exit(0 if all(is_reached) else 1)


def _measured(runs: int) -> tuple[list[float], list[float]]:
    lab = Lab.create(NAME)
    by_power = [_convicted_after(lab, number, "power_reads", Fault.OK) for number in range(runs)]
    by_session = [
        _convicted_after(lab, number, "session_seen_gone", Fault.DEAD) for number in range(runs)
    ]
    return by_power, by_session


def _convicted_after(lab: Lab, number: int, code: str, fault: Fault) -> float:
    """Cut a host's power; return the seconds from a moment of its incident to its conviction."""
    victim = lab.hosts[number % len(lab.hosts)]
    name = str(victim.name)
    before = set(_incidents(lab, name))
    lab.bmc(name).behave(fault)
    victim.power_cut()
    found: list[dict[str, Any]] = []

    def is_convicted() -> bool:
        new = [incident for incident in _incidents(lab, name) if incident not in before]
        found.extend(_ask(lab, "incident", incident=incident) for incident in new)
        return bool(found)

    wait_until(is_convicted, f"{name} convicted", CONVICTION_TIMEOUT_S, every_s=0.2)
    lab.bmc(name).behave(Fault.OK)
    victim.power_on()
    lab.repair()
    moments = found[0]["timeline"]
    convicted_s = next(_at_s(moment) for moment in moments if moment["code"] == "host_convicted")
    return convicted_s - min(_at_s(moment) for moment in _before(moments, code))


def _before(moments: list[dict[str, Any]], code: str) -> Iterator[dict[str, Any]]:
    for moment in moments:
        if moment["code"] == code and moment["facts"].get("power", "off") == "off":
            yield moment


def _incidents(lab: Lab, host: str) -> list[str]:
    return [line["incident"] for line in _ask(lab, "explain", host=host)["incidents"]]


def _ask(lab: Lab, verb: str, **arguments: object) -> dict[str, Any]:
    leading = deployment.leader(lab.daemons)
    if leading is None:
        raise LabError("no daemon leads")
    return deployment.ask(leading, verb, **arguments)


def _at_s(moment: dict[str, Any]) -> float:
    return datetime.fromisoformat(moment["at"]).timestamp()


def _told(what: str, spans_s: list[float], target_s: float) -> bool:
    """Print how long it took; say whether that is short enough."""
    each = " ".join(f"{span_s:.2f}" for span_s in spans_s)
    print(
        f"{what}: median {statistics.median(spans_s):.2f} s, worst {max(spans_s):.2f} s"
        f" (target {target_s:g} s): {each}"
    )
    return max(spans_s) <= target_s


if __name__ == "__main__":
    main()
