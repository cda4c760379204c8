"""``python -m bench.convictions``: how soon a dead host is convicted, in the simulator's time.

The engine, the coordination and the agents are the real ones; network, ZooKeeper and BMCs are the
simulator's, on virtual time, so that what is measured is what is decided and not this machine.
SEEDS (30) worlds of each kind, each cut at a moment of its own:

* its BMC answers: from its first Off to the conviction (target 3 s);
* nothing but the network tells: from the end of the session to the conviction (target 0.5 s);
* the BMC takes an order and never answers: from the order to that of the next level;
* a rack of 100 is lost in a fleet of 120: hosts fenced (target 0), pages (target 1);
* 3 of 100 are lost: from the first conviction to the last (they are handled in parallel).
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from hamon.model.change import Decision
from hamon.model.names import HostName
from hamon.model.policy import DetectionPolicy, HoldPolicy, Policy
from hamon.model.proof import Power
from hamon.model.view import HostView
from hamon.sim.faults import do
from hamon.sim.guest_plan import GuestPlan
from hamon.sim.loop import run_virtual
from hamon.sim.plan import Plan
from hamon.sim.world import World

SETTLED_S = 40.0
POLL_S = 0.01
VICTIM = HostName("compute-1")
OFF_TARGET_S, EXPIRY_TARGET_S = 3.0, 0.5


@dataclass(slots=True)
class _Seen:
    """When the leader first saw something of the victim."""

    off_s: float | None = None
    lost_s: float | None = None
    convicted_s: float | None = None
    first_order_s: float | None = None
    next_order_s: float | None = None


def main() -> None:
    """Measure, print, and end with 1 if a target was missed."""
    seeds = range(int(os.environ.get("SEEDS", "30")))
    by_power = [_span(_one(seed, _power_off), "off_s", "convicted_s") for seed in seeds]
    by_network = [_span(_one(seed, _dead_bmc), "lost_s", "convicted_s") for seed in seeds]
    silent = [
        _span(_one(seed, _dead_bmc, two_levels=True), "first_order_s", "next_order_s")
        for seed in seeds
    ]
    _tell("first Off to conviction", by_power, OFF_TARGET_S)
    _tell("end of session to conviction", by_network, EXPIRY_TARGET_S)
    _tell("order to a silent BMC to the next level's order", silent, None)
    fenced, pages = run_virtual(_rack)
    _say(f"a rack of 100 lost: {fenced} fenced (target 0), {pages} pages (target 1)")
    took_s = run_virtual(_three)
    _say(f"3 of 100 lost: all convicted within {took_s:.2f} s of the first")
    is_reached = (
        max(by_power) <= OFF_TARGET_S
        and max(by_network) <= EXPIRY_TARGET_S
        and (fenced, pages) == (0, 1)
    )
    sys.exit(0 if is_reached else 1)


def _tell(what: str, spans_s: list[float], target_s: float | None) -> None:
    middle = statistics.median(spans_s)
    target = "" if target_s is None else f" (target {target_s:g} s)"
    _say(f"{what}: median {middle:.2f} s, worst {max(spans_s):.2f} s{target}, {len(spans_s)} runs")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _span(seen: _Seen, begin: str, end: str) -> float:
    begun, ended = getattr(seen, begin), getattr(seen, end)
    assert begun is not None, f"never seen: {begin}"
    assert ended is not None, f"never seen: {end}"
    return float(ended - begun)


# -- one host -------------------------------------------------------------------------------------


def _power_off() -> Iterable[str]:
    return (f"power {VICTIM} off",)


def _dead_bmc() -> Iterable[str]:
    return (f"bmc {VICTIM}/ipmi dead", f"power {VICTIM} off")


def _one(seed: int, faults: Callable[[], Iterable[str]], *, two_levels: bool = False) -> _Seen:
    random.seed(seed)
    fence = {"ipmi": 1, "outlet": 2} if two_levels else {"ipmi": 1}
    plan = Plan(
        guests=(GuestPlan(name="g1", host=VICTIM),),
        seed=seed,
        fence=fence,
        policy=Policy(detection=DetectionPolicy(session_timeout_s=6.0)),
    )

    def kill(world: World) -> None:
        for fault in faults():
            do(world, *fault.split())

    return run_virtual(lambda: _watch(plan, kill, Random(seed).uniform(0.0, 5.0)))


async def _watch(plan: Plan, kill: Callable[[World], None], pause_s: float) -> _Seen:
    world = World(plan, None)
    seen = _Seen()
    with world.events.capture():
        await world.begin()
        await world.until(SETTLED_S + pause_s)
        kill(world)
        until_s = world.clock.now_s() + 60.0
        while world.clock.now_s() < until_s:
            await world.clock.sleep(POLL_S)
            host, _ = _leaders(world)
            if host is not None:
                _note(seen, host, world.clock.now_s(), world)
        await world.end()
    return seen


def _leaders(world: World) -> tuple[HostView | None, Decision | None]:
    for controller in world.controllers.values():
        last = controller.last
        if controller.is_leading and last is not None and last.view is not None:
            return last.view.hosts[VICTIM], last.decision
    return None, None


def _note(seen: _Seen, host: HostView, now_s: float, world: World) -> None:
    offs = [r for r in host.readings if r.power is Power.OFF]
    if offs and seen.off_s is None:
        seen.off_s = offs[0].observed_s
    if seen.lost_s is None:
        seen.lost_s = host.session_lost_s
    if seen.convicted_s is None and _events(world, "host_convicted", VICTIM):
        seen.convicted_s = _events(world, "host_convicted", VICTIM)[0]
    shots = _events(world, "fence_shot", VICTIM)
    if shots and seen.first_order_s is None:
        seen.first_order_s = shots[0]
    if len(shots) > 1 and seen.next_order_s is None:
        seen.next_order_s = now_s


def _events(world: World, name: str, subject: str = "") -> list[float]:
    return [
        event.at_s
        for event in world.events.all
        if event.event == name and (not subject or event.subject == subject)
    ]


# -- fleets ---------------------------------------------------------------------------------------


async def _rack() -> tuple[int, int]:
    """Lose a rack of 100 of 120 hosts; return how many were fenced, and how many holds page."""
    rack = [f"a-{number}" for number in range(100)]
    rest = [f"b-{number}" for number in range(20)]
    labels = {name: {"rack": name[0]} for name in (*rack, *rest)}
    # So that the rack is held for what it is, and not because the leader takes itself for blind.
    holds = HoldPolicy(domain_labels=("rack",), blind_share_max=1.0)
    world = _fleet((*rack, *rest), labels, holds)
    pages = 0
    with world.events.capture():
        await world.begin()
        await world.until(SETTLED_S)
        for name in rack:
            do(world, "power", name, "off")
        for _ in range(60):
            await world.sleep(1.0)
            for controller in world.controllers.values():
                if controller.is_leading and controller.last is not None:
                    held = [hold for hold in controller.last.decision.holds if hold.needs_human]
                    pages = max(pages, len(held))
        await world.end()
    return len(_events(world, "host_convicted")), pages


async def _three() -> float:
    """Lose 3 of 100 hosts at once; return the seconds between the first conviction and the last."""
    names = tuple(f"a-{number}" for number in range(100))
    world = _fleet(names, {}, HoldPolicy())
    with world.events.capture():
        await world.begin()
        await world.until(SETTLED_S)
        for name in names[:3]:
            do(world, "power", name, "off")
        await world.sleep(30.0)
        await world.end()
    convicted = _events(world, "host_convicted")
    assert len(convicted) == len(names[:3]), convicted
    return max(convicted) - min(convicted)


def _fleet(names: tuple[str, ...], labels: dict[str, dict[str, str]], holds: HoldPolicy) -> World:
    policy = Policy(detection=DetectionPolicy(session_timeout_s=6.0), holds=holds)
    return World(replace(Plan(), hosts=names, labels=labels, policy=policy), None)


if __name__ == "__main__":
    main()
