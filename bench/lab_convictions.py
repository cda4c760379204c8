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
import time
from collections.abc import Sequence
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


def _measured(runs: int) -> tuple[list[float | None], list[float | None]]:
    lab = Lab.create(NAME)
    by_power = [_convicted_after(lab, number, "power_reads", Fault.OK) for number in range(runs)]
    by_session = [
        _convicted_after(lab, number, "session_seen_gone", Fault.DEAD) for number in range(runs)
    ]
    return by_power, by_session


def _convicted_after(lab: Lab, number: int, code: str, fault: Fault) -> float | None:
    """Cut a host's power; return the seconds from a moment of its incident to its conviction.

    None, if it was convicted before there was one: by its session, before its power was read.
    """
    victim = lab.hosts[number % len(lab.hosts)]
    name = str(victim.name)
    before = set(_incidents(lab, name))
    lab.bmc(name).behave(fault)
    cut_s = time.time()
    victim.power_cut()
    found: list[dict[str, Any]] = []

    def is_convicted() -> bool:
        new = [incident for incident in _incidents(lab, name) if incident not in before]
        found.extend(_ask(lab, "incident", incident=incident) for incident in new)
        return bool(found)

    wait_until(is_convicted, f"{name} convicted", CONVICTION_TIMEOUT_S, every_s=0.2)
    lab.bmc(name).behave(Fault.OK)
    incident = found[0]["incident"]
    # It is shot now, and so would be a host that came back at once.
    wait_until(
        lambda: _ask(lab, "incident", incident=incident)["proof"] is not None,
        f"{name} fenced",
        CONVICTION_TIMEOUT_S,
    )
    victim.power_on()
    lab.repair()
    moments = found[0]["timeline"]
    convicted_s = next(_at_s(moment) for moment in moments if moment["code"] == "host_convicted")
    signs_s = [_at_s(moment) for moment in moments if _is_sign(moment, code, cut_s)]
    return convicted_s - min(signs_s) if signs_s else None


def _is_sign(moment: dict[str, Any], code: str, cut_s: float) -> bool:
    is_off = moment["facts"].get("power", "off") == "off"
    return moment["code"] == code and is_off and _at_s(moment) >= cut_s


def _incidents(lab: Lab, host: str) -> list[str]:
    return [line["incident"] for line in _ask(lab, "explain", host=host)["incidents"]]


def _ask(lab: Lab, verb: str, **arguments: object) -> dict[str, Any]:
    leading = deployment.leader(lab.daemons)
    if leading is None:
        raise LabError("no daemon leads")
    return deployment.ask(leading, verb, **arguments)


def _at_s(moment: dict[str, Any]) -> float:
    return datetime.fromisoformat(moment["at"]).timestamp()


def _told(what: str, spans_s: Sequence[float | None], target_s: float) -> bool:
    """Print how long it took; say whether that is short enough."""
    known_s = [span_s for span_s in spans_s if span_s is not None]
    if not known_s:
        print(f"{what}: in none of {len(spans_s)} runs")
        return False
    each = " ".join(f"{span_s:.2f}" for span_s in known_s)
    print(
        f"{what}, {len(known_s)} of {len(spans_s)} runs (the others were convicted before):"
        f" median {statistics.median(known_s):.2f} s, worst {max(known_s):.2f} s"
        f" (target {target_s:g} s): {each}"
    )
    return max(known_s) <= target_s


if __name__ == "__main__":
    main()
